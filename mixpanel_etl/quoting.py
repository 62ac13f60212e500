"""What may be quoted from a reply: the words of Mixpanel's own fixed messages, and nothing else.

A reply can contain personal data (profiles, events, the invalid value), and errors and logs go to places where no
erasure finds it. So a reply is quoted word by word: everything except words of Mixpanel's messages, small numbers and
dates becomes `***`. Source: mixpanel-api.md#errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import msgspec

EXCERPT = 300  # characters of a text that go into a message
_MASK = "***"
_TOKEN = re.compile(r"[^\s,;:()\[\]{}<>\"'`=|/!?&]+")
_NUMBER = re.compile(r"[+-]?\d{1,3}(?:\.\d{1,2})?%?|[1-9]\d{1,3}00|\d{4}-\d{2}-\d{2}")


def redacted(text: str, known: Collection[str] = ()) -> str:
    """A text in which `***` stands for all that can be a value; cut to a few hundred characters.

    Args:
        text: what others wrote.
        known: further words that may be repeated, such as those of the request.
    """
    more = frozenset(word.lower() for word in known)
    shown = _TOKEN.sub(lambda match: _word(match[0], more), " ".join(text[: 10 * EXCERPT].split()))
    return shown if len(shown) <= EXCERPT else shown[:EXCERPT] + "…"


def quoted(body: bytes, scrub: Callable[[str], str] = str) -> str:
    """What the body of an error says: `error`, else `message`, or all of a short text; without values.

    Args:
        body: body of the reply.
        scrub: removes secrets: a password may be a word of these messages.

    Returns:
        The text, `no explanation` where there is none, with the length of a body that cannot be repeated.
    """
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reply = body.decode("utf-8", "replace")
    tokens = _TOKEN.findall(text := scrub(_text_of(reply))[: 10 * EXCERPT])
    known = sum(_is_known(token) for token in tokens)
    if not known or (isinstance(reply, str) and 2 * known <= len(tokens)):
        return f"no explanation that can be repeated ({len(body):,} bytes)" if body else "no explanation"
    return redacted(text)


def raw_text(body: bytes) -> str:
    """The same with its values, to tell one error from another; never to be shown."""
    try:
        return _text_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")


def described(value: object) -> str:
    """What a value is, without itself: `a str of 12 characters`."""
    if value is None or isinstance(value, bool) or (isinstance(value, str) and not value.strip()):
        return repr(value)
    kind = type(value).__name__
    article = "an" if kind[0] in "aeiou" else "a"
    if isinstance(value, str):
        return f"{article} {kind} of {len(value)} characters"
    return f"{article} {kind} of {len(value)}" if isinstance(value, list | tuple | dict | set) else f"{article} {kind}"


def _text_of(reply: Any) -> str:
    if isinstance(reply, dict):
        for key in ("error", "message"):
            if reply.get(key):
                detail = _detail(reply)
                return _text_of(reply[key]) + (f" ({detail})" if detail else "")
    return reply if isinstance(reply, str) else ""


def _detail(reply: dict[str, Any]) -> str:
    """The wrong parameter, in the specified form of mixpanel-api.md#errors."""
    details = reply.get("details")
    if not isinstance(details, dict):
        return ""
    return ": ".join(str(details[key]) for key in ("parameter", "message") if details.get(key))


def _word(token: str, more: Collection[str]) -> str:
    bare = token.rstrip(".…")
    return token if not bare or bare.lower() in more or _is_known(bare) or _NUMBER.fullmatch(bare) else _MASK


def _is_known(token: str) -> bool:
    parts = [part for part in re.split(r"[$_.…-]", token.lower()) if part]
    return bool(parts) and all(part in _WORDS for part in parts)


#: Of documented and observed messages, parameters and fields, of databases, and of the advice that we add.
_MESSAGE_WORDS = """
a aborted about absent accepts access account accounts add addiction admin advice after again ago alias all allow
allowed alone alphanumeric already among an and annotation annotations anon anonymous another answer answers any
anything api app application archive archived are args arguments array arrived as ask asked asks at attribute
authenticate available average aware backoff bad base based basic batch batches be bearer because been before begin
beginning behaviors belongs between bigger bigint birth blank block board body bookmark boolean born both buckets
budget budgets bug busy by byte bytes calendar call calls came can cancel canceled cancelled cannot carries cast
casting cause caused certainly change changed characters check choices classified clock cluster code cohort cohorts
column columns com compounded conclude concurrent concurrently condition configured conflict connect connection
connections constraint consumer contact contain contains content context conversion convert correct could couldn count
counts cpu create created credential credentials csv cursor custom damaged dashboard data date dates datetime day days
dd deadline decide decimal declares deeply default definitions delete deleted deletion denied deployment deprecated
destination device did didn disabled disconnect distinct division do doctype does doesn don double down drop dt
duplicate duplicates each early edit edited either elements empty enabled encoding encountered end ended endpoint
engage enterprise entity entitytype epoch error errors europe evaluate evaluating event events exactly exceeded
exceeds exception exclusive exist exists experiment experiments expire expired explanation exponential export exported
exports expression extra facts failed failure false families feature fewer field file filter first flag flags float64
folder followed for forbidden force foreign form format forward found free frequency from full function funnel funnels
future gateway gdpr general generating get give go group groups growth gzip h happened happening has have head header
headers help here hh history hopeless hour hourly hours html http hyphen iana id idempotent identify identity ids if
import imported importing imports in include included index ingestion inner input insert inside insight insights
install int int32 int64 integer internal interval into invalid ip is isn it items its javascript jobs join jql json
keeps key keys killed kind know known knows lacks large larger last later launch least left legacy length let lets
lexicon lie lies limit limited limits line lines list locked login longer lookup machine maintenance many max
maximum may mb
megabytes memory merge merged message meta method milliseconds min minimum minute minutes mismatch missing mixpanel mm
mode module moment month months more most move ms must mutually name named names naming ndjson need needs negative
neither nessie nested network nginx no nobody non none nor not nothing now null number numeric oauth object occurred
of offset ok on once one ones only opposed or order organization organizations original other others otherwise our
out outcome output outside over overall overflow overlaps own owner page pair parameter parameters params
parse parsing parts pass
past patch path pause paused pending people per permission pipeline pipelines place plain plan please points position
positive post precision present primary probability processes project projects properties property proxy put queries
query queued quota range ranged rangeerror ranked rate reached real reason recognized record records recurring
redirect redirected reference referenceerror refused region remove repeatable repeated replace replaced reply report
request requests required requires reset resolution response result results resume retention retries retrieval retry
right role route rows running said same saved says scale schema schemas scope scopes script second seconds secret see
seen segmentation segments select selector selectors self send sends sent seq server service session setting several
share should sign signature signed simplified since six size slash slow smaller smallint some something
source sources speaks specification specified specify sql sqlstate ss start started state status stay step
steps stopped stored stream
strict string strings succeeded such sum support supported sync syntax syntaxerror table tables tag tags tail take
taken takes tells temporarily temporary ten terminated text than that the them there this those throttled through time
timeline timeout timestamp timezone title tls to today token too tool top track tracking tries true truncated
truncation try trying two type typeerror types uint64 unable unarchive unauthorized unavailable unbounded uncached
uncaught uncompressed undefined unexpected unique unit unknown unnest unprocessable unsupported untyped up update
updated updates upgrade upstream url urlencoded us use used user username users using utc utf uuid valid validation
value values varchar variables variant variants verbose violated violates violation visible wait waits warehouse was
wasn week weeks went were what when where whether which whole whose why will window with within without won words work
workspace workspaces would written wrong yet your yyyy zero zone
"""
_WORDS = frozenset(_MESSAGE_WORDS.split())

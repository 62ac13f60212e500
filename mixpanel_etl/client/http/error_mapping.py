"""From a response to a typed error, without the credentials. Source: mixpanel-api.md#errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import msgspec
import requests
from urllib3.exceptions import ReadTimeoutError

from mixpanel_etl.client.errors import (
    BadRequest,
    BatchRejected,
    ConnectionFailed,
    CredentialError,
    DeadlineExceeded,
    FailedRecord,
    FutureDate,
    MixpanelError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PlanError,
    RateLimited,
    RecordsRejected,
    ReplyError,
    ServerError,
)
from mixpanel_etl.client.http.connection import OutOfTime, Watch
from mixpanel_etl.client.http.json_text import decode_json
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.quoting import EXCERPT, quoted, raw_text, redacted

BODY_LIMIT = 64 * 1024  # bytes of an error's body that are read at all
RECORDS_LIMIT = 2 * 1024 * 1024  # of a 400: 2,000 failed records fit
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
TIMED_OUT_STATUSES = frozenset({504, 524})
#: Statuses of success for a request that changes something, besides 200. Data comes with a 200 only: any other success
#: is a part (206), a proxy's version of it (203), or no body at all (204), which is not an empty list.
WRITTEN = frozenset({201, 202, 204})
#: Redirects that say that the request was not processed. Others may come after it was.
ASK_ELSEWHERE = frozenset({301, 307, 308})

BY_STATUS: dict[int, type[MixpanelError]] = {
    401: CredentialError,
    402: PlanError,
    403: PermissionDenied,
    404: NotFound,
    413: PayloadTooLarge,
    429: RateLimited,
}


class Scrubber:
    """Takes credentials out of strings: the known ones in every form, and what looks like one."""

    _looks_secret = re.compile(
        r"(?i)\b(basic|bearer)\s+[a-z0-9+/=._~-]{6,}"
        r"|\b(token|api_secret|api_key|secret)(\"?\s*[=:]\s*\"?)[^\s\"'&,}]+"
    )

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first, so that what is left of a longer secret does not give it away.
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def also(self, secrets: Iterable[str]) -> Scrubber:
        """A scrubber that knows these as well."""
        more = [form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))]
        return Scrubber([*self._secrets, *more]) if more else self

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return self._looks_secret.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    scheme, name, separator = match.groups()
    return f"{scheme} ***" if scheme else f"{name}{separator}***"


def error_of(response: Response, scrub: Scrubber, *, reads: bool) -> MixpanelError | None:
    """The error that a response's status stands for, None for the statuses of success. Reads the body of an error.

    Args:
        response: response with an unread body.
        scrub: takes credentials out of what an error quotes.
        reads: whether the request changes nothing.
    """
    status = response.status
    if status == 200 or (status in WRITTEN and not reads):
        return None
    if status < 300:
        return _without_data(response)
    body = _body(response)
    excerpt = quoted(body, scrub)
    if status < 400:
        return _redirect(response)
    if status == 400 and (rejected := _rejected(body, scrub, status, excerpt)):
        return rejected
    kind = _kind(status, raw_text(body))
    more: dict[str, Any] = {}
    if issubclass(kind, RateLimited | ServerError):
        more["retry_after"] = _retry_after(response)
    if issubclass(kind, RateLimited):
        more["hourly"] = _hour_is_used_up(raw_text(body))
    return kind(
        excerpt,
        status=status,
        body=excerpt,
        retryable=status in RETRIED_STATUSES,
        timed_out=status in TIMED_OUT_STATUSES,
        **more,
    )


def decoded(body: bytes, *, scrub: Scrubber, open_keys: bool = False) -> Any:
    """The JSON of a 2xx reply.

    Args:
        body: body of the reply.
        scrub: takes credentials out of what an error quotes.
        open_keys: see `Operation`.

    Raises:
        ReplyError: it is not JSON, or it holds an error: Query and feature flags answer 200 with an `error` key.
        RecordsRejected: it names rejected records, as `/engage` and `/groups` do.
    """
    reply = None
    try:
        reply = decode_json(body)
    except (ValueError, RecursionError):
        # The body should have been data: the message repeats nothing of it.
        excerpt = f"a 200 whose body is not JSON ({len(body):,} bytes)"
    else:
        if not _is_error(reply, open_keys=open_keys):
            return reply
        excerpt = quoted(body, scrub)
    if rejected := _rejected(body, scrub, 200, excerpt):
        raise rejected
    kind = BatchRejected if isinstance(reply, dict) and reply.get("status") == 0 else ReplyError
    raise kind(excerpt, status=200, body=excerpt)


def _is_error(reply: Any, *, open_keys: bool) -> bool:
    """Whether a reply is the envelope of an error, and not data with a key that happens to be called so."""
    if not isinstance(reply, dict):
        return False
    error = reply.get("error")
    if open_keys:
        # Under names of properties are numbers, or objects with numbers; under an envelope's `error` is the message.
        return isinstance(error["message"] if isinstance(error, dict) and "message" in error else error, str)
    return bool(error) or reply.get("status") == "error"


def connection_error(
    error: requests.RequestException | OutOfTime, watch: Watch, *, scrub: Scrubber
) -> ConnectionFailed | DeadlineExceeded:
    """The error for a missing response, without the URL's query and the request's headers."""
    if watch.over:
        return DeadlineExceeded("before the reply began", may_have_arrived=watch.sent)
    cause = error.args[0] if error.args else error
    reason = getattr(cause, "reason", None) or cause
    text = scrub(re.sub(r"^.*object at 0x[0-9a-f]+>: |^HTTPS?Connection\w*\(.*?\): ", "", str(reason)))
    return ConnectionFailed(
        f"{type(reason).__name__}: {text[:EXCERPT]}",
        retryable="CERTIFICATE_VERIFY_FAILED" not in text,
        may_have_arrived=watch.sent,
        timed_out=isinstance(reason, ReadTimeoutError),
    )


def _body(response: Response) -> bytes:
    """The beginning of an error's body, as far as it can be read."""
    body, maximum = bytearray(), RECORDS_LIMIT if response.status == 400 else BODY_LIMIT
    try:
        for chunk in response:
            body += chunk
            if len(body) >= maximum:
                break
    except MixpanelError:
        pass
    return bytes(body[:maximum])


def _kind(status: int, body: str) -> type[MixpanelError]:
    if status >= 500:
        return ServerError
    if status == 400 and "unable to authenticate" in body.lower():
        return CredentialError
    if status == 400 and "cannot be later than today" in body.lower():
        return FutureDate
    return BY_STATUS.get(status, BadRequest)


def _rejected(body: bytes, scrub: Scrubber, status: int, excerpt: str) -> RecordsRejected | None:
    """The error for a reply about rejected records of a batch; None for any other reply."""
    try:
        reply = msgspec.json.decode(body, type=_Reply, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    imported = reply.num_good_events if reply.num_records_imported is None else reply.num_records_imported
    if not reply.failed_records and imported is None:
        return None
    records: list[FailedRecord] = []
    unplaced: list[str] = []
    for record in reply.failed_records:
        try:
            known = msgspec.convert(record, _Rejected, strict=False)
        except msgspec.ValidationError:
            raw = record if isinstance(record, str) else msgspec.json.encode(record).decode()
            unplaced.append(redacted(scrub(raw)))
        else:
            insert_id = known.insert_id or known.dollar_insert_id
            records.append(FailedRecord(known.index, redacted(scrub(known.message)), redacted(known.field), insert_id))
    return RecordsRejected(
        excerpt, status=status, body=excerpt, imported=imported, failed_records=records, unplaced=unplaced
    )


class _Rejected(msgspec.Struct):
    index: int
    message: str = ""
    field: str = ""
    insert_id: str = ""
    # One page of Mixpanel's documentation spells it so (mixpanel-api.md#import).
    dollar_insert_id: str = msgspec.field(default="", name="$insert_id")


class _Reply(msgspec.Struct):
    # Objects, and sometimes strings that name no record.
    failed_records: list[Any] = []
    num_records_imported: int | None = None
    num_good_events: int | None = None  # what /engage and /groups call it


def _without_data(response: Response) -> ReplyError:
    return ReplyError(
        "a reply without the requested data, which comes with a 200 only",
        status=response.status,
        advice="Check proxies on the way to Mixpanel: one may have changed or cut the reply.",
    )


def _redirect(response: Response) -> ReplyError:
    host = urlsplit(response.headers.get("Location", "")).hostname or "the same host"
    return ReplyError(
        f"redirected to {host}; redirects are not followed, because the credentials are for the configured host only",
        status=response.status,
        may_have_arrived=response.status not in ASK_ELSEWHERE,
    )


def _retry_after(response: Response) -> float | None:
    """Seconds to wait, from either form of the header; a date is measured against the server's own clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    then, now = _http_date(value), _http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then else None


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _hour_is_used_up(body: str) -> bool:
    """Whether "N/5 queries running concurrently and 61/60 queries running in the last hour" blames the hour."""
    match = re.search(r"(\d+)/(\d+) queries running in the last hour", body)
    return match is not None and int(match[1]) >= int(match[2])

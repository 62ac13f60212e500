"""Events as no SDK writes them, with what the lake has to make of each: text and expectation are made side by side."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .exports import DAY, ms

#: Line separators of Unicode, controls, what JSON gives a meaning, planes 0 to 16, letters.
CHARACTERS = '\u2028\u2029\x85\x00\x0b\x0c\x1c\x7f\n\r\t"\\/{}[]:,\ufeff\ufffd\uffffé漢🦊\U0010ffffabz019 '
SPACE = st.sampled_from(["", "", "", " ", "\t", "\r", "  \t "])


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def _spelled(character: str, escape: bool) -> str:
    if escape or character in '"\\' or character < " ":
        return _escaped(character)
    return character


_HALVES = st.sampled_from([r"\ud800", r"\udbff", r"\udc00", r"\uDFFF"])
_SHORT = st.sampled_from([r"\n", r"\t", r"\"", r"\\", r"\/", r"\b", r"\f", r"\r"])
_CHARACTER = st.builds(_spelled, st.sampled_from(CHARACTERS), st.booleans())
#: A string in JSON, quotes included.
strings = st.lists(st.one_of(_CHARACTER, _CHARACTER, _CHARACTER, _SHORT, _HALVES), max_size=12).map(
    lambda parts: f'"{"".join(parts)}"'
)
numbers = st.one_of(
    st.integers().map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "0.0", "-0.0", "1E400", "-1e400", "1e-400", "0.1e+10", "1.50", "9" * 40, "9" * 5000]),
    st.sampled_from([str(2**53 + 1), str(2**63 - 1), str(2**63), str(-(2**63)), str(2**64), "1" + "0" * 29]),
)
_scalars = st.one_of(strings, numbers, st.sampled_from(["true", "false", "null"]))


def _joined(items: list[str], brackets: str, space: str) -> str:
    return f"{brackets[0]}{space}{f'{space},{space}'.join(items)}{space}{brackets[1]}"


def _containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds(lambda key, space, value: f"{key}{space}:{space}{value}", strings, SPACE, values)
    return st.builds(_joined, st.lists(values, max_size=4), st.just("[]"), SPACE) | st.builds(
        _joined, st.lists(pairs, max_size=4), st.just("{}"), SPACE
    )


_deep = st.integers(100, 400).map(lambda depth: '{"a":[' * depth + '"deep"' + "]}" * depth)
#: Any JSON value, as text.
values = st.recursive(_scalars, _containers, max_leaves=12) | _deep


@dataclass(frozen=True)
class Hostile:
    """A line (without its end) and the row that it must become."""

    line: bytes
    row: dict[str, Any]


def text(value: str) -> str | None:
    """An id or name as the lake holds it, from its JSON."""
    if value.startswith('"'):
        return re.sub("[\ud800-\udfff]", "\ufffd", json.loads(value))
    return None if value == "null" else value


def readable(sent: str) -> str:
    """JSON with U+FFFD for each escape that is half a surrogate pair, read escape by escape."""
    made, rest = "", sent
    while rest:
        length = (6 if rest[1] == "u" else 2) if rest[0] == "\\" else 1
        one, rest = rest[:length], rest[length:]
        if length == 6 and 0xD800 <= (code := int(one[2:], 16)) <= 0xDFFF:
            follows = re.match(r"\\u(?i:d[c-f])[0-9a-fA-F]{2}", rest)
            is_pair = code < 0xDC00 and follows
            one, rest = (one + rest[:6], rest[6:]) if is_pair else (r"\ufffd", rest)
        made += one
    return made


def _key(name: str, escaped: int) -> str:
    """A key, one of its characters perhaps spelled as an escape."""
    return '"' + "".join(_spelled(c, n == escaped) for n, c in enumerate(name)) + '"'


@st.composite
def _times(draw: st.DrawFn) -> tuple[str, int]:
    second = ms(DAY) // 1000 + draw(st.integers(0, 86_399))
    milli = second * 1000 + draw(st.integers(0, 999))
    whole = [str(second), f"{second}.0", f"{second}e0", f"{second}000E-3"]
    exact = [str(milli), f"{milli}.0", f"{second}.{milli % 1000:03}", f"{milli}.25"]
    return draw(
        st.one_of(st.sampled_from([(t, second * 1000) for t in whole]), st.sampled_from([(t, milli) for t in exact]))
    )


_processing = st.one_of(
    st.integers(0, 253_402_300_799_999).map(lambda n: (str(n), n)),
    st.sampled_from(
        [("null", None), ('"1"', None), ("true", None), ("{}", None), ("1e400", None), ("-1", None), ("1.5e3", 1500)]
    ),
    st.sampled_from([(str(n), None) for n in (253_402_300_800_000, 2**63 - 1, 2**63, 2**64, 10**40)]),
    st.just(("9" * 5000, None)),
)
_ids = {"distinct_id": "distinct_id", "insert_id": "$insert_id", "device_id": "$device_id", "user_id": "$user_id"}


@st.composite
def events(draw: st.DrawFn) -> Hostile:
    """An event whose time lies within `DAY`."""
    time, exported = draw(_times())
    pairs = [("time", time)]
    row: dict[str, Any] = {"time": exported, "processing_time": None, **dict.fromkeys(_ids)}
    for column, name in _ids.items():
        for value in draw(st.lists(strings | strings | values, max_size=2)):  # of equal keys the last one counts
            pairs.append((name, value))
            row[column] = text(value)
    for value, expected in draw(st.lists(_processing, max_size=1)):
        pairs.append(("mp_processing_time_ms", value))
        row["processing_time"] = expected
    mixed = draw(st.permutations(range(len(pairs)))) if len({name for name, _ in pairs}) == len(pairs) else None
    pairs = [pairs[n] for n in mixed] if mixed else pairs
    spelled = [(_key(name, draw(st.integers(-20, 6))), value) for name, value in pairs]
    others = draw(
        st.lists(st.tuples(strings.filter(lambda key: json.loads(key) not in set(dict(pairs))), values), max_size=4)
    )
    space = draw(SPACE)
    members = [f"{key}{space}:{space}{value}" for key, value in [*others[:2], *spelled, *others[2:]]]
    sent = _joined(members, "{}", space)
    row["properties"] = readable(sent)
    row["properties_as_sent"] = None if sent == row["properties"] else sent
    outer = [("properties", sent)]
    if draw(st.booleans()):
        outer.insert(0, ("properties", '{"time":1}'))
    row["event_name"] = None
    for name in draw(st.lists(strings | strings | values, max_size=1)):
        outer.insert(draw(st.integers(0, len(outer))), ("event", name))
        row["event_name"] = text(name)
    outer.extend(("other", value) for value in draw(st.lists(values, max_size=1)))
    written = [f"{_key(key, draw(st.integers(-20, 6)))}{space}:{space}{value}" for key, value in outer]
    return Hostile(f"{space}{_joined(written, '{}', space)}{space}".encode(), row)

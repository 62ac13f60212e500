"""Data subject requests as their sources have them: read, checked, or rejected with a reason.

Source: mixpanel-api.md#gdpr-jobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple, cast, get_args

import msgspec

from mixpanel_etl.client import ComplianceType, DisclosureType
from mixpanel_etl.gdpr import id_cells as cells
from mixpanel_etl.reserved_ids import RESERVED_IDS

Kind = Literal["deletion", "retrieval"]


class Unreadable(NamedTuple):
    """A row of which nothing is known but why it can't be read; its content tells it from others."""

    reason: str
    content: str


Row = Mapping[str, Any] | Unreadable

COLUMNS = ("request_id", "kind", "distinct_ids", "lookup", "compliance_type", "disclosure_type", "requested_at")
_KINDS: dict[str, Kind] = {
    "deletion": "deletion",
    "delete": "deletion",
    "erasure": "deletion",
    "retrieval": "retrieval",
    "access": "retrieval",
}
# Can name a Dagster partition and a file, and can't be an e-mail address.
_OTHER_NAMES = {"distinct_id": "distinct_ids"}
_SURPLUS = "\0surplus"
# As data frames and databases number the second of two columns with one name.
_NUMBERED = re.compile(r"(.+?)[._: -]\d+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_:#/-]|\.(?!\.)){0,63}")
_WORD = re.compile(r"[A-Za-z_ ]{0,20}")
_MAX_YEARS = 5
_MIN_ID_LENGTH = 3  # a shorter one is in many a number
_TOLERANCE = timedelta(days=1)  # of clocks, and of dates that are ahead of UTC


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What one person asks for.

    Attributes:
        ids: distinct ids, as they were given.
        lookups: values of the profile property by which more ids are found, such as e-mail addresses.
        disclosure: for retrievals under CCPA.
        requested_at: aware; the deadline counts from it.
    """

    request_id: str
    kind: Kind
    ids: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    compliance: ComplianceType = "GDPR"
    disclosure: DisclosureType = "Data"
    requested_at: datetime

    @property
    def content(self) -> str:
        """Everything about it as text: two requests of one id must agree in it."""
        fields = (self.kind, sorted(self.ids), sorted(self.lookups), self.compliance, self.disclosure)
        return json.dumps([*fields, self.requested_at.isoformat()])


class Rejection(NamedTuple):
    """A request that can't be carried out. The reason names no personal id.

    Attributes:
        content: what was asked, to tell one rejection from another.
    """

    request_id: str
    kind: str
    reason: str
    content: str


def read_requests(rows: Iterable[Row], now: datetime, protected: Collection[str] = ()) -> Iterator[Request | Rejection]:
    """Requests out of rows, in the order in which they appear. What is wrong with a row stays with its request.

    Args:
        rows: with the columns of `COLUMNS` in any case, see `numbered`. `distinct_ids` and `lookup` hold one value, a
            list, or a JSON list, see `cells.listed`; several rows with the same `request_id` are one request.
        now: aware; a request may be at most five years old.
        protected: ids that no request may name.
    """
    grouped: dict[str, list[dict[str, Any]]] = {}
    faults: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        name, fields, fault = _named(row)
        key = name or f"\0row {number}"
        grouped.setdefault(key, []).append(fields)
        if fault:
            faults.setdefault(key, fault)
    for key, group in grouped.items():
        name = "" if key.startswith("\0") else key
        try:
            if key in faults:
                raise _Bad(f"{key[1:] if not name else 'it'} {faults[key]}")
            yield _request(key, group, now, frozenset(protected))
        except (_Bad, cells.BadCell) as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the other requests go on
            reason = f"it can't be read ({type(error).__name__}): write it again"
        else:
            continue
        kind = _KINDS.get(_shown(group[0].get("kind")).lower(), "")
        yield Rejection(name if _is_harmless(name, group) else "", kind, reason, _content(group, key))


def numbered(names: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    """A row. A repeated column is kept under a number, and values without a column, so that both are noticed."""
    row: dict[str, Any] = {}
    rest = iter(values)
    for name, value in zip(names, rest, strict=False):
        row[name if name not in row else f"{name}.{len(row)}"] = value
    if surplus := [value for value in rest if value]:
        row[_SURPLUS] = surplus
    return row


def column_of(name: str) -> str:
    """The column that a name stands for: case, white space and invisible characters don't count."""
    visible = "".join(filter(str.isprintable, re.sub(r"\s+", " ", name))).strip()
    plain = re.sub(r"[ -]+", "_", visible.lower())
    return _OTHER_NAMES.get(plain, plain)


def _named(row: Row) -> tuple[str, dict[str, Any], str]:
    """The request of a row, its fields under their own names, and what is wrong with the row as a whole."""
    if isinstance(row, Unreadable):
        return "", {"content": row.content}, row.reason
    fields: dict[str, Any] = {}
    fault = ""
    for name, value in row.items():
        plain = column_of(str(name))
        again = _NUMBERED.fullmatch(plain)
        first = _OTHER_NAMES.get(again[1], again[1]) if again else ""
        if first in COLUMNS or (plain in COLUMNS and plain in fields):
            fault = f"has more than one column {first or plain}: leave one, or write a JSON list into it"
        fields.setdefault(plain, value)
    if _SURPLUS in row:
        fault = "has more fields than the first line: quote what holds a comma"
    try:
        name = cells.plain(fields.get("request_id"))
    except cells.BadCell as error:
        return "", fields, f"has no usable request_id: it {error}"
    return name, fields, fault


def reserved_id(ids: Iterable[str]) -> str | None:
    """The first reserved id, if there is one.

    Source: mixpanel-api.md#reserved-ids.
    """
    return next((one for one in ids if one.strip().lower() in RESERVED_IDS), None)


class _Bad(Exception):
    """The reason of a rejection."""


def _request(name: str, rows: Sequence[dict[str, Any]], now: datetime, protected: frozenset[str]) -> Request:
    if name.startswith("\0"):
        raise _Bad(f"{name[1:]} has no request_id: give each request a number of its own")
    if not _REQUEST_ID.fullmatch(name):
        raise _Bad(
            "its request_id can't name a partition: use up to 64 letters, digits and _ . : # / - beginning with one of "
            "the first two"
        )
    if _names_them(name, rows):
        raise _Bad("its request_id contains an id of the person, and would outlive the request: give it a number")
    ids, lookups = _all(rows, "distinct_ids"), _all(rows, "lookup")
    if not ids and not lookups:
        raise _Bad("it has neither distinct_ids nor a lookup: name the person")
    if protected.intersection(ids):
        raise _Bad("one of its ids is on the list of protected ids, which belong to no single person")
    if reserved := reserved_id(ids):
        raise _Bad(f"{reserved!r} is a placeholder id: the events of many people have it")
    kind = _same(rows, "kind").lower()
    if kind not in _KINDS:
        raise _Bad(f"its kind is {_shown(kind)!r}: write `deletion` or `retrieval` (or `access`)")
    compliance = cast(ComplianceType, _choice(rows, "compliance_type", get_args(ComplianceType), str.upper))
    disclosure = cast(DisclosureType, _choice(rows, "disclosure_type", get_args(DisclosureType), str.capitalize))
    if disclosure != "Data" and (_KINDS[kind], compliance) != ("retrieval", "CCPA"):
        raise _Bad(f"its disclosure_type is {disclosure}, which only retrievals under CCPA have: leave it empty")
    return Request(
        request_id=name,
        kind=_KINDS[kind],
        ids=ids,
        lookups=lookups,
        compliance=compliance,
        disclosure=disclosure,
        requested_at=_moment(rows, now),
    )


def _all(rows: Sequence[dict[str, Any]], column: str) -> tuple[str, ...]:
    """The values of a column in all rows, each once."""
    return tuple(dict.fromkeys(value for row in rows for value in _values(row.get(column), column)))


def _values(cell: Any, column: str) -> Iterator[str]:
    try:
        yield from cells.listed(cell, spaces=column == "lookup")
    except cells.BadCell as error:
        raise _Bad(f"its {column} {error}") from None


def _same(rows: Sequence[dict[str, Any]], column: str) -> str:
    try:
        found = sorted({cells.plain(row.get(column)) for row in rows})
    except cells.BadCell as error:
        raise _Bad(f"its {column} {error}") from None
    if len(found) > 1:
        raise _Bad(f"its rows differ in {column}: one request has one")
    return found[0]


def _choice(rows: Sequence[dict[str, Any]], column: str, choices: tuple[str, ...], form: Any) -> str:
    value = form(_same(rows, column)) or choices[0]
    if value not in choices:
        raise _Bad(f"its {column} is none of {', '.join(choices)}")
    return str(value)


def _moment(rows: Sequence[dict[str, Any]], now: datetime) -> datetime:
    found = {_aware(row.get("requested_at")) for row in rows}
    if len(found) > 1:
        raise _Bad("its rows differ in requested_at: one request has one")
    time = found.pop()
    if time is None:
        raise _Bad("its requested_at must be a date like 2026-01-31 or 2026-01-31T12:00:00+01:00")
    if time > now + _TOLERANCE:
        raise _Bad(f"it was requested in the future ({time:%Y-%m-%d})")
    if time < now - timedelta(days=_MAX_YEARS * 365.25):
        raise _Bad(f"it was requested more than {_MAX_YEARS} years ago ({time:%Y-%m-%d})")
    return time


def _aware(value: Any) -> datetime | None:
    """A timestamp, UTC without an offset; None if it is invalid, also in UTC, like year 1 east of Greenwich."""
    try:
        found = value if isinstance(value, date) else datetime.fromisoformat(cells.plain(value))
        if not isinstance(found, datetime):
            found = datetime(found.year, found.month, found.day, tzinfo=UTC)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, cells.BadCell):
        return None


def names_a_person(name: str, ids: Iterable[str]) -> bool:
    """Whether the name of a request, which outlives it, contains one of some ids."""
    return any(len(one) >= _MIN_ID_LENGTH and one.lower() in name.lower() for one in ids)


def _names_them(name: str, rows: Sequence[dict[str, Any]]) -> bool:
    try:
        return names_a_person(name, [one for column in ("distinct_ids", "lookup") for one in _all(rows, column)])
    except _Bad:
        return name.lower() in _content([[row.get("distinct_ids"), row.get("lookup")] for row in rows], name).lower()


def _is_harmless(name: str, rows: Sequence[dict[str, Any]]) -> bool:
    return bool(_REQUEST_ID.fullmatch(name)) and not _names_them(name, rows)


def _shown(kind: Any) -> str:
    """A word that may stand in a reason; anything else may have slipped in from another column."""
    return kind.strip() if isinstance(kind, str) and _WORD.fullmatch(kind.strip()) else ""


def _content(value: Any, otherwise: str) -> str:
    """A value as JSON, or what stands for it where it has no such form."""
    try:
        return json.dumps(value, default=str, sort_keys=True)
    except (ValueError, TypeError, RecursionError):
        return otherwise

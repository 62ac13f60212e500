"""Rows as links between ids: `$merge`, `$identify`, `$create_alias`. Source: mixpanel-api.md#identity-merge."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa

from mixpanel_etl.client import InvalidRequest, Link, Mixpanel
from mixpanel_etl.client.identity import EVENTS, link_properties
from mixpanel_etl.client.ingestion.events import MAX_EVENTS
from mixpanel_etl.push.event_batches import Seen
from mixpanel_etl.push.event_values import TRIMMED, WHITESPACE, is_id
from mixpanel_etl.push.push_error import PushError, check_columns
from mixpanel_etl.push.rejected_rows import RejectedRow
from mixpanel_etl.push.unsendable_times import BEYOND

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class IdentityMapping:
    """How the columns of a query become links. A link can't be undone; the same one again changes nothing.

    Attributes:
        link: `merge` two users into one; `identify` an anonymous id (a UUIDv4 that was never linked) as a known one;
            give a user an `alias`.
        distinct_id: the column with the user's id.
        other_id: the column with the other user, the anonymous id, or the alias.

    Raises:
        PushError: `link` is of no known kind.
    """

    link: Link
    distinct_id: str
    other_id: str

    def __post_init__(self) -> None:
        if self.link not in get_args(Link):
            raise PushError(f"link is {self.link!r}: write one of {', '.join(get_args(Link))}")

    def of(self, schema: pa.Schema) -> IdentityMapping:
        """The mapping, checked against the columns of a query.

        Raises:
            PushError: a column is missing, or its type can't hold ids; names it.
        """
        check_columns(self.named, schema.names)
        for column in self.named:
            kind = schema.field(column).type
            if not is_id(kind):
                raise PushError(f"column {column!r} is a {kind}, and an id is a string: cast it in the query")
        return self

    @property
    def named(self) -> list[str]:
        """The columns that are named."""
        return [self.distinct_id, self.other_id]

    @property
    def person_columns(self) -> list[str]:
        """Those that say whose a row is."""
        return self.named


@dataclass(frozen=True)
class IdentityBatch:
    """Rows that go into one request.

    Attributes:
        number: from 1.
        rows: as the query returned them.
        pairs: the user's id and the other one, of each row.
    """

    number: int
    rows: Sequence[dict[str, Any]]
    pairs: Sequence[tuple[str, str]]

    @property
    def count(self) -> int:
        return len(self.rows)

    def halves(self) -> tuple[IdentityBatch, IdentityBatch]:
        """Two batches of the same number."""
        middle = self.count // 2
        return self._chosen(range(middle)), self._chosen(range(middle, self.count))

    def without(self, positions: Container[int]) -> IdentityBatch:
        """A batch of the same number without some of the rows."""
        return self._chosen([place for place in range(self.count) if place not in positions])

    def rejected_row(self, position: int, message: str, field: str = "") -> RejectedRow:
        """One of the rows, with the reason of its rejection."""
        return RejectedRow(link_id(self.pairs[position]), self.rows[position], message, field=field, batch=self.number)

    def _chosen(self, places: Sequence[int]) -> IdentityBatch:
        return IdentityBatch(self.number, [self.rows[n] for n in places], [self.pairs[n] for n in places])


def link_id(pair: tuple[str, str]) -> str:
    """A link as one string, for rejected rows."""
    return "=".join(pair)


def identity_batches(
    rows: pa.RecordBatchReader,
    mapping: IdentityMapping,
    reject: Callable[[RejectedRow], None],
    *,
    seen: Seen,
    leave_out: Callable[[pl.DataFrame], pl.Series] | None = None,
) -> Iterator[IdentityBatch]:
    """Rows as batches of at most 2,000 links. One that an earlier row of the batch has, too, is sent once.

    Args:
        rows: of the query; read as batches are asked for.
        mapping: how rows become links.
        reject: called with each row that can't be one.
        seen: counts the rows, and those that are left out.
        leave_out: which links Mixpanel has already.
    """
    held: dict[tuple[str, str], dict[str, Any]] = {}
    number = 0
    for part in rows:
        links = list(_links(part, mapping, reject, seen))
        known = leave_out(link_frame([pair for pair, _ in links])) if leave_out else [False] * len(links)
        for (pair, row), is_known in zip(links, known, strict=True):
            if is_known or pair in held:
                seen.skipped += 1
                continue
            held[pair] = row
            if len(held) == MAX_EVENTS:
                number += 1
                yield IdentityBatch(number, list(held.values()), list(held))
                held = {}
    if held:
        yield IdentityBatch(number + 1, list(held.values()), list(held))


def link_frame(pairs: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Links as the table of the acknowledged ones has them."""
    import polars as pl

    return pl.DataFrame(pairs, schema={"distinct_id": pl.String, "other_id": pl.String}, orient="row")


def _links(
    part: pa.RecordBatch, mapping: IdentityMapping, reject: Callable[[RejectedRow], None], seen: Seen
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """The ids and the row of each link."""
    for row in part.to_pylist():
        seen.rows += 1
        if row.get(BEYOND):
            reject(RejectedRow(None, row, row[BEYOND]))
            continue
        first, second = (_id(row[column], column, seen) for column in mapping.named)
        if not first or not second:
            reject(
                RejectedRow(None, row, "the id is missing", field=mapping.other_id if first else mapping.distinct_id)
            )
            continue
        try:
            link_properties(mapping.link, first, second)
        except InvalidRequest as error:
            reject(RejectedRow(link_id((first, second)), row, f"{error.message}. {error.advice}"))
        else:
            yield (first, second), row


def _id(value: Any, column: str, seen: Seen) -> str:
    text = "" if value is None else str(value)
    trimmed = text.strip(WHITESPACE)
    if trimmed and trimmed != text:
        seen.altered[f"{column}: {TRIMMED}"] += 1
    return trimmed


def check_id_merge(mixpanel: Mixpanel, link: Link) -> None:
    """Ask Mixpanel whether the project has links of this kind.

    Raises:
        PushError: its ID merge ignores them.
    """
    id_merge = mixpanel.identity.id_merge()
    if id_merge == "original" or (id_merge, link) == ("legacy", "alias"):
        return
    raise PushError(
        f"the project has {id_merge.capitalize()} ID Merge, which ignores {EVENTS[link]}: nothing was sent. "
        + (
            "Give events both user_id and device_id instead: the first event with both links them"
            if id_merge == "simplified"
            else "Only `link: alias` has an effect there"
        )
    )

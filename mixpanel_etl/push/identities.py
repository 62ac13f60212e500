"""Rows as links between ids: `$merge`, `$identify`, `$create_alias`. Source: specification 7; api-facts 5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

from mixpanel_etl.client import BadRequest, InvalidRequest, Mixpanel, ReplyError
from mixpanel_etl.push.dead_letters import DeadLetter
from mixpanel_etl.push.errors import PushError, check_columns
from mixpanel_etl.push.event_batches import Seen

Link = Literal["merge", "identify", "alias"]


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
            PushError: a column is not there; names it.
        """
        check_columns(self.named, schema.names)
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
    """One row; each link is a request of its own.

    Attributes:
        number: from 1.
        row: as the query returned it.
        ids: the user's and the other one.
    """

    number: int
    row: dict[str, Any]
    ids: tuple[str, str]

    @property
    def id(self) -> str:
        return "=".join(self.ids)


def identity_batches(
    rows: pa.RecordBatchReader, mapping: IdentityMapping, refuse: Callable[[DeadLetter], None], *, seen: Seen
) -> Iterator[IdentityBatch]:
    """The links of rows, which are counted; a row without one of the ids is refused."""
    number = 0
    for batch in rows:
        for row in batch.to_pylist():
            number += 1
            seen.rows += 1
            missing = [name for name in (mapping.distinct_id, mapping.other_id) if row[name] in (None, "")]
            if missing:
                refuse(DeadLetter(None, row, "there is no id", field=missing[0]))
                continue
            yield IdentityBatch(number, row, (str(row[mapping.distinct_id]), str(row[mapping.other_id])))


class IdentitySender:
    """Sends links, which may be sent any number of times."""

    def __init__(self, mixpanel: Mixpanel, link: Link) -> None:
        calls: dict[Link, Callable[[str, str], object]] = {
            "merge": mixpanel.identity.merge,
            "identify": mixpanel.identity.create_identity,
            "alias": mixpanel.identity.create_alias,
        }
        self._call = calls[link]

    def deliver(self, batch: IdentityBatch) -> list[DeadLetter]:
        """Send a link; its letter, if Mixpanel or we refuse it.

        Raises:
            MixpanelError: it is not known whether it arrived; send it again.
        """
        try:
            self._call(*batch.ids)
        except InvalidRequest as error:
            return [DeadLetter(batch.id, batch.row, error.message)]
        except (BadRequest, ReplyError) as error:
            return [DeadLetter(batch.id, batch.row, error.fact, batch=batch.number)]
        return []

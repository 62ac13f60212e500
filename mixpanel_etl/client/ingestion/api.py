"""Ingestion API: events, profiles, lookup tables.

Source: mixpanel-api.md#import, #track, #profile-updates, #lookup-tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from mixpanel_etl.client.errors import BatchRejected, InvalidRequest, RecordsRejected, ReplyError
from mixpanel_etl.client.http.credentials import ProjectToken, ServiceAccount
from mixpanel_etl.client.http.encoding import Body, as_json_array, as_ndjson
from mixpanel_etl.client.ingestion import events as to_send
from mixpanel_etl.client.ingestion import profile_updates
from mixpanel_etl.client.ingestion.events import Event
from mixpanel_etl.client.ingestion.lookup_tables import as_csv
from mixpanel_etl.client.ingestion.profile_updates import GroupUpdate, UserUpdate
from mixpanel_etl.client.operations.api import CSV, JSON, NDJSON, READERS, WRITERS, Api, Operations, calls
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.quoting import redacted

_EVENTS = (
    "1 MB and 254 properties an event, 254 elements a list, 254 keys an object, 3 levels, 8 KB a list or object",
    "reserved ids (null, anonymous, 0 ...)",
)
_PROFILES = ("2,000 updates of 1 MB each", "2,000 properties an update, 255 characters a name")

imports = Operations("ingestion", "import", accepts=WRITERS, budgets=("ingestion",))
tracking = Operations("ingestion", "track", accepts=(ProjectToken,), budgets=("ingestion",), credentials_in="body")
profiles = Operations(
    "ingestion", "profile-updates", accepts=(ProjectToken,), budgets=("ingestion",), credentials_in="body"
)
lookup_tables = Operations("ingestion", "lookup-tables", accepts=READERS)

MAX_TRACK_AGE = timedelta(days=5)
MAX_BYTES = 10_000_000  # of one import; one of Mixpanel's documents says 2 MiB (mixpanel-api.md#import-limits)


class Imported(Reply, frozen=True, kw_only=True):
    """Reply for a batch of which every event is stored."""

    num_records_imported: int
    code: int | None = None
    status: str | None = None


class LookupTable(Reply, frozen=True, kw_only=True):
    """A lookup table of the project."""

    id: str
    name: str | None = None


class Ingestion(Api):
    """Sends events, profiles and lookup tables.

    Every method raises `InvalidRequest` naming the item that Mixpanel would reject or drop, before anything is sent,
    and one of the kinds in `client.errors` otherwise.
    """

    @imports("POST", "/import", "2,000 events, 10 MB", *_EVENTS, sends=NDJSON, idempotent=True)
    def import_(
        self,
        events: Sequence[Event],
        *,
        encoding: Literal["json", "ndjson"] = "json",
        strict: bool = True,
    ) -> Imported:
        """Store up to 2,000 events of any age. May be repeated: Mixpanel recognizes copies by their `insert_id`.

        Args:
            events: events, each with an `insert_id`; less than 10 MB of JSON together.
            encoding: format of the body, which is compressed.
            strict: whether Mixpanel names the events that it rejects. Otherwise it drops them silently.

        Raises:
            RecordsRejected: some events are rejected, see `failed_records`; the others ARE stored.
            PayloadTooLarge: send half of them at a time.
        """
        items = to_send.encoded(events, now=self.transport.now())
        to_send.warn_of_truncation(events)
        body = as_json_array(items) if encoding == "json" else as_ndjson(items)
        if len(body.content) > MAX_BYTES:
            raise InvalidRequest(
                f"{len(events):,} events of {len(body.content):,} bytes, the limit of one request is {MAX_BYTES:,}",
                advice="Send fewer events at a time.",
            )
        return self._import(body, len(events), strict=strict)

    @calls(import_)
    def import_lines(self, lines: bytes, count: int) -> Imported:
        """`import_` of events that are lines of JSON already, and checked.

        Args:
            lines: NDJSON in UTF-8, uncompressed.
            count: number of lines.

        Raises:
            RecordsRejected: same as in `import_`.
            PayloadTooLarge: same as in `import_`.
        """
        return self._import(Body(lines, {"Content-Type": "application/x-ndjson"}), count, strict=True)

    @tracking("POST", "/track", "2,000 events", "5 days of age", *_EVENTS, sends=JSON, idempotent="as sent")
    def track(self, events: Sequence[Event]) -> None:
        """Store up to 2,000 events of the last five days, with the project token only.

        Success means that at least one event was valid, and not even that the token belongs to a project: use
        `import_` if you have a service account. Repeated after a failure only if every event has an `insert_id`.
        """
        now = self.transport.now()
        token = self.transport.project_token()
        body = as_json_array(to_send.encoded(events, now=now, token=token, oldest=now - MAX_TRACK_AGE))
        to_send.warn_of_truncation(events)
        self._send(body, len(events), {}, repeatable=all(event.insert_id for event in events))

    @profiles("POST", "/engage", *_PROFILES, sends=JSON, idempotent="as sent")
    def engage(self, updates: Sequence[UserUpdate]) -> None:
        """Apply up to 2,000 changes to user profiles, in their order.

        Repeated after a failure only if no change is relative: a second attempt could apply an `$add`, `$append` or
        `$remove` twice.

        Raises:
            RecordsRejected: some changes are rejected, see `failed_records`; the others are applied.
        """
        self._update(updates)

    @profiles("POST", "/groups", *_PROFILES, "no $add, no $append", sends=JSON, idempotent="as sent")
    def groups(self, updates: Sequence[GroupUpdate]) -> None:
        """Apply up to 2,000 changes to group profiles, in their order. The group key must exist in the project."""
        self._update(updates)

    @lookup_tables("GET", "/lookup-tables", accepts=(ServiceAccount,))
    def list_lookup_tables(self) -> list[LookupTable]:
        """The project's lookup tables. They are created in Mixpanel's UI only."""
        reply = self._json()
        tables = reply.get("results") if isinstance(reply, dict) else reply
        return typed(tables, list[LookupTable])

    @lookup_tables(
        "PUT",
        "/lookup-tables/{id}",
        "100 MB",
        "keys that are empty or not unique",
        sends=CSV,
        budgets=("lookup_tables",),
    )
    def replace_lookup_table(self, id: UUID | str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:  # noqa: A002
        """Replace all rows of a lookup table, or none. A hundred times a day.

        Args:
            id: id of the table, see `list_lookup_tables`.
            columns: names of the columns, the key first.
            rows: values in the order of the columns.

        Raises:
            RecordsRejected: some rows are rejected, of which Mixpanel names at most ten; the table is unchanged.
        """
        try:
            table_id = str(UUID(str(id)))
        except ValueError:
            table_id = ""
        if not table_id:
            raise InvalidRequest(f"id is {id!r}", advice="Give the table's UUID.")
        body = Body(as_csv(columns, rows), {"Content-Type": "text/csv"}).gzipped()
        reply = self._json(path={"id": table_id}, body=body)
        if not isinstance(reply, dict) or reply.get("code") != 200 or reply.get("status") not in ("OK", 1):
            raise ReplyError("the reply does not say that the table was replaced", status=200)

    def _import(self, body: Body, count: int, *, strict: bool) -> Imported:
        reply = self._json(
            query={"strict": str(int(strict)), **self._project()},
            body=body.gzipped(),
            cost=ingestion_cost(len(body.content), count),
        )
        return typed(reply, Imported)

    def _update(self, updates: Sequence[UserUpdate | GroupUpdate]) -> None:
        token = self.transport.project_token()
        body = as_json_array(profile_updates.encoded(updates, token=token))
        self._send(body, len(updates), {"strict": "1"}, repeatable=profile_updates.repeatable(updates))

    def _send(self, body: Body, count: int, query: dict[str, str], *, repeatable: bool) -> None:
        reply = self._json(
            # Without ip=0 the users would be where this server is (mixpanel-api.md#geolocation).
            query={"ip": "0", "verbose": "1", **query},
            body=body,
            cost=ingestion_cost(len(body.content), count),
            idempotent=repeatable,
        )
        check_accepted(reply, count)

    def _project(self) -> dict[str, str]:
        project = self.transport.settings.project_id
        return {"project_id": str(project)} if project else {}


def check_accepted(reply: Any, count: int) -> None:
    """Check that `/track`, `/engage` or `/groups` accepted all records: `1`, or `{"status": 1}`.

    Args:
        reply: decoded reply.
        count: number of records sent.

    Raises:
        BatchRejected: the status is 0.
        RecordsRejected: the reply counts another number of good records, without names.
    """
    status = reply.get("status") if isinstance(reply, dict) else reply
    if status not in (1, "ok") or isinstance(status, bool):
        kind = BatchRejected if status == 0 else ReplyError
        raise kind(
            f"Mixpanel stored nothing; its reply is {redacted(str(status))}",
            status=200,
            advice="Check the token and the records.",
        )
    good = reply.get("num_good_events") if isinstance(reply, dict) else None
    if good is not None and good != count:
        raise RecordsRejected(
            f"{good} of {count:,} records were stored", status=200, imported=good if isinstance(good, int) else None
        )


def ingestion_cost(size: int, items: int) -> dict[str, int]:
    """Units of the shared budget that a request costs.

    Args:
        size: bytes before compression.
        items: number of records.
    """
    return {"megabytes": math.ceil(size / 1e6), "thousand events": math.ceil(items / 1000)}

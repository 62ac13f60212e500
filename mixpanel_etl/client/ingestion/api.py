"""Ingestion API: events, profiles, lookup tables.

Source: mixpanel-api.md#import, #track, #profile-updates, #lookup-tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from mixpanel_etl.client.errors import InvalidRequest, NothingTaken, RecordsRejected, ReplyError
from mixpanel_etl.client.http.encoding import Body, as_json_array, as_ndjson
from mixpanel_etl.client.ingestion import events as to_send
from mixpanel_etl.client.ingestion import profile_updates
from mixpanel_etl.client.ingestion.events import Event
from mixpanel_etl.client.ingestion.lookup_tables import as_csv
from mixpanel_etl.client.ingestion.profile_updates import GroupUpdate, UserUpdate
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import Reply, plain, typed
from mixpanel_etl.quoting import redacted

TRACK_AGE = timedelta(days=5)
MOST_BYTES = 10_000_000  # of one import; one of Mixpanel's documents says 2 MiB (mixpanel-api.md#import-limits)


class Imported(Reply, frozen=True, kw_only=True):
    """What Mixpanel says of a batch of which it took every event."""

    num_records_imported: int
    code: int | None = None
    status: str | None = None


class LookupTable(Reply, frozen=True, kw_only=True):
    """A lookup table of the project."""

    id: str
    name: str | None = None


class Ingestion(Group):
    """Sends events, profiles and lookup tables.

    Every method raises `InvalidRequest` naming the item that Mixpanel would refuse or drop, before anything is sent,
    and one of the kinds in `client.errors` when Mixpanel refuses.
    """

    group = "ingestion"

    def import_(
        self,
        events: Sequence[Event],
        *,
        encoding: Literal["json", "ndjson"] = "json",
        strict: bool = True,
    ) -> Imported:
        """Store up to 2,000 events of any age. May be repeated: a copy is known by its `insert_id`.

        Args:
            events: each with an `insert_id`; less than 10 MB of JSON together.
            encoding: of what is sent, compressed in either case.
            strict: have Mixpanel say which events it did not take. Without, it says nothing.

        Raises:
            RecordsRejected: some events are not stored; its `failed_records` says which, and the others ARE stored.
            PayloadTooLarge: send half of them at a time.
        """
        endpoint = self._endpoint("import_")
        items = to_send.encoded(events, endpoint=endpoint, now=self._transport.now())
        to_send.warn_of_truncation(events)
        body = as_json_array(items) if encoding == "json" else as_ndjson(items)
        if len(body.content) > MOST_BYTES:
            raise InvalidRequest(
                f"{len(events):,} events of {len(body.content):,} bytes, the limit of one request is {MOST_BYTES:,}",
                endpoint=endpoint,
                advice="Send fewer events at a time.",
            )
        query = {"strict": str(int(strict)), **self._project()}
        reply = self._call(
            "import_", query=query, body=body.gzipped(), cost=ingestion_cost(len(body.content), len(events))
        )
        return typed(Imported, reply, endpoint=endpoint)

    def import_lines(self, lines: bytes, count: int) -> Imported:
        """`import_` of events that are lines of JSON already, checked by whoever made them.

        Args:
            lines: NDJSON in UTF-8, uncompressed.
            count: how many lines.

        Raises:
            RecordsRejected: as `import_` would.
            PayloadTooLarge: as `import_` would.
        """
        body = Body(lines, {"Content-Type": "application/x-ndjson"})
        query = {"strict": "1", **self._project()}
        reply = self._call("import_", query=query, body=body.gzipped(), cost=ingestion_cost(len(body.content), count))
        return typed(Imported, reply, endpoint=self._endpoint("import_"))

    def track(self, events: Sequence[Event]) -> None:
        """Store up to 2,000 events of the last five days, with nothing but the project token.

        Mixpanel's yes means that at least one event was valid, and not even that the token is a project's: use
        `import_` wherever there is a service account. Repeated after a failure only when every event has an
        `insert_id`.
        """
        endpoint, now = self._endpoint("track"), self._transport.now()
        token = self._transport.project_token(endpoint)
        body = as_json_array(to_send.encoded(events, endpoint=endpoint, now=now, token=token, oldest=now - TRACK_AGE))
        to_send.warn_of_truncation(events)
        self._send("track", body, len(events), {}, repeatable=all(event.insert_id for event in events))

    def engage(self, updates: Sequence[UserUpdate]) -> None:
        """Apply up to 2,000 changes to user profiles, in their order.

        Repeated after a failure only when no change is relative: with an `$add`, `$append` or `$remove` among them,
        a second try could apply it twice.

        Raises:
            RecordsRejected: some changes were not applied; its `failed_records` says which. The others were.
        """
        self._update("engage", updates)

    def groups(self, updates: Sequence[GroupUpdate]) -> None:
        """Apply up to 2,000 changes to group profiles, in their order. The group key must exist in the project."""
        self._update("groups", updates)

    def list_lookup_tables(self) -> list[LookupTable]:
        """The project's lookup tables. They are created in Mixpanel's UI only."""
        endpoint = self._endpoint("list_lookup_tables")
        reply = self._call("list_lookup_tables")
        tables = reply.get("results") if isinstance(reply, dict) else reply
        return plain(tables, list[LookupTable], endpoint=endpoint)

    def replace_lookup_table(self, id: UUID | str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:  # noqa: A002
        """Replace all rows of a lookup table, or none. A hundred times a day.

        Args:
            id: which one, see `list_lookup_tables`.
            columns: names, the key's first.
            rows: values in the order of the columns.

        Raises:
            RecordsRejected: Mixpanel refuses some rows, of which it names at most ten; the table is as it was.
        """
        endpoint = self._endpoint("replace_lookup_table")
        try:
            table_id = str(UUID(str(id)))
        except ValueError:
            table_id = ""
        if not table_id:
            raise InvalidRequest(f"id is {id!r}", endpoint=endpoint, advice="Give the table's UUID.")
        body = Body(as_csv(columns, rows, endpoint), {"Content-Type": "text/csv"}).gzipped()
        reply = self._call("replace_lookup_table", path={"id": table_id}, body=body)
        if not isinstance(reply, dict) or reply.get("code") != 200 or reply.get("status") not in ("OK", 1):
            raise ReplyError("the reply does not say that the table was replaced", endpoint=endpoint, status=200)

    def _update(self, name: str, updates: Sequence[UserUpdate | GroupUpdate]) -> None:
        endpoint = self._endpoint(name)
        token = self._transport.project_token(endpoint)
        body = as_json_array(profile_updates.encoded(updates, token=token, endpoint=endpoint))
        self._send(name, body, len(updates), {"strict": "1"}, repeatable=profile_updates.repeatable(updates))

    def _send(self, name: str, body: Body, count: int, query: dict[str, str], *, repeatable: bool) -> None:
        reply = self._call(
            name,
            # Without ip=0 the users would be where this server is (mixpanel-api.md#geolocation).
            query={"ip": "0", "verbose": "1", **query},
            body=body,
            cost=ingestion_cost(len(body.content), count),
            idempotent=repeatable,
        )
        accepted(reply, count, self._endpoint(name))

    def _project(self) -> dict[str, str]:
        project = self._transport.settings.project_id
        return {"project_id": str(project)} if project else {}


def accepted(reply: Any, count: int, endpoint: str) -> None:
    """Check that `/track`, `/engage` or `/groups` said yes: `1`, or `{"status": 1}`.

    Args:
        reply: the reply, decoded.
        count: number of records that were sent.
        endpoint: for errors.

    Raises:
        NothingTaken: the status says so.
        RecordsRejected: the reply counts another number of good records, and names none.
    """
    status = reply.get("status") if isinstance(reply, dict) else reply
    if status not in (1, "ok") or isinstance(status, bool):
        kind = NothingTaken if status == 0 else ReplyError
        raise kind(
            f"Mixpanel took nothing, and says no more than {redacted(str(status))}",
            endpoint=endpoint,
            status=200,
            advice="Check the token and what was sent.",
        )
    good = reply.get("num_good_events") if isinstance(reply, dict) else None
    if good is not None and good != count:
        error = RecordsRejected(f"{good} of {count:,} records were taken", endpoint=endpoint, status=200)
        error.imported = good if isinstance(good, int) else None
        raise error


def ingestion_cost(size: int, items: int) -> dict[str, int]:
    """What the shared budget counts of a request: `size` in bytes before compression, and its records."""
    return {"megabytes": math.ceil(size / 1e6), "thousand events": math.ceil(items / 1000)}

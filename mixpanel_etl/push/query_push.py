"""A push as a project declares it: its query, its mapping, and the table of its rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime

import pyarrow as pa

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import Table
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.suppression import Suppressed
from mixpanel_etl.push.event_batches import Choice
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.lookup_push import LookupMapping, LookupPush, preview_lookup, push_lookup
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.profile_push import ProfilePush, Pushed, preview_profiles, push_profiles
from mixpanel_etl.push.project_copy import ProjectMapping
from mixpanel_etl.push.push_error import PushError, check_columns
from mixpanel_etl.push.rejected_rows import LATEST, rejected_rows
from mixpanel_etl.push.row_push import PushedRows, RowPush, preview_rows, push_rows
from mixpanel_etl.warehouse import Warehouse, columns_of, parameters_of

QueryMapping = EventMapping | IdentityMapping | ProfileMapping | LookupMapping
PushMapping = QueryMapping | ProjectMapping
#: The bounds of a partition, as the query knows them: `$start` is in it, `$end` is not.
Window = tuple[datetime, datetime]
OnProgress = Callable[[PushedRows | Pushed], None]

_BOUNDS = {"start", "end"}


@dataclass(frozen=True)
class QueryPush:
    """A query, or the lake of another project, whose rows go into Mixpanel.

    Attributes:
        name: folder of its tables in the lake: letters, digits and underscores.
        sql: one statement. With `$start` and `$end` it is asked for a day at a time. Empty for the events of a lake.
        mapping: what its rows become.
        only_new: of events: send only those that Mixpanel has not acknowledged yet.

    Raises:
        PushError: the query has other parameters, or one of the two only, or lacks a column of the mapping (as far as
            its text tells), or profiles or a lookup table are pushed by day.
        WarehouseError: the query can't be read.
    """

    name: str
    sql: str
    mapping: PushMapping
    only_new: bool = False

    def __post_init__(self) -> None:
        if self.only_new and not isinstance(self.mapping, EventMapping | ProjectMapping):
            raise PushError("only_new is for events: profiles and lookup tables are sent when they change, links once")
        if not isinstance(self.mapping, ProjectMapping):
            self._check_query(self.mapping)

    def _check_query(self, mapping: QueryMapping) -> None:
        found = parameters_of(self.sql)
        if found and found != _BOUNDS:
            raise PushError(
                f"the query has the parameters {', '.join(f'${name}' for name in sorted(found))}; "
                "it can have $start and $end, the beginning and the end of a day, or none"
            )
        if found and isinstance(mapping, ProfileMapping | LookupMapping):
            raise PushError("profiles and lookup tables are compared as a whole: leave out $start and $end")
        known = columns_of(self.sql)
        if known is not None:
            check_columns(mapping.named, known)

    @property
    def by_day(self) -> bool:
        """Whether its partitions are days."""
        return isinstance(self.mapping, ProjectMapping) or bool(parameters_of(self.sql))

    def rejected_rows(self, lake: str) -> Table:
        """The rows that were rejected; their parts are days, or `latest`."""
        people = self.mapping.person_columns
        return rejected_rows(
            lake, self.name, people, by_person=bool(people) and isinstance(self.mapping, ProfileMapping)
        )

    def count(self, warehouse: Warehouse, window: Window | None) -> int:
        """How many rows the query has."""
        if isinstance(self.mapping, ProjectMapping):
            return self.mapping.count(_day(window))
        return warehouse.count(self.sql, _bound(window))

    def send(
        self,
        mixpanel: Mixpanel,
        warehouse: Warehouse,
        lake: str,
        part: str = LATEST,
        window: Window | None = None,
        *,
        run_id: str = "",
        retry_rejected: bool = False,
        allow_shrink: bool = False,
        retry_unconfirmed: bool = False,
        on_progress: OnProgress = lambda _: None,
    ) -> PushedRows | Pushed:
        """Run the query, and send its rows.

        Args:
            mixpanel: the project.
            warehouse: of the query.
            lake: path or URI; rejected rows and snapshots are kept there.
            part: the partition, a day or `latest`.
            window: bounds of the day, when the query has them.
            run_id: of the run.
            retry_rejected: send only the rows that the last push rejected, after a fix of the query or the mapping.
            allow_shrink: of profiles and lookup tables: see `push_profiles` and `push_lookup`.
            retry_unconfirmed: of profiles: see `push_profiles`.
            on_progress: told after each request.

        Raises:
            PushError: the mapping does not fit the rows. Nothing was sent.
            WarehouseError: the query fails.
            MixpanelError: the push broke off. Run it again.
        """
        with self._rows(warehouse, window, mixpanel.settings.project_id) as found:
            rows = _Others(found, self.mapping, lake)
            pushed: PushedRows | Pushed
            if isinstance(self.mapping, ProfileMapping):
                # What was rejected counts as changed, so that it is sent again in any case.
                pushed = push_profiles(
                    mixpanel,
                    rows.reader,
                    ProfilePush(self.name, self.mapping, lake),
                    run_id=run_id,
                    allow_shrink=allow_shrink,
                    retry_unconfirmed=retry_unconfirmed,
                    on_progress=on_progress,
                )
            elif isinstance(self.mapping, LookupMapping):
                pushed = push_lookup(
                    mixpanel,
                    rows.reader,
                    LookupPush(self.name, self.mapping, lake),
                    run_id=run_id,
                    allow_shrink=allow_shrink,
                    on_progress=on_progress,
                )
            else:
                push = RowPush(self.name, self.mapping, lake, self.only_new)
                only = self._rejected(lake, part) if retry_rejected else None
                pushed = push_rows(mixpanel, rows.reader, push, part, run_id=run_id, only=only, on_progress=on_progress)
            pushed.suppressed = rows.left_out
            return pushed

    def preview(
        self, warehouse: Warehouse, lake: str, part: str = LATEST, window: Window | None = None
    ) -> PushedRows | Pushed:
        """Show what would be sent and rejected, without sending anything.

        Raises:
            PushError: the mapping does not fit the rows.
            WarehouseError: the query fails.
        """
        with self._rows(warehouse, window) as found:
            rows = _Others(found, self.mapping, lake)
            pushed: PushedRows | Pushed
            if isinstance(self.mapping, ProfileMapping):
                pushed = preview_profiles(rows.reader, ProfilePush(self.name, self.mapping, lake))
            elif isinstance(self.mapping, LookupMapping):
                pushed = preview_lookup(rows.reader, LookupPush(self.name, self.mapping, lake))
            else:
                pushed = preview_rows(rows.reader, RowPush(self.name, self.mapping, lake, self.only_new), part)
            pushed.suppressed = rows.left_out
            return pushed

    @contextmanager
    def _rows(
        self, warehouse: Warehouse, window: Window | None, to_project: int | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        if isinstance(self.mapping, ProjectMapping):
            yield self.mapping.rows(_day(window), to_project)
        else:
            with warehouse.query(self.sql, _bound(window)) as rows:
                yield rows

    def _rejected(self, lake: str, part: str) -> Choice | None:
        """Which insert_ids were rejected the last time; all, when a row could not be told apart by one."""
        if not isinstance(self.mapping, EventMapping | ProjectMapping):
            return None
        ids = self.rejected_rows(lake).scan([part]).collect()["id"]
        if ids.null_count():
            return lambda insert_ids: insert_ids.is_null() | True
        return lambda insert_ids: insert_ids.is_in(ids.implode()) | insert_ids.is_null()


class _Others:
    """The rows without those of persons whom Mixpanel has just deleted: a push would bring them back.

    Attributes:
        reader: the rows of others.
        left_out: number of suppressed persons' rows so far.
    """

    def __init__(self, rows: pa.RecordBatchReader, mapping: PushMapping, lake: str) -> None:
        self.left_out = 0
        # Whom the lake that events come from has forgotten must not come back by a copy either.
        lakes = {lake, mapping.source} if isinstance(mapping, ProjectMapping) else {lake}
        lists = [found for one in sorted(lakes) if (found := Suppressed(storage(one)))]
        columns = [name for name in mapping.person_columns if name in rows.schema.names]
        self.reader = rows
        if lists and columns:
            self.reader = pa.RecordBatchReader.from_batches(rows.schema, self._kept(rows, lists, columns))

    def _kept(
        self, rows: pa.RecordBatchReader, lists: Sequence[Suppressed], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        for batch in rows:
            others = batch
            for suppressed in lists:
                kept = suppressed.kept(others, columns)
                others = others if kept is None else kept
            self.left_out += batch.num_rows - others.num_rows
            yield others


def counted(pushed: PushedRows | Pushed) -> Mapping[str, int]:
    """The numbers of a push, by name."""
    return {name: value for name, value in asdict(pushed).items() if isinstance(value, int)}


def reasons(pushed: PushedRows | Pushed) -> Sequence[tuple[str, int]]:
    """Why rows were rejected, the most frequent first."""
    return list(pushed.messages.items())


def _bound(window: Window | None) -> dict[str, datetime]:
    return dict(zip(("start", "end"), window, strict=True)) if window else {}


def _day(window: Window | None) -> date:
    if window is None:
        raise PushError("the events of a lake are copied by day: name the day")
    return window[0].date()

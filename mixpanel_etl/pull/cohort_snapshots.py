"""Snapshots of the saved cohorts, and of who is in chosen ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from logging import Logger, getLogger
from typing import Any, NamedTuple

import pyarrow as pa

from mixpanel_etl.client import Arrived, Cohort, InvalidRequest, Mixpanel, Profile, ProfilePage
from mixpanel_etl.lake import Table
from mixpanel_etl.lake.event_columns import TIMESTAMP, replace_half_surrogates
from mixpanel_etl.lake.staged_pages import Pages, discard_others
from mixpanel_etl.pull.engage_pages import Ask, Snapshot, fill, publish
from mixpanel_etl.pull.listings import BOOLEAN, INTEGER, STRING, Listing
from mixpanel_etl.pull.published import Column

LOG = getLogger("mixpanel_etl")
MEMBERS_SCHEMA = pa.schema(
    [
        pa.field("cohort_id", pa.int64(), nullable=False),
        pa.field("cohort", pa.string()),
        pa.field("distinct_id", pa.string(), nullable=False),
    ]
)
#: What the columns hold, for catalogues.
MEMBERS_DESCRIPTIONS = {
    "cohort_id": "Id of the cohort.",
    "cohort": "Its name.",
    "distinct_id": "A member, with or without a profile.",
}


#: Share by which a cohort's own `count` may differ from its members: Mixpanel counts it when it was last looked at.
MAX_COUNT_DIFFERENCE = 0.05


class Counted(NamedTuple):
    """A cohort, and how many members Mixpanel's list of cohorts gives it (None where it does not say)."""

    id: str
    name: str | None
    expected: int | None

    def agrees(self, members: int) -> bool:
        """Whether the number of members equals the count, apart from a difference that age explains."""
        return self.expected is None or abs(members - self.expected) <= MAX_COUNT_DIFFERENCE * max(
            members, self.expected
        )


class Members(NamedTuple):
    """A published snapshot of members, and the cohorts in it, in the order of `snapshot.arrivals`."""

    snapshot: Snapshot
    cohorts: Sequence[Counted]


def chosen(cohorts: Sequence[Cohort], wanted: Sequence[int | str]) -> list[Cohort]:
    """The cohorts of these ids or names, in this order; an id goes before another cohort's name.

    Raises:
        InvalidRequest: there is none, or several have the name.
    """
    found: dict[str, Cohort] = {}
    for each in wanted:
        matching = [c for c in cohorts if c.id == str(each)] or [c for c in cohorts if c.name == str(each)]
        if len(matching) != 1:
            known = ", ".join(f"{cohort.id} {cohort.name!r}" for cohort in matching or cohorts[:20])
            raise InvalidRequest(
                f"{'no cohort' if not matching else f'{len(matching)} cohorts'} {each!r}",
                endpoint="POST /cohorts/list",
                advice=f"Give the id or the exact name of one; there are {known or 'none'}.",
            )
        if not matching[0].id.isdecimal():  # as the specification writes them, and no request takes them
            raise InvalidRequest(
                f"cohort {each!r} has the id {matching[0].id!r}, which is not a number",
                endpoint="POST /cohorts/list",
                advice="Mixpanel filters by numbers only; choose another cohort.",
            )
        found[matching[0].id] = matching[0]
    return list(found.values())


def pull_members(
    mixpanel: Mixpanel,
    table: Table,
    day: str,
    wanted: Sequence[int | str],
    *,
    run_id: str = "",
    allow_shrink: bool = False,
    log: Logger = LOG,
) -> Members:
    """Take a snapshot of the members of some cohorts, and publish it as the partition of a day.

    Costs a query for the list of cohorts, and one for each 1,000 members. Pages are kept until the last cohort's last
    one arrived, so that a run goes on where another one ended.

    Args:
        mixpanel: the project.
        table: with `MEMBERS_SCHEMA`.
        day: today in project time, YYYY-MM-DD.
        wanted: ids or names of the cohorts.
        run_id: goes into the file.
        allow_shrink: replace an earlier snapshot of the day that has more than twice as many members.
        log: told after each page how many follow.

    Raises:
        MixpanelError: Mixpanel rejected a request, or a cohort is not there; the pages before are kept.
        PartitionsHeldBack: the day's earlier snapshot has more than twice as many members.
    """
    project_id = mixpanel.settings.project_id
    cohorts = chosen(mixpanel.query.list_cohorts(), wanted)
    parts = [Pages(table, day, {"project_id": project_id, "cohort": cohort.id}) for cohort in cohorts]
    discard_others(table, parts)
    for cohort, pages in zip(cohorts, parts, strict=True):
        log.info(f"cohort {cohort.id}: {cohort.count if cohort.count is not None else '?'} members")
        fill(pages, _asking(mixpanel, cohort), partial(_rows, cohort), mixpanel, log)
    request = {"cohorts": [cohort.id for cohort in cohorts]}
    snapshot = publish(
        table, day, parts, project_id=project_id, run_id=run_id, request=request, allow_shrink=allow_shrink
    )
    return Members(snapshot, [Counted(cohort.id, cohort.name, cohort.count) for cohort in cohorts])


def _asking(mixpanel: Mixpanel, cohort: Cohort) -> Ask:
    def ask(session_id: str | None, page: int, arrived: Arrived) -> Iterator[ProfilePage]:
        return mixpanel.query.engage(
            filter_by_cohort=int(cohort.id),
            output_properties=["$last_seen"],  # without a list, all properties would come
            session_id=session_id,
            page=page,
            arrived=arrived,
        )

    return ask


def _rows(cohort: Cohort, members: Sequence[Profile]) -> pa.RecordBatch:
    columns = [
        pa.array([int(cohort.id)] * len(members), pa.int64()),
        pa.array([cohort.name and replace_half_surrogates(cohort.name)] * len(members), pa.string()),
        pa.array([replace_half_surrogates(member.distinct_id) for member in members], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=MEMBERS_SCHEMA)


def _cohorts(mixpanel: Mixpanel) -> Iterator[dict[str, Any]]:
    for cohort in mixpanel.query.list_cohorts():
        yield {
            "cohort_id": int(cohort.id) if cohort.id.isdecimal() else None,
            "name": cohort.name,
            "description": cohort.description,
            "members": cohort.count,
            "created": cohort.created,
            "is_visible": cohort.is_visible,
            "data_group_id": cohort.data_group_id,
        }


COHORTS = Listing(
    "cohorts",
    "The project's saved cohorts.",
    (
        Column("cohort_id", INTEGER, "Id of the cohort."),
        Column("name", STRING, "Its name."),
        Column("description", STRING, "What its creator says of it."),
        Column("members", INTEGER, "How many are in it."),
        Column("created", TIMESTAMP, "When it was created."),
        Column("is_visible", BOOLEAN, "Whether it shows in Mixpanel's lists."),
        Column("data_group_id", STRING, "Which groups are in it; null for users."),
    ),
    _cohorts,
    budget="query",
    impersonal=("cohort_id", "members", "created", "is_visible", "data_group_id"),
)

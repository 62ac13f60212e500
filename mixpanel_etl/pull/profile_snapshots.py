"""Snapshots of user and group profiles: page by page from `/engage`, or in one query of JQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import islice
from logging import Logger, getLogger
from typing import Literal

import pyarrow as pa

from mixpanel_etl.client import Arrived, Mixpanel, Profile, ProfilePage
from mixpanel_etl.client.query.profiles import PAGE_SIZE
from mixpanel_etl.expressions import ExpressionError, parse, references
from mixpanel_etl.lake import ConfigurationError, PromotedColumn, Provenance, Table
from mixpanel_etl.lake.event_columns import JSON, replace_half_surrogates, stored_field, with_promoted
from mixpanel_etl.lake.staged_pages import Pages, discard_others
from mixpanel_etl.pull.engage_pages import Ask, Snapshot, fill, publish

LOG = getLogger("mixpanel_etl")
Source = Literal["engage", "jql"]

_LAST_SEEN = PromotedColumn("$last_seen", "timestamp", "last_seen")
_SCHEMA = pa.schema(
    [
        pa.field("distinct_id", pa.string(), nullable=False),
        _LAST_SEEN.field,
        stored_field("properties", JSON, nullable=False),
        pa.field("properties_as_sent", pa.string()),
    ]
)
#: What the columns hold, for catalogues.
PROFILE_DESCRIPTIONS = {
    "distinct_id": "Who it is: the user's distinct_id, or the group's id.",
    "last_seen": "When the profile was last updated ($last_seen), which is not when the user was last active.",
    "properties": "All properties that were asked for (JSON); half of a character is replaced by U+FFFD.",
    "properties_as_sent": "The same as Mixpanel sent them, where they hold half of a character; null otherwise.",
}


@dataclass(frozen=True)
class ProfileFilter:
    """Which profiles, and what of them; all by default.

    Attributes:
        where: an expression that they fulfil.
        cohort: id of a cohort whose members they are.
        output_properties: which properties; `$last_seen` always comes, too, because it fills a column.
        data_group_id: of a group key: its groups instead of the users.

    Raises:
        ConfigurationError: the expression can't be read, or there is no property.
    """

    where: str | None = None
    cohort: int | None = None
    output_properties: tuple[str, ...] | None = None
    data_group_id: str | None = None

    def __post_init__(self) -> None:
        try:
            parsed = None if self.where is None else parse(self.where)
        except ExpressionError as error:
            raise ConfigurationError(f"where: {error}") from None
        sources = {reference.source for reference in references(parsed)} if parsed else set()
        if beyond := sorted(sources - {"properties", "user"}):
            raise ConfigurationError(
                f"where: {beyond[0]}[...] is nothing of a profile; use properties[...] or user[...]"
            )
        if self.output_properties is not None and not all(self.output_properties or [""]):
            raise ConfigurationError("output_properties: give names, or leave it out for all properties")

    @property
    def names(self) -> list[str] | None:
        """The properties to ask for; None for all."""
        return None if self.output_properties is None else list(dict.fromkeys([*self.output_properties, "$last_seen"]))

    def check_jql(self) -> None:
        """Reject filters that a script can't apply.

        Raises:
            ConfigurationError: names the attribute.
        """
        for name in ("cohort", "data_group_id"):
            if getattr(self, name) is not None:
                raise ConfigurationError(f"{name} with source jql, which knows users only: use source engage")
        if self.where and any(reference.source == "properties" for reference in references(parse(self.where))):
            raise ConfigurationError(
                'where: a JQL selector knows profiles as user[...]; write user["plan"], not properties["plan"]'
            )


def profile_schema(promoted: Sequence[PromotedColumn] = ()) -> pa.Schema:
    """The schema of a table of profiles.

    Raises:
        ConfigurationError: two columns have one name.
    """
    return with_promoted(_SCHEMA, promoted, {"$last_seen"})


def profile_rows(
    profiles: Sequence[Profile], schema: pa.Schema, promoted: Sequence[PromotedColumn] = ()
) -> pa.RecordBatch:
    """Profiles as rows of their table.

    Args:
        profiles: a page of them.
        schema: see `profile_schema`.
        promoted: the schema's typed columns.
    """
    properties = [profile.properties for profile in profiles]
    sent = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in properties]
    strings = [text if text.isascii() else replace_half_surrogates(text) for text in sent]
    columns = [
        pa.array([replace_half_surrogates(profile.distinct_id) for profile in profiles], pa.string()),
        _LAST_SEEN.array([each.get(_LAST_SEEN.source) for each in properties]),
        pa.array(strings, pa.string()),
        pa.array(
            [
                None if was == is_ else json.dumps(each, separators=(",", ":"))
                for was, is_, each in zip(sent, strings, properties, strict=True)
            ],
            pa.string(),
        ),
        *(column.array([each.get(column.source) for each in properties]) for column in promoted),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def pull_profiles(
    mixpanel: Mixpanel,
    table: Table,
    day: str,
    only: ProfileFilter = ProfileFilter(),
    promoted: Sequence[PromotedColumn] = (),
    *,
    source: Source = "engage",
    run_id: str = "",
    allow_shrink: bool = False,
    log: Logger = LOG,
) -> Snapshot:
    """Take a snapshot, and publish it as the partition of a day.

    `engage` costs a query for each 1,000 profiles; pages are kept until the last one arrived, so that a run goes on
    where another one ended. `jql` costs one query, counted as a JQL query, too. Neither holds more than a page.

    Args:
        mixpanel: the project.
        table: with the `profile_schema` of the promoted columns.
        day: today in project time, YYYY-MM-DD.
        only: which profiles.
        promoted: properties with typed columns.
        source: where from.
        run_id: goes into the file.
        allow_shrink: replace an earlier snapshot of the day that has more than twice as many profiles.
        log: told after each page of `engage`.

    Raises:
        MixpanelError: Mixpanel rejected a request; the pages before are kept.
        PartitionsHeldBack: the day's earlier snapshot has more than twice as many profiles.
    """
    project_id = mixpanel.settings.project_id
    request = {"source": source, **asdict(only)}

    def to_rows(profiles: Sequence[Profile]) -> pa.RecordBatch:
        return profile_rows(profiles, table.schema, promoted)

    if source == "jql":
        discard_others(table, [])
        asked = mixpanel.transport.now()
        provenance = Provenance(requested_at=asked, run_id=run_id, project_id=project_id, request=request)
        rows = map(to_rows, _batches(_people(mixpanel, only)))
        return Snapshot(table.write(day, rows, provenance, allow_shrink=allow_shrink))
    pages = Pages(table, day, {"project_id": project_id, **request})
    discard_others(table, [pages])
    fill(pages, _asking(mixpanel, only), to_rows, mixpanel, log)
    return publish(
        table, day, [pages], project_id=project_id, run_id=run_id, request=request, allow_shrink=allow_shrink
    )


def _asking(mixpanel: Mixpanel, only: ProfileFilter) -> Ask:
    def ask(session_id: str | None, page: int, arrived: Arrived) -> Iterator[ProfilePage]:
        return mixpanel.query.engage(
            where=only.where,
            output_properties=only.names,
            filter_by_cohort=only.cohort,
            # Members of a cohort who have no profile are none of the profiles.
            include_all_users=None if only.cohort is None else False,
            data_group_id=only.data_group_id,
            session_id=session_id,
            page=page,
            arrived=arrived,
        )

    return ask


def _people(mixpanel: Mixpanel, only: ProfileFilter) -> Iterator[Profile]:
    script = files(__package__).joinpath("people.js").read_text("utf-8")
    for user in mixpanel.query.jql_items(script, {"where": only.where, "names": only.names}):
        yield Profile(distinct_id=str(user["$distinct_id"]), properties=user["$properties"])


def _batches(profiles: Iterable[Profile]) -> Iterator[list[Profile]]:
    rest = iter(profiles)
    while batch := list(islice(rest, PAGE_SIZE)):
        yield batch

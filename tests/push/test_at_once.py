"""Two runs of the same work at once do it once, with any configuration of Dagster's pools."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pytest

from mixpanel_etl.client import Mixpanel, SchemaEntry
from mixpanel_etl.connectors.syncs import Syncs
from mixpanel_etl.lake import leases
from mixpanel_etl.lake.errors import LeaseHeld, LeaseLost
from mixpanel_etl.lake.leases import lease
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lexicon import apply, compare
from mixpanel_etl.push.chart_annotations import annotate
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.lookup_push import LookupMapping, LookupPush, push_lookup
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.profile_push import ProfilePush, push_profiles
from mixpanel_etl.push.row_push import RowPush, push_rows
from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.settings import Settings

from ..lake.rivals import run_rivals

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLE = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
ROWS = pa.Table.from_pylist([{"id": f"u{n}", "points": n + 1, "at": NOW, "other": f"v{n}"} for n in range(40)])
ADDED = ProfileMapping("id", properties={"$add": {"points": "points"}})


@pytest.fixture
def mixpanel_project() -> Project:
    imports = [{"id": 101, "created": NOW}]
    tables = [(TABLE, "products")]
    return Project(enforce_budgets=False, id_merge="original", lookup_tables=tables, warehouse_imports=imports)


def lake() -> str:
    return Settings.load().lake


def push_users(client: Mixpanel) -> object:
    return push_profiles(client, ROWS.to_reader(), ProfilePush("x", ADDED, lake()))


def push_events(client: Mixpanel) -> object:
    mapping = EventMapping("at", ["id"], event="E", distinct_id="id")
    return push_rows(client, ROWS.to_reader(), RowPush("x", mapping, lake()), "latest")


def push_links(client: Mixpanel) -> object:
    mapping = IdentityMapping("merge", "id", "other")
    return push_rows(client, ROWS.to_reader(), RowPush("x", mapping, lake()), "latest")


def push_table(client: Mixpanel) -> object:
    return push_lookup(client, ROWS.to_reader(), LookupPush("x", LookupMapping(TABLE, "id"), lake()))


def trigger(client: Mixpanel) -> object:
    return Syncs(client, lake()).request(101, "run")


def write_annotation(client: Mixpanel) -> object:
    return annotate(client, NOW, "released")


def apply_lexicon(client: Mixpanel) -> object:
    wanted = {("event", "E"): msgspec.convert({"entityType": "event", "name": "E", "schemaJson": {}}, SchemaEntry)}
    return apply(client, compare(wanted, {}))


ACTS: list[tuple[Callable[[Mixpanel], object], str]] = [
    (push_users, "push/x"),
    (push_events, "push/x/latest"),
    (push_links, "push/x/latest"),
    (push_table, "push/x"),
    (push_table, f"lookup_table/{TABLE}"),
    (trigger, "warehouse_sync/{project}/101"),
    (write_annotation, "annotations/{project}"),
    (apply_lexicon, "lexicon/{project}"),
]


@pytest.mark.parametrize(("act", "name"), ACTS)
def test_the_second_run_changes_nothing_and_says_who_is_at_it(
    mixpanel: Sandbox,
    client: Mixpanel,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Mixpanel], object],
    name: str,
) -> None:
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr("mixpanel_etl.push.chart_annotations.WAIT_SECONDS", 0.0)
    name = name.format(project=client.settings.project_id)
    with lease(storage(lake()), name, run="first"), pytest.raises(LeaseHeld, match=f"{name} is held by .* run first"):
        act(client)
    assert not [seen for seen in mixpanel.requests if seen.method != "GET"]
    act(client)
    assert [seen for seen in mixpanel.requests if seen.method != "GET"]


class Lost:
    def check(self) -> None:
        raise LeaseLost("lost")


@pytest.mark.parametrize("act", dict(ACTS))
def test_a_run_that_lost_its_lease_sends_nothing_more(
    mixpanel: Sandbox, client: Mixpanel, monkeypatch: pytest.MonkeyPatch, act: Callable[[Mixpanel], object]
) -> None:
    monkeypatch.setattr(leases._Locked, "check", Lost.check)
    with pytest.raises(LeaseLost):
        act(client)
    assert not [seen for seen in mixpanel.requests if seen.method != "GET"]


def push_in_process(rank: int) -> None:
    with Mixpanel(Settings.load()) as client:
        push_users(client)


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_two_runs_of_a_push_that_adds_add_once(
    request: pytest.FixtureRequest, mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "s3":
        monkeypatch.setenv("MIXPANEL_LAKE", request.getfixturevalue("s3_lake"))
    run_rivals(push_in_process)
    points = {name: profile.properties["points"] for name, profile in mixpanel.profiles().items()}
    assert points == {f"u{n}": n + 1 for n in range(40)}

"""Requests of data subjects through Dagster: sensors, assets, checks, on the sandbox and its clock."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from logging import Logger
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest

from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.orchestration import MixpanelResource
from mixpanel_etl.orchestration.gdpr import Gdpr, gdpr_definitions
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Sandbox

from ..conftest import FIRST
from ..gdpr.lakes import event, everything, fill_other_tables
from ..lakehouse import days_from

DAYS = days_from(FIRST, 3)
NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)
DEVICES = [f"a11ce0000000000000000000000000{n:02}" for n in range(9)]
IDS = ["anna-4711", *DEVICES]


class Hasty(MixpanelResource):
    """A project whose waits pass in a moment: the sandbox's clock goes on meanwhile."""

    def client(self, log: Logger | None = None, *, deadline: float = 60.0) -> Mixpanel:
        return Mixpanel(self.settings(), clock=Hasty.clock, deadline=deadline)

    clock: ClassVar[Clock] = Clock()


@pytest.fixture
def gdpr(mixpanel: Sandbox, tmp_path: Path) -> Gdpr:
    """Requests out of a folder, at the sandbox's time."""
    mixpanel.clock.set(NOW, frozen=True)
    Hasty.clock = Clock(
        sleep=lambda seconds: mixpanel.clock.advance(timedelta(seconds=seconds)),
        monotonic=lambda: mixpanel.clock.now().timestamp(),
        now=mixpanel.clock.now,
    )
    inbox, outbox = str(tmp_path / "inbox"), str(tmp_path / "outbox")
    return Gdpr(folder=inbox, deliver_to=outbox, mixpanel=Hasty(), clock=Hasty.clock)


@pytest.fixture
def lake(mixpanel: Sandbox, client: Mixpanel, table: EventsTable) -> Path:
    mixpanel.generate(300, DAYS[0], DAYS[-1])
    for n, device in enumerate(DEVICES):
        day = DAYS[n % 3]
        mixpanel.load([event(day, "Visit", f"a{n}", distinct_id=f"$device:{device}", device=device)])
        mixpanel.load([event(day, "Log in", f"b{n}", distinct_id="anna-4711", device=device, user="anna-4711")])
    list(pull_events(client, table, DAYS))
    fill_other_tables(table.lake, IDS)
    return Path(table.lake)


class Daemon:
    """What Dagster's daemon does: ticks of the sensors, their runs one after the other."""

    def __init__(self, gdpr: Gdpr, instance: dg.DagsterInstance) -> None:
        self.gdpr, self.instance = gdpr, instance
        self.runs: list[tuple[str, bool]] = []
        self._cursors: dict[str, str | None] = {}

    def tick(self, name: str) -> int:
        """One tick of a sensor in definitions made anew, as after a restart; how many runs it asked for."""
        definitions = gdpr_definitions(self.gdpr)
        sensor = definitions.resolve_sensor_def(f"{self.gdpr.name}_{name}")
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self._cursors.get(name), repository_def=definitions.get_repository_def()
        )
        data = sensor.evaluate_tick(context)
        self._cursors[name] = data.cursor
        for added in data.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(added.partitions_def_name, list(added.partition_keys))
        for found in data.asset_events:
            self.instance.report_runless_asset_event(found)
        job = definitions.resolve_implicit_global_asset_job_def()
        for request in data.run_requests or []:
            (key,) = request.asset_selection or []
            done = job.get_subset(asset_selection={key}).execute_in_process(
                instance=self.instance, tags=dict(request.tags), raise_on_error=False
            )
            self.runs.append((key.path[-1], done.success))
        return len(data.run_requests or [])

    def settle(self) -> None:
        """Ticks until nothing is due any more."""
        self.tick("intake")
        for _ in range(10):
            if not self.tick("progress"):
                return

    def recorded(self, step: str, request_id: str) -> dict[str, Any]:
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(self.gdpr.key(step), asset_partitions=[request_id]), limit=1
        ).records
        if not records:
            return {}
        found = records[0].asset_materialization
        assert found
        return {name.removeprefix("mixpanel_etl/"): value.value for name, value in found.metadata.items()}


@pytest.fixture
def daemon(gdpr: Gdpr, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(gdpr, instance)


def drop(gdpr: Gdpr, *rows: dict[str, Any], name: str = "requests.json") -> Path:
    """A file of requests in the folder."""
    path = Path(gdpr.folder or "") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([{"requested_at": str(NOW.date()), **row} for row in rows]))
    return path


def test_a_file_becomes_a_deletion_an_erasure_and_a_certificate(
    mixpanel: Sandbox, gdpr: Gdpr, lake: Path, daemon: Daemon
) -> None:
    path = drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": ["anna-4711"]})
    daemon.settle()
    assert not path.exists()
    shown = daemon.recorded("requests", "R-1")
    assert (shown["ids_asked"], shown["ids"], shown["days_left"]) == (1, 19, 29)
    assert daemon.recorded("jobs", "R-1")["status"] == "PENDING"
    mixpanel.clock.advance(timedelta(days=20))
    daemon.settle()
    assert daemon.runs == [(step, True) for step in ("requests", "jobs", "outcomes", "erasures", "certificates")]
    certificate = json.loads((lake / "gdpr/certificates/R-1.json").read_text())
    assert certificate["final_scan"] == "found nothing"
    assert certificate["in_time"]
    for name, content in everything(lake).items():
        assert not [one for one in IDS if one.encode() in content], name


def test_rows_of_the_warehouse_are_taken_in_once_and_refused_with_a_reason(
    mixpanel: Sandbox, gdpr: Gdpr, daemon: Daemon, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    sql = (Path(__file__).parents[2] / "sql/gdpr/requests.sql").read_text()
    with psycopg.connect(postgres_url, autocommit=True) as warehouse:
        warehouse.execute("DROP SCHEMA IF EXISTS privacy CASCADE")
        warehouse.execute("CREATE SCHEMA privacy")
        warehouse.execute(
            "CREATE TABLE privacy.requests (request_id text, kind text, distinct_ids text[], lookup text, "
            "compliance_type text, disclosure_type text, requested_at timestamptz)"
        )
        warehouse.execute(
            "INSERT INTO privacy.requests VALUES ('R-1', 'deletion', '{anna-4711}', NULL, NULL, NULL, now()), "
            "('R-2', 'forgetting', '{anna-4711}', NULL, 'GDPR', NULL, now())"
        )
    mixpanel.clock.set(datetime.now(UTC), frozen=True)
    monkeypatch.setenv("MIXPANEL_WAREHOUSE_URL", postgres_url)
    daemon.gdpr = replace(gdpr, query=sql)
    daemon.tick("intake")
    daemon.tick("intake")
    assert daemon.instance.get_dynamic_partitions("mixpanel_gdpr_requests") == ["R-1"]
    told = daemon.instance.fetch_observations(gdpr.key("requests"), limit=5).records
    reasons = [found.asset_observation.description for found in told if found.asset_observation]
    assert reasons == ["its kind is 'forgetting': write `deletion` or `retrieval` (or `access`)"]
    table = rejected_table(gdpr.ledger().lake).scan().collect()
    assert table.select("request_id", "reason", "source").rows() == [("R-2", reasons[0], "query")]

"""Requests of data subjects through Dagster: sensors, assets, checks, on the sandbox and its clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from logging import Logger
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest

from mixpanel_etl import MixpanelGdpr
from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.dagster.gdpr.metadata import step_metadata
from mixpanel_etl.dagster.gdpr.overview import AssetName
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.gdpr import decisions
from mixpanel_etl.gdpr.confirmation import confirm
from mixpanel_etl.gdpr.intake import rejected_table
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.progress import Progress
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Fault, Project, Sandbox

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


class Timed(MixpanelGdpr):
    """A component at the sandbox's time, whose alerts are kept."""

    alerts: ClassVar[list[str]] = []

    def now(self) -> datetime:
        return Hasty.clock.now()

    def alert(self, text: str) -> None:
        self.alerts.append(text)


@pytest.fixture
def gdpr(mixpanel: Sandbox, tmp_path: Path) -> MixpanelGdpr:
    """Requests out of a folder, at the sandbox's time."""
    mixpanel.clock.set(NOW, frozen=True)
    Hasty.clock = Clock(
        sleep=lambda seconds: mixpanel.clock.advance(timedelta(seconds=seconds)),
        monotonic=lambda: mixpanel.clock.now().timestamp(),
        now=mixpanel.clock.now,
    )
    Timed.alerts.clear()
    inbox, outbox = str(tmp_path / "inbox"), str(tmp_path / "outbox")
    return Timed(folder=inbox, deliver_to=outbox, mixpanel=Hasty())


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

    def __init__(self, gdpr: MixpanelGdpr, instance: dg.DagsterInstance) -> None:
        self.gdpr, self.instance = gdpr, instance
        self.runs: list[tuple[str, bool]] = []
        self._cursors: dict[str, str | None] = {}

    def tick(self, name: str) -> int:
        """One tick of a sensor in definitions made again, as after a restart; how many runs it asked for."""
        definitions = self.gdpr.definitions()
        sensor = definitions.resolve_sensor_def(f"mixpanel__gdpr_{name}_sensor")
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
            checks = set(request.asset_check_keys or [])
            done = job.get_subset(asset_selection={key}, asset_check_selection=checks).execute_in_process(
                instance=self.instance, tags=dict(request.tags), raise_on_error=False
            )
            self.runs.append((key.path[-1], done.success))
        return len(data.run_requests or [])

    def settle(self) -> None:
        """Ticks until nothing is due any more. A person confirms ids that were never seen at once."""
        self.tick("intake")
        for _ in range(12):
            runs = self.tick("progress")
            unseen = [one.request_id for one in self.gdpr.ledger.entries() if one.in_doubt == ("never_seen",)]
            if unseen:
                self.confirm(*unseen)
            elif not runs:
                return

    def confirm(self, *request_ids: str) -> None:
        """What `mixpanel-etl gdpr confirm REQUEST --claims all` does, for all that wait if none is named."""
        ledger = self.gdpr.ledger
        waiting = [
            one for one in ledger.entries() if one.in_doubt and one.request_id in (request_ids or [one.request_id])
        ]
        choices = {one.request_id: [claim.number for claim in one.claims] for one in waiting}
        with self.gdpr.client(ledger) as client:
            assert confirm(ledger, lambda: client.gdpr, choices, self.gdpr.now, by="olga")[1] == []

    def settle_confirming(self) -> None:
        """As `settle`, with a person who accepts everything that waits."""
        self.settle()
        while any(one.in_doubt and not one.settled_at for one in self.gdpr.ledger.entries()):
            self.confirm()
            self.settle()

    def materialize(self, name: AssetName) -> None:
        """A run of an asset without partitions, with its checks."""
        job = self.gdpr.definitions().resolve_implicit_global_asset_job_def()
        assert job.get_subset(asset_selection={self.gdpr.key(name)}).execute_in_process(instance=self.instance).success

    def forget_failures(self) -> None:
        """As if hours had passed since runs failed: these go by the real time."""
        for record in self.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
            self.instance.delete_run(record.dagster_run.run_id)

    def check(self, asset: AssetName, name: str) -> bool:
        """Whether a check passed the last time."""
        key = dg.AssetCheckKey(self.gdpr.key(asset), name)
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert record.event
        evaluation = record.event.asset_check_evaluation
        assert evaluation
        return evaluation.passed

    def recorded(self, step: AssetName, request_id: str) -> dict[str, Any]:
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(self.gdpr.key(step), asset_partitions=[request_id]), limit=1
        ).records
        if not records:
            return {}
        found = records[0].asset_materialization
        assert found
        return {name.removeprefix("mixpanel_etl/"): value.value for name, value in found.metadata.items()}


@pytest.fixture
def daemon(gdpr: MixpanelGdpr, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(gdpr, instance)


def drop(gdpr: MixpanelGdpr, *rows: dict[str, Any], name: str = "requests.json") -> Path:
    """A file of requests in the folder."""
    path = Path(gdpr.folder or "") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([{"requested_at": str(NOW.date()), **row} for row in rows]))
    return path


def test_a_file_becomes_a_deletion_an_erasure_and_a_certificate(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, lake: Path, daemon: Daemon
) -> None:
    path = drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": ["anna-4711"]})
    daemon.settle()
    assert not path.exists()
    shown = daemon.recorded("requests", "R-1")
    assert (shown["ids_asked"], shown["ids"], shown["ids_claimed"], shown["days_left"]) == (1, 1, 9, 29)
    assert shown["waits_for"].startswith("9 claimed ids (a device of the user with rows that Mixpanel has")
    assert not daemon.check("requests", "ids_confirmed")
    assert daemon.recorded("jobs", "R-1") == {}
    daemon.confirm("R-1")
    daemon.settle()
    shown = daemon.recorded("requests", "R-1")
    assert (shown["ids_asked"], shown["ids"], shown["ids_accepted"]) == (1, 19, 9)
    assert daemon.check("requests", "ids_confirmed")
    assert daemon.recorded("jobs", "R-1")["status"] == "PENDING"
    mixpanel.clock.advance(timedelta(days=20))
    daemon.settle()
    steps = ("requests", "requests", "jobs", "outcomes", "erasures", "certificates")
    assert daemon.runs == [(step, True) for step in steps]
    certificate = json.loads((lake / "gdpr/certificates/R-1.json").read_text())
    assert certificate["final_scan"] == "found nothing"
    assert certificate["in_time"]
    for name, content in everything(lake).items():
        assert not [one for one in IDS if one.encode() in content], name


def test_rows_of_the_warehouse_are_taken_in_once_and_refused_with_a_reason(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon, postgres_url: str, monkeypatch: pytest.MonkeyPatch
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
    assert daemon.instance.get_dynamic_partitions("mixpanel__gdpr__requests") == ["R-1"]
    told = daemon.instance.fetch_observations(gdpr.key("requests"), limit=5).records
    reasons = [found.asset_observation.description for found in told if found.asset_observation]
    assert reasons == ["its kind is 'forgetting': write `deletion` or `retrieval` (or `access`)"]
    table = rejected_table(gdpr.ledger.lake).scan().collect()
    assert table.select("request_id", "reason", "source").rows() == [("R-2", reasons[0], "query")]


def test_a_retrieval_found_by_email_is_delivered_with_a_certificate(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon, lake: Path
) -> None:
    drop(gdpr, {"request_id": "R-1", "kind": "access", "lookup": "Someone@example.com"})
    daemon.settle()
    assert daemon.recorded("requests", "R-1")["ids_found_by_lookup"] == 1
    assert daemon.recorded("jobs", "R-1") == {}, "anybody can set a profile's address"
    daemon.settle_confirming()
    mixpanel.clock.advance(timedelta(days=2))
    daemon.settle()
    delivered = daemon.recorded("deliveries", "R-1")
    assert Path(delivered["uri"]) == Path(gdpr.deliver_to or "") / "R-1"
    events = (Path(delivered["uri"]) / "events.jsonl").read_text().splitlines()
    assert {json.loads(line)["properties"]["distinct_id"] for line in events} >= {"anna-4711"}
    assert "R-1" in daemon.recorded("certificates", "R-1")["certificate"]


def test_after_a_deletion_neither_lake_nor_dagster_nor_a_log_has_an_id(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, lake: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    home = tmp_path / "dagster"
    home.mkdir()
    secrets = [*IDS, "someone@example.com"]
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        daemon = Daemon(gdpr, instance)
        drop(gdpr, {"request_id": "R-1", "kind": "deletion", "lookup": secrets[-1], "distinct_ids": IDS[3]})
        drop(gdpr, {"request_id": "R-2", "kind": "shred", "distinct_ids": IDS[0]}, name="anna-4711.json")
        mixpanel.add_fault(Fault("/data-deletions/v3.0", "unable_to_authenticate", text=f"no {IDS[0]}", count=1))
        daemon.settle_confirming()
        assert ("jobs", False) in daemon.runs
        mixpanel.clock.advance(timedelta(hours=1))
        daemon.forget_failures()
        daemon.settle()
        mixpanel.clock.advance(timedelta(days=2))
        mixpanel.add_fault(Fault("/data-deletions/v3.0/*", "server_error", text=f"{IDS[0]} {IDS[4]}", count=3))
        daemon.settle()
        mixpanel.clock.advance(timedelta(days=2))
        daemon.settle()
        assert daemon.recorded("certificates", "R-1")
        daemon.materialize("overview")
    said = caplog.text.encode() + "".join(f"{record.__dict__}" for record in caplog.records).encode()
    contents = everything(lake) | {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert any(name.endswith(".db") for name in contents)
    for name, content in {**contents, "log": said}.items():
        assert not [one for one in secrets if one.encode() in content], name


def test_a_day_that_is_exported_again_while_deleted_rows_linger_does_not_bring_them_back(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, lake: Path, daemon: Daemon, client: Mixpanel
) -> None:
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})
    mixpanel.clock.set(datetime.now(UTC), frozen=True)  # the lake's list of suppressed people goes by the real time
    path = drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})
    path.write_text(path.read_text().replace(str(NOW.date()), str(mixpanel.clock.now().date())))
    daemon.settle_confirming()
    mixpanel.clock.advance(timedelta(days=1, hours=1))
    daemon.settle()
    assert daemon.recorded("certificates", "R-1")
    mixpanel.load([event(DAYS[0], "Visit", "linger", distinct_id="anna-4711")])  # as a raw export still has it
    list(pull_events(client, EventsTable(str(lake)), DAYS[:1], allow_shrink=True))
    assert not any(b"anna-4711" in content for content in everything(lake).values())


def test_nothing_goes_to_mixpanel_before_the_expansion_is_shown(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})
    daemon.tick("intake")
    with monkeypatch.context() as patch:
        patch.setattr("mixpanel_etl.dagster.gdpr.assets.step_metadata", _killed)
        daemon.tick("progress")
    assert gdpr.ledger.entry("R-1").expanded_at
    assert daemon.recorded("requests", "R-1") == {}
    daemon.forget_failures()
    daemon.confirm("R-1")
    daemon.tick("progress")
    assert daemon.recorded("requests", "R-1")["ids"] == 1
    assert daemon.recorded("jobs", "R-1") == {}
    daemon.tick("progress")
    assert daemon.recorded("jobs", "R-1")


@pytest.mark.parametrize("step", ["requests", "jobs", "outcomes", "erasures", "certificates"])
def test_a_run_that_is_killed_before_it_says_what_it_did_is_made_up_for(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, step: AssetName
) -> None:
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})

    def killed_at(ledger: Ledger, one: Progress, at: str, now: datetime) -> dict[str, Any]:
        return _killed() if at == step else step_metadata(ledger, one, at, now)  # type: ignore[arg-type]

    for interrupted in (True, False):
        with monkeypatch.context() as patch:
            if interrupted:
                patch.setattr("mixpanel_etl.dagster.gdpr.assets.step_metadata", killed_at)
            daemon.settle()
            mixpanel.clock.advance(timedelta(days=2))
            daemon.settle()
        assert (step, False) in daemon.runs
        daemon.forget_failures()
    mixpanel.clock.advance(timedelta(days=2))
    daemon.settle()
    for each in ("requests", "jobs", "outcomes", "erasures", "certificates"):
        assert daemon.recorded(each, "R-1"), each
    created = [request for request in mixpanel.requests if request.method == "POST" and "deletions" in request.path]
    assert len(created) == 1


@pytest.mark.parametrize("step", ["erasures", "certificates"])
def test_a_step_that_another_process_does_is_left_to_it(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, step: AssetName
) -> None:
    monkeypatch.setattr("mixpanel_etl.lake.leases.WAIT_SECONDS", 0.0)
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})
    daemon.settle()
    mixpanel.clock.advance(timedelta(days=2))
    with gdpr.ledger.locked(step):
        daemon.settle()
        assert (step, False) in daemon.runs
        assert not daemon.recorded(step, "R-1")
    daemon.forget_failures()
    mixpanel.clock.advance(timedelta(days=2))
    daemon.settle()
    assert daemon.recorded("certificates", "R-1")


def _killed(*_: object) -> Any:
    raise KeyboardInterrupt


def test_a_failed_job_turns_the_check_red_alerts_once_and_can_be_tried_again(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon
) -> None:
    mixpanel.set_next_gdpr_outcome("FAILURE")
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})
    daemon.settle()
    assert daemon.check("outcomes", "jobs_healthy")
    mixpanel.clock.advance(timedelta(days=2))
    for _ in range(3):
        daemon.settle()
    assert ["ended in FAILURE" in text for text in Timed.alerts] == [True]
    assert not daemon.check("outcomes", "jobs_healthy")
    assert daemon.recorded("outcomes", "R-1")["state"] == "failed"
    assert daemon.recorded("erasures", "R-1") == {}
    decisions.retry(gdpr.ledger, "R-1", gdpr.now(), by="olga")
    daemon.settle()
    assert daemon.check("outcomes", "jobs_healthy")
    mixpanel.clock.advance(timedelta(days=2))
    daemon.settle()
    assert daemon.recorded("certificates", "R-1")


def test_a_job_that_takes_too_long_is_alerted(mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon) -> None:
    mixpanel.reset([Project(enforce_budgets=False, gdpr_stage_seconds=86_400 * 10)])
    mixpanel.clock.set(NOW, frozen=True)
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna-4711"})
    daemon.settle()
    mixpanel.clock.advance(timedelta(days=31))
    daemon.settle()
    assert ["has not ended for 31 days" in text for text in Timed.alerts] == [True]
    assert not daemon.check("outcomes", "jobs_healthy")


def test_deadlines_are_shown_for_each_request_every_day(mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon) -> None:
    daemon.gdpr = replace(gdpr, hold_hours=24 * 40)
    drop(
        gdpr,
        {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna"},
        {"request_id": "R-2", "kind": "deletion", "distinct_ids": "bert", "compliance_type": "CCPA"},
    )
    daemon.settle()
    daemon.materialize("overview")
    assert daemon.check("overview", "deadlines_met")
    mixpanel.clock.advance(timedelta(days=25))
    daemon.materialize("overview")
    assert not daemon.check("overview", "deadlines_met")
    assert Timed.alerts == ["request R-1 (deletion, held) is due on 2026-03-03"]
    observed = daemon.instance.fetch_observations(gdpr.key("requests"), limit=2).records
    days = {
        found.asset_observation.partition: found.asset_observation.metadata["mixpanel_etl/days_left"].value
        for found in observed
        if found.asset_observation
    }
    assert days == {"R-1": 4, "R-2": 19}


def test_without_a_destination_no_data_are_asked_for_and_a_failed_step_is_not_started_again_every_minute(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon
) -> None:
    daemon.gdpr = replace(gdpr, deliver_to=None)
    drop(
        gdpr,
        {"request_id": "R-1", "kind": "retrieval", "distinct_ids": "anna-4711"},
        {"request_id": "R-2", "kind": "deletion", "distinct_ids": "bert-4712"},
    )
    for _ in range(4):
        daemon.settle()
    assert daemon.runs == [("requests", True), ("jobs", False)]
    assert daemon.recorded("jobs", "R-2")
    assert not [request for request in mixpanel.requests if "retrievals" in request.path]
    daemon.gdpr = gdpr
    daemon.forget_failures()
    daemon.settle()
    assert daemon.recorded("jobs", "R-1")


def test_requests_far_apart_are_not_one_run_over_all_between(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixpanel_etl.dagster.gdpr.sensors._MAX_GAP_PER_RUN", 3)
    partitions = [f"old-{n}" for n in range(5)]
    daemon.instance.add_dynamic_partitions(gdpr.partitions.name or "", ["R-1", *partitions, "R-2", "R-3"])
    drop(gdpr, *({"request_id": f"R-{n}", "kind": "deletion", "distinct_ids": f"user-{n}"} for n in (1, 2, 3)))
    daemon.tick("intake")
    assert daemon.tick("progress") == 2
    assert daemon.instance.get_materialized_partitions(gdpr.key("requests")) == {"R-1", "R-2", "R-3"}


def test_many_requests_are_one_run_a_step_and_only_what_is_done_is_recorded(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, daemon: Daemon
) -> None:
    drop(gdpr, *({"request_id": f"R-{n}", "kind": "deletion", "distinct_ids": f"user-{n}"} for n in range(9)))
    daemon.settle()
    with gdpr.client(gdpr.ledger) as client:
        decisions.cancel(gdpr.ledger, client.gdpr, "R-7", gdpr.now, by="olga")
    daemon.settle()
    mixpanel.clock.advance(timedelta(days=2))
    daemon.settle()
    steps = [step for step, _ in daemon.runs]
    assert steps == ["requests", "jobs", "jobs", "outcomes", "erasures", "certificates"]
    done = daemon.instance.get_materialized_partitions(gdpr.key("certificates"))
    assert done == {f"R-{n}" for n in range(9)} - {"R-7"}


class OwnedGdpr(Timed):
    """A team's own component."""

    def get_asset_spec(self, asset: AssetName) -> dg.AssetSpec:
        return super().get_asset_spec(asset).replace_attributes(owners=["team:privacy"])

    def execute(self, context: dg.AssetExecutionContext, asset: AssetName) -> Iterator[Any]:
        yield from super().execute(context, asset)
        self.alert(f"{asset} done")


def test_a_subclass_describes_its_assets_and_does_more(
    mixpanel: Sandbox, gdpr: MixpanelGdpr, lake: Path, daemon: Daemon
) -> None:
    daemon.gdpr = OwnedGdpr(folder=gdpr.folder, mixpanel=gdpr.mixpanel)
    graph = daemon.gdpr.definitions().resolve_asset_graph()
    assert all(graph.get(key).owners == ["team:privacy"] for key in graph.get_all_asset_keys())
    drop(gdpr, {"request_id": "R-1", "kind": "deletion", "distinct_ids": ["anna-4711"]})
    daemon.tick("intake")
    daemon.tick("progress")
    daemon.materialize("overview")
    assert daemon.recorded("requests", "R-1")["ids"] == 1
    assert Timed.alerts[0] == "requests done"
    assert Timed.alerts[-1] == "overview done"

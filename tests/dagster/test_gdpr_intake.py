"""What the intake's sensor says, and the check that fails while a request is not in the ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest

from mixpanel_etl import MixpanelGdpr
from mixpanel_etl.sandbox import Sandbox

NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)


class Timed(MixpanelGdpr):
    """A component at a time that tests set."""

    time: ClassVar[datetime] = NOW

    def now(self) -> datetime:
        return self.time


class Intake:
    """Ticks of the sensor, and what Dagster knows after them."""

    def __init__(self, gdpr: MixpanelGdpr, instance: dg.DagsterInstance) -> None:
        self.gdpr, self.instance = gdpr, instance
        self._cursor: str | None = None

    def tick(self) -> str:
        """What a tick says."""
        sensor = self.gdpr.definitions().resolve_sensor_def("mixpanel__gdpr_intake_sensor")
        data = sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance, cursor=self._cursor))
        self._cursor = data.cursor
        for found in data.asset_events:
            self.instance.report_runless_asset_event(found)
        return data.skip_message or ""

    def check(self) -> tuple[bool, str]:
        """The check as it was evaluated last."""
        key = dg.AssetCheckKey(self.gdpr.key("requests"), "intake_complete")
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert record.event
        evaluation = record.event.asset_check_evaluation
        assert evaluation
        return evaluation.passed, evaluation.description or ""

    def drop(self, name: str, *rows: dict[str, Any]) -> Path:
        path = Path(self.gdpr.folder or "") / name
        path.write_text(json.dumps([{"kind": "deletion", "requested_at": "2026-01-31", **row} for row in rows]))
        return path


@pytest.fixture
def intake(mixpanel: Sandbox, tmp_path: Path, instance: dg.DagsterInstance) -> Intake:
    (tmp_path / "inbox").mkdir()
    Timed.time = NOW
    return Intake(Timed(folder=str(tmp_path / "inbox")), instance)


def test_a_tick_says_what_it_did(intake: Intake) -> None:
    assert intake.tick() == "no new requests"
    assert intake.check()[0]
    intake.drop("r.json", {"request_id": "R-1", "distinct_ids": "anna-4711"}, {"request_id": "R-2"})
    assert intake.tick() == "requests: 1 accepted, 1 rejected"
    assert intake.tick() == "no new requests"


def test_a_rejected_request_fails_the_check_until_it_is_accepted(intake: Intake) -> None:
    intake.drop("r.json", {"request_id": "R-1", "distinct_ids": "anna-4711;ben-4712"})
    intake.tick()
    passed, said = intake.check()
    assert not passed
    assert "request R-1 is rejected: its distinct_ids reads as several ids in one cell" in said
    intake.drop("r.json", {"request_id": "R-1", "distinct_ids": ["anna-4711", "ben-4712"]})
    Timed.time = NOW + timedelta(hours=1)
    intake.tick()
    assert intake.check()[0]


def test_a_file_that_cannot_be_read_fails_the_check_and_is_not_named(intake: Intake) -> None:
    path = intake.drop("anna-4711.xlsx")
    intake.drop("z.json", {"request_id": "R-1", "distinct_ids": "anna-4711"})
    assert intake.tick() == "requests: 1 accepted"
    passed, said = intake.check()
    assert not passed
    assert "1 files of the folder can't be read" in said
    assert "anna" not in said
    path.unlink()
    intake.tick()
    assert intake.check()[0]


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", "SELECT no syntax at all FROM"])
def test_a_query_that_fails_does_not_stop_the_folder(intake: Intake, query: str) -> None:
    intake.gdpr = replace(intake.gdpr, query=query)
    intake.drop("r.json", {"request_id": "R-1", "distinct_ids": "anna-4711"})
    assert intake.tick().startswith("requests: 1 accepted; the query of data subject requests fails in the warehouse")
    assert "fails in the warehouse" in intake.check()[1]
    intake.gdpr = replace(intake.gdpr, query=None)
    intake.tick()
    assert intake.check()[0]


ROW = "'deletion' AS kind, DATE '2026-01-31' AS requested_at"


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT 'R-1' AS request_id, {ROW}, 1234567890123::DOUBLE AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, 4711.5::DECIMAL(9, 1) AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, 'NaN'::DOUBLE AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, true AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, DATE '2026-03-04' AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, 'anna'::BLOB AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, 'anna' AS distinct_ids, 'ben' AS distinct_id",
        f"SELECT 'R-1' AS request_id, {ROW}, 'anna' AS distinct_ids, 'ben' AS distinct_ids",
        f"SELECT 'R-1' AS request_id, {ROW}, [1.5, 2.5] AS distinct_ids",
    ],
)
def test_a_value_of_the_query_in_a_wrong_type_is_rejected_and_the_next_row_accepted(intake: Intake, query: str) -> None:
    good = f"SELECT 'R-2' AS request_id, {ROW}, 4711::BIGINT AS distinct_ids, [1] AS unused"
    intake.gdpr = replace(intake.gdpr, query=query)
    assert intake.tick() == "requests: 1 rejected"
    assert "request R-1 is rejected: it" in intake.check()[1]
    intake.gdpr = replace(intake.gdpr, query=good)
    assert intake.tick() == "requests: 1 accepted"
    assert intake.gdpr.ledger.entry("R-2").request.ids == ("4711",)


def test_a_tick_that_starts_nothing_says_how_many_requests_are_open(intake: Intake) -> None:
    definitions = intake.gdpr.definitions()
    sensor = definitions.resolve_sensor_def("mixpanel__gdpr_progress_sensor")
    context = dg.build_sensor_context(instance=intake.instance, repository_def=definitions.get_repository_def())
    assert sensor.evaluate_tick(context).skip_message == "0 data subject requests are open; no step is due"

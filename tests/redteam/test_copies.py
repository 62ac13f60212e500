"""No copy of a person outside the lake: nothing that Dagster stores, no log, no exception, no stray file has one."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mixpanel_etl import (
    MixpanelCatalogue,
    MixpanelCohorts,
    MixpanelExport,
    MixpanelProfiles,
    MixpanelPush,
    MixpanelReports,
)
from mixpanel_etl.client import Mixpanel, Schema, SchemaEntry, SchemaMetadata, SchemaProperty, VendorMetadata
from mixpanel_etl.dagster.metadata import preview
from mixpanel_etl.dagster.push.assets import PushAsset
from mixpanel_etl.dagster.reports.yaml_entries import NamedReport
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.sql import connect
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.pull.reports import RangeReport, report_of
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.lookup_push import LookupMapping
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.query_push import QueryPush
from mixpanel_etl.sandbox import Cohort, Fault, Funnel, Insight, Project, Sandbox
from mixpanel_etl.sandbox.engine.projects import LookupTable, ServiceAccount
from mixpanel_etl.scratch import local_scratch
from mixpanel_etl.settings import Settings
from mixpanel_etl.warehouse import Warehouse

from ..dagster.profiles import keep_profiles

NOW = datetime.now(UTC)
TODAY = NOW.date()
FIRST, LAST = TODAY - timedelta(days=3), TODAY - timedelta(days=1)
#: Part of each id, name and address of the persons here, and of nothing else.
MARK = "zqanna"
PERSONS = [f"{MARK}-{number}" for number in range(3)]
EMAIL = f"{MARK}@example.com"
TABLE = "8b0a3c9e-0d2c-4a47-9a35-0c2f5d1f7a11"
ON = 'properties["email"]'
ONLY = f'properties["email"] != "{MARK}-unknown"'
LISTED = """
function main() {
  return Events({from_date: params.from_date, to_date: params.to_date})
    .map(e => [new Date(e.time).toISOString().slice(0, 10), e.distinct_id, e.properties.email]);
}"""
PEOPLE = "function main() { return People().map(p => [p.distinct_id, p.properties.$email]); }"
REPORTS: dict[str, dict[str, Any]] = {
    "segmentation": {"event": "buy", "on": ON, "where": ONLY},
    "segmentation_numeric": {"event": "buy", "on": 'properties["amount"]', "where": ONLY},
    "segmentation_sum": {"event": "buy", "on": 'properties["amount"]', "where": ONLY},
    "funnel": {"funnel_id": 7509, "on": ON, "where": ONLY},
    "retention": {"born_event": "visit", "born_where": ONLY, "on": ON},
    "addiction": {"on": ON, "where": ONLY},
    "events": {"events": ["buy", "visit"]},
    "event_properties": {"event": "buy", "property": "email", "values": [f"{MARK}-0@example.com"]},
    "top_events": {},
    "event_names": {},
    "top_properties": {"event": "buy"},
    "property_values": {"event": "buy", "property": "email"},
    "insights": {"bookmark_id": 42},
    "activity_stream": {"distinct_ids": PERSONS},
    "jql": {"script": PEOPLE, "params": {"wanted": PERSONS[0]}},
    "jql_by_date": {
        "script": LISTED,
        "date": "day",
        "result": {"day": "string", "who": "string", "email": "string"},
    },
}
#: Reports that fail, because the script returns persons where numbers are declared.
BROKEN: dict[str, dict[str, Any]] = {
    "jql": {"script": PEOPLE, "result": {"who": "integer"}},
    "jql_by_date": {"script": LISTED, "date": "who", "result": {"day": "string", "who": "string"}},
}


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(
        enforce_budgets=False,
        service_account=ServiceAccount(f"{MARK}.account", "secret", "admin", NOW + timedelta(days=20)),
        lookup_tables=[LookupTable(TABLE, "customers")],
        warehouse_imports=[{"id": 101, "created": NOW, "table_params": {"table": MARK}}],
    )


@pytest.fixture
def persons(mixpanel: Sandbox, client: Mixpanel) -> Sandbox:
    """Events, profiles and settings that are full of marked persons; a stranger names an event after one."""
    days = [FIRST + timedelta(days=number) for number in range(4)]
    mixpanel.load(_events(days))
    keep_profiles(client, {person: {"$email": f"{person}@example.com", "$name": MARK} for person in PERSONS})
    mixpanel.save_report(Funnel(7509, "Purchases", ["visit", "buy"]))
    mixpanel.save_report(Insight(42, "Board", ["buy"], on=ON))
    mixpanel.save_report(Cohort(12, f"Friends of {MARK}", f"as {MARK} says", distinct_ids=PERSONS))
    client.annotations.create_annotation(NOW, f"{MARK} called")
    described = SchemaMetadata(contacts=[EMAIL])
    schema = Schema(
        description=f"asked for by {MARK}",
        properties={"amount": SchemaProperty(type="number", description=MARK)},
        metadata=VendorMetadata(mixpanel=described),
    )
    client.lexicon.create_schemas([SchemaEntry(entity_type="event", name="buy", schema_json=schema)])
    mixpanel.clear_requests()
    return mixpanel


def _events(days: list[date]) -> Iterator[bytes]:
    for day in days:
        for number, person in enumerate(PERSONS):
            for name in ("visit", "buy", f"letter to {MARK}"):
                time = datetime(day.year, day.month, day.day, 0, number, tzinfo=UTC)
                properties = {
                    "time": int(time.timestamp()),
                    "distinct_id": person,
                    "$insert_id": f"{name[:2]}{day:%m%d}{number}",
                    "email": f"{person}@example.com",
                    "amount": 10 * number,
                }
                yield json.dumps({"event": name, "properties": properties}).encode()


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"""CREATE TABLE people AS SELECT '{MARK}-' || i AS id, '{EMAIL}' AS email, 'bad id {MARK}!' AS key,
            TIMESTAMPTZ '{FIRST} 01:00:00Z' AS at FROM range(4) t(i) UNION ALL
            SELECT NULL, '{EMAIL}', '{MARK}', NULL"""
        )
    monkeypatch.setenv("MIXPANEL_WAREHOUSE_URL", f"duckdb:///{path}")


def pushes() -> MixpanelPush:
    people = ProfileMapping("id", properties={"$set": {"email": "$email"}})
    events = EventMapping(event="buy", time="at", distinct_id="id", key=["key", "id"])
    found = {
        "people": QueryPush("people", "SELECT id, email FROM people", people),
        "customers": QueryPush("customers", "SELECT id, email FROM people", LookupMapping(TABLE, "id")),
        "orders": QueryPush("orders", "SELECT * FROM people", events),
        "values": QueryPush("values", "SELECT email, CAST(email AS INTEGER) AS id FROM people", people),
    }
    return MixpanelPush(
        pushes=[PushAsset(dg.AssetSpec(dg.AssetKey(["push", name])), push) for name, push in found.items()]
    )


class Home:
    """A DAGSTER_HOME on a disk, and runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.local_temp(str(folder))
        self.failed: list[str] = []

    def run(self, definitions: dg.Definitions, *keys: dg.AssetKey, **options: Any) -> bool:
        """One run of some assets, all by default."""
        job = definitions.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(
            instance=self.instance, asset_selection=list(keys) or None, raise_on_error=False, **options
        )
        if not done.success:
            self.failed += [event.step_key or "" for event in done.all_events if event.is_step_failure]
        return done.success

    def copies(self) -> list[str]:
        """Where a marked person is in all that Dagster has stored, unpacked as far as it is packed."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and holds_a_person(path.read_bytes()):
                found.append(str(path.relative_to(self.folder)))
        for path in self.folder.rglob("runs.db"):
            with sqlite3.connect(path) as connection:
                for (body,) in connection.execute("SELECT snapshot_body FROM snapshots"):
                    if holds_a_person(zlib.decompress(body)):
                        found.append("a snapshot of a job")
        return found


def holds_a_person(content: bytes) -> bool:
    forms = (MARK.encode(), MARK.upper().encode(), MARK.encode("utf-16-le"), base64.b64encode(MARK.encode())[:6])
    return any(form in content for form in forms)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "dagster_home"
    folder.mkdir()
    return Home(folder)


def days_of(first: date, last: date) -> dict[str, Any]:
    return {"tags": {ASSET_PARTITION_RANGE_START_TAG: str(first), ASSET_PARTITION_RANGE_END_TAG: str(last)}}


def reports_of(described: dict[str, dict[str, Any]], name: str) -> MixpanelReports:
    return MixpanelReports(
        reports=[NamedReport(kind, report_of(kind, given)) for kind, given in described.items()],
        name=name,
        key_prefix=name,
        folder=name,
        start_date=FIRST,
    )


def test_no_value_of_a_person_leaves_the_lake(
    persons: Sandbox, warehouse: None, home: Home, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    good, broken = reports_of(REPORTS, "reports"), reports_of(BROKEN, "broken")
    for reports in (good, broken):
        definitions = reports.definitions()
        ranges = [report for report in reports.reports if isinstance(report.report, RangeReport)]
        snapshots = [report for report in reports.reports if report not in ranges]
        for members, run in ((ranges, days_of(FIRST, LAST)), (snapshots, {"partition_key": str(TODAY)})):
            home.run(definitions, *[reports.get_asset_spec(report).key for report in members], **run)
    assert sorted(home.failed) == ["broken__jql", "broken__jql_by_date"]
    catalogue = MixpanelCatalogue(
        groups=["events", "lexicon", "annotations", "service_accounts", "lookup_tables", "warehouse_imports"],
        start_date=FIRST,
    )
    cohorts = MixpanelCohorts(members_of=[12], start_date=FIRST)
    profiles = MixpanelProfiles(asset=dg.AssetSpec("profiles"), start_date=FIRST)
    for component in (catalogue, cohorts, profiles):
        assert home.run(component.definitions(), partition_key=str(TODAY))
    assert home.run(
        MixpanelExport(asset=dg.AssetSpec(dg.AssetKey(["events"])), start_date=FIRST).definitions(),
        **days_of(FIRST, LAST),
    )
    definitions = pushes().definitions()
    for name in ("people", "customers", "orders", "values"):
        home.run(definitions, dg.AssetKey(["push", name]))
    assert home.failed[2:] == ["push__values"]
    # The rows were there: what is not in Dagster is in the lake.
    lake = storage(Settings.load().lake)
    written = b"".join(lake.open(name).read() for name in lake.names("", ""))
    assert len(written) > 10_000
    assert home.copies() == []
    assert not holds_a_person(caplog.text.encode())
    assert not holds_a_person("".join(capfd.readouterr()).encode())


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_failure_quotes_no_profile(
    persons: Sandbox, home: Home, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    page = json.dumps([{"$distinct_id": PERSONS[0], "$properties": {"$email": EMAIL}}])
    kind: Literal["error_in_200", "server_error"] = "error_in_200" if status == 200 else "server_error"
    persons.add_fault(Fault("*/engage", kind, text=page, status=None if status == 200 else 501))
    definitions = MixpanelProfiles(asset=dg.AssetSpec("profiles"), start_date=FIRST).definitions()
    assert not home.run(definitions, partition_key=str(TODAY))
    assert home.copies() == []
    assert not holds_a_person(caplog.text.encode())


_PUSHES = """
import os, sys
import pyarrow as pa
from mixpanel_etl.push.row_changes import Previous, compared
from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.sql import connect
from mixpanel_etl.lake.storage import storage

rows = pa.table({"id": [f"zqanna-{n}" for n in range(20_000)]}).to_reader()
with compared(rows, "id", ["id"], Previous(), sent_as="", place=storage(sys.argv[1])):
    print("there", flush=True)
    sys.stdin.readline()
    os._exit(9)
"""


def test_rows_of_a_push_are_in_the_lakes_scratch_where_an_erasure_finds_and_then_removes_them(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    push = subprocess.Popen(
        [sys.executable, "-c", _PUSHES, str(lake)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert push.stdout
    assert push.stdin
    assert push.stdout.readline() == "there\n"
    living = erase(str(lake), [PERSONS[0]])
    assert living.remaining
    assert all(name.startswith(".scratch/") for name in living.unread)
    push.communicate("die\n")
    assert push.returncode == 9
    assert any((lake / ".scratch").iterdir())
    killed = erase(str(lake), [PERSONS[0]])
    assert not killed.remaining
    assert not any((lake / ".scratch").iterdir())


def test_what_duckdb_spills_is_neither_in_the_working_directory_nor_beside_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Warehouse("duckdb://").query("SELECT current_setting('temp_directory') AS place") as batches:
        (row,) = batches.read_all().to_pylist()
    assert Path(row["place"]).parent == local_scratch()
    assert not Path(row["place"]).exists()
    connection = connect(str(tmp_path / "lake"))
    (place,) = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0]
    assert Path(place).parent == local_scratch()
    assert Path(place).is_dir()
    connection.close()
    del connection
    assert not Path(place).exists()


def test_a_preview_shows_the_rows_that_were_published(tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    Suppression(lake).add([PERSONS[0]], NOW + timedelta(days=9))
    schema = pa.schema([("distinct_id", pa.string()), ("value", pa.float64())])
    table, rows = Table(lake, "people", schema), pa.table({"distinct_id": PERSONS, "value": [1.0, 2.0, 3.0]}, schema)
    published = table.as_published(table.write(str(TODAY), rows, Provenance(requested_at=NOW)), rows)
    assert published.column("value").to_pylist() == [2.0, 3.0]
    shown = preview(published, ["value"])["mixpanel_etl/preview"].records
    assert [record.data for record in shown] == [{"distinct_id": "withheld", "value": value} for value in (2.0, 3.0)]

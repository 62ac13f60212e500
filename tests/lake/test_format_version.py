"""A lake says which version of the layout it has: an older package rejects a newer one, a newer one reads an older."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from mixpanel_etl.formats import FormatTooNew
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.lake import EventsTable, Provenance, Table, connect
from mixpanel_etl.lake import format_version as lake_format
from mixpanel_etl.lake.errors import UnreadableFile
from mixpanel_etl.lake.storage import storage

from ..conftest import FIRST
from .s3_server import S3Server

ROWS = pa.table({"value": [1]})


def write(lake: str) -> None:
    Table(lake, "reports/signups", ROWS.schema).write("2026-01-01", ROWS, Provenance(requested_at=datetime.now(UTC)))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def mark(folder: Path, **versions: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "_format.json").write_text(json.dumps(versions))


def test_the_first_file_brings_the_version_with_it(lake: Path) -> None:
    write(str(lake))
    content = (lake / "_format.json").read_bytes()
    assert json.loads(content) == {"lake": 1, "ledger": 1, "package": "0.1.0"}
    write(str(lake))
    assert (lake / "_format.json").read_bytes() == content


OPENINGS: dict[str, Callable[[str], object]] = {
    "write": write,
    "events": lambda lake: EventsTable(lake).days(),
    "day": lambda lake: EventsTable(lake).day(FIRST),
    "scan": lambda lake: EventsTable(lake).scan().collect(),
    "connect": connect,
    "ledger": lambda lake: Ledger(lake).entries(),
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize("part", ["lake", "ledger"])
def test_what_a_newer_package_wrote_is_refused(lake: Path, part: str, opening: Callable[[str], object]) -> None:
    write(str(lake))
    mark(lake, **{part: 2})
    before = sorted(path for path in lake.rglob("*") if path.is_file())
    with pytest.raises(FormatTooNew, match=r"has format 2, mixpanel_etl .* reads formats up to 1: update the package"):
        opening(str(lake))
    assert sorted(path for path in lake.rglob("*") if path.is_file()) == before


def test_what_an_older_package_wrote_is_read_and_said(
    lake: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(str(lake))
    monkeypatch.setitem(lake_format._KNOWN, "lake", 2)
    with caplog.at_level(logging.INFO, "mixpanel_etl"):
        assert Table(str(lake), "reports/signups", ROWS.schema).keys() == ["2026-01-01"]
    assert f"the lake {lake} has format 1; mixpanel_etl 0.1.0 reads it, and writes format 2" in caplog.text


def test_a_lake_without_the_file_has_version_1(lake: Path) -> None:
    write(str(lake))
    (lake / "_format.json").unlink()
    assert Table(str(lake), "reports/signups", ROWS.schema).keys() == ["2026-01-01"]


def test_a_damaged_file_is_an_error_with_its_name(lake: Path) -> None:
    lake.mkdir()
    (lake / "_format.json").write_text("{")
    with pytest.raises(UnreadableFile, match=r"_format\.json"):
        storage(str(lake)).names("", "")


def test_a_bucket_is_asked_once_per_process(s3_lake: str, s3_server: S3Server) -> None:
    def asked() -> list[str]:
        return [method for method, path, _ in s3_server.requests if path.endswith("/_format.json")]

    write(s3_lake)
    first = asked()
    assert first.count("PUT") == 1
    assert len(first) <= 3  # what it says, and whether it is there
    write(s3_lake)
    EventsTable(s3_lake).days()
    assert asked() == first


def test_a_newer_lake_in_a_bucket_is_refused(s3_lake: str) -> None:
    bucket, _, prefix = s3_lake.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/_format.json", Body=b'{"lake": 3}')
    with pytest.raises(FormatTooNew, match=f"the lake {s3_lake} has format 3"):
        write(s3_lake)


def test_the_command_line_says_it_in_a_sentence(lake: Path) -> None:
    mark(lake, lake=2)
    command = [sys.executable, "-c", "from mixpanel_etl.cli import app; app()", "sql", "--lake", str(lake), "SELECT 1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lake)
    assert done.returncode == 1
    assert "update the package" in done.stderr
    assert "Traceback" not in done.stderr

"""The lake in the oldest versions of the readers that README.md promises, in an environment of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from mixpanel_etl.lake import EventsTable, ExportProvenance, PromotedColumn, Window, ingest

#: The oldest versions, and the first ones that later versions of Python can install.
OLDEST = {
    (3, 11): {"polars": "0.20.0", "pyarrow": "12.0.0", "pandas": "2.0.0", "duckdb": "0.10.0"},
    (3, 12): {"polars": "0.20.0", "pyarrow": "14.0.0", "pandas": "2.1.1", "duckdb": "0.10.0"},
    (3, 13): {"polars": "0.20.0", "pyarrow": "18.0.0", "pandas": "2.2.3", "duckdb": "1.1.3"},
    (3, 14): {"polars": "0.20.0", "pyarrow": "22.0.0", "pandas": "2.3.3", "duckdb": "1.4.2"},
}
VERSIONS = OLDEST[min(sys.version_info[:2], max(OLDEST))]
#: What the libraries need and older systems have not.
BESIDE = ["numpy<2" if sys.version_info < (3, 13) else "numpy", "tzdata"]
_OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|ProxyError|ConnectTimeout|ReadTimeout|Connection refused"
)
_DAYS = (date(2026, 3, 5), date(2026, 3, 6))


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of an environment with the oldest versions; made once beside this one's packages."""
    pins = [*(f"{name}=={version}" for name, version in VERSIONS.items()), *BESIDE]
    folder = Path(sys.prefix) / "oldest-readers"
    made = folder / "made.json"
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if made.exists() and json.loads(made.read_text()) == pins:
            return python
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        done = subprocess.run([*pip, "--only-binary", ":all:", *pins], capture_output=True, text=True, check=False)
        if done.returncode and _OFFLINE.search(done.stderr):
            pytest.skip("the package registry cannot be reached, from which old versions of readers come")
        assert done.returncode == 0, done.stderr
        made.write_text(json.dumps(pins))
    return python


@pytest.fixture
def lake(tmp_path: Path) -> EventsTable:
    table = EventsTable(str(tmp_path / "lake"), promoted=[PromotedColumn("amount", "number")])
    asked = ExportProvenance(requested_at=datetime(2026, 6, 1, tzinfo=UTC), window=Window(_DAYS[0], _DAYS[1], "UTC"))
    list(ingest([json.dumps(event).encode() + b"\n" for event in _events()], table, asked))
    return table


def _events() -> list[dict[str, object]]:
    common = {"plan": "pro", "n": [1, 2**53 + 1]}
    return [
        {"event": "Visit", "properties": {"time": _ms(_DAYS[0]), "distinct_id": "anna", **common, "amount": 2.5}},
        {"event": "Visit", "properties": {"time": _ms(_DAYS[1]), "distinct_id": "Jürgen 🦊", **common}},
    ]


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("library", "string"),
    [("polars", ("String", "Utf8")), ("pyarrow", ("string",)), ("pandas", ("str",)), ("duckdb", ("VARCHAR",))],
)
def test_the_oldest_version_of_a_reader_reads_every_row_with_properties_as_a_string(
    python: Path, lake: EventsTable, library: str, string: tuple[str, ...]
) -> None:
    script = Path(__file__).with_name("read.py")
    done = subprocess.run(
        [str(python), "-I", str(script), library, lake.uri], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    columns = ("event_name", "distinct_id", "properties", "amount")
    today = lake.scan().sort("time").select(columns).collect().rows()
    expected = [[name, _ms(day), *others, str(day)] for day, (name, *others) in zip(_DAYS, today, strict=True)]
    assert found["rows"] == expected
    assert found["properties"] in string
    assert found["plans"] in (None, ["pro", "pro"])
    assert found["version"] == VERSIONS[library]


def test_the_readme_promises_the_versions_that_are_tested() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    oldest = OLDEST[min(OLDEST)]
    names = {"polars": "Polars 0.20", "pyarrow": "pyarrow 12", "pandas": "pandas 2.0", "duckdb": "DuckDB 0.10"}
    for library, promised in names.items():
        assert promised in readme
        assert oldest[library].startswith(promised.rpartition(" ")[2] + ".")

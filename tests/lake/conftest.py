"""A lake of the test's own, and the promise that no test leaves a draft or a temporary file behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mixpanel_etl.lake import EventsTable

from .exports import files

# Fixtures that stay the same for all examples are meant to.
settings.register_profile(
    "lake",
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
settings.load_profile("lake")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's temporary folder; nothing may remain in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert files(folder) == []


@pytest.fixture
def lake(tmp_path: Path, scratch: Path) -> Iterator[Path]:
    """The folder of a lake; no draft may remain in it."""
    folder = tmp_path / "lake"
    yield folder
    assert files(folder / ".drafts") == []


@pytest.fixture
def table(lake: Path) -> EventsTable:
    return EventsTable(str(lake))

"""A file on the disk appears whole or not at all, and nothing is left of what failed."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mixpanel_etl.lake import EventsTable
from mixpanel_etl.lake.storage import ABSENT, Disk, storage

from .exports import DAY, files, line, pull

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(lake: Path) -> Disk:
    return Disk(lake)


def test_a_draft_is_visible_only_when_published(disk: Disk, lake: Path) -> None:
    with disk.draft("x") as draft:
        Path(draft.path).write_bytes(b"whole")
        assert disk.names("t", ".parquet") == []
        draft.publish("t/d/f.parquet")
        assert disk.names("t", ".parquet") == ["t/d/f.parquet"]
    assert files(lake) == ["t/d/f.parquet"]
    assert disk.open("t/d/f.parquet").read() == b"whole"


def test_a_draft_that_is_not_published_leaves_nothing(disk: Disk, lake: Path) -> None:
    with disk.draft("x") as draft:
        Path(draft.path).write_bytes(b"half")
    assert files(lake) == []


def test_drafts_that_are_being_written_survive_the_sweep_of_others(disk: Disk, lake: Path) -> None:
    with disk.draft("one") as one, disk.draft("two") as two:
        assert Path(one.path).exists()
        assert Path(two.path).exists()
        with Disk(lake).draft("three"):
            assert len(files(lake / ".drafts")) == 3


def test_drafts_of_killed_processes_are_swept(disk: Disk, lake: Path) -> None:
    (lake / ".drafts").mkdir(parents=True)
    (lake / ".drafts" / "2026-03-05.abcdef").write_bytes(b"half")
    with disk.draft("x"):
        assert len(files(lake / ".drafts")) == 1


def test_what_cannot_be_swept_is_no_obstacle(table: EventsTable, lake: Path) -> None:
    (lake / ".drafts" / "a folder").mkdir(parents=True)
    assert pull(table, [line()])[0].rows == 1


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0o027, 0o640)])
def test_published_files_have_the_permissions_of_the_umask(lake: Path, umask: int, mode: int) -> None:
    worker = Path(__file__).with_name("worker.py")
    plan = {"lake": str(lake), "later": 0, "days": 1, "rows": 1}
    subprocess.run([sys.executable, worker, json.dumps(plan)], umask=umask, check=True, capture_output=True)
    path = lake / f"events/date={DAY}/events.parquet"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(path.parent.stat().st_mode) == mode | (mode & 0o444) >> 2


def test_the_probe_leaves_nothing(disk: Disk, lake: Path) -> None:
    disk.probe()
    assert files(lake) == []


def test_the_probe_says_why_a_lake_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        storage(str(tmp_path / "file" / "lake")).probe()


def test_a_scratch_file_has_no_name(disk: Disk, lake: Path) -> None:
    with disk.scratch() as file:
        file.write(b"much")
        assert files(lake) == []


def test_a_path_may_be_relative_or_of_the_home_folder(
    lake: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage("lake").uri("x") == storage("~/lake").uri("x") == str(lake / "x")


def test_a_file_is_compared_and_replaced_without_anyone_between(
    disk: Disk, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    original = Path.replace

    def replace(self: Path, target: Path) -> Path:
        seen.append(_locked(lake / "t"))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    disk.write("t/f", b"one", ABSENT)
    disk.write("t/f", b"two")
    assert seen == [True, True]
    assert not _locked(lake / "t")


def _locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)

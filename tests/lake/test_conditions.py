"""Writes with a condition, on a disk and in a bucket alike: no process undoes what it has not seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mixpanel_etl.lake import retry_pauses as waiting
from mixpanel_etl.lake.disk import locked
from mixpanel_etl.lake.errors import ConditionsIgnored, LockTimeout, WriteConflict
from mixpanel_etl.lake.storage import S3, Disk, Storage, storage
from mixpanel_etl.lake.storage_protocol import ABSENT

from .rivals import run_rivals
from .s3_server import S3Server


@pytest.fixture(params=["disk", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "lake") if request.param == "disk" else str(request.getfixturevalue("s3_lake"))


@pytest.fixture
def store(uri: str) -> Storage:
    return storage(uri)


def write(store: Storage, name: str, content: bytes, expected: str | None = None) -> str:
    return store.write(name, content, expected)


def publish(store: Storage, name: str, content: bytes, expected: str | None = None) -> str:
    with store.draft("x") as draft:
        Path(draft.path).write_bytes(content)
        return draft.publish(name, expected)


def publish_large(store: Storage, name: str, content: bytes, expected: str | None = None) -> str:
    """In several parts, where there are any."""
    return publish(store, name, content + b"." * (17 << 20), expected)


@pytest.mark.parametrize("act", [write, publish, publish_large])
def test_a_file_is_created_once_and_replaced_only_as_it_was_read(store: Storage, act: Callable[..., str]) -> None:
    first = act(store, "t/f", b"one", ABSENT)
    assert store.version("t/f") == first
    with pytest.raises(WriteConflict, match="t/f was changed by another process"):
        act(store, "t/f", b"two", ABSENT)
    second = act(store, "t/f", b"two", first)
    assert second != first
    with pytest.raises(WriteConflict):
        act(store, "t/f", b"three", first)
    content, version = store.read("t/f")
    assert (content[:3], version) == (b"two", second)
    with pytest.raises(WriteConflict):
        act(store, "t/g", b"three", first)
    assert store.version("t/g") == ABSENT
    assert store.names("", "") == ["t/f"]


def test_a_refused_upload_in_parts_leaves_no_parts(s3_lake: str) -> None:
    store = storage(s3_lake)
    assert isinstance(store, S3)
    with pytest.raises(WriteConflict):
        publish_large(store, "t/f", b"", '"d41d8cd98f00b204e9800998ecf8427e"')
    assert "Uploads" not in store.fs.call_s3("list_multipart_uploads", Bucket="events")


def test_a_removal_spares_what_replaced_the_file(store: Storage) -> None:
    first = store.write("t/f", b"one")
    second = store.write("t/f", b"two")
    with pytest.raises(WriteConflict):
        store.remove("t/f", first)
    store.remove("t/f", second)
    store.remove("t/f", second)
    assert store.version("t/f") == ABSENT


def test_a_file_that_is_written_at_the_same_tick_of_the_clock_has_another_version(tmp_path: Path) -> None:
    store = Disk(tmp_path)
    versions = [store.write("f", b"x") for _ in range(200)]
    assert len(set(versions)) == 200
    times = [int(version.split()[1]) for version in versions]
    assert times == sorted(set(times))


def test_an_update_sees_what_others_wrote_between(store: Storage) -> None:
    seen: list[bytes | None] = []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        if len(seen) < 3:
            store.write("t/f", b"other" * len(seen))
        return (content or b"") + b"!"

    assert store.update("t/f", change) == b"otherother!"
    assert seen == [None, b"other", b"otherother"]
    assert store.read("t/f")[0] == b"otherother!"
    assert store.update("t/f", lambda _: None) == b"otherother!"


@pytest.mark.parametrize(("act", "lost"), [(write, "PUT"), (publish_large, "POST")])
def test_a_write_whose_answer_was_lost_is_neither_made_twice_nor_taken_for_another(
    s3_server: S3Server, s3_lake: str, act: Callable[..., str], lost: str
) -> None:
    store = storage(s3_lake)
    first = store.write("t/f", b"one", ABSENT)
    answers: list[str] = []

    def loses(method: str, path: str, query: dict[str, list[str]]) -> bool:
        if method == lost and "uploads" not in query and not answers:
            answers.append(path)
            return True
        return False

    s3_server.lost = loses
    second = act(store, "t/f", b"two", first)
    assert answers
    content, version = store.read("t/f")
    assert (content[:3], version) == (b"two", second)


def test_a_probe_of_conditions_leaves_nothing(store: Storage) -> None:
    store.probe_conditions()
    assert store.names("", "") == []


@pytest.mark.parametrize("ignored", ["all", "of parts"])
def test_a_bucket_that_ignores_conditions_is_found_out(s3_server: S3Server, s3_lake: str, ignored: str) -> None:
    s3_server.ignores_conditions = lambda query: ignored == "all" or "uploadId" in query
    with pytest.raises(ConditionsIgnored, match=r"s3://events/.* ignores the conditions of writes"):
        storage(s3_lake).probe_conditions()
    assert storage(s3_lake).names("", "") == []


def append(rank: int, uri: str, times: int) -> None:
    store = storage(uri)
    for number in range(times):

        def change(content: bytes | None, entry: tuple[int, int] = (rank, number)) -> bytes:
            return json.dumps([*json.loads(content or b"[]"), entry]).encode()

        store.update("t/f", change)


@pytest.mark.slow
def test_the_updates_of_two_processes_are_all_kept(uri: str) -> None:
    run_rivals(append, uri, 15)
    kept = json.loads(storage(uri).read("t/f")[0])
    assert sorted(kept) == [[rank, n] for rank in range(2) for n in range(15)]


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(store: Storage) -> None:
    store.write("t/f", b"1" * (3 << 20))
    looks: list[bytes] = []

    def act(file: object) -> bytes:
        looks.append(file.read(1))  # type: ignore[attr-defined]
        if len(looks) == 1:
            store.write("t/f", b"2" * (3 << 20))
        return bytes(looks[-1] + file.read())  # type: ignore[attr-defined]

    assert set(store.read_with("t/f", act)) in ({ord("1")}, {ord("2")})
    with store.snapshot("t/f") as file:
        store.write("t/f", b"3")
        assert file.read() == b"2" * (3 << 20)
    with pytest.raises(FileNotFoundError):
        store.read("t/g")


def test_a_lock_that_is_held_for_too_long_is_announced_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mixpanel_etl.lake.disk.LOCK_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "NOTICEABLE", 0.0)
    store = Disk(tmp_path)
    (tmp_path / "t").mkdir()
    with locked(tmp_path / "t"):
        with pytest.raises(LockTimeout, match=rf"t has been locked by process {os.getpid()} for more than 0 s"):
            store.write("t/f", b"x", ABSENT)
        monkeypatch.setattr("mixpanel_etl.lake.disk.LOCK_SECONDS", 0.01)
        with pytest.raises(LockTimeout):
            store.write("t/f", b"x", ABSENT)
    assert f"is locked by process {os.getpid()}" in caplog.text
    store.write("t/f", b"x", ABSENT)

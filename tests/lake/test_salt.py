"""The secret of a lake: made once, by whichever process is first, and never replaced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mixpanel_etl.lake.errors import DamagedSalt
from mixpanel_etl.lake.storage import Storage, storage
from mixpanel_etl.lake.suppression import entry_name, hasher

from .rivals import run_rivals

pytestmark = pytest.mark.slow


def note_hashes(rank: int, lake: str, lakes: int) -> None:
    for number in range(lakes):
        store = storage(f"{lake}/{number}")
        store.write(f"hash-{rank}", hasher(store)("a-person").encode())


def test_two_processes_that_begin_at_once_have_one_salt(tmp_path: Path) -> None:
    run_rivals(note_hashes, str(tmp_path), 20)
    for number in range(20):
        store = storage(f"{tmp_path}/{number}")
        hashes = {store.read(f"hash-{rank}")[0].decode() for rank in range(2)}
        assert hashes == {hasher(store)("a-person")}


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_salt_that_another_process_creates_meanwhile_is_the_one(
    request: pytest.FixtureRequest, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = str(tmp_path) if place == "disk" else request.getfixturevalue("s3_lake")
    others: list[str] = []
    write = type(storage(lake)).write

    def second(store: Storage, name: str, content: bytes, expected: str | None = None) -> str:
        if not others:
            others.append("")
            others[0] = hasher(storage(lake))("a-person")
        return write(store, name, content, expected)

    monkeypatch.setattr(type(storage(lake)), "write", second)
    assert [hasher(storage(lake))("a-person")] == others


@pytest.mark.parametrize("salt", [b"", b"short"])
def test_a_damaged_salt_is_not_replaced(tmp_path: Path, salt: bytes) -> None:
    store = storage(str(tmp_path))
    store.write("_suppression/salt", salt)
    with pytest.raises(DamagedSalt, match=rf"_suppression/salt has {len(salt)} bytes instead of 32\. .* backup"):
        hasher(store)
    assert store.read("_suppression/salt")[0] == salt


def test_a_salt_that_was_lost_is_not_replaced_while_persons_are_suppressed(tmp_path: Path) -> None:
    store = storage(str(tmp_path))
    store.write(entry_name([hasher(store)("x")], datetime.now(UTC) + timedelta(days=1)), b"[]")
    store.remove("_suppression/salt")
    with pytest.raises(DamagedSalt, match="is missing, though 1 entries were made with it"):
        hasher(store)
    assert store.names("_suppression", "/salt") == []

"""Work that one process does at a time, on a disk and in a bucket, and what becomes of it when that process dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.lake import leases
from mixpanel_etl.lake import retry_pauses as waiting
from mixpanel_etl.lake.errors import LeaseHeld, LeaseLost
from mixpanel_etl.lake.leases import lease
from mixpanel_etl.lake.storage import Storage, storage

from .rivals import run_rivals

pytestmark = pytest.mark.slow

_CONTEXT = multiprocessing.get_context("spawn")


@pytest.fixture(params=["disk", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "lake") if request.param == "disk" else str(request.getfixturevalue("s3_lake"))


@pytest.fixture
def store(uri: str) -> Storage:
    return storage(uri)


def test_the_second_comer_is_told_who_holds_a_lease(
    store: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "NOTICEABLE", 0.0)
    told = f"push/buyers is held by process {os.getpid()} on {socket.gethostname()}, run abc, since 20"
    with lease(store, "push/buyers", run="abc") as held:
        held.check()
        with pytest.raises(LeaseHeld, match=told), lease(store, "push/buyers", wait=0.01):
            raise AssertionError("two at once")
        with lease(store, "push/others", wait=0):
            pass
    assert told in caplog.text
    with lease(store, "push/buyers", wait=0):
        pass


def test_a_lease_is_given_back_after_a_failure(store: Storage) -> None:
    with pytest.raises(ZeroDivisionError), lease(store, "x"):
        raise ZeroDivisionError
    with lease(store, "x", wait=0):
        pass


def test_a_lease_on_a_disk_leaves_no_file(tmp_path: Path) -> None:
    store = storage(str(tmp_path))
    with lease(store, "a/b"):
        assert store.names("", ".json") == ["_leases/a%2Fb.json"]
    assert store.names("", "") == []


def count(rank: int, uri: str, times: int) -> None:
    """Count in a way that loses what another process counts at the same time."""
    store = storage(uri)
    for _ in range(times):
        with lease(store, "counter"):
            content = int(store.read("count")[0]) if "count" in store.names("", "count") else 0
            store.write("count", str(content + 1).encode())


def test_two_processes_never_hold_a_lease_at_once(uri: str) -> None:
    run_rivals(count, uri, 8)
    assert storage(uri).read("count")[0] == b"16"


def hold(uri: str, connection: Any) -> None:
    with lease(storage(uri), "x", run="killed"):
        connection.send("held")
        connection.recv()


def test_the_lease_of_a_killed_process_is_free_again(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=hold, args=(uri, theirs))
    process.start()
    assert ours.recv() == "held"
    store = storage(uri)
    with pytest.raises(LeaseHeld, match=f"process {process.pid} .* run killed"), lease(store, "x", wait=0):
        pass
    process.kill()
    process.join()
    if uri.startswith("s3:"):
        # A bucket does not see that a process has died: only that it stops to renew.
        content = json.loads(store.read("_leases/x.json")[0])
        assert content["seconds"] == leases.LEASE_SECONDS
        store.write("_leases/x.json", json.dumps({**content, "seconds": 0}).encode())
    with lease(store, "x", wait=5) as held:
        held.check()
    assert ("is taken over" in caplog.text) == uri.startswith("s3:")


def test_a_holder_whose_lease_was_taken_over_stops_before_its_next_act(
    s3_lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.001)
    store = storage(s3_lake)

    def act_until_told() -> None:
        with lease(store, "x") as held:
            store.write("_leases/x.json", b'{"host": "other"}')
            while True:
                held.check()

    with pytest.raises(LeaseLost, match="lease of x was lost: another process took it over"):
        act_until_told()
    assert store.read("_leases/x.json")[0] == b'{"host": "other"}'


def test_a_holder_that_can_not_renew_its_lease_stops_before_another_can_take_it(
    s3_lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", leases._MARGIN_SECONDS)
    checked = []

    def act() -> None:
        with lease(storage(s3_lake), "x") as held:
            with pytest.raises(LeaseLost, match="could not be renewed"):
                held.check()
            checked.append(held)

    with pytest.raises(LeaseLost):  # and once more on leaving
        act()
    assert checked


def test_a_lease_is_renewed_while_it_is_held(s3_lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.001)
    store = storage(s3_lake)
    with lease(store, "x") as held:
        first = store.version("_leases/x.json")
        while store.version("_leases/x.json") == first:
            held.check()

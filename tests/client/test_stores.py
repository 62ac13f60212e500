"""The three places where processes keep count behave alike: a file, a real PostgreSQL, a real Redis."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from filelock import FileLock
from pyrate_limiter import Rate, RateItem

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.client.limits.stores import Bucket, Store, open_store
from mixpanel_etl.client.limits.stores import file as file_store
from mixpanel_etl.client.limits.stores.file import FileStore
from mixpanel_etl.formats import FormatTooNew
from mixpanel_etl.settings import Settings

from .scripted import FakeClock

WORKER = Path(__file__).with_name("worker.py")
RATES = [Rate(2, 1000), Rate(3, 3_600_000)]


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses in the same server."""
    return f"k{abs(hash(request.node.nodeid)):x}"


@pytest.fixture
def open_one(location: str) -> Iterator[Callable[[], Store]]:
    """Opens the same store once more, as another process would."""
    opened: list[Store] = []

    def open_it() -> Store:
        opened.append(open_store(location, lambda: datetime.now(UTC)))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


def put(bucket: Bucket) -> bool:
    return bucket.put(RateItem("x", bucket.now()))


def test_what_one_process_counts_the_other_sees(open_one: Callable[[], Store], key: str) -> None:
    one, other = (open_one().bucket(key, RATES) for _ in range(2))
    assert put(one)
    assert put(other)
    assert not put(one)
    assert not put(other)
    assert one.count() == other.count() == 2
    newest = one.peek(0)
    assert newest is not None
    assert abs(newest.timestamp - one.now()) < 60_000


def test_buckets_of_other_names_are_not_touched(open_one: Callable[[], Store], key: str) -> None:
    store = open_one()
    assert put(store.bucket(key, [Rate(1, 3_600_000)]))
    assert not put(store.bucket(key, [Rate(1, 3_600_000)]))
    assert put(store.bucket(key + "other", [Rate(1, 3_600_000)]))


def test_threads_that_put_at_once_never_exceed_the_limit(open_one: Callable[[], Store], key: str) -> None:
    stores = [open_one() for _ in range(3)]
    admitted: list[bool] = []

    def put_ten(store: Store) -> None:
        for _ in range(10):
            admitted.append(put(store.bucket(key, [Rate(7, 3_600_000)])))

    threads = [Thread(target=put_ten, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 30
    assert 0 < admitted.count(True) <= 7
    assert stores[0].bucket(key, [Rate(7, 3_600_000)]).count() == admitted.count(True)


def test_a_place_can_be_taken_once_and_again_when_given_back(open_one: Callable[[], Store], key: str) -> None:
    one, other = open_one(), open_one()
    first, second = one.take_place(key, 2), other.take_place(key, 2)
    assert first is not None
    assert second is not None
    assert one.take_place(key, 2) is None
    assert other.take_place(key, 2) is None
    first()
    again = other.take_place(key, 2)
    assert again is not None
    assert one.take_place(key, 2) is None


def test_the_place_of_a_killed_process_is_free_again(open_one: Callable[[], Store], location: str, key: str) -> None:
    process = start("hold_place", location, key, 1)
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    store = open_one()
    assert store.take_place(key, 1) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    if location.startswith("redis"):
        assert 0 < lease_of(location, key) <= 30_000  # Redis frees it by itself, if the lease is not renewed
    else:
        assert until_not_none(lambda: store.take_place(key, 1)) is not None


def test_a_redis_place_is_renewed_while_its_holder_lives(
    redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixpanel_etl.client.limits.stores import redis

    monkeypatch.setattr(redis, "RENEWAL", 0.01)
    store = open_store(redis_url, lambda: datetime.now(UTC))
    assert store.take_place(key, 1) is not None
    before = lease_of(redis_url, key)
    assert until_not_none(lambda: lease_of(redis_url, key, set_to=5000) > 5000 or None)
    assert lease_of(redis_url, key) <= before + 1000
    store.close()


def test_a_restarted_redis_is_at_home_again(redis_url: str, key: str) -> None:
    import redis

    store = open_store(redis_url, lambda: datetime.now(UTC))
    bucket = store.bucket(key, RATES)
    redis.Redis.from_url(redis_url).script_flush()
    assert put(bucket)
    store.close()


def test_a_damaged_file_is_put_aside_and_counting_goes_on(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "budget.sqlite"
    path.write_bytes(b"this was a database" * 1000)
    store = FileStore(path, lambda: datetime.now(UTC))
    assert put(store.bucket(key, RATES))
    (aside,) = tmp_path.glob("budget.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"this was a database")
    assert "damaged" in caplog.text
    store.close()


def test_a_file_damaged_while_in_use_is_put_aside_too(tmp_path: Path, key: str) -> None:
    path = tmp_path / "budget.sqlite"
    one, other = (FileStore(path, lambda: datetime.now(UTC)) for _ in range(2))
    assert put(one.bucket(key, RATES))
    assert put(other.bucket(key, RATES))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 20_000)
    assert put(one.bucket(key, RATES))
    assert put(other.bucket(key, RATES))
    assert not put(one.bucket(key, RATES))
    for store in (one, other):
        store.close()


@pytest.mark.parametrize("act", ["put", "peek", "count", "leak"])
@pytest.mark.parametrize("damaged", ["table", "index"])
def test_a_page_damaged_after_the_file_was_opened_is_repaired_and_no_request_forgotten(
    tmp_path: Path, key: str, act: str, damaged: str
) -> None:
    path = tmp_path / "budget.sqlite"
    rates = [Rate(2_000, 3_600_000)]
    store = FileStore(path, lambda: datetime.now(UTC))
    bucket = store.bucket(key, rates)
    assert bucket.put(RateItem("x", bucket.now(), 1_990))
    another = FileStore(path, lambda: datetime.now(UTC))
    buckets = [bucket, another.bucket(key, rates)]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE type = ?", [damaged]).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    for one in (another, store):
        one._buckets[key].conn.execute("PRAGMA shrink_memory")  # its pages have to be read again
    for found in (buckets[1], buckets[0]):
        calls: dict[str, Callable[[], object]] = {
            "put": lambda found=found: found.put(RateItem("x", found.now(), 1)),  # type: ignore[misc]
            "peek": lambda found=found: found.peek(3),  # type: ignore[misc]
            "count": found.count,
            "leak": lambda found=found: found.leak(found.now() - 3_600_000),  # type: ignore[misc]
        }
        calls[act]()
    assert 1_990 <= another.bucket(key, rates).count() <= 1_992
    assert not put_many(another.bucket(key, rates), 11)
    for one in (another, store):
        one.close()


def put_many(bucket: Bucket, weight: int) -> bool:
    return bucket.put(RateItem("x", bucket.now(), weight))


def test_a_file_that_a_stopped_process_locks_is_announced_and_given_up(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_store, "NOTICEABLE", 0.0)
    monkeypatch.setattr(file_store, "LOCK_SECONDS", 0.0)
    store = FileStore(tmp_path / "budget.sqlite", lambda: datetime.now(UTC))
    with (
        FileLock(tmp_path / "budget.sqlite.lock"),
        pytest.raises(TimeoutError, match=r"budget\.sqlite has been locked by another process"),
    ):
        store.bucket(key, RATES)
    assert "is locked" in caplog.text
    assert put(store.bucket(key, RATES))
    store.close()


def test_a_deleted_file_is_made_anew_for_all_processes(tmp_path: Path, key: str) -> None:
    path = tmp_path / "budget.sqlite"
    one, other = (FileStore(path, lambda: datetime.now(UTC)) for _ in range(2))
    assert put(one.bucket(key, RATES))
    assert put(other.bucket(key, RATES))
    for part in tmp_path.glob("budget.sqlite*"):
        part.unlink()
    assert put(one.bucket(key, RATES))
    assert put(other.bucket(key, RATES))
    assert not put(one.bucket(key, RATES))
    for store in (one, other):
        store.close()


def test_a_clock_that_was_a_day_ahead_does_not_block_for_a_day(tmp_path: Path, key: str, clock: FakeClock) -> None:
    store = FileStore(tmp_path / "budget.sqlite", clock.now)
    clock.elapsed = timedelta(days=1).total_seconds()
    assert put(store.bucket(key, [Rate(1, 3_600_000)]))
    clock.elapsed = 0.0
    assert not put(store.bucket(key, [Rate(1, 3_600_000)]))
    clock.elapsed = 3601.0
    assert put(store.bucket(key, [Rate(1, 3_600_000)]))
    store.close()


def test_a_file_url_is_a_path(tmp_path: Path, key: str) -> None:
    store = open_store(f"file://{tmp_path}/budget.sqlite", lambda: datetime.now(UTC))
    store.bucket(key, RATES)
    assert (tmp_path / "budget.sqlite").exists()
    store.close()


def test_neither_psycopg_nor_redis_is_imported_without_need() -> None:
    code = "import sys, mixpanel_etl.client; print({'psycopg', 'psycopg_pool', 'redis', 'dagster'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def start(what: str, *arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), what, json.dumps(arguments)], stdout=subprocess.PIPE, text=True
    )


def lease_of(url: str, key: str, set_to: int | None = None) -> int:
    """Milliseconds until Redis frees the place; `set_to` shortens it first."""
    import redis

    with redis.Redis.from_url(url) as client:
        name = f"mixpanel_etl:{key}.0"
        if set_to is not None:
            client.pexpire(name, set_to)
        return int(str(client.pttl(name)))


def until_not_none(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    for _ in range(100_000):
        if (found := look()) is not None:
            return found
    return None


def set_format(location: str, version: int) -> None:
    """Make the budget one of another version of this package."""
    if location.startswith("postgres"):
        import psycopg

        with psycopg.connect(location, autocommit=True) as connection:
            connection.execute("UPDATE mixpanel_etl_budget SET format = %s", (version,))
    elif location.startswith("redis"):
        from redis import Redis

        with Redis.from_url(location) as connection:
            connection.set("mixpanel_etl:format", version)
    else:
        with closing(sqlite3.connect(location)) as file:
            file.execute(f"PRAGMA user_version = {version}")


def test_a_budget_of_a_newer_package_is_rejected(open_one: Callable[[], Store], location: str, key: str) -> None:
    assert put(open_one().bucket(key, RATES))
    set_format(location, 2)
    try:
        with pytest.raises(FormatTooNew, match=r"^the budget .* has format 2, .*update the package"):
            open_one().bucket(key, RATES)
    finally:
        set_format(location, 1)
    assert open_one().bucket(key, RATES).count() == 1


def test_a_client_says_that_the_budget_is_of_a_newer_package(tmp_path: Path) -> None:
    location = tmp_path / "budget.sqlite"
    with closing(sqlite3.connect(location)) as file:
        file.execute("PRAGMA user_version = 7")
    settings = Settings(_env_file=None, project_id=1, base_url="http://127.0.0.1:9", budget_url=str(location))
    with Mixpanel(settings) as client, pytest.raises(FormatTooNew, match=f"the budget file {location} has format 7"):
        client.budget("export")

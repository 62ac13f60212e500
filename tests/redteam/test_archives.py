"""Malicious archives: a person's folder is complete or missing, and no other person waits for it."""

from __future__ import annotations

import io
import json
import os
import resource
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixpanel_etl.client import Gdpr
from mixpanel_etl.gdpr import archives
from mixpanel_etl.gdpr.archives import BadArchive, Bounds
from mixpanel_etl.gdpr.data_subject_requests import Request
from mixpanel_etl.gdpr.delivery import Destination, deliver, remove_expired
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Job
from mixpanel_etl.gdpr.progress import progress_of
from mixpanel_etl.gdpr.spool import Key, Spool
from mixpanel_etl.lake.storage import storage

NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)


def packed(files: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def record(person: str, **properties: Any) -> bytes:
    return json.dumps({"event": "Visit", "properties": {"distinct_id": person, **properties}}).encode() + b"\n"


class Outbox:
    """Retrievals that have ended in SUCCESS, and the bytes behind the links of their jobs."""

    def __init__(self, root: Path, uri: str = "") -> None:
        self.path = root / "outbox"
        self.ledger = Ledger(str(root / "lake"))
        self.to = Destination(uri or str(self.path), timedelta(days=14))
        self._archives: dict[str, bytes] = {}

    def retrieval(self, archive: bytes, *people: str) -> None:
        """One job for some people, whose requests have their names."""
        number = f"job-{len(self._archives)}"
        self._archives[number] = archive
        for one in people:
            request = Request(request_id=f"R-{one}", kind="retrieval", ids=(one,), requested_at=NOW)
            self.ledger.add(Entry(request=request, fingerprint="0", received_at=NOW, ids=(one,), expanded_at=NOW))
        self.ledger.add_job(
            Job(
                job_id=number,
                kind="retrieval",
                compliance="GDPR",
                disclosure="Data",
                request_ids=tuple(f"R-{one}" for one in people),
                id_count=len(people),
                intended_at=NOW,
                tracking_id=number,
                status="SUCCESS",
                ended_at=NOW,
            )
        )

    def get_retrieval(self, tracking_id: str) -> Any:
        return SimpleNamespace(status="SUCCESS", link=tracking_id)

    @contextmanager
    def download(self, link: str) -> Iterator[Any]:
        yield _Chunks(self._archives[link])

    def deliver(self) -> tuple[list[str], list[Exception]]:
        progress = progress_of(self.ledger.entries(), self.ledger.jobs())
        done, errors = deliver(self.ledger, cast(Gdpr, self), progress, self.to, NOW)
        return [entry.request_id for entry in done], errors

    def files(self) -> dict[str, int]:
        """Everything that is in the outbox, drafts included."""
        return {
            str(path.relative_to(self.path)): path.stat().st_size for path in self.path.rglob("*") if path.is_file()
        }


class _Chunks:
    def __init__(self, content: bytes) -> None:
        self.headers: Mapping[str, str] = {}
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        return (self._content[start : start + 65536] for start in range(0, len(self._content), 65536))


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


@contextmanager
def few_open_files() -> Iterator[None]:
    """A process that may open forty files more than it has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_archive_of_thousands_of_files_takes_a_handful_of_descriptors(outbox: Outbox) -> None:
    outbox.retrieval(packed([(f"{n % 7}/{n}.jsonl", b"{}\n") for n in range(1300)]), "anna")
    outbox.retrieval(packed([(f"{n}.jsonl", record("ben") + record("carl")) for n in range(150)]), "ben", "carl")
    outbox.retrieval(
        packed([("e.jsonl", b"".join(record(f"p{n % 60}") for n in range(120)))]), *map("p{}".format, range(60))
    )
    with few_open_files():
        done, errors = outbox.deliver()
    assert (len(done), errors) == (63, [])
    files = outbox.files()
    assert sum(name.startswith("R-anna/") for name in files) == 1300
    assert files["R-ben/149.jsonl"] == len(record("ben"))
    assert files["R-p7/e.jsonl"] == 2 * len(record("p7"))
    assert not [name for name in files if name.startswith(".")]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "no file in it"),
        ([("folder/", b"")], "no file in it"),
        ([("a", b"1"), ("a/b", b"2")], "a file and a folder of one name"),
        ([("a/b", b"2"), ("A", b"1")], "a file and a folder of one name"),
        ([("a/", b""), ("a", b"1")], "a file and a folder of one name"),
        ([("a", b"1"), ("./a", b"2")], "several files of one name"),
        ([("a/b", b"1"), ("a//b", b"2")], "several files of one name"),
        ([("straße", b"1"), ("STRASSE", b"2")], "several files of one name"),
        ([("é", b"1"), ("e\u0301", b"2")], "several files of one name"),
        ([("..", b"1")], "leads elsewhere"),
        ([(".", b"1")], "leads elsewhere"),
        ([("//etc/x", b"1")], "leads elsewhere"),
        ([("é" * 200, b"1")], "leads elsewhere"),
    ],
)
def test_an_archive_that_does_not_fit_into_a_folder_is_not_delivered_at_all(
    outbox: Outbox, files: list[tuple[str, bytes]], said: str
) -> None:
    outbox.retrieval(packed(files), "anna")
    outbox.retrieval(packed([("events.jsonl", record("ben"))]), "ben")
    done, (error,) = outbox.deliver()
    assert said in str(error)
    assert done == ["R-ben"]
    assert list(outbox.files()) == ["R-ben/events.jsonl"]


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_method_whose_header_demands_memory_is_not_unpacked(outbox: Outbox, method: int) -> None:
    outbox.retrieval(packed([("a", b"x" * 1000)], method), "anna")
    _, (error,) = outbox.deliver()
    assert "deflate" in str(error)


def test_a_directory_that_is_longer_than_its_files_need_is_not_read() -> None:
    content = packed([(f"{n}/" + "x" * 200, b"") for n in range(20)])
    with pytest.raises(BadArchive, match="directory is longer"):
        archives.checked(io.BytesIO(content), Bounds(files=5))


@pytest.mark.parametrize("kind", ["tar.gz", "gz", "7z"])
def test_another_kind_of_archive_says_that_only_zip_is_taken(outbox: Outbox, kind: str) -> None:
    outbox.retrieval({"tar.gz": b"\x1f\x8b\x08ustar", "gz": b"\x1f\x8b\x08", "7z": b"7z\xbc\xaf"}[kind], "anna")
    _, (error,) = outbox.deliver()
    assert "only ZIP is supported" in str(error)


def test_a_packed_file_inside_a_shared_archive_is_held_back_and_inside_ones_own_handed_out(outbox: Outbox) -> None:
    inner = packed([("x", record("anna"))])
    outbox.retrieval(packed([("inner.gz", inner)]), "ben", "carl")
    outbox.retrieval(packed([("inner.gz", inner)]), "anna")
    done, (error,) = outbox.deliver()
    assert "names none of them" in str(error)
    assert (done, outbox.files()) == (["R-anna"], {"R-anna/inner.gz": len(inner)})


def test_a_line_is_read_once_however_many_chunks_it_has() -> None:
    looked_at = 0

    class Counted(bytes):
        def split(self, *args: Any, **options: Any) -> Any:
            nonlocal looked_at
            looked_at += len(self)
            return super().split(*args, **options)

    chunks = [Counted(b"x" * 1000) for _ in range(500)] + [Counted(b"a\nb\n\nc")]
    assert list(archives.lines(chunks)) == [b"x" * 500_000 + b"a", b"b", b"", b"c"]
    assert looked_at == 500_006
    with pytest.raises(BadArchive, match="more than 9,999 bytes"):
        list(archives.lines([b"x" * 1000] * 500, Bounds(line=9_999)))


@pytest.mark.parametrize(
    "line", [b"[" * 5000 + b"]" * 5000, b'{"properties":' * 5000, b'{"distinct_id": ' + b"1" * 5000 + b"}"]
)
def test_a_record_nobody_can_read_holds_its_own_archive_back_only(outbox: Outbox, line: bytes) -> None:
    outbox.retrieval(packed([("e", record("anna") + line + b"\n")]), "anna", "ben")
    outbox.retrieval(packed([("e", record("carl"))]), "carl")
    done, (error,) = outbox.deliver()
    assert isinstance(error, BadArchive)
    assert (done, list(outbox.files())) == (["R-carl"], ["R-carl/e"])


def test_an_id_that_is_a_number_is_found(outbox: Outbox) -> None:
    line = b'{"event": "Visit", "properties": {"distinct_id": 4711}}\n'
    outbox.retrieval(packed([("e", line)]), "4711", "ben")
    done, errors = outbox.deliver()
    assert (len(done), errors) == (2, [])
    assert outbox.files() == {"R-4711/e": len(line), "R-ben/e": 0}


def test_a_folder_that_cannot_be_written_is_not_there_and_the_next_person_gets_theirs(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.retrieval(
        packed([("a", record("anna") + record("ben")), ("b", record("anna") + record("ben"))]), "anna", "ben"
    )
    read, broken = Spool.read, [Key("R-anna", "b")]

    def failing(spool: Spool, key: Key) -> Iterator[bytes]:
        yield from read(spool, key)
        if key in broken:
            raise OSError("no space left on device")

    monkeypatch.setattr(Spool, "read", failing)
    done, (error,) = outbox.deliver()
    assert (done, str(error)) == (["R-ben"], "no space left on device")
    assert sorted(outbox.files()) == ["R-ben/a", "R-ben/b"]
    broken.clear()
    done, errors = outbox.deliver()
    assert (sorted(done), errors) == (["R-anna", "R-ben"], [])
    assert sorted(outbox.files()) == ["R-anna/a", "R-anna/b", "R-ben/a", "R-ben/b"]


def test_data_that_cannot_be_removed_keeps_no_others(outbox: Outbox) -> None:
    for one in ("anna", "ben"):
        outbox.retrieval(packed([("a", record(one))]), one)
    outbox.deliver()
    for entry in outbox.ledger.entries():
        outbox.ledger.change(entry, lambda entry: entry.replace(completed_at=NOW))
    (outbox.path / "R-anna/a").unlink()
    (outbox.path / "R-anna/a").mkdir()  # which can't be removed as a file
    with pytest.raises(OSError, match="R-anna"):
        remove_expired(outbox.ledger, outbox.to, NOW + timedelta(days=15))
    assert outbox.files() == {}
    removed = {entry.request_id for entry in outbox.ledger.closed() if entry.delivery and entry.delivery.removed_at}
    assert removed == {"R-ben"}


def test_what_a_killed_delivery_left_is_removed_by_the_next(outbox: Outbox) -> None:
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        outbox.to.storage.write_folder("R-anna", ((name, _killed(name)) for name in "ab"))
    assert [name for name in outbox.files() if name.startswith(".drafts/")]
    outbox.retrieval(packed([("events.jsonl", record("ben"))]), "ben")
    assert outbox.deliver() == (["R-ben"], [])
    assert list(outbox.files()) == ["R-ben/events.jsonl"]


def _killed(name: str) -> Iterator[bytes]:
    yield b"anna"
    if name == "b":
        os._exit(9)


def test_a_folder_in_a_bucket_has_exactly_the_files_of_the_last_delivery(s3_lake: str, tmp_path: Path) -> None:
    place = storage(f"{s3_lake}/outbox")
    place.write_folder("R-anna", [("old", [b"1"]), ("a/b", [b"1"])])
    place.write_folder("R-annabel", [("a", [b"1"])])
    outbox = Outbox(tmp_path, f"{s3_lake}/outbox")
    outbox.retrieval(packed([("a/b", b"22"), ("c d é", b"333")]), "anna")
    assert outbox.deliver() == (["R-anna"], [])
    assert place.names("", "") == ["R-anna/a/b", "R-anna/c d é", "R-annabel/a"]
    assert place.read("R-anna/a/b")[0] == b"22"


@pytest.mark.parametrize(
    ("bounds", "said"),
    [(Bounds(bytes=99_999), "more than 99,999 bytes"), (Bounds(seconds=-1), "did not arrive within")],
)
def test_a_download_ends_at_its_bounds(outbox: Outbox, bounds: Bounds, said: str) -> None:
    outbox.retrieval(b"x" * 100_000, "anna")
    with (
        pytest.raises(BadArchive, match=said),
        archives.downloaded(cast(Gdpr, outbox), "job-0", outbox.to.storage, bounds),
    ):
        pass
    assert outbox.files() == {}


_NAME = st.one_of(
    st.sampled_from(
        ["a", "A", "a/b", "./a", "a/", "../x", "/x", "a//b", "con", "events.jsonl", "é", "\u202e", ".hidden"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
)
_LINES = st.lists(
    st.sampled_from([record("anna"), record("ben"), b"\n", record("else"), b"{", b"\xff"]), max_size=4
).map(b"".join)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(_NAME, _LINES), max_size=4),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3),
    st.sampled_from([("anna",), ("anna", "ben")]),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_an_archive_is_a_folder_is_whole_or_not_there_and_nothing_is_beside_it(
    files: list[tuple[str, bytes]], damage: list[tuple[int, int]], people: tuple[str, ...]
) -> None:
    content = bytearray(packed(files))
    for position, value in damage:
        content[position % len(content)] = value
    with tempfile.TemporaryDirectory() as root:
        outbox = Outbox(Path(root))
        outbox.retrieval(bytes(content), *people)
        outbox.retrieval(packed([("events.jsonl", record("zoe"))]), "zoe")
        done, errors = outbox.deliver()
        assert done[-1] == "R-zoe"
        assert len(done) == (1 if errors else 1 + len(people))
        delivered = {entry.request_id: entry.delivery for entry in outbox.ledger.entries() if entry.delivery}
        expected = {
            f"{name}/{file}": size for name, delivery in delivered.items() for file, size in delivery.files.items()
        }
        assert outbox.files() == expected
        assert sorted(delivered) == sorted(done)
        assert {path.name for path in Path(root).iterdir()} <= {"lake", "outbox"}
        assert all(str(error) for error in errors)

"""Retrieved data: each request gets the data of its people, from archives that are not trusted."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from mixpanel_etl.gdpr import archives, decisions
from mixpanel_etl.gdpr.archives import BadArchive, Bounds
from mixpanel_etl.gdpr.delivery import deliver, remove_expired
from mixpanel_etl.sandbox import Fault, Sandbox

from .desk import Desk
from .lakes import event

DAY = date(2026, 1, 1)


def load(mixpanel: Sandbox, *people: str) -> None:
    for n, one in enumerate(people):
        mixpanel.load([event(DAY, "Visit", f"v{n}", distinct_id=one)])


def lines(path: Path) -> list[str]:
    return [json.loads(line)["properties"]["distinct_id"] for line in path.read_text().splitlines()]


def test_a_packed_archive_is_taken_apart_by_person(desk: Desk, mixpanel: Sandbox) -> None:
    load(mixpanel, "anna", "anna", "bert", "carl")
    desk.ask("R-1", "anna", kind="retrieval")
    desk.ask("R-2", "bert", "unknown-id", kind="retrieval")
    desk.work()
    (job,) = desk.ledger.jobs()
    assert job.request_ids == ("R-1", "R-2")
    desk.pass_days(2)
    assert desk.work() == []
    assert lines(desk.outbox / "R-1/events.jsonl") == ["anna", "anna"]
    assert lines(desk.outbox / "R-2/events.jsonl") == ["bert"]
    certificate = json.loads(Path(desk.ledger.storage.uri("gdpr/certificates/R-2.json")).read_text())
    assert certificate["delivery"]["files"]["events.jsonl"] == (desk.outbox / "R-2/events.jsonl").stat().st_size
    assert "bert" not in json.dumps(certificate)


def test_who_shared_an_archive_and_is_cancelled_or_served_already_holds_nobody_up(
    desk: Desk, mixpanel: Sandbox
) -> None:
    load(mixpanel, "anna", "bert", "carl")
    for name, one in (("R-1", "anna"), ("R-2", "bert"), ("R-3", "carl")):
        desk.ask(name, one, kind="retrieval")
    desk.work()
    decisions.cancel(desk.ledger, desk.client.gdpr, "R-1", desk.now, by="olga")
    desk.pass_days(2)
    desk.poll()
    finished = [one for one in desk.open() if one.entry.request_id == "R-2"]  # as a run for only this one
    assert deliver(desk.ledger, desk.client.gdpr, finished, desk.destination, desk.now())[1] == []
    assert [path.name for path in desk.outbox.iterdir() if not path.name.startswith(".")] == ["R-2"]
    assert [desk.work(), desk.work()] == [[], []]
    assert [desk.state(name) for name in ("R-1", "R-2", "R-3")] == ["cancelled", "completed", "completed"]
    assert [lines(desk.outbox / name / "events.jsonl") for name in ("R-2", "R-3")] == [["bert"], ["carl"]]
    assert not (desk.outbox / "R-1").exists()


def test_what_another_process_has_delivered_is_not_delivered_again(desk: Desk, mixpanel: Sandbox) -> None:
    load(mixpanel, "anna")
    desk.ask("R-1", "anna", kind="retrieval")
    desk.work()
    desk.pass_days(2)
    desk.poll()
    seen_by_both = desk.open()
    done = [deliver(desk.ledger, desk.client.gdpr, seen_by_both, desk.destination, desk.now())[0] for _ in range(2)]
    assert [len(entries) for entries in done] == [1, 0]


def test_delivered_data_are_removed_when_they_expire(desk: Desk, mixpanel: Sandbox) -> None:
    load(mixpanel, "anna")
    desk.ask("R-1", "anna", kind="retrieval")
    desk.work()
    desk.pass_days(2)
    desk.work()
    assert remove_expired(desk.ledger, desk.destination, desk.now() + timedelta(days=13)) == []
    (entry,) = remove_expired(desk.ledger, desk.destination, desk.now() + timedelta(days=15))
    assert entry.request_id == "R-1"
    assert not [path for path in desk.outbox.rglob("*") if path.is_file()]
    assert remove_expired(desk.ledger, desk.destination, desk.now() + timedelta(days=16)) == []


def test_the_host_of_the_archive_gets_no_credential(desk: Desk, mixpanel: Sandbox) -> None:
    load(mixpanel, "anna")
    desk.ask("R-1", "anna", kind="retrieval")
    desk.work()
    desk.pass_days(2)
    assert desk.work() == []  # the sandbox rejects a download that carries one
    assert [request.status for request in mixpanel.requests if "/gdpr-archives/" in request.path] == [200]


@pytest.mark.parametrize("kind", ["cut", "truncated", "server_error"])
def test_a_download_that_breaks_off_delivers_nothing_and_is_repeated(desk: Desk, mixpanel: Sandbox, kind: str) -> None:
    load(mixpanel, "anna")
    desk.ask("R-1", "anna", kind="retrieval")
    desk.work()
    desk.pass_days(2)
    mixpanel.add_fault(Fault("/gdpr-archives/*", kind, after=None if kind == "server_error" else 30, count=1))  # type: ignore[arg-type]
    assert len(desk.work()) == 1
    assert not [path for path in desk.outbox.rglob("*") if path.is_file()]
    assert desk.work() == []
    assert lines(desk.outbox / "R-1/events.jsonl") == ["anna"]


def test_a_record_of_nobody_holds_a_packed_archive_back_and_a_retry_asks_alone(desk: Desk, mixpanel: Sandbox) -> None:
    load(mixpanel, "anna", "bert")
    desk.ask("R-1", "anna", kind="retrieval")
    desk.ask("R-2", "bert", kind="retrieval")
    mixpanel.set_next_archive(packed({"events.jsonl": event(DAY, "Visit", "v", distinct_id="another-person") + b"\n"}))
    desk.work()
    desk.pass_days(2)
    (error,) = desk.work()
    assert "pack_retrievals: false" in str(error)
    assert not [path for path in desk.outbox.rglob("*") if path.is_file()]
    for name in ("R-1", "R-2"):
        decisions.retry(desk.ledger, name, desk.now(), by="olga")
    desk.submit(together=False)
    desk.pass_days(2)
    assert desk.work() == []
    assert [lines(desk.outbox / name / "events.jsonl") for name in ("R-1", "R-2")] == [["anna"], ["bert"]]


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    return buffer.getvalue()


def encrypted() -> bytes:
    content = bytearray(packed({"a": b"secret"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def lying() -> bytes:
    """Says that it is smaller than it is."""
    content = bytearray(packed({"a": b"0" * 100_000}))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (1000).to_bytes(4, "little")
    return bytes(content)


def damaged() -> bytes:
    content = bytearray(packed({"events.jsonl": bytes(range(256)) * 40}))
    content[60] ^= 0xFF
    return bytes(content)


def overlapping() -> bytes:
    """Two entries of the directory that point at the same bytes."""
    first = packed({"a": bytes(range(256)) * 20})
    start = first.index(b"PK\x01\x02")
    entry = first[start : first.index(b"PK\x05\x06")]
    second = entry.replace(b"a", b"b", 1) if entry.count(b"a") == 1 else entry[:46] + b"b" + entry[47:]
    end = bytearray(first[first.index(b"PK\x05\x06") :])
    end[8:12] = (2).to_bytes(2, "little") * 2
    end[12:16] = (2 * len(entry)).to_bytes(4, "little")
    return first[:start] + entry + second + bytes(end)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "parent": lambda: packed({"../../escape": b"x"}),
    "absolute": lambda: packed({"/etc/escape": b"x"}),
    "hidden parent": lambda: packed({"a/../../../escape": b"x"}),
    "backslash": lambda: packed({"..\\escape": b"x"}),
    "drive": lambda: packed({"C:escape": b"x"}),
    "control character": lambda: packed({"a\nb": b"x"}),
    "link": linked,
    "encrypted": encrypted,
    "bomb": lambda: packed({"zeros": b"\0" * (20 << 20)}),
    "twice": lambda: packed({"a": b"x", "A": b"y"}),
    "overlapping": overlapping,
    "lying": lying,
    "damaged": damaged,
    "no archive": lambda: b"<html>Not found</html>",
    "empty": lambda: b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_that_could_escape_or_explode_is_not_delivered(desk: Desk, mixpanel: Sandbox, kind: str) -> None:
    mixpanel.set_next_archive(HOSTILE[kind]())
    desk.ask("R-1", "anna", kind="retrieval")
    desk.work()
    desk.pass_days(2)
    (error,) = desk.work()
    assert isinstance(error, BadArchive)
    assert desk.state("R-1") == "ended"
    files = [path for path in desk.outbox.parent.rglob("*") if path.is_file() and "lake" not in path.parts]
    assert [path.name for path in files if not path.name.startswith(("budget", "query_"))] == []


@pytest.mark.parametrize(
    ("bounds", "said"),
    [(Bounds(files=1), "2 files"), (Bounds(bytes=1000), "more than 1,000 bytes")],
)
def test_an_archive_has_bounds(bounds: Bounds, said: str) -> None:
    with pytest.raises(BadArchive, match=said):
        archives.checked(io.BytesIO(packed({"a": b"x" * 600, "b": b"y" * 600})), bounds)

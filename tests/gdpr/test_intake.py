"""Requests in: each once, and what can't be carried out is rejected with a reason that names no person."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.gdpr.data_subject_requests import COLUMNS, Rejection, Request, read_requests
from mixpanel_etl.gdpr.intake import IntakeResult, rejected_table, take_from_folder
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.source_rows import read_file
from mixpanel_etl.lake.storage import storage

from .desk import NOW, Desk

ANNA = "anna@example.com"


def read(**row: Any) -> Request | Rejection:
    given = {"request_id": "R-1", "kind": "deletion", "distinct_ids": ANNA, "requested_at": "2026-01-31", **row}
    (found,) = read_requests([given], NOW, protected=["shared-kiosk"])
    return found


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"distinct_ids": None}, "neither distinct_ids nor a lookup"),
        ({"distinct_ids": "[]", "lookup": " "}, "neither distinct_ids nor a lookup"),
        ({"kind": "forget"}, "'forget': write `deletion` or `retrieval`"),
        ({"kind": None}, "kind is ''"),
        ({"requested_at": "2021-01-30"}, "more than 5 years ago"),
        ({"requested_at": "2026-02-03"}, "in the future"),
        ({"requested_at": "31.1.2026"}, "must be a date like"),
        ({"distinct_ids": [ANNA, "shared-kiosk"]}, "list of protected ids"),
        ({"distinct_ids": [ANNA, "Undefined"]}, "'Undefined' is a placeholder id"),
        ({"distinct_ids": "00000000-0000-0000-0000-000000000000"}, "placeholder id"),
        ({"compliance_type": "HIPAA"}, "none of GDPR, CCPA"),
        ({"disclosure_type": "everything"}, "none of Data, Categories, Sources"),
        ({"disclosure_type": "Sources", "kind": "retrieval"}, "only retrievals under CCPA"),
        ({"request_id": ""}, "has no request_id"),
        ({"request_id": "for anna@example.com"}, "can't name a partition"),
        ({"request_id": "../../etc"}, "can't name a partition"),
        ({"request_id": "erase-4711", "distinct_ids": "4711"}, "contains an id of the person"),
        ({"distinct_ids": '["a", '}, "begins like a JSON list"),
        ({"distinct_ids": [{"id": 1}]}, "list of strings"),
    ],
)
def test_a_bad_request_is_rejected_with_a_reason_that_names_nobody(row: dict[str, Any], said: str) -> None:
    found = read(**row)
    assert isinstance(found, Rejection)
    assert said in found.reason
    assert not any(name in found.reason for name in (ANNA, "shared-kiosk", "4711"))


def test_what_may_be_left_out_has_the_usual_value() -> None:
    found = read(kind="Erasure", requested_at=date(2026, 1, 31))
    assert found == Request(
        request_id="R-1", kind="deletion", ids=(ANNA,), requested_at=datetime(2026, 1, 31, tzinfo=UTC)
    )


def test_several_rows_of_one_request_are_one() -> None:
    row = {"request_id": "R-1", "kind": "access", "requested_at": "2026-01-31T10:00:00+02:00"}
    (found,) = read_requests([{**row, "DISTINCT_IDS": "a"}, {**row, "distinct_ids": '["b", "a"]', "lookup": 7}], NOW)
    assert isinstance(found, Request)
    assert (found.ids, found.lookups, found.kind) == (("a", "b"), ("7",), "retrieval")
    assert found.requested_at == datetime(2026, 1, 31, 8, tzinfo=UTC)


_WILD = st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.dates(), st.lists(st.text()))


@given(st.lists(st.dictionaries(st.one_of(st.sampled_from(COLUMNS), st.text()), _WILD), max_size=5))
def test_whatever_a_row_holds_it_is_a_request_or_rejected(rows: list[dict[str, Any]]) -> None:
    for found in read_requests(rows, NOW):
        assert isinstance(found, Rejection) or found.ids or found.lookups


def test_the_same_request_twice_is_one_and_a_changed_one_is_rejected(desk: Desk) -> None:
    row = {"request_id": "R-1", "kind": "deletion", "distinct_ids": "anna"}
    assert desk.take(row).accepted == ["R-1"]
    assert desk.take(row).known == ["R-1"]
    taken = desk.take({**row, "distinct_ids": "bert"})
    assert "with other content" in taken.rejected[0][1]
    assert desk.ledger.entry("R-1").request.ids == ("anna",)
    desk.work()
    desk.pass_days(2)
    desk.work()
    assert (desk.state("R-1"), desk.take(row).known, desk.creations()) == ("completed", ["R-1"], 1)


def test_who_asked_finds_the_reason_in_a_table_once(desk: Desk) -> None:
    for _ in range(2):
        desk.take({"request_id": "R-1", "kind": "nothing", "distinct_ids": ANNA})
    rows = rejected_table(desk.ledger.lake).scan().collect().to_dicts()
    assert [(row["request_id"], row["kind"], row["source"]) for row in rows] == [("R-1", None, "desk")]
    assert desk.take({"request_id": "R-1", "kind": "deletion", "distinct_ids": ANNA}).accepted == ["R-1"]


def test_a_person_who_leads_to_a_protected_id_is_rejected_after_the_expansion(desk: Desk) -> None:
    desk.ask("R-1", "anna")
    desk.ask("R-2", "bert", lookup="unknown@example.com")
    desk.expand(protected=["anna"])
    assert [desk.state("R-1"), desk.state("R-2")] == ["rejected", "rejected"]
    assert "match no profile" in desk.ledger.entry("R-2").rejected
    assert desk.ledger.entry("R-1").ids == ()
    assert len(rejected_table(desk.ledger.lake).keys()) == 2


CSV = b"""\xef\xbb\xbfrequest_id,kind,distinct_ids,lookup,compliance_type,disclosure_type,requested_at
R-1,deletion,"[""anna"", ""a2""]",,,,2026-01-31
R-2,retrieval,,bert@example.com,CCPA,Sources,2026-01-31
R-3,shred,carl,,,,2026-01-31
"""
JSON = json.dumps(list(read_file("r.csv", CSV))).encode()
JSONL = b"\n".join(json.dumps(row).encode() for row in read_file("r.csv", CSV))


class TestFolder:
    @pytest.fixture(params=["disk", "s3"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        return f"{request.getfixturevalue('s3_lake')}/inbox" if request.param == "s3" else str(tmp_path / "inbox")

    @pytest.fixture
    def take(self, desk: Desk, folder: str) -> Callable[[], list[IntakeResult]]:
        return lambda: [taken for _, taken in take_from_folder(Ledger(desk.ledger.lake), folder, NOW)]

    @pytest.mark.parametrize(("name", "content"), [("r.csv", CSV), ("deep/r.json", JSON), ("r.jsonl", JSONL)])
    def test_a_file_is_read_and_a_receipt_takes_its_place(
        self, folder: str, take: Callable[[], list[IntakeResult]], name: str, content: bytes
    ) -> None:
        place = storage(folder)
        place.write(name, content)
        (taken,) = take()
        assert taken.accepted == ["R-1", "R-2"]
        assert place.names("", "") == [f"{name}.receipt.json"]
        with place.open(f"{name}.receipt.json") as file:
            receipt = file.read()
        assert json.loads(receipt)["rejected"] == [["R-3", taken.rejected[0][1]]]
        assert not any(person in receipt for person in (b"anna", b"bert", b"carl"))
        assert take() == []

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("r.json", b'{"request_id": ', "not JSON"),
            ("r.json", b"[1]", "something beside objects"),
            ("r.csv", b"a,b\n1,2\n", "lacks kind, request_id, requested_at"),
            ("r.csv", CSV[:-1], "still being written"),
            ("r.jsonl", b"\xff\xfe", "not UTF-8"),
        ],
    )
    def test_a_file_that_cannot_be_read_stays_with_the_reason(
        self, tmp_path: Path, desk: Desk, name: str, content: bytes, said: str
    ) -> None:
        folder = tmp_path / "inbox"
        storage(str(folder)).write(name, content)
        for _ in range(2):
            assert list(take_from_folder(desk.ledger, str(folder), NOW)) == []
        assert (folder / name).read_bytes() == content
        assert said in json.loads((folder / f"{name}.receipt.json").read_text())["unreadable"]
        storage(str(folder)).write(name, {"csv": CSV, "json": JSON, "jsonl": JSONL}[name.rpartition(".")[2]])
        assert [taken.accepted for _, taken in take_from_folder(desk.ledger, str(folder), NOW)] == [["R-1", "R-2"]]

    def test_a_process_that_is_killed_leaves_the_file_to_the_next(self, desk: Desk, tmp_path: Path) -> None:
        storage(str(tmp_path / "inbox")).write("r.csv", CSV)
        asked = iter([False, False, True])  # before the file, and before each request
        ((_, taken),) = take_from_folder(desk.ledger, str(tmp_path / "inbox"), NOW, enough=lambda: next(asked))
        assert (taken.accepted, taken.complete) == (["R-1"], False)
        assert (tmp_path / "inbox/r.csv").exists()
        ((_, taken),) = take_from_folder(desk.ledger, str(tmp_path / "inbox"), NOW)
        assert (taken.known, taken.accepted) == (["R-1"], ["R-2"])


def test_deadlines_count_from_the_request(desk: Desk) -> None:
    desk.ask("R-1", "anna", requested_at=NOW - timedelta(days=3))
    desk.ask("R-2", "anna", compliance_type="ccpa")
    assert [(one.deadline - NOW).days for one in desk.open()] == [27, 45]

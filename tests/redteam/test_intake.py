"""Requests as strangers and spreadsheets write them: each ends as taken in or rejected, and spoils no other."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr import intake
from mixpanel_etl.gdpr.data_subject_requests import COLUMNS, Rejection, Request, Row, read_requests
from mixpanel_etl.gdpr.intake import IntakeResult, rejected_table, take_from_folder, take_in, waiting_files
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.source_rows import read_file, rows_of

NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)
GOOD = {"request_id": "R-9", "kind": "deletion", "distinct_ids": "zoe-9", "requested_at": "2026-01-31"}
HEADER = "request_id,kind,distinct_ids,lookup,requested_at\n"


def read(**row: Any) -> Request | Rejection:
    given_row = {"request_id": "R-1", "kind": "deletion", "requested_at": "2026-01-31", **row}
    found, good = read_requests([given_row, GOOD], NOW)
    assert isinstance(good, Request)
    return found


REWRITTEN = [
    *("1234567890123.0", "4711.00", "-5.0", "1.23457E+18", "1,23457E+18", "1.23457E18", "1e+18", "6E-05"),
    *("NaN", "nan", "inf", "-Infinity", "<NA>", "NaT", "#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?"),
]
ALONE_ONLY = [
    *("anna-4711;ben-4712", "anna-4711, ben-4712", "anna-4711,ben-4712", "anna|ben", "anna\nben", "anna\tben"),
    *("anna\r\nben", "anna;", "anna；ben", "anna@example.com/ben@example.com", "{anna,ben}", "{anna}"),
    *("'4711", '"anna"', "“anna”", '="4711"', "=A1", "an\u200bna", "an\u00adna", "an\x07na"),
    *("1234567890123450000", "123456789012345000000", "4-Mar", "Mar-04", "3/4/2026", "04.03.2026", "2026-03-04"),
    "2026-03-04 00:00:00",
]


@pytest.mark.parametrize("cell", [*REWRITTEN, *ALONE_ONLY, "anna ben", "anna\u00a0ben", "\ufeffanna", "anna\u200b"])
def test_an_id_in_a_form_that_spreadsheets_make_is_rejected_with_the_remedy(cell: str) -> None:
    found = read(distinct_ids=cell)
    assert isinstance(found, Rejection)
    assert found.reason.startswith("its distinct_ids")
    assert any(
        remedy in found.reason for remedy in ("JSON list", "as a string", "write it again", "leave the cell empty")
    )


@pytest.mark.parametrize("cell", REWRITTEN)
def test_a_list_does_not_make_a_rewritten_number_an_id(cell: str) -> None:
    assert isinstance(read(distinct_ids=["anna", cell]), Rejection)
    assert isinstance(read(distinct_ids=json.dumps([cell])), Rejection)


@pytest.mark.parametrize("cell", ALONE_ONLY)
def test_a_list_of_strings_is_how_an_id_is_written_that_looks_like_several(cell: str) -> None:
    found = read(distinct_ids=json.dumps([cell, "ben"]))
    assert isinstance(found, Request)
    assert found.ids == (cell, "ben")


@pytest.mark.parametrize(
    "value",
    [
        *(1234567890123.0, 4711.5, float("nan"), float("inf"), Decimal("4711.0"), Decimal("1E+18"), Decimal("NaN")),
        *(True, False, date(2026, 3, 4), datetime(2026, 3, 4, tzinfo=UTC), timedelta(1), b"anna", {"id": "anna"}),
        *(10**101, "half \ud83d", "nul\0", "x" * 1001, [["anna"]], [None, 1.0], object()),
    ],
)
@pytest.mark.parametrize("column", ["distinct_ids", "lookup", "request_id"])
def test_a_value_of_a_typed_column_that_is_no_string_or_integer_is_rejected(column: str, value: Any) -> None:
    assert isinstance(read(**{"distinct_ids": "anna", column: value}), Rejection)


@pytest.mark.parametrize(
    ("cell", "ids"),
    [
        ("4711", "4711"),
        (4711, "4711"),
        (9007199254740993, "9007199254740993"),
        (Decimal("12345678901234567890"), "12345678901234567890"),
        (" anna@example.com\r\n", "anna@example.com"),
        ("\u00a0anna", "anna"),
        (UUID(int=7), str(UUID(int=7))),
        ("$device:a11ce-0000", "$device:a11ce-0000"),
        ("12345e67", "12345e67"),  # hexadecimal
        ("1234567890123456789", "1234567890123456789"),
        ("007", "007"),
        ("tenant/anna:1", "tenant/anna:1"),
        ("O'Brien", "O'Brien"),
        ("YW5uYQ==", "YW5uYQ=="),
        ("Zoë.Müller", "Zoë.Müller"),
        ("王伟", "王伟"),
        ("1.5", "1.5"),
    ],
)
def test_an_ordinary_id_is_taken_as_it_is(cell: Any, ids: str) -> None:
    found = read(distinct_ids=cell)
    assert isinstance(found, Request), found
    assert found.ids == (ids,)


@pytest.mark.parametrize("lookup", ["anna@example.com", "Anna Miller", "+49 30 1234"])
def test_a_lookup_may_have_spaces_but_not_two_addresses(lookup: str) -> None:
    found = read(lookup=lookup)
    assert isinstance(found, Request)
    assert found.lookups == (lookup,)
    for several in (f"{lookup};{lookup}", "anna@example.com ben@example.com", "Anna <anna@example.com>"):
        assert isinstance(read(lookup=several), Rejection)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv", "request_id,kind,distinct_id,distinct_id,requested_at\nR-1,deletion,anna,ben,2026-01-31\n"),
        ("r.csv", "request_id,kind,distinct_ids,Distinct_IDs ,requested_at\nR-1,deletion,anna,,2026-01-31\n"),
        ("r.csv", "request_id,kind,distinct ids,distinct_id,requested_at\nR-1,deletion,anna,ben,2026-01-31\n"),
        ("r.csv", "request_id,kind,distinct_ids,distinct_ids.1,requested_at\nR-1,deletion,anna,ben,2026-01-31\n"),
        ("r.json", '[{"request_id": "R-1", "kind": "deletion", "distinct_ids": "a", "distinct_ids": "b"}]'),
        ("r.json", '[{"request_id": "R-1", "kind": "deletion", "lookup": "a", "lookup_2": "b"}]'),
    ],
)
def test_a_doubled_column_is_rejected_and_none_of_both_is_chosen(name: str, content: str) -> None:
    (found,) = read_requests(read_file(name, content.encode()), NOW)
    assert isinstance(found, Rejection)
    assert "more than one column" in found.reason


def test_a_doubled_column_of_a_query_is_rejected() -> None:
    table = pa.table(
        [["R-1"], ["deletion"], ["anna"], ["ben"], [date(2026, 1, 31)]],
        names=["request_id", "kind", "distinct_ids", "DISTINCT_IDS", "requested_at"],
    )
    for named in (table, table.rename_columns(["request_id", "kind", "lookup", "lookup", "requested_at"])):
        (found,) = read_requests(rows_of(named), NOW)
        assert isinstance(found, Rejection)


def test_a_value_of_a_query_that_python_has_no_type_for_stays_with_its_row() -> None:
    table = pa.table(
        {
            "request_id": ["R-1", "R-2", "R-3"],
            "kind": ["deletion"] * 3,
            "distinct_ids": ["anna", "ben", "carl"],
            "requested_at": pa.array([2**62, 1769860800_000_000, -(2**62)], pa.timestamp("us", "UTC")),
        }
    )
    found = list(read_requests(rows_of(table), NOW))
    assert [isinstance(one, Request) for one in found] == [False, True, False]
    nanoseconds = table.slice(1, 1).set_column(
        3, "requested_at", pa.array([1769860800_000_000_001], pa.timestamp("ns"))
    )
    assert isinstance(next(iter(read_requests(rows_of(nanoseconds), NOW))), Request)


@pytest.mark.parametrize(
    "time",
    [
        *(
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-12:00",
            "0001-01-01",
            "NaT",
            "2026-02-30",
            1769860800,
            True,
        ),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_an_invalid_time_rejects_its_request_only(time: Any) -> None:
    assert isinstance(read(distinct_ids="anna", requested_at=time), Rejection)


def test_requests_whose_numbers_a_spreadsheet_rounded_are_not_merged() -> None:
    rows = [{**GOOD, "request_id": number, "distinct_ids": one} for number in (1e18, "1.0E18", "nan") for one in "ab"]
    found = list(read_requests(rows, NOW))
    assert len(found) == len(rows)
    assert all(isinstance(one, Rejection) and one.request_id == "" for one in found)


def nested(depth: int) -> Any:
    value: Any = "anna"
    for _ in range(depth):
        value = [value]
    return value


FAULTY_ROWS = [
    '{"request_id": "R-1", "distinct_ids": ' + "[" * 3000 + "]" * 3000 + "}",
    '{"request_id": "R-1", "distinct_ids": "' + "[" * 3000 + '"}',
    '{"request_id": "R-1", "kind": "deletion", "requested_at": "2026-01-31", "distinct_ids": "nice \\ud83d"}',
    '{"request_id": "R-1", "distinct_ids": ' + "1" * 5000 + "}",
    '{"request_id": "R-1", "distinct_ids": NaN}',
    '{"request_id": "R-1", "kind": "deletion", "requested_at": "9999-12-31T00:00:00-12:00", "distinct_ids": "anna"}',
    '{"request_id": "R-1", "requested_at": 1e400, "distinct_ids": {"a": 1}}',
    '{"request_id": "R-1" "distinct_ids": "anna"}',
    '{"request_id": ]',
    "17",
    "null",
    '"a, [b"',
]


@pytest.mark.parametrize("fault", FAULTY_ROWS)
def test_a_row_of_json_that_cannot_be_read_spoils_no_other(fault: str) -> None:
    good = json.dumps(GOOD)
    for name, content in (
        ("r.json", f"[{good}, {fault},\n{json.dumps({**GOOD, 'request_id': 'R-10'})}]"),
        ("r.ndjson", f"{good}\n{fault}\n{json.dumps({**GOOD, 'request_id': 'R-10'})}"),
    ):
        found = list(read_requests(read_file(name, content.encode()), NOW))
        assert [one.request_id for one in found if isinstance(one, Request)] == ["R-9", "R-10"]
        assert sum(isinstance(one, Rejection) for one in found) == 1


def test_a_row_of_csv_with_too_many_fields_or_other_bytes_spoils_no_other() -> None:
    content = (
        HEADER.encode()
        + b"R-1,deletion,anna,,2026-01-31,more\n"
        + "R-2,deletion,Zo\xeb,,2026-01-31\n".encode("latin-1")
        + b"R-3,deletion,a\0b,,2026-01-31\n\nR-4\n"
        + b"R-5,deletion,carl,,2026-01-31\n"
    )
    found = list(read_requests(read_file("r.CSV", content), NOW))
    assert [(one.request_id, isinstance(one, Request)) for one in found] == [
        *(("R-1", False), ("R-2", False), ("R-3", False), ("R-4", False), ("R-5", True))
    ]


def test_values_nested_beyond_reason_are_rejected_whoever_made_them() -> None:
    assert isinstance(read(distinct_ids=nested(3000)), Rejection)
    assert isinstance(read(lookup="[" * 3000), Rejection)
    assert isinstance(read(lookup=10**5000), Rejection)


class Inbox:
    """A folder of requests and a ledger, without Mixpanel."""

    def __init__(self, root: Path) -> None:
        self.path = root / "inbox"
        self.path.mkdir()
        self.ledger = Ledger(str(root / "lake"))

    def put(self, name: str, content: bytes | str) -> None:
        (self.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def take(self) -> dict[str, IntakeResult]:
        return dict(take_from_folder(self.ledger, str(self.path), NOW))

    def receipt(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / f"{name}.receipt.json").read_bytes())
        return found


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def row(number: int, **changes: Any) -> str:
    return json.dumps({**GOOD, "request_id": f"R-{number}", **changes})


def test_every_file_of_the_inbox_has_a_receipt(inbox: Inbox) -> None:
    inbox.put("one.csv", f"{HEADER}R-1,deletion,anna,,2026-01-31\n")
    inbox.put("two.CSV", f"{HEADER}R-2,deletion,anna,,2026-01-31\n")
    inbox.put("three.ndjson", row(3) + "\n" + row(4))
    inbox.put("four.JsonL", row(5))
    inbox.put("five.Json", f"[{row(6)}]")
    rejected = [
        "six.xlsx",
        "seven.csv.gz",
        "eight",
        "nine.txt",
        "ten.csv.part",
        "eleven.json",
        "twelve.csv",
        "bomb.csv",
    ]
    for name in rejected:
        inbox.put(name, b"")
    inbox.put("bomb.csv", b"\x1f\x8b\x08" + bytes(1000))
    inbox.put(".half-written.csv", HEADER)
    taken = inbox.take()
    assert sorted(one for found in taken.values() for one in found.accepted) == [f"R-{n}" for n in range(1, 7)]
    assert all(inbox.receipt(name)["accepted"] for name in ("one.csv", "two.CSV", "three.ndjson", "four.JsonL"))
    assert sorted(name for name, _ in waiting_files(str(inbox.path))) == sorted(rejected)
    assert inbox.receipt("six.xlsx")["unreadable"].startswith("files must end in .csv, .json, .jsonl, .ndjson")
    assert (inbox.path / ".half-written.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in inbox.path.iterdir()}
    assert inbox.take() == {}
    assert {path: path.stat().st_mtime_ns for path in inbox.path.iterdir()} == before


def test_what_is_no_file_has_a_receipt_and_keeps_nobody_waiting(inbox: Inbox) -> None:
    (inbox.path / "loop.csv").symlink_to(inbox.path / "loop.csv")
    (inbox.path / "nowhere.json").symlink_to(inbox.path / "gone")
    (inbox.path / "elsewhere").symlink_to(inbox.path.parent, target_is_directory=True)
    os.mkfifo(inbox.path / "pipe.csv")
    (inbox.path / "folder.csv").mkdir()
    inbox.put("folder.csv/z.json", row(1))
    inbox.put("z" * 250 + ".json", row(2))
    assert sorted(one for found in inbox.take().values() for one in found.accepted) == ["R-1", "R-2"]
    assert {name for name, _ in waiting_files(str(inbox.path))} == {
        *("loop.csv", "nowhere.json", "elsewhere", "pipe.csv")
    }


def test_a_file_that_cannot_be_opened_or_is_too_big_keeps_nobody_waiting(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_FILE_BYTES", 1000)
    inbox.put("big.json", b"[" + b" " * 1000 + b"]")
    inbox.put("z.json", row(1))
    with (inbox.path / "sparse.csv").open("wb") as file:
        file.truncate(10 << 30)
    assert [found.accepted for found in inbox.take().values()] == [["R-1"]]
    assert "split it" in inbox.receipt("big.json")["unreadable"]
    assert "split it" in inbox.receipt("sparse.csv")["unreadable"]


def test_a_rejection_names_nobody_and_stands_in_the_table(inbox: Inbox) -> None:
    shifted = {"kind": "anna@example.com", "distinct_ids": "deletion"}
    inbox.put("r.json", f"[{row(1, **shifted)}, {row(2, distinct_ids='anna@example.com;ben-4712')}, {row(3)}]")
    (taken,) = inbox.take().values()
    assert (taken.accepted, len(taken.newly_rejected)) == (["R-3"], 2)
    rows = rejected_table(inbox.ledger.lake).scan().collect().to_dicts()
    assert [found["request_id"] for found in rows] == ["R-1", "R-2"]
    said = json.dumps(rows, default=str) + json.dumps(inbox.receipt("r.json"))
    assert "anna@" not in said
    assert "ben-4712" not in said.replace('[\\"anna-4711\\", \\"ben-4712\\"]', "")


WILD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.dates(),
        st.datetimes(timezones=st.timezones()),
        st.binary(max_size=5),
        st.text(st.characters(), max_size=30),  # half characters included
        st.sampled_from(
            ["[" * 3000, "1.23457E+18", "a;b", "\ud83d", '["a", "b"]', "deletion", "2026-01-31", "10" * 3000]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.one_of(st.sampled_from([*COLUMNS, "Request_ID", "distinct_id", "lookup.1", "kind "]), st.text(max_size=5))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(NAMES, WILD, max_size=7), max_size=5), st.integers(0, 5))
def test_whatever_rows_hold_each_is_a_request_or_rejected_and_good_ones_are_taken(
    rows: list[dict[str, Any]], position: int
) -> None:
    rows.insert(position, GOOD)
    found = list(read_requests(rows, NOW))
    accepted = [one for one in found if isinstance(one, Request)]
    assert GOOD["request_id"] in [one.request_id for one in accepted] or any(
        other is not GOOD and str(value).strip() == "R-9" for other in rows for value in other.values()
    )
    for one in accepted:
        for value in (*one.ids, *one.lookups):
            assert value == value.strip()
            value.encode()  # no half characters
    for rejection in found:
        if isinstance(rejection, Rejection):
            rejection.reason.encode()
            assert rejection.reason


_PIECES = st.sampled_from(
    [
        *FAULTY_ROWS,
        row(1),
        row(2, distinct_ids=["a", "b"]),
        row(2),
        '"',
        "[",
        "{",
        "}]",
        ",",
        "\\",
        "\n",
        "\r",
        ";",
        HEADER,
    ]
)
_CONTENT = st.one_of(st.binary(max_size=60), st.lists(_PIECES, max_size=6).map(lambda parts: "".join(parts).encode()))


@settings(max_examples=300, deadline=None)
@given(_CONTENT, st.sampled_from(["x.csv", "x.json", "x.jsonl", "x.NDJSON"]))
def test_whatever_a_file_holds_it_has_rows_or_a_reason(content: bytes, name: str) -> None:
    try:
        rows: list[Row] = read_file(name, content)
    except ValueError:
        return  # told in the receipt; any other error fails the test
    assert all(isinstance(one, Request | Rejection) for one in read_requests(rows, NOW))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["a.csv", "b.JSON", "c.ndjson", "d.bin", "y.json"]), _CONTENT, max_size=5))
def test_whatever_is_in_the_inbox_the_good_file_behind_it_is_taken_and_all_have_receipts(
    files: dict[str, bytes],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inbox = Inbox(Path(folder))
        for name, content in files.items():
            inbox.put(name, content)
        inbox.put("z.json", row(9))
        taken = inbox.take()
        assert "R-9" in taken["z.json"].accepted
        assert all(inbox.receipt(name) for name in files)
        assert {name for name, _ in waiting_files(str(inbox.path))} | set(taken) == {*files, "z.json"}


def test_taking_in_rejected_rows_again_changes_nothing(inbox: Inbox) -> None:
    rows: list[Row] = [
        {**GOOD, "distinct_ids": nested(3000)},
        {**GOOD, "request_id": 1.0},
        *read_file("r.json", b"[1, {}]"),
    ]
    first, second = (take_in(inbox.ledger, rows, "query", NOW) for _ in range(2))
    assert (len(first.newly_rejected), second.newly_rejected) == (4, [])
    assert second.rejected == first.rejected

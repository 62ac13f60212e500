"""What an erasure destroys, and what it finds: inputs that strangers, or careless colleagues, put into a lake."""

from __future__ import annotations

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.gdpr.suppression_list import Suppression
from mixpanel_etl.lake import PromotedColumn, Provenance, Table, event_schema
from mixpanel_etl.lake.person_columns import looks_like_an_id
from mixpanel_etl.lake.provenance import read_record
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.pull.reports import report_of, report_table
from mixpanel_etl.push.rejected_rows import rejected_rows

from ..gdpr.lakes import ASKED, as_rows, table

DAY = "2026-11-10"
PERSON = "9f0c1d1e-2f5a-4a6b-8f25-5d8a0e4c7b11"
EVENT = {"event_name": "page view", "distinct_id": "other", "device_id": "d", "user_id": "other"}


def fill(lake: str) -> None:
    """A lake of all kinds of tables and files that says nothing of the person."""
    properties = json.dumps({"distinct_id": "other", "$city": "Berlin", "plan": "checkout", "step": DAY, "n": 4711})
    table(lake, "events", DAY, [{**EVENT, "properties": properties}] * 3)
    table(lake, "profiles", DAY, [{"distinct_id": "other", "properties": '{"$city": "Berlin"}'}])
    table(lake, "cohort_members", DAY, [{"cohort_id": 4711, "cohort": "general", "distinct_id": "other"}])
    table(lake, "catalogue/event_names", DAY, [{"event": "checkout"}, {"event": "page view"}])
    counted = table(lake, "reports/signups", DAY, [{"event": "checkout", "segment": "Berlin", "measure": "general"}])
    counted.keep_reply(DAY, b'{"data": {"series": ["2026-11-10"], "values": {"checkout": {"2026-11-10": 3}}}}')
    table(lake, "reports/jql", DAY, [{"row": '{"city": "Berlin", "step": "checkout"}'}, {"row": '["Berlin", 4711]'}])
    table(lake, "rejected/orders", "latest", [{"id": None, "row": '{"plan": "checkout"}', "message": "general"}])
    (Path(lake) / "notes.log").write_text("checkout in Berlin on 2026-11-10: events.parquet\n")


def contents(lake: Path) -> dict[str, bytes]:
    ours = ("_suppression/", ".drafts/")
    files = {str(path.relative_to(lake)): path for path in lake.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(ours)}


WORDS = [
    *(
        "events.parquet",
        "data.parquet",
        "data",
        DAY,
        f"date={DAY}",
        "cohort_members",
        "event_names",
        "events",
        "profiles",
    ),
    *("checkout", "general", "Berlin", "page view", "latest", "_replies", f"{DAY}.gz", "notes.log", "4711", "3"),
    *("distinct_id", "properties", "$city", "mixpanel_etl", "requested_at", "version", "values", "series", "null"),
    *(
        "[erased]",
        "erased",
        "{}",
        "[",
        '"',
        "\\",
        "true",
        "ARROW:schema",
        "Europe/Berlin",
        "1",
        "2026-03-01T12:00:00+00:00",
    ),
]


def test_an_id_that_is_a_word_of_the_lake_destroys_nothing_and_holds_nothing_up(tmp_path: Path) -> None:
    fill(str(tmp_path))
    before = contents(tmp_path)
    for word in WORDS:
        told = erase(str(tmp_path), [word])
        assert (told.remaining, told.rows_removed, told.unread) == (0, 0, ()), word
        assert contents(tmp_path) == before, word


def test_such_ids_are_erased_where_persons_are_named_and_suppress_nobody_else(tmp_path: Path) -> None:
    lake = str(tmp_path)
    fill(lake)
    rows = [{**EVENT, "distinct_id": word, "properties": "{}"} for word in WORDS]
    table(lake, "events", "2026-11-11", rows)
    (tmp_path / "staged.json").write_text(json.dumps([{"$distinct_id": word} for word in [*WORDS, "other"]]))
    before = contents(tmp_path)
    told = erase(lake, WORDS)
    assert (told.remaining, told.rows_removed) == (0, 2 * len(WORDS) - 1)  # `[erased]` in JSON stands for others, too
    after = contents(tmp_path)
    changed = {"events/date=2026-11-11/data.parquet", "staged.json"}
    assert {name for name in before if before[name] != after.get(name)} == changed
    Suppression(lake).add(WORDS, datetime.now(UTC) + timedelta(days=60))
    kept = {name: as_rows(tmp_path / name) for name in after if name.endswith(".parquet")}
    fill(lake)
    assert {name: as_rows(tmp_path / name) for name in kept} == kept
    reply = gzip.decompress((tmp_path / f"reports/signups/_replies/{DAY}.gz").read_bytes())
    assert "checkout" in json.loads(reply)["data"]["values"]


def test_a_clear_id_is_found_in_tables_that_nobody_declared(tmp_path: Path) -> None:
    lake = str(tmp_path)
    ids = [PERSON, "anna@shop.example", "1234567890123", "$device:x", "anna-4711"]
    for number, one in enumerate(ids):
        made = [{"customer": one, "n": 1}, {"customer": "Berlin", "n": 2}]
        table(lake, f"made/t{number}", DAY, made)
        table(lake, f"reports/j{number}", DAY, [{"row": json.dumps([one, 3])}, {"row": '["Berlin", 3]'}])
    told = erase(lake, ids)
    assert (told.remaining, told.rows_removed) == (0, 2 * len(ids))
    files = [name for name in contents(tmp_path) if name.endswith(".parquet")]
    assert [len(as_rows(tmp_path / name)) for name in files] == [1] * 2 * len(ids)


@pytest.mark.parametrize("kind", ["segmentation", "property_values"])
def test_a_report_by_person_says_so_and_loses_their_rows_and_reply(tmp_path: Path, kind: str) -> None:
    given: dict[str, Any] = {"event": "checkout"}
    given |= {"on": 'user["$email"]'} if kind == "segmentation" else {"property": "$user_id"}
    report = report_of(kind, given)
    made = report_table(str(tmp_path), "reports/r", report)
    column = "segment" if kind == "segmentation" else "value"

    def publish() -> list[dict[str, Any]]:
        rows = [
            {**dict.fromkeys(made.schema.names), "event": "checkout", column: one, "computed_at": ASKED}
            for one in ("anna", "checkout", "berta")
        ]
        made.write(DAY, pa.Table.from_pylist(rows, made.schema), Provenance(requested_at=ASKED))
        values = {one: {DAY: 1} for one in ("anna", "checkout", "berta")}
        reply: Any = {"data": {"series": [DAY], "values": values}} if kind == "segmentation" else list(values)
        made.keep_reply(DAY, json.dumps(reply).encode())
        return made.scan().collect().to_dicts()

    publish()
    told = erase(str(tmp_path), ["anna", "checkout", "series", "data", DAY])
    assert told.remaining == 0
    assert [row[column] for row in made.scan().collect().to_dicts()] == ["berta"]
    reply = json.loads(made.reply(DAY) or b"")
    assert (reply["data"] if kind == "segmentation" else reply) == (
        {"series": [DAY], "values": {"berta": {DAY: 1}}} if kind == "segmentation" else ["berta"]
    )
    Suppression(str(tmp_path)).add(["anna", "checkout", "data"], datetime.now(UTC) + timedelta(days=60))
    assert [row[column] for row in publish()] == ["berta"]
    assert json.loads(made.reply(DAY) or b"") == reply


@pytest.mark.parametrize("person", ["anna", '"', "a-1", "é"])
def test_rejected_rows_of_a_push_are_found_by_the_columns_of_its_mapping(tmp_path: Path, person: str) -> None:
    made = rejected_rows(str(tmp_path), "orders", ["customer"])
    plain = dict.fromkeys(made.schema.names, "") | {"unconfirmed": False, "batch": 1, "rejected_at": ASKED}
    rows = [{**plain, "row": json.dumps({"customer": one, "plan": person})} for one in (person, "berta")]
    made.write("latest", pa.Table.from_pylist(rows, made.schema), Provenance(requested_at=ASKED))
    told = erase(str(tmp_path), [person])
    assert (told.remaining, told.rows_removed) == (0, 1)
    assert made.scan().collect()["row"].to_list() == [rows[1]["row"]]


ID_NUMBER = 1234567890123


@pytest.mark.parametrize(
    ("field", "array"),
    [
        (pa.field("user_id_14b4e132", pa.int64()), [4711, 5]),
        (pa.field("x", pa.int64(), metadata={"mixpanel.property": "$user_id"}), [4711, 5]),
        (pa.field("userId", pa.float64()), [4711.0, 5.0]),
        (pa.field("user_ids", pa.list_(pa.int32())), [[4711], [5]]),
        (pa.field("distinct_id", pa.decimal128(20, 2)), [Decimal("4711.00"), Decimal("5.00")]),
        (pa.field("distinct_id", pa.dictionary(pa.int8(), pa.int64())), [4711, 5]),
        (pa.field("device_id", pa.float64()), [12345678901234567890.0, 5.0]),
        (pa.field("who", pa.int64()), [ID_NUMBER, 5]),
        (pa.field("who", pa.struct([("a", pa.float64())])), [{"a": float(ID_NUMBER)}, {"a": 5.0}]),
        (pa.field("who", pa.list_(pa.binary())), [[PERSON.encode()], [b"\xff\xfe"]]),
        (pa.field("who", pa.binary(16)), [uuid.UUID(PERSON).bytes, uuid.UUID(int=5 << 120).bytes]),
    ],
)
def test_ids_in_columns_of_every_type_are_found_and_leave(tmp_path: Path, field: pa.Field, array: list[Any]) -> None:
    schema = pa.schema([field, ("n", pa.int64())])
    path = tmp_path / "t/date=x/data.parquet"
    path.parent.mkdir(parents=True)
    rows = pa.table([pa.array(array, field.type), pa.array([1, 2])], schema=schema)
    pq.write_table(rows, path)
    told = erase(str(tmp_path), ["4711", str(ID_NUMBER), PERSON, "12345678901234567890"])
    assert (told.remaining, told.unread, told.rows_removed) == (0, (), 1)
    assert pq.read_table(path, partitioning=None)["n"].to_pylist() == [2]


def test_a_number_of_somebody_elses_event_becomes_null_and_a_time_stays(tmp_path: Path) -> None:
    schema = event_schema([PromotedColumn("manager", "integer"), PromotedColumn("at", "integer")])
    rows = [
        dict.fromkeys(schema.names)
        | EVENT
        | {"time": ASKED, "properties": "{}", "manager": ID_NUMBER, "at": 1767225600}
    ]
    made = Table(str(tmp_path), "events", schema)
    made.write(DAY, pa.Table.from_pylist(rows, schema), Provenance(requested_at=ASKED))
    told = erase(str(tmp_path), [str(ID_NUMBER), "1767225600"])
    (row,) = made.scan().collect().to_dicts()
    assert (told.remaining, row["manager"], row["at"], row["distinct_id"]) == (0, None, 1767225600, "other")


def test_ids_in_metadata_of_fields_and_in_names_of_columns_leave(tmp_path: Path) -> None:
    path = tmp_path / "typed/date=x/data.parquet"
    path.parent.mkdir(parents=True)
    fields = [
        pa.field("n", pa.int64(), metadata={"mixpanel.property": PERSON, "unit": "general"}),
        pa.field(PERSON, pa.int64()),
        pa.field("general", pa.int64()),
    ]
    pq.write_table(
        pa.table([[1], [2], [3]], schema=pa.schema(fields, {"by": f'x == "{PERSON}"', "general": "y"})), path
    )
    told = erase(str(tmp_path), [PERSON, "general", "n"])
    schema = pq.read_schema(path)
    assert told.remaining == 0
    assert schema.names == ["n", "general"]
    assert schema.field("n").metadata[b"unit"] == b"general"
    assert (schema.metadata[b"by"], schema.metadata[b"general"]) == (b'x == "[erased]"', b"y")
    assert PERSON.encode() not in path.read_bytes()


def test_a_member_that_is_called_after_an_id_holds_the_erasure(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"a": [{PERSON: 1}]}), tmp_path / "t/data.parquet")
    told = erase(str(tmp_path), [PERSON])
    assert (told.unread, told.remaining > 0) == (("t/data.parquet",), True)


def test_the_record_of_a_file_keeps_what_the_package_wrote(tmp_path: Path) -> None:
    run = str(uuid.UUID(int=7 << 100))
    made = Table(str(tmp_path), "activity", pa.schema([("distinct_id", pa.string())]))
    request = {
        "kind": "activity_stream",
        "parameters": {"distinct_ids": ["anna", "other"], "where": f"a == '{PERSON}'"},
    }
    made.write(DAY, pa.table({"distinct_id": ["other"]}), Provenance(requested_at=ASKED, run_id=run, request=request))
    told = erase(str(tmp_path), ["anna", PERSON, run, "activity_stream", "kind", ASKED.isoformat()])
    record = read_record(pq.read_metadata(tmp_path / f"activity/date={DAY}/data.parquet"))
    assert told.remaining == 0
    assert (record["run_id"], record["kind"], record["requested_at"]) == (run, "activity_stream", ASKED.isoformat())
    assert record["parameters"] == {"distinct_ids": ["[erased]", "other"], "where": "a == '[erased]'"}


def test_only_partitions_by_person_fall_for_their_names_and_others_hold_their_request_alone(tmp_path: Path) -> None:
    for name in (f"by/user_id={PERSON}/data.parquet", f"by/date={PERSON}/data.parquet", f"{PERSON}.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"n": [1]}), tmp_path / name)
    table(str(tmp_path), "t", "x", [{"distinct_id": "anna-4711"}])
    told = erase(str(tmp_path), [PERSON, "anna-4711"])
    assert (told.remaining, len(told.remaining_hashes), told.unread, told.misnamed) == (2, 1, (), ("", "by"))
    assert sorted(path.parent.name for path in (tmp_path / "by").rglob("*.parquet")) == [f"date={PERSON}"]
    assert PERSON not in repr(told)


@pytest.mark.parametrize("kind", ["lake", "partition", "file", "hidden", "other file system"])
def test_what_links_lead_to_and_hidden_files_are_erased(tmp_path: Path, kind: str) -> None:
    lake, elsewhere = tmp_path / "lake", tmp_path / "elsewhere"
    if kind == "other file system":
        if not Path("/dev/shm").is_dir():
            pytest.skip("no second file system")
        elsewhere = Path("/dev/shm") / f"mixpanel-etl-{uuid.uuid4()}"
    elsewhere.mkdir()
    if kind == "lake":
        lake.symlink_to(elsewhere)
    else:
        (lake / "t").mkdir(parents=True)
    folder = {"hidden": ".t/.x"}.get(kind, "t/date=x")
    place = elsewhere if kind != "hidden" else lake
    try:
        if kind in ("partition", "other file system"):
            (lake / folder).symlink_to(elsewhere)
            place = elsewhere
        elif kind == "file":
            (lake / folder).mkdir()
            (lake / folder / ".data.parquet").symlink_to(elsewhere / "real")
        else:
            place = place / folder
            place.mkdir(parents=True)
        target = place / {"file": "real", "hidden": ".data"}.get(kind, "data.parquet")
        pq.write_table(pa.table({"distinct_id": [PERSON, "other"]}), target)
        told = erase(str(lake), [PERSON])
        assert (told.remaining, told.rows_removed, told.unread) == (0, 1, ())
        assert pq.read_table(target, partitioning=None)["distinct_id"].to_pylist() == ["other"]
        assert kind != "file" or (lake / folder / ".data.parquet").is_symlink()
    finally:
        if kind == "other file system":
            for path in elsewhere.iterdir():
                path.unlink()
            elsewhere.rmdir()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_is_searched_however_it_is_encoded(tmp_path: Path, encoding: str) -> None:
    text = f"at {PERSON}: no\nat other: yes\n"
    (tmp_path / "a.log").write_bytes(text.encode(encoding))
    assert erase(str(tmp_path), [PERSON]).remaining == 0
    assert (tmp_path / "a.log").read_bytes().decode(encoding).lstrip("\ufeff") == "at other: yes\n"


def test_a_url_encoded_id_is_found_and_a_longer_address_is_another(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("/u?id=anna%40shop.example&x=1\n/u anna@shop.example.com\n/u joanna@shop.example\n")
    told = erase(str(tmp_path), ["anna@shop.example"])
    assert (told.remaining, told.rows_removed) == (0, 1)
    assert (tmp_path / "a.log").read_text().count("\n") == 2


def test_what_is_wrong_with_one_file_stays_with_it(tmp_path: Path) -> None:
    table(str(tmp_path), "t", "x", [{"distinct_id": PERSON}, {"distinct_id": "other"}])
    nested = '{"distinct_id": ' * 3000 + f'"{PERSON}"' + "}" * 3000
    (tmp_path / "half.json").write_text(f'[{{"a": "\\ud800", "distinct_id": "other"}}, {{"distinct_id": "{PERSON}"}}]')
    (tmp_path / "deep.json").write_text(nested)
    (tmp_path / "open.json").write_text("[" * 200_000 + f'"{PERSON}')
    (tmp_path / "quotes.json").write_text('"' + '\\"' * 200_000)
    (tmp_path / "slashes.json").write_text('{"user_id": "' + "\\" * 200_001)
    (tmp_path / "long.json").write_text(json.dumps([{"user_id": f"other {n}"} for n in range(100_000)] + [PERSON]))
    (tmp_path / "zeros.bin").write_bytes(bytes(100))
    (tmp_path / "record.parquet").write_bytes((tmp_path / "t/date=x/data.parquet").read_bytes()[:-20])
    (tmp_path / "locked").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    told = erase(str(tmp_path), [PERSON, "[erased]"])
    assert told.unread == ("record.parquet", "zeros.bin")
    assert told.remaining == 2
    assert as_rows(tmp_path / "t/date=x/data.parquet") == [{"distinct_id": "other"}]
    assert json.loads((tmp_path / "half.json").read_text()) == [{"a": "\ud800", "distinct_id": "other"}]
    assert not [
        name for name, content in contents(tmp_path).items() if PERSON.encode() in content and "record" not in name
    ]


def test_a_reply_keeps_the_entries_of_others_that_mention_the_person(tmp_path: Path) -> None:
    others = {"distinct_id": "other", "invited_by": PERSON}
    storage(str(tmp_path)).write("a.json", json.dumps([others, {"distinct_id": PERSON}, {"who": PERSON}]).encode())
    storage(str(tmp_path)).write("a.jsonl", "".join(f"{json.dumps(one)}\n" for one in (others, {"a": PERSON})).encode())
    assert erase(str(tmp_path), [PERSON]).remaining == 0
    blanked = {**others, "invited_by": "[erased]"}
    assert json.loads((tmp_path / "a.json").read_text()) == [blanked]
    assert json.loads((tmp_path / "a.jsonl").read_text()) == blanked


def test_what_a_form_tells() -> None:
    ids = [PERSON, "anna-4711", "anna@x.de", "cus_NffrFeUfNV2Hib", "auth0|5f7c8ec7c33c6c004bbafe82", "+4917012345"]
    words = [
        *WORDS,
        "plan_2026",
        "iPhone14,2",
        "Chrome/119.0.6045.105",
        "1920x1080",
        "UserClickedTheBigRedButton",
        "sku-12",
    ]
    assert [one for one in ids if not looks_like_an_id(one)] == []
    assert [one for one in words if looks_like_an_id(one)] == []


class TestSuppression:
    """Publications leave persons out of JSON and of raw replies as an erasure takes them out."""

    IDS = (PERSON, "anna", "4711", "1234567890123", "zoë-47110 漢", "$device:x")

    @pytest.fixture
    def lake(self, tmp_path: Path) -> str:
        Suppression(str(tmp_path)).add(self.IDS, datetime.now(UTC) + timedelta(days=60))
        return str(tmp_path)

    def test_rows_of_jql_come_without_them(self, lake: str, tmp_path: Path) -> None:
        theirs = [{"distinct_id": one, "n": 1} for one in self.IDS]
        theirs += [
            {"a": [{"user_id": 4711}]},
            {"a": json.dumps({"$user_id": "anna"})},
            {"x": PERSON},
            {"x": 1234567890123},
        ]
        others: list[Any] = [{"distinct_id": "other"}, {"name": "anna", "n": 4711}, ["anna", 4711], "anna", None]
        strings = [json.dumps(one, ensure_ascii=one == theirs[0]) for one in [*theirs, *others]]
        rows = [{"row": text} for text in [*strings, '{"\\u0075ser_id": "\\u0061nna"}', '{"user_id": 4.711e3}']]
        table(lake, "reports/jql", DAY, rows)
        kept = [json.loads(row["row"]) for row in as_rows(tmp_path / f"reports/jql/date={DAY}/data.parquet")]
        assert kept == others
        record = read_record(pq.read_metadata(tmp_path / f"reports/jql/date={DAY}/data.parquet"))
        assert record["suppressed"] == len(rows) - len(others)
        assert erase(lake, self.IDS).rows_removed == 0

    def test_replies_come_without_them(self, lake: str) -> None:
        made = Table(lake, "reports/jql", pa.schema([("row", pa.string())]))
        reply = [{"distinct_id": one} for one in (*self.IDS, "other")] + [{"distinct_id": "other", "by": PERSON}]
        made.keep_reply(DAY, json.dumps(reply).encode())
        assert json.loads(made.reply(DAY) or b"") == [
            {"distinct_id": "other"},
            {"distinct_id": "other", "by": "[erased]"},
        ]
        made.keep_reply("x", json.dumps({"distinct_id": PERSON}).encode())
        assert made.reply("x") == b""

    def test_events_of_others_come_with_the_id_blanked_and_events_by_identity_do_not_come(self, lake: str) -> None:
        told = [{"invited": PERSON}, {"$identified_id": PERSON}, {"$distinct_ids": ["anna"]}, {"plan": "anna"}]
        table(lake, "events", DAY, [{**EVENT, "properties": json.dumps(one)} for one in told])
        rows = as_rows(Path(lake) / f"events/date={DAY}/data.parquet")
        assert [row["properties"] for row in rows] == ['{"invited": "[erased]"}', '{"plan": "anna"}']

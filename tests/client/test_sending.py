"""What Mixpanel would reject or drop is an error before sending, which names the item."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from mixpanel_etl.client import (
    BadRequest,
    Event,
    GroupUpdate,
    InvalidRequest,
    Mixpanel,
    RecordsRejected,
    ReplyError,
    ServerError,
    UserUpdate,
)
from mixpanel_etl.client.ingestion.lookup_tables import as_csv

from .scripted import NOW, Answer, ScriptedServer

GOOD = Event("Purchase", NOW, "u1", "i-1")
TOO_DEEP: dict[str, Any] = {"a": {"b": {"c": {"d": 1}}}}
ENDLESS: list[Any] = []
for _ in range(20_000):
    ENDLESS = [ENDLESS]


@pytest.fixture
def sender(make_mixpanel: Callable[..., Mixpanel]) -> Mixpanel:
    return make_mixpanel(project_token="the-project-token")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"event": ""}, "event must be a name"),
        ({"time": datetime(2026, 3, 15)}, "time zone"),  # noqa: DTZ001
        ({"time": NOW + timedelta(hours=1, seconds=1)}, "more than an hour in the future"),
        ({"time": datetime(1970, 12, 31, tzinfo=UTC)}, "before 1971-01-01"),
        ({"insert_id": None}, "insert_id is missing"),
        ({"insert_id": "x" * 37}, "up to 36 letters"),
        ({"insert_id": "ä"}, "up to 36 letters"),
        ({"insert_id": "undefined"}, "insert_id is .*placeholder"),
        ({"distinct_id": None}, "distinct_id is missing"),
        ({"distinct_id": "Anonymous"}, "distinct_id is .*placeholder id"),
        ({"distinct_id": None, "properties": {"$user_id": "0"}}, r"\$user_id is '0'"),
        ({"properties": {"time": 1}}, "'time', which is a separate field"),
        ({"properties": {f"p{n}": n for n in range(251)}}, "251 properties and 4 added ones, at most 254 are allowed"),
        ({"properties": {"list": [0] * 255}}, r"properties\['list'\] has 255 elements, at most 254"),
        ({"properties": {"object": {str(n): n for n in range(255)}}}, "has 255 keys, at most 254"),
        ({"properties": {"deep": TOO_DEEP}}, r"properties\['deep'\] nests objects deeper than 3 levels"),
        ({"properties": {"endless": ENDLESS}}, "recursion"),
        ({"properties": {"long": ["x" * 8190]}}, "8194 bytes, at most 8192"),
        ({"properties": {"text": "x" * 1_048_576}}, "must be smaller than 1 MB"),
        ({"properties": {"ratio": float("nan")}}, "nan, which JSON does not have"),
        ({"properties": {"ratios": [float("inf")]}}, "inf, which JSON does not have"),
        ({"properties": {"text": "\ud800"}}, "surrogates not allowed"),
        ({"properties": {"object": object()}}, "type object"),
    ],
)
def test_an_event_that_would_be_rejected_is_named(
    sender: Mixpanel, server: ScriptedServer, changes: dict[str, Any], says: str
) -> None:
    bad = replace(GOOD, **changes)
    with pytest.raises(InvalidRequest, match=says) as caught:
        sender.ingestion.import_([GOOD, bad])
    assert "events[1]" in str(caught.value)
    assert server.seen == []


@pytest.mark.parametrize(
    "changes",
    [
        {"distinct_id": ""},
        {"distinct_id": None, "properties": {"$device_id": "d1"}},
        {"time": NOW + timedelta(hours=1)},
        {"insert_id": "x" * 36},
        {"properties": {f"p{n}": n for n in range(250)}},
        {"properties": {"list": [0] * 254, "deep": TOO_DEEP["a"], "when": NOW, "day": date(2026, 1, 1)}},
    ],
)
def test_an_event_at_the_limit_is_sent(sender: Mixpanel, server: ScriptedServer, changes: dict[str, Any]) -> None:
    server.answers(Answer(200, b'{"num_records_imported": 1}'))
    assert sender.ingestion.import_([replace(GOOD, **changes)]).num_records_imported == 1


def test_more_than_2000_events_are_rejected_naming_the_first_that_is_too_many(sender: Mixpanel) -> None:
    events = [replace(GOOD, insert_id=f"i-{n}") for n in range(2001)]
    with pytest.raises(InvalidRequest, match=r"2,001 events.* from events\[2000\]"):
        sender.ingestion.import_(events)


def test_more_than_10_megabytes_are_rejected(sender: Mixpanel, server: ScriptedServer) -> None:
    events = [replace(GOOD, insert_id=f"i-{n}", properties={"text": "x" * 1_000_000}) for n in range(11)]
    with pytest.raises(InvalidRequest, match=r"11 events of 11,.* bytes, the limit of one request is 10,000,000"):
        sender.ingestion.import_(events)
    assert server.seen == []


def test_strings_that_mixpanel_cuts_are_said_once(
    sender: Mixpanel, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers(Answer(200, b'{"num_records_imported": 2}'))
    sender.ingestion.import_([GOOD, replace(GOOD, properties={"url": "ä" * 128, "b": "x" * 300})])
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        "2 strings are longer than 255 bytes, and Mixpanel may cut them; the first is 'url' of events[1]"
    ]


@pytest.mark.parametrize("key", ["insert_id", "$insert_id"])
def test_rejected_records_are_in_the_error_under_both_spellings(
    sender: Mixpanel, server: ScriptedServer, key: str
) -> None:
    failed = [{"index": n, key: f"i-{n}", "field": "x", "message": "m" * 100} for n in range(2000)]
    reply = {"code": 400, "error": "some data points failed", "num_records_imported": 7, "failed_records": failed}
    server.answers(Answer(400, json.dumps(reply).encode()))
    with pytest.raises(RecordsRejected) as caught:
        sender.ingestion.import_([GOOD])
    again = pickle.loads(pickle.dumps(caught.value))
    for error in (caught.value, again):
        assert (error.imported, len(error.failed_records)) == (7, 2000)
        assert error.failed_records[-1].insert_id == "i-1999"


def test_a_400_without_records_is_no_rejection_of_records(sender: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(400, b'{"code": 400, "error": "data is not JSON", "failed_records": []}'))
    with pytest.raises(BadRequest) as caught:
        sender.ingestion.import_([GOOD])
    assert type(caught.value) is BadRequest


@pytest.mark.parametrize(
    ("update", "says"),
    [
        (UserUpdate("", "$set", {"a": 1}), "'' is not a valid id"),
        (UserUpdate("null", "$set", {"a": 1}), "'null' is not a valid id"),
        (UserUpdate("u", "$put", {"a": 1}), r"operator is '\$put'"),  # type: ignore[arg-type]
        (UserUpdate("u", "$set", ["a"]), "give properties by name"),
        (UserUpdate("u", "$set", {}), "at least one"),
        (UserUpdate("u", "$unset", {"a": 1}), "give a list of names"),
        (UserUpdate("u", "$unset", "plan"), "give a list of names"),
        (UserUpdate("u", "$add", {"a": True}), "takes numbers"),
        (UserUpdate("u", "$union", {"a": "b"}), "takes a list"),
        (UserUpdate("u", "$union", {"a": [{}]}), "takes a list"),
        (UserUpdate("u", "$delete", {"a": 1}), r"not for \$delete"),
        (UserUpdate("u", "$set", {"x" * 256: 1}), "not between 1 and 255 characters"),
        (UserUpdate("u", "$set", {str(n): n for n in range(2001)}), "2,001 properties"),
        (UserUpdate("u", "$set", {"a": "x" * 1_048_576}), "smaller than 1 MB"),
    ],
)
def test_an_update_that_would_be_rejected_is_named(
    sender: Mixpanel, server: ScriptedServer, update: UserUpdate, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        sender.ingestion.engage([UserUpdate("u0", "$delete"), update])
    assert "updates[1]" in str(caught.value)
    assert server.seen == []


def test_more_than_2000_updates_are_rejected(sender: Mixpanel) -> None:
    with pytest.raises(InvalidRequest, match=r"2,001 updates.* from updates\[2000\] \(\$delete\)"):
        sender.ingestion.engage([UserUpdate(f"u{n}", "$delete") for n in range(2001)])


@pytest.mark.parametrize("operator", ["$add", "$append", "$remove"])
def test_changes_that_are_relative_are_never_sent_twice(
    sender: Mixpanel, server: ScriptedServer, operator: Any
) -> None:
    server.answers(Answer(503, b"later"), Answer(200, b'{"status": 1}'))
    with pytest.raises(ServerError):
        sender.ingestion.engage([UserUpdate("u", "$set", {"a": 1}), UserUpdate("u", operator, {"b": 1})])
    assert len(server.seen) == 1


def test_changes_that_are_absolute_are_repeated(sender: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(503, b"later"), Answer(200, b'{"status": 1}'))
    sender.ingestion.groups([GroupUpdate("company", "a", "$set", {"b": 1}), GroupUpdate("company", "b", "$delete")])
    assert len(server.seen) == 2


def test_a_tracked_event_without_insert_id_is_never_sent_twice(sender: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(503, b"later"), Answer(200, b'{"status": 1}'))
    with pytest.raises(ServerError):
        sender.ingestion.track([GOOD, replace(GOOD, insert_id=None)])
    assert len(server.seen) == 1


@pytest.mark.parametrize("reply", [b"0", b'{"status": 0}', b'{"status": 0, "error": "token, missing or empty"}'])
def test_a_200_that_took_nothing_is_an_error(sender: Mixpanel, server: ScriptedServer, reply: bytes) -> None:
    server.answers(Answer(200, reply))
    with pytest.raises(ReplyError, match=r"stored nothing|token, missing or empty"):
        sender.ingestion.track([GOOD])


@pytest.mark.parametrize(
    ("columns", "rows", "says"),
    [
        ([], [], "names, the key first"),
        (["id", "id"], [], "'id' twice"),
        (["id", "a"], [["1"]], r"rows\[0\] has 1 values for 2 columns"),
        (["id", "a"], [["1", 2, 3]], r"rows\[0\] has 3 values for 2 columns"),
        (["id"], [["1"], [None]], r"rows\[1\] has no 'id', which is the key"),
        (["id"], [["1"], [1]], r"rows\[1\] has the key of rows\[0\]"),
        (["id", "a"], [["1", {}]], "has a dict in 'a'"),
        (["id", "a"], [["1", datetime(2026, 1, 1)]], "without a zone"),  # noqa: DTZ001
    ],
)
def test_a_table_that_would_be_rejected_is_not_sent(columns: list[str], rows: list[list[Any]], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        as_csv(columns, rows)


def test_values_of_a_table_keep_their_types() -> None:
    columns = ["id", "number", "yes", "at", "on", "list", "nothing", "text"]
    row = ["k", 1.5, True, datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 2), ["a", "b"], None, 'say "x",\ny']
    assert as_csv(columns, [row]).decode().split("\r\n", 1)[1] == (
        'k,1.5,true,2026-01-01T00:00:00Z,2026-01-02,"[""a"",""b""]",,"say ""x"",\ny"\r\n'
    )

"""An id is found as a whole, wherever it stands and however it is spelled, and nothing else is."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr.erased_ids import Ids
from mixpanel_etl.lake.documents import without
from mixpanel_etl.lake.errors import Unerasable
from mixpanel_etl.lake.json_tokens import ERASED
from mixpanel_etl.lake.person_columns import ID_PROPERTY_NAMES

PERSON = (
    "9f0c1d1e-2f5a-4a6b",
    "anna@shop.example",
    'zoë-47110"漢🦊|x',
    'zoë/"漢🦊\\x',
    "4711",
    "1234567890123",
    "anna",
    "é-1",
    "$device:a\tb",
)
ORDINARY = {"4711", "anna", "é-1", 'zoë/"漢🦊\\x'}
NEARLY = [text for one in PERSON for text in (f"x{one}", f"{one}x", one[:-1], one.upper() + "!", f"{one} {one}")]
NAMES = ["distinct_id", "$user_id", "$distinct_ids", "$anon_id", "user_ids"]
KEYS = [*NAMES, "page", "invited_by", "id", "value", "$email", PERSON[0], "anna"]

_leaves = st.one_of(
    st.sampled_from(PERSON),
    st.sampled_from(NEARLY),
    st.sampled_from([4711, 1234567890123, 47110, 3.5, True, None, "", "other", "漢"]),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(KEYS), _values | _values.map(json.dumps), max_size=4)


def spelled(value: Any, choice: random.Random) -> str:
    """A value as JSON, with superfluous escapes and spaces."""
    space = choice.choice(["", "", " ", "\n"])
    if isinstance(value, dict):
        pairs = (f"{spelled(key, choice)}{space}:{space}{spelled(inner, choice)}" for key, inner in value.items())
        return f"{{{space}{','.join(pairs)}{space}}}"
    if isinstance(value, list):
        return f"[{space}{','.join(spelled(inner, choice) for inner in value)}{space}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if choice.random() < 0.5:
        return json.dumps(value, ensure_ascii=choice.random() < 0.5)
    return '"' + "".join(_escaped(c) if choice.random() < 0.5 else json.dumps(c)[1:-1] for c in value) + '"'


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def found(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """By the rule, without any cleverness: under which names the ids are, and how deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in PERSON and key not in ORDINARY:
                yield "", depth + 1
            yield from found(inner, key, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, name, depth)
    elif isinstance(value, str) and value[:1] in ("{", "[", '"') and value not in PERSON:
        if _is_json(value) and any(found(json.loads(value))):
            yield name, depth
    elif isinstance(value, str | int) and str(value) in PERSON:
        telling = str(value) not in ORDINARY
        if name in NAMES or telling:
            yield name, depth


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def as_table(column: str, *strings: str) -> pa.Table:
    return pa.table({"distinct_id": ["other"] * len(strings), column: strings})


@settings(deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_a_row_is_theirs_or_mentions_them_by_the_rule_alone(document: dict[str, Any], choice: random.Random) -> None:
    text = spelled(document, choice)
    hits = list(found(document))
    table = as_table("properties", text, '{"page": "/anna"}')
    rows = Ids(PERSON).in_table(table)
    assert Ids([*PERSON, *(f"unknown-{n}" for n in range(100))]).in_table(table) == rows, "among many the same"
    theirs = any(name in ID_PROPERTY_NAMES and depth == 1 for name, depth in hits)
    assert rows.theirs == ({0} if theirs else set())
    assert rows.mentions == ({0} if hits and not theirs else set())
    alone = Ids(PERSON).in_table(pa.table({"row": [text]}))
    assert alone == ({0} if hits else set(), set()), "a table that names no persons has no mentions"


@settings(deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_what_is_blanked_holds_no_id_and_is_otherwise_the_same(document: dict[str, Any], choice: random.Random) -> None:
    ids = Ids(PERSON)
    text = spelled(document, choice)
    blanked = ids.blank(text)
    assert not list(found(json.loads(blanked)))
    assert json.loads(blanked, object_pairs_hook=list) == _blanked(json.loads(text, object_pairs_hook=_pairs))
    if not list(found(document)):
        assert blanked == text


class _Pairs(list[Any]):
    """The members of an object."""


def _pairs(members: list[tuple[str, Any]]) -> _Pairs:
    return _Pairs(members)


def _blanked(value: Any, name: str = "") -> Any:
    if isinstance(value, _Pairs):
        return [(_blanked(key), _blanked(inner, key)) for key, inner in value]
    if isinstance(value, list):
        return [_blanked(inner, name) for inner in value]
    if isinstance(value, str) and value[:1] in ("{", "[", '"') and value not in PERSON:
        return Ids(PERSON).blank(value) if _is_json(value) and any(found(json.loads(value))) else value
    return ERASED if any(found(value, name)) else value


@settings(deadline=None)
@given(st.lists(documents | st.sampled_from(PERSON), max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_a_raw_reply_keeps_what_is_about_others(replies: list[Any], choice: random.Random, lines: bool) -> None:
    ids = Ids(PERSON)
    strings = [spelled(reply, choice).replace("\n", " ") for reply in replies]
    content = ("\n".join(strings) if lines else f"[{','.join(strings)}]").encode()
    kept, removed = without(content, ids)
    held = any(any(found(reply)) for reply in replies)
    assert bool(removed) == held
    if not held:
        assert kept == content
    elif kept is not None:
        assert without(kept, ids) == (kept, 0)
        others = [text for text, reply in zip(strings, replies, strict=True) if not any(found(reply))]
        if lines and len(strings) > 1:
            left = kept.decode().split("\n")
            assert [one for one in others if one not in left] == []
        elif not lines:
            left = json.loads(kept)
            assert [one for one in map(json.loads, others) if one not in left] == []


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("row", pa.array([[{"who": "anna-4711"}], [{"who": "xanna-4711"}]])),
        ("who", pa.array(["anna-4711", "anna-47110"]).dictionary_encode()),
        ("raw", pa.array([b'{"distinct_id":"anna-4711"}', b'{"distinct_id":"anna-471"}'])),
        ("user_id", pa.array([4711, 47110])),
        ("distinct_id", pa.array([4711.0, 47110.0])),
        ("who", pa.array([uuid.UUID(int=5).bytes, uuid.UUID(int=6).bytes], pa.binary(16)).cast(pa.uuid())),
        ("who", pa.array(["anna-4711", "other"], pa.string_view())),
        ("who", pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array(["anna-4711", "other"]))),
        ("seen", pa.array([[("anna-4711", 1)], [("other", 1)]], pa.map_(pa.string(), pa.int64()))),
    ],
)
def test_a_column_of_any_type_is_searched(name: str, array: pa.Array) -> None:
    ids = Ids(["anna-4711", "4711", str(uuid.UUID(int=5))])
    assert ids.in_table(pa.table({name: array})) == ({0}, set())


@pytest.mark.parametrize("content", [b"PK\x03\x04\xff\xfe", b"\x1f\x8b damaged", "zoë".encode("latin-1")])
def test_a_file_that_cannot_be_read_is_not_taken_for_one_without_ids(content: bytes) -> None:
    with pytest.raises(Unerasable):
        without(content, Ids(["anna-4711"]))


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ('{"distinct_id": "anna-4711", "a": 1}', None),
        ('{"results": [["anna-4711", 3], ["other", 2]]}', '{"results": [["other", 2]]}'),
        ('{"data":{"values":{"anna-4711":{"1":2},"other":{"1":3}}}}', '{"data":{"values":{"other":{"1":3}}}}'),
        ('{"invited":"anna-4711","invited":"x"}', '{"invited":"x"}'),
        ("at anna-4711: no\nat anna-47110: yes\n", "at anna-47110: yes\n"),
    ],
)
def test_replies_of_all_shapes_lose_the_entries_about_the_person(content: str, left: str | None) -> None:
    kept, removed = without(content.encode(), Ids(["anna-4711"]))
    assert (kept and kept.decode(), removed) == (left, 1)

"""What expressions are worth. Each row is a sentence of Mixpanel's reference. Source: mixpanel-api.md#expressions."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mixpanel_etl.expressions import UNDEFINED, EvaluationError, evaluator, parse, predicate

SOURCES: dict[str, dict[str, Any]] = {
    "properties": {
        "n": 5,
        "f": 2.5,
        "s": "abc",
        "digits": "12",
        "t": True,
        "none": None,
        "list": ["a", 1, None],
        "object": {"k": {"deep": 7}},
        "goods": [{"price": 5}, {"price": 9}],
        "when": "2024-01-02T03:04:05",
    },
    "user": {"$email": "a@gmail.com", "age": 31},
    "event": {"$time": datetime(2024, 1, 1, 12, tzinfo=UTC)},
}


def value(text: str) -> Any:
    return evaluator(parse(text))(SOURCES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # == is false across types, and != its contrary
        ('properties["n"] == 5', True),
        ('properties["n"] == 5.0', True),
        ('properties["n"] == "5"', False),
        ('properties["t"] == 1', False),
        ('properties["missing"] == "x"', False),
        ('properties["missing"] != "x"', True),
        ('properties["list"] == ["a", 1, properties["none"]]', True),
        ('properties["list"] == ["a", true, properties["none"]]', False),
        # comparisons are for numbers
        ('properties["n"] > 4', True),
        ('properties["n"] <= 4.5', False),
        ('properties["s"] < "b"', UNDEFINED),
        ('properties["digits"] > 4', UNDEFINED),
        ('properties["missing"] > 4', UNDEFINED),
        # in: part of a text, or member of a list
        ('"b" in properties["s"]', True),
        ('"z" in properties["s"]', False),
        ('properties["n"] in properties["s"]', UNDEFINED),
        ('properties["n"] in [1, 5]', True),
        ('"5" in [1, 5]', False),
        ('"a" in properties["list"]', True),
        ('properties["missing"] in [1]', UNDEFINED),
        # arithmetic is for numbers, + for strings too
        ('properties["n"] + 1', 6),
        ('properties["s"] + "d"', "abcd"),
        ('properties["s"] + 1', UNDEFINED),
        ('properties["n"] / 2', 2.5),
        ('properties["n"] / 0', UNDEFINED),
        ('properties["n"] % 0', UNDEFINED),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ('properties["t"] + 1', UNDEFINED),
        ("1e308 * 10", UNDEFINED),
        ('-properties["n"]', -5),
        ('-properties["s"]', UNDEFINED),
        # and, or: undefined is false; not: undefined is true
        ('properties["missing"] or true', True),
        ('properties["missing"] and true', False),
        ('properties["missing"] > 1 or false', False),
        ('not properties["missing"]', True),
        ('not properties["t"]', False),
        ('not properties["n"]', UNDEFINED),
        # typecasts
        ('string(properties["n"])', "5"),
        ('string(properties["f"])', "2.5"),
        ("string(3.0)", "3"),
        ('string(properties["t"])', "true"),
        ('string(properties["none"])', None),
        ('string(properties["list"])', UNDEFINED),
        ('string(properties["missing"])', UNDEFINED),
        ('string(properties["missing"], "undefined")', "undefined"),
        ('number(properties["digits"])', 12),
        ('number("-1.5")', -1.5),
        ('number(properties["s"])', UNDEFINED),
        ('number("nan")', UNDEFINED),
        ('number(properties["t"])', 1),
        ('number(properties["none"])', UNDEFINED),
        ('boolean("true")', True),
        ('boolean("False")', False),
        ("boolean(0)", False),
        ('boolean(properties["none"])', False),
        ('boolean(properties["missing"])', UNDEFINED),
        # rounding
        ('floor(properties["f"])', 2),
        ('ceil(properties["f"])', 3),
        ('round(properties["f"])', 3),
        ("round(-2.5)", -3),
        ("round(2.4)", 2),
        ('floor(properties["s"])', UNDEFINED),
        # defined, lists, objects, users
        ('defined(properties["n"])', True),
        ('defined(properties["none"])', True),
        ('not defined(properties["missing"])', True),
        ('any(X, properties["list"], X == "a")', True),
        ('any(X, properties["list"], X == "b")', False),
        ('any(X, properties["s"], X == "a")', UNDEFINED),
        ('any(X, properties["goods"], X["price"] > 6)', True),
        ('any(X, [1], any(Y, [2], X < Y and X < properties["n"]))', True),
        ('properties["object"]["k"]["deep"]', 7),
        ('properties["s"]["k"]', UNDEFINED),
        ('"gmail" in user["$email"] and user["age"] >= 18', True),
        ('has_prefix(user["$email"], "a@")', True),
        ('has_suffix(user["$email"], ".org")', False),
        # datetimes
        ('event["$time"] >= datetime("2024-01-01T00:00:00")', True),
        ('event["$time"] < datetime("2024-01-01")', False),
        ('event["$time"] == datetime(1704110400)', True),
        ('event["$time"] == datetime(1704110400000)', True),
        ('event["$time"] > 5', UNDEFINED),
        ('datetime(properties["when"]) > event["$time"]', True),
        ("datetime('yesterday')", UNDEFINED),
        ('number(event["$time"])', 1704110400),
        ('string(event["$time"])', "2024-01-01T12:00:00"),
    ],
)
def test_an_expression_is_worth_what_the_reference_says(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


def test_and_and_or_reject_operands_that_are_not_conditions() -> None:
    with pytest.raises(EvaluationError, match="'and' expects conditions, not the value 'abc'"):
        value('true and properties["s"]')


def test_a_filter_keeps_only_what_is_true() -> None:
    kept = predicate(parse('properties["a"]'))
    assert [kept({"properties": {"a": value}}) for value in (True, False, 1, "true", None)] == [True] + [False] * 4
    assert not kept({})


def test_datetimes_without_offset_are_of_the_zone() -> None:
    text = 'event["$time"] == datetime("2024-01-01T13:00:00")'
    assert evaluator(parse(text), ZoneInfo("Europe/Madrid"))(SOURCES) is True
    assert evaluator(parse(text))(SOURCES) is False

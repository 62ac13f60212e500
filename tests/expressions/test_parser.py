"""The grammar of segmentation expressions, and what it says to those who miss it.

Source: mixpanel-api.md#expressions.
"""

import pytest

from mixpanel_etl.expressions import ExpressionError, parse, references, render
from mixpanel_etl.expressions.syntax import (
    AnyOf,
    Binary,
    Call,
    Expression,
    ListLiteral,
    Literal,
    Logical,
    Member,
    Property,
    Unary,
    Variable,
)

A, B, C = (Property("properties", name) for name in "abc")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('properties["a"]', A),
        ("properties['a']", A),
        ('user["$email"]', Property("user", "$email")),
        ('event["$time"]', Property("event", "$time")),
        (r'properties["a\"b\\ é\n"]', Property("properties", 'a"b\\ é\n')),
        (r'"\ud83d\ude00"', Literal("😀")),
        ("true", Literal(True)),
        ("FALSE", Literal(False)),
        ("12", Literal(12)),
        ("1.5e3", Literal(1500.0)),
        ("-2", Literal(-2)),
        ("- -2", Unary("-", Literal(-2))),
        ('properties["a"] = "x"', Binary("==", A, Literal("x"))),
        ('properties["a"] in [1, "2"]', Binary("in", A, ListLiteral((Literal(1), Literal("2"))))),
        ("[]", ListLiteral(())),
        ('properties["a"]["b"]', Member(A, "b")),
        ('DEFINED ( properties["a"] )', Call("defined", (A,))),
        ('string(properties["a"], "undefined")', Call("string", (A, Literal("undefined")))),
        (
            'any(X, properties["a"], X="v")',
            AnyOf("X", A, Binary("==", Variable("X"), Literal("v"))),
        ),
    ],
)
def test_each_form_has_its_part(text: str, expected: Expression) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("(1 - 2) - 3", "(1 - 2) - 3"),
        ("1 - (2 - 3)", "1 - (2 - 3)"),
        ("1 < 2 + 3", "1 < (2 + 3)"),
        ('not "x" in "xy"', 'not ("x" in "xy")'),
        ("true Or false AND nOT true", "true or (false and (not true))"),
        ("1 == 1 and 2 == 2 and 3 == 3", "(1 == 1) and (2 == 2) and (3 == 3)"),
        ("-properties['a'] * 2", '(- properties["a"]) * 2'),
    ],
)
def test_operators_bind_in_the_usual_order(text: str, expected: str) -> None:
    assert render(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "position", "problem", "remedy"),
    [
        ("", 1, "an empty expression", "write a condition"),
        ('properties["a"] ==', 19, "ends too early", "complete it"),
        ('(properties["a"]', 17, "ends too early", "close what was opened"),
        ('properties["a', 12, "unexpected '\"'", "close the quotes"),
        ('properties["a"] == “x”', 20, "unexpected '“'", "straight quotes"),
        ('properties["a"] == foo', 20, "unknown name foo", 'write properties["foo"]'),
        ("$browser", 1, "unexpected '$'", 'properties["age"]'),
        ("true && false", 6, "unexpected '&'", "write and"),
        ("!true", 1, "unexpected '!'", "write not"),
        ("true and 5 + 1", 6, "'and' on a value", "compare the value first"),
        ("floor(1, 2)", 1, "floor with 2 operands", "floor takes 1"),
        ("has_prefix('a')", 1, "has_prefix with 1 operand", "has_prefix takes 2"),
        ("1 == 1e999", 6, "too large", "308 digits"),
        ("any(X, [1], Y == 1)", 13, "unknown name Y", 'properties["Y"]'),
        ("(" * 500 + "-" * 500 + "properties['a']" + ")" * 500, 1, "nesting", "100 levels"),
    ],
)
def test_an_error_says_where_and_what_to_write(text: str, position: int, problem: str, remedy: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.position == position
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert f"at position {position}" in str(caught.value)


def test_an_error_shows_the_surroundings_of_a_long_expression() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse('properties["a"] == 1 and ' * 50 + "%")
    assert str(caught.value).startswith("unexpected '%' at position 1251: …")
    assert len(str(caught.value)) < 250


def test_a_filter_over_thousands_of_ids_is_not_too_deep() -> None:
    expression = parse(" or ".join(f'properties["id"] == {number}' for number in range(3000)))
    assert isinstance(expression, Logical)
    assert len(expression.operands) == 3000


def test_references_are_the_properties_that_are_read() -> None:
    expression = parse('any(X, user["b"], X == properties["a"]) or defined(properties["c"])')
    assert references(expression) == {A, C, Property("user", "b")}

"""What holds of every expression and every row."""

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixpanel_etl.expressions import EvaluationError, ExpressionError, evaluator, parse, predicate, render
from mixpanel_etl.expressions.syntax import (
    SOURCES,
    AnyOf,
    Binary,
    BinaryOperator,
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

pytestmark = pytest.mark.slow

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

strings = st.text(max_size=6)
names = st.sampled_from(["a", "b", "$time", 'q"u\\o', "ß "])
numbers = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | strings
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
rows = st.fixed_dictionaries(
    {"properties": st.dictionaries(names, json_values, max_size=4), "user": st.dictionaries(names, json_values)}
)
leaves: st.SearchStrategy[Expression] = (
    st.booleans().map(Literal)
    | numbers.map(Literal)
    | strings.map(Literal)
    | st.builds(Property, st.sampled_from(SOURCES), names)
)


def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    conditions = inner.map(lambda part: Binary("==", part, Literal(1))) | inner.map(lambda part: Unary("not", part))
    operands = st.lists(conditions, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Binary, st.sampled_from(get_args(BinaryOperator)), inner, inner),
        st.builds(Unary, st.just("not"), inner),
        inner.map(lambda part: Unary("-", Property("properties", "a") if isinstance(part, Literal) else part)),
        st.builds(Logical, st.sampled_from(["and", "or"]), operands),
        st.builds(Member, inner.filter(lambda part: not isinstance(part, Literal)), names),
        st.builds(lambda name, part: Call(name, (part,)), st.sampled_from(ONE_OPERAND), inner),
        st.builds(lambda part, other: Call("string", (part, other)), inner, inner),
        st.lists(inner, max_size=3).map(lambda items: ListLiteral(tuple(items))),
        st.builds(lambda part, other: AnyOf("X", part, Binary("==", Variable("X"), other)), inner, inner),
    )


ONE_OPERAND = ["boolean", "number", "string", "datetime", "floor", "round", "ceil", "defined"]
expressions = st.recursive(leaves, grown, max_leaves=10)


def worth(expression: Expression, row: dict[str, Any]) -> Any:
    return evaluator(expression)(row)


@QUICK
@given(expressions)
def test_a_rendered_expression_parses_to_itself(expression: Expression) -> None:
    assert parse(render(expression)) == expression


@QUICK
@given(expressions, rows)
def test_every_expression_has_a_value_for_every_row_or_rejects_a_condition(
    expression: Expression, row: dict[str, Any]
) -> None:
    try:
        found = worth(expression, row)
    except EvaluationError:
        return
    assert predicate(expression)(row) is (found is True)


@QUICK
@given(expressions, expressions, rows)
def test_not_equal_is_the_contrary_of_equal(left: Expression, right: Expression, row: dict[str, Any]) -> None:
    try:
        equal = worth(Binary("==", left, right), row)
    except EvaluationError:
        return
    assert worth(Binary("!=", left, right), row) is not equal
    assert worth(Binary("==", right, left), row) is equal


@QUICK
@given(st.lists(st.sampled_from([True, False, None]), min_size=2, max_size=4))
def test_and_or_not_obey_de_morgan_with_undefined_as_false(truths: list[bool | None]) -> None:
    row = {"properties": {str(number): truth for number, truth in enumerate(truths) if truth is not None}}
    operands = tuple(Property("properties", str(number)) for number in range(len(truths)))
    negated = tuple(Unary("not", operand) for operand in operands)
    assert worth(Unary("not", Logical("and", operands)), row) is worth(Logical("or", negated), row)
    assert worth(Logical("and", operands), row) is all(truth is True for truth in truths)


@QUICK
@given(strings, strings, strings)
def test_a_part_is_in_the_whole(before: str, part: str, after: str) -> None:
    row = {"properties": {"a": before + part + after, "b": part}}
    assert worth(parse('properties["b"] in properties["a"]'), row) is True


@QUICK
@given(numbers)
def test_a_number_survives_the_way_through_text(number: float) -> None:
    assert worth(parse('number(string(properties["a"]))'), {"properties": {"a": number}}) == number


@QUICK
@given(st.text(alphabet="properties[\"a]user()=<>!&|+-*/% andornti1.,'\\“$", max_size=30))
def test_any_text_is_an_expression_or_an_error_with_a_position(text: str) -> None:
    position = 1
    try:
        parse(text)
    except ExpressionError as error:
        position = error.position
    assert 1 <= position <= len(text) + 1

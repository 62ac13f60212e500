"""What an expression is worth for one event or profile. Source: mixpanel-api.md#expressions.

An expression becomes one Python function made of functions, so that a filter over a million rows reads its tree once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from mixpanel_etl.expressions.expression_errors import EvaluationError
from mixpanel_etl.expressions.expression_values import (
    UNDEFINED,
    Value,
    cast_to_boolean,
    cast_to_datetime,
    cast_to_number,
    cast_to_string,
    finite,
    is_number,
    same,
)
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

Sources = Mapping[str, Mapping[str, Any]]
Evaluator = Callable[[Sources], Value]
_Scope = dict[str, Value]
_Step = Callable[[Sources, _Scope], Value]
_NOTHING: Mapping[str, Any] = {}


def evaluator(expression: Expression, zone: tzinfo = UTC) -> Evaluator:
    """A function from what an expression refers to, to its value.

    It takes a mapping of `properties`, `user`, `event` and `behaviors` to their members; what is missing is undefined.
    `zone` is that of datetimes written without an offset. The function raises EvaluationError where `and` or `or`
    meets a value that is neither boolean nor undefined.
    """
    step = _step(expression, zone)
    return lambda sources: step(sources, {})


def predicate(expression: Expression, zone: tzinfo = UTC) -> Callable[[Sources], bool]:
    """A filter: whether the expression is true. Undefined is not; nor is any value that is not boolean."""
    value_of = evaluator(expression, zone)
    return lambda sources: value_of(sources) is True


def _step(expression: Expression, zone: tzinfo) -> _Step:  # noqa: PLR0911 - one for each kind
    match expression:
        case Literal(value):
            return lambda _sources, _scope: value
        case ListLiteral(items):
            steps = [_step(item, zone) for item in items]
            return lambda sources, scope: [step(sources, scope) for step in steps]
        case Property(source, name):
            return lambda sources, _scope: sources.get(source, _NOTHING).get(name, UNDEFINED)
        case Variable(name, _):
            return lambda _sources, scope: scope[name]
        case Member(operand, name):
            inner = _step(operand, zone)
            return lambda sources, scope: _member(inner(sources, scope), name)
        case Unary(operator, operand):
            return _applied(_not if operator == "not" else _negative, _step(operand, zone))
        case Binary(operator, left, right):
            return _combined(_BINARY[operator], _step(left, zone), _step(right, zone))
        case Logical(operator, operands):
            return _logical(operator, [_step(operand, zone) for operand in operands])
        case Call(function, operands):
            return _call(function, [_step(operand, zone) for operand in operands], zone)
        case AnyOf(variable, items, condition):
            return _any(variable, _step(items, zone), _step(condition, zone))


def _applied(operation: Callable[[Value], Value], operand: _Step) -> _Step:
    return lambda sources, scope: operation(operand(sources, scope))


def _combined(operation: Callable[[Value, Value], Value], left: _Step, right: _Step) -> _Step:
    return lambda sources, scope: operation(left(sources, scope), right(sources, scope))


def _logical(operator: str, operands: list[_Step]) -> _Step:
    decisive = operator == "or"

    def decide(sources: Sources, scope: _Scope) -> Value:
        for operand in operands:
            value = operand(sources, scope)
            if value is not UNDEFINED and not isinstance(value, bool):
                raise EvaluationError(f"{operator!r} expects conditions, not the value {value!r:.80}")
            if (value is True) is decisive:
                return decisive
        return not decisive

    return decide


def _call(function: str, operands: list[_Step], zone: tzinfo) -> _Step:
    if function in ("has_prefix", "has_suffix"):
        return _combined(_has_prefix if function == "has_prefix" else _has_suffix, *operands)
    operation = _FUNCTIONS.get(function)
    if operation is None:
        in_zone = cast_to_string if function == "string" else cast_to_datetime
        operation = lambda value: in_zone(value, zone)  # noqa: E731
    if len(operands) == 1:
        return _applied(operation, operands[0])
    return _with_default(_applied(operation, operands[0]), operands[1])


def _with_default(step: _Step, default: _Step) -> _Step:
    def decide(sources: Sources, scope: _Scope) -> Value:
        value = step(sources, scope)
        return default(sources, scope) if value is UNDEFINED else value

    return decide


def _any(variable: str, items: _Step, condition: _Step) -> _Step:
    def decide(sources: Sources, scope: _Scope) -> Value:
        members = items(sources, scope)
        if not isinstance(members, list):
            return UNDEFINED
        return any(condition(sources, {**scope, variable: member}) is True for member in members)

    return decide


def _member(value: Value, name: str) -> Value:
    return value.get(name, UNDEFINED) if isinstance(value, Mapping) else UNDEFINED


def _not(value: Value) -> Value:
    if isinstance(value, bool):
        return not value
    return True if value is UNDEFINED else UNDEFINED


def _negative(value: Value) -> Value:
    return -value if is_number(value) else UNDEFINED


def _plus(left: Value, right: Value) -> Value:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return _calculated(left, right, lambda a, b: a + b)


def _divided(left: Value, right: Value) -> Value:
    return _calculated(left, right, lambda a, b: a / b if b else UNDEFINED)


def _remainder(left: Value, right: Value) -> Value:
    """Of the sign of the dividend, unlike Python's."""
    return _calculated(left, right, lambda a, b: (abs(a) % abs(b)) * (-1 if a < 0 else 1) if b else UNDEFINED)


def _calculated(left: Value, right: Value, operation: Callable[[Any, Any], Value]) -> Value:
    if not (is_number(left) and is_number(right)):
        return UNDEFINED
    try:
        result = operation(left, right)
        return finite(result) if is_number(result) else UNDEFINED
    except OverflowError:
        return UNDEFINED


def _compared(operation: Callable[[Any, Any], bool]) -> Callable[[Value, Value], Value]:
    def compare(left: Value, right: Value) -> Value:
        timestamps = isinstance(left, datetime) and isinstance(right, datetime)
        return operation(left, right) if timestamps or (is_number(left) and is_number(right)) else UNDEFINED

    return compare


def _contained(left: Value, right: Value) -> Value:
    if isinstance(left, str) and isinstance(right, str):
        return left in right
    if isinstance(right, list) and left is not UNDEFINED:
        return any(same(left, member) for member in right)
    return UNDEFINED


def _has_prefix(text: Value, prefix: Value) -> Value:
    return text.startswith(prefix) if isinstance(text, str) and isinstance(prefix, str) else UNDEFINED


def _has_suffix(text: Value, suffix: Value) -> Value:
    return text.endswith(suffix) if isinstance(text, str) and isinstance(suffix, str) else UNDEFINED


def _rounded(operation: Callable[[Any], int]) -> Callable[[Value], Value]:
    return lambda value: operation(value) if is_number(value) and math.isfinite(value) else UNDEFINED


def _half_away_from_zero(value: float) -> int:
    whole = math.trunc(value)
    return whole + (1 if value > 0 else -1) if abs(value - whole) >= 0.5 else whole


_BINARY: Mapping[str, Callable[[Value, Value], Value]] = {
    "==": same,
    "!=": lambda left, right: not same(left, right),
    "+": _plus,
    "-": lambda left, right: _calculated(left, right, lambda a, b: a - b),
    "*": lambda left, right: _calculated(left, right, lambda a, b: a * b),
    "/": _divided,
    "%": _remainder,
    ">": _compared(lambda a, b: a > b),
    ">=": _compared(lambda a, b: a >= b),
    "<": _compared(lambda a, b: a < b),
    "<=": _compared(lambda a, b: a <= b),
    "in": _contained,
}
_FUNCTIONS: Mapping[str, Callable[[Value], Value]] = {
    "boolean": cast_to_boolean,
    "number": cast_to_number,
    "defined": lambda value: value is not UNDEFINED,
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "round": _rounded(_half_away_from_zero),
}

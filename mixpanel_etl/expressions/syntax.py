"""The parts of an expression: what `parse` returns, frozen and comparable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal as OneOf

Source = OneOf["properties", "user", "event", "behaviors"]
UnaryOperator = OneOf["not", "-"]
BinaryOperator = OneOf["+", "-", "*", "/", "%", "==", "!=", ">", ">=", "<", "<=", "in"]
LogicalOperator = OneOf["and", "or"]
Function = OneOf[
    "boolean", "number", "string", "datetime", "floor", "round", "ceil", "defined", "has_prefix", "has_suffix"
]

SOURCES: tuple[Source, ...] = ("properties", "user", "event", "behaviors")


@dataclass(frozen=True, slots=True)
class Literal:
    """`true`, `12.5`, `"text"`."""

    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[1, 2, properties["a"]]`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """`properties["name"]` of the event or profile itself, `user["name"]`, `event["$time"]`, `behaviors["name"]`."""

    source: Source
    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """The name that `any` gives to each element of its list; `offset` is where it was read."""

    name: str
    offset: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Member:
    """`X["name"]`: a member of an object."""

    operand: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    operator: UnaryOperator
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    operator: BinaryOperator
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logical:
    """Two or more operands under one operator, so that a filter over a thousand ids is not a thousand levels deep."""

    operator: LogicalOperator
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one or, for a typecast with a default, two operands; `has_prefix` and `has_suffix` take two."""

    function: Function
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`any(X, list, condition)`: whether the condition holds for an element of the list, called X in it."""

    variable: str
    items: Expression
    condition: Expression


Expression = Literal | ListLiteral | Property | Variable | Member | Unary | Binary | Logical | Call | AnyOf


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions of which one is directly made."""
    match expression:
        case ListLiteral(items):
            return items
        case Member(operand, _) | Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Logical(_, operands) | Call(_, operands):
            return operands
        case AnyOf(_, items, condition):
            return (items, condition)
        case _:
            return ()


def walk(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Every part of an expression, itself first, with its depth (1 for itself)."""
    waiting = [(expression, 1)]
    while waiting:
        part, depth = waiting.pop()
        yield part, depth
        waiting.extend((child, depth + 1) for child in children(part))


def references(expression: Expression) -> frozenset[Property]:
    """The properties that an expression reads."""
    return frozenset(part for part, _ in walk(expression) if isinstance(part, Property))

"""From expression to text that parses to the same expression."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from mixpanel_etl.expressions.parser import parse
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


def masked(text: str) -> str:
    """An expression in which `...` stands for each value, which can be a person's; properties keep their names."""
    return render(_without_values(parse(text)))


def render(expression: Expression) -> str:  # noqa: PLR0911 - one for each kind
    """The text of an expression, in Mixpanel's grammar, with parentheses where they may be needed."""
    match expression:
        case Literal(value):
            return json.dumps(value, ensure_ascii=False)
        case ListLiteral(items):
            return f"[{', '.join(map(render, items))}]"
        case Property(source, name):
            return f"{source}[{json.dumps(name, ensure_ascii=False)}]"
        case Variable(name, _):
            return name
        case Member(operand, name):
            return f"{_enclosed(operand)}[{json.dumps(name, ensure_ascii=False)}]"
        case Unary(operator, operand):
            return f"{operator} {_enclosed(operand)}"
        case Binary(operator, left, right):
            return f"{_enclosed(left)} {operator} {_enclosed(right)}"
        case Logical(operator, operands):
            return f" {operator} ".join(map(_enclosed, operands))
        case Call(function, operands):
            return f"{function}({', '.join(map(render, operands))})"
        case AnyOf(variable, items, condition):
            return f"any({variable}, {render(items)}, {render(condition)})"


def _without_values(part: Any) -> Any:
    if isinstance(part, Literal):
        return Variable("...")
    if isinstance(part, tuple):
        return tuple(map(_without_values, part))
    if isinstance(part, Expression):
        return type(part)(*(_without_values(getattr(part, field.name)) for field in fields(part)))
    return part


def _enclosed(expression: Expression) -> str:
    text = render(expression)
    if isinstance(expression, Unary | Binary | Logical) or (isinstance(expression, Literal) and text.startswith("-")):
        return f"({text})"
    return text

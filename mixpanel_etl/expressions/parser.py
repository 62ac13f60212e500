"""From text to expression, or an error that says where and what to write instead."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from mixpanel_etl.expressions.expression_errors import ExpressionError
from mixpanel_etl.expressions.syntax import (
    AnyOf,
    Binary,
    BinaryOperator,
    Call,
    Expression,
    Function,
    ListLiteral,
    Literal,
    Logical,
    LogicalOperator,
    Member,
    Property,
    Source,
    Unary,
    Variable,
    children,
    walk,
)

MAX_DEPTH = 100
MAX_CHARACTERS = 1_000_000
_OPERANDS = {"has_prefix": (2, 2), "has_suffix": (2, 2)} | dict.fromkeys(
    ("boolean", "number", "string", "datetime"), (1, 2)
)
_NEVER_BOOLEAN = frozenset({"number", "string", "datetime", "floor", "round", "ceil"})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def parse(text: str) -> Expression:
    """The expression that a text means. Raises ExpressionError with the position and the remedy."""
    if not text.strip():
        raise _error("an empty expression", 0, 'write a condition such as properties["plan"] == "pro"', text)
    if len(text) > MAX_CHARACTERS:
        raise _error("an expression too long", MAX_CHARACTERS, f"keep it under {MAX_CHARACTERS:,} characters", text)
    try:
        expression = cast(Expression, _lark().parse(text))
    except UnexpectedInput as error:
        raise _syntax_error(error, text) from None
    except _MisuseError as error:
        raise _error(error.problem, error.offset, error.remedy, text) from None
    _check_depth(expression, text)
    _check_variables(expression, text)
    return expression


@cache
def _lark() -> Lark:
    return Lark.open("grammar.lark", rel_to=__file__, parser="lalr", maybe_placeholders=False, transformer=_Builder())


class _MisuseError(Exception):
    """Well-formed, but without meaning; the offset is that of the offending word."""

    def __init__(self, problem: str, offset: int | None, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.offset, self.remedy = problem, offset or 0, remedy


class _Builder(Transformer[Token, Any]):
    """Makes the parts while the text is parsed: called by lark with the name of each rule."""

    def disjunction(self, parts: list[Any]) -> Expression:
        return _logical("or", parts)

    def conjunction(self, parts: list[Any]) -> Expression:
        return _logical("and", parts)

    def negated(self, parts: list[Any]) -> Expression:
        operator, operand = parts
        if operator == "-":
            if isinstance(operand, Literal) and type(operand.value) in (int, float) and operand.value > 0:  # type: ignore[operator]
                return Literal(-operand.value)  # type: ignore[operator]
            return Unary("-", operand)
        return Unary("not", operand)

    def binary(self, parts: list[Any]) -> Expression:
        left, operator, right = parts
        name = "==" if operator == "=" else operator.lower()
        return Binary(cast(BinaryOperator, name), left, right)

    def property(self, parts: list[Token]) -> Expression:
        return Property(cast(Source, str(parts[0])), _text_of(parts[1]))

    def member(self, parts: list[Any]) -> Expression:
        return Member(parts[0], _text_of(parts[1]))

    def any_of(self, parts: list[Any]) -> Expression:
        return AnyOf(str(parts[1]), parts[2], parts[3])

    def call(self, parts: list[Any]) -> Expression:
        name, *operands = parts
        function = str(name).lower()
        least, most = _OPERANDS.get(function, (1, 1))
        if not least <= len(operands) <= most:
            wanted = str(least) if least == most else f"{least} or {most}"
            problem = f"{function} with {len(operands)} operand{'s' * (len(operands) != 1)}"
            raise _MisuseError(problem, name.start_pos, f"{function} takes {wanted}")
        return Call(cast(Function, function), tuple(operands))

    def list_literal(self, items: list[Expression]) -> Expression:
        return ListLiteral(tuple(items))

    def number(self, parts: list[Token]) -> Expression:
        text = str(parts[0])
        value = int(text) if text.isdigit() and len(text) <= 300 else float(text)
        if value == float("inf"):
            raise _MisuseError(
                f"the number {text[:20]} is too large", parts[0].start_pos, "a number has up to 308 digits"
            )
        return Literal(value)

    def string(self, parts: list[Token]) -> Expression:
        return Literal(_text_of(parts[0]))

    def boolean(self, parts: list[Token]) -> Expression:
        return Literal(parts[0].lower() == "true")

    def variable(self, parts: list[Token]) -> Expression:
        return Variable(str(parts[0]), parts[0].start_pos or 0)


def _logical(operator: LogicalOperator, parts: list[Any]) -> Expression:
    """Of operands with the operator's tokens between them."""
    operands: list[Expression] = parts[::2]
    for number, operand in enumerate(operands):
        if _cannot_be_boolean(operand):
            token: Token = parts[max(1, 2 * number - 1)]
            remedy = f"{operator} joins conditions: compare the value first"
            raise _MisuseError(f"{operator!r} on a value that is neither true nor false", token.start_pos, remedy)
    return Logical(operator, tuple(operands))


def _cannot_be_boolean(expression: Expression) -> bool:
    match expression:
        case Literal(value):
            return not isinstance(value, bool)
        case Call(function, _):
            return function in _NEVER_BOOLEAN
        case Binary(operator, _, _):
            return operator in _ARITHMETIC
        case Unary(operator, _):
            return operator == "-"
        case _:
            return isinstance(expression, ListLiteral)


def _text_of(token: Token) -> str:
    def unescape(found: re.Match[str]) -> str:
        escaped = found[1]
        return chr(int(escaped[1:], 16)) if len(escaped) == 5 else _ESCAPES.get(escaped, escaped)

    # Halves of a surrogate pair, each escaped, become one character as they do in JSON.
    text = _ESCAPE.sub(unescape, token[1:-1])
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _check_depth(expression: Expression, text: str) -> None:
    if any(depth > MAX_DEPTH for _, depth in walk(expression)):
        raise _error("too many levels of nesting", 0, f"stay within {MAX_DEPTH} levels", text)


def _check_variables(expression: Expression, text: str) -> None:
    waiting: list[tuple[Expression, frozenset[str]]] = [(expression, frozenset())]
    while waiting:
        part, bound = waiting.pop()
        if isinstance(part, Variable) and part.name not in bound:
            remedy = f"write properties[{json.dumps(part.name)}] for a property, quotes around a text"
            raise _error(f"unknown name {part.name}", part.offset, remedy, text)
        if isinstance(part, AnyOf):
            waiting += [(part.items, bound), (part.condition, bound | {part.variable})]
        else:
            waiting.extend((child, bound) for child in children(part))


def _syntax_error(error: UnexpectedInput, text: str) -> ExpressionError:
    offset = error.pos_in_stream if error.pos_in_stream is not None else len(text)
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return _error("the expression ends too early", len(text), "complete it, or close what was opened", text)
    if isinstance(error, UnexpectedCharacters):
        character = text[offset]
        remedy = next((advice for sign, advice in _REMEDIES.items() if text.startswith(sign, offset)), _REMEDY)
        return _error(f"unexpected {character!r}", offset, remedy, text)
    assert isinstance(error, UnexpectedToken)  # noqa: S101 - lark has no third kind here
    return _error(f"unexpected {str(error.token)!r}", offset, _REMEDY, text)


_REMEDIES = {
    '"': "close the quotes",
    "'": "close the quotes",
    "“": "write straight quotes",
    "‘": "write straight quotes",
    "&&": "write and",
    "||": "write or",
    "!": "write not",
}
_REMEDY = 'expressions look like properties["age"] >= 18 and "gmail" in properties["$email"]'


def _error(problem: str, offset: int, remedy: str, text: str) -> ExpressionError:
    return ExpressionError(problem, position=offset + 1, remedy=remedy, text=text)

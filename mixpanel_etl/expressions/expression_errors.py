"""What can be wrong with an expression."""

from __future__ import annotations

from mixpanel_etl.errors import MixpanelEtlError

_EXCERPT_BEFORE, _EXCERPT_AFTER = 30, 20


class ExpressionError(MixpanelEtlError, ValueError):
    """A string that is not a valid expression.

    Attributes:
        problem: what is wrong.
        position: where in the text, from 1; one past its end when something is missing there.
        remedy: what to write instead.
        text: the whole expression.
    """

    def __init__(self, problem: str, *, position: int, remedy: str, text: str) -> None:
        super().__init__(f"{problem} at position {position}: {_excerpt(text, position - 1)} ({remedy})")
        self.problem, self.position, self.remedy, self.text = problem, position, remedy, text


class EvaluationError(MixpanelEtlError, ValueError):
    """An expression that has no value for a row: `and` or `or` met what is neither boolean nor undefined."""


def _excerpt(text: str, offset: int) -> str:
    """The surroundings of a position, which is marked by `>>>`."""
    start, end = max(0, offset - _EXCERPT_BEFORE), offset + _EXCERPT_AFTER
    before = ("…" if start else "") + text[start:offset]
    return f"{before}>>>{text[offset:end]}{'…' if end < len(text) else ''}"

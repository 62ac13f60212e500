"""What an example consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

from mixpanel_etl.client import Mixpanel

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 31)
WINDOW = {"from_date": "2026-01-01", "to_date": "2026-01-31"}


def anything(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Example:
    """One call of an operation.

    Args:
        call: with arguments of Python types.
        reply: as documented, to be sent as JSON; bytes as they are.
        expect: whether what the call gives is what the reply says.
        query: what the URL must have, beyond project and data view.
        body: what the body must be, decoded; None for no body.
        path: values of what varies in the path.
        also: other shapes in which the reply is documented, or seen, that mean the same.
        bad: a call that can't work.
        says: what the error must name.
        status: of the documented reply.
    """

    call: Callable[[Mixpanel], Any]
    reply: Any
    expect: Callable[[Any], bool] = anything
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    path: dict[str, Any] = field(default_factory=dict)
    also: tuple[Any, ...] = ()
    bad: Callable[[Mixpanel], Any] | None = None
    says: str = ""
    status: int = 200


class _Called(Exception):
    """A method was called; the argument is its name, such as `query.segmentation`."""


class _Names:
    """Stands in for a client, and says which method is called."""

    def __init__(self, name: str = "") -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Names:
        return _Names(f"{self._name}.{name}".lstrip("."))

    def __call__(self, *_: Any, **__: Any) -> None:
        raise _Called(self._name)


def operation_of(example: Example) -> str:
    """The operation that an example calls."""
    try:
        example.call(cast("Mixpanel", _Names()))
    except _Called as called:
        return str(called)
    raise AssertionError("the example calls nothing")

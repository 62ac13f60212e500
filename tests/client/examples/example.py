"""What an example consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

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

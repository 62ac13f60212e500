"""Processes that begin at the same time and do the same thing to one lake."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

_CONTEXT = multiprocessing.get_context("spawn")
_PATIENCE = 60.0


def run_rivals(act: Callable[..., None], *arguments: Any, number: int = 2) -> None:
    """Call `act(rank, *arguments)` in several processes at once; each must end well.

    Args:
        act: a function of a module, so that another process finds it.
        arguments: pickled.
        number: of processes.
    """
    barrier = _CONTEXT.Barrier(number)
    rivals = [_CONTEXT.Process(target=_begin, args=(barrier, act, rank, *arguments)) for rank in range(number)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join(_PATIENCE)
        rival.kill()
    assert [rival.exitcode for rival in rivals] == [0] * number


def _begin(barrier: Any, act: Callable[..., None], rank: int, *arguments: Any) -> None:
    barrier.wait(_PATIENCE)
    act(rank, *arguments)

"""Runs the round trips of the client's tests, and writes down what went over the wire."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

from mixpanel_etl.client import GroupUpdate, Mixpanel, MixpanelError, Operator, UserUpdate
from mixpanel_etl.client.ingestion.profile_updates import Value
from mixpanel_etl.sandbox import Sandbox

from ..client import test_round_trips_app, test_round_trips_query
from ..client.conftest import SHOP
from ..client.examples import EXAMPLES
from ..client.round_trips import World
from ..client.scripted import NOW
from .recording import Exchange, recording

MODULES: tuple[ModuleType, ...] = (test_round_trips_app, test_round_trips_query)
# Every operator: the examples have two.
UPDATES: dict[str, Callable[[Mixpanel], None]] = {
    "ingestion.engage": lambda mp: mp.ingestion.engage(
        [UserUpdate("u1", *change) for change in (*FOR_ALL, *FOR_USERS)]
    ),
    "ingestion.groups": lambda mp: mp.ingestion.groups([GroupUpdate("company", "a", *change) for change in FOR_ALL]),
}
FOR_ALL: tuple[tuple[Operator, Value], ...] = (
    ("$set", {"plan": "pro", "tags": ["a", "b"]}),
    ("$set_once", {"first": 1}),
    ("$union", {"tags": ["b", "c"]}),
    ("$remove", {"tags": "a"}),
    ("$unset", ["plan"]),
    ("$delete", None),
)
FOR_USERS: tuple[tuple[Operator, Value], ...] = (("$add", {"n": 2}), ("$append", {"seen": "x"}))
Connect = Callable[..., Mixpanel]

# A round trip for each operation, and for some several.
ROUND_TRIPS: list[Callable[..., None]] = [
    test for module in MODULES for test in vars(module).values() if getattr(test, "covers", ())
]


def exchanged(test: Callable[..., None], connect: Connect, sandbox: Sandbox, **fixtures: Any) -> list[Exchange]:
    """A round trip in each of its variants, then the examples of what it covers, and these with wrong credentials."""
    with recording() as exchanges:
        for variant in _variants(test):
            sandbox.reset([SHOP])
            sandbox.clock.set(NOW)
            world = World(connect(), sandbox)
            if "shop" in inspect.signature(test).parameters:
                world.mixpanel.ingestion.import_(test_round_trips_query.EVENTS)
            known = {"world": world, "shop": world, "connect": connect, **fixtures, **variant}
            test(**{name: known[name] for name in inspect.signature(test).parameters})
        for mixpanel in (connect(), connect(service_account_secret="wrong", oauth_token="wrong")):
            for name in test.covers:  # type: ignore[attr-defined]
                for call in (EXAMPLES[name].call, *([UPDATES[name]] if name in UPDATES else [])):
                    with suppress(MixpanelError):
                        call(mixpanel)
    return exchanges


def _variants(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    choices = [[(mark.args[0], value) for value in mark.args[1]] for mark in marks]
    return (dict(chosen) for chosen in itertools.product(*choices))

"""Which test takes which operations to the sandbox and back: declared at the test, and checked against what arrived."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.sandbox import Project, Sandbox

Test = TypeVar("Test", bound=Callable[..., Any])

ROUND_TRIPS: dict[str, str] = {}


def covers(*names: str) -> Callable[[Test], Test]:
    """The operations that a test sends to the sandbox. With the fixture `world` it fails when one never arrives."""

    def note(test: Test) -> Test:
        ROUND_TRIPS.update(dict.fromkeys(names, test.__name__))
        test.covers = (*getattr(test, "covers", ()), *names)  # type: ignore[attr-defined]
        return test

    return note


@dataclass(frozen=True)
class World:
    """A client, and the sandbox it talks to, at the same time of day: 2026-03-15 12:00 UTC."""

    mixpanel: Mixpanel
    sandbox: Sandbox

    @property
    def project(self) -> Project:
        return self.sandbox.projects[0]

    def missing(self, names: tuple[str, ...]) -> list[str]:
        """Those of the operations that never arrived."""
        arrived = {(seen.method, seen.path) for seen in self.sandbox.requests}
        return [name for name in names if not any(_is(name, *request) for request in arrived)]


def _is(name: str, method: str, path: str) -> bool:
    operation = CATALOGUE[name]
    pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(FAMILIES[operation.family].prefix + operation.path))
    return method == operation.method and re.fullmatch(pattern, path) is not None

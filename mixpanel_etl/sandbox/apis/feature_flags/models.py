"""The feature flags of all projects, and the sticky variants that contexts have."""

from __future__ import annotations

from itertools import count
from typing import Any

from mixpanel_etl.sandbox.engine.identifiers import stable_uuid
from mixpanel_etl.sandbox.engine.state import State

Flag = dict[str, Any]


class Flags:
    """Flags by id; `sticking`: the key of the sticky variant by (flag id, context value)."""

    def __init__(self, _state: State) -> None:
        self._numbers = count(1)
        self.flags: dict[str, Flag] = {}
        self.sticking: dict[tuple[str, str], str] = {}

    def of_project(self, project_id: int) -> list[Flag]:
        return [flag for flag in self.flags.values() if flag["project_id"] == project_id]

    def new_id(self) -> str:
        return stable_uuid(f"flag {next(self._numbers)}")

"""What was seen of the properties of an event: types, and values that did not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixpanel_etl.lake.event_columns import MAX_EXACT
from mixpanel_etl.pull.typed.typed_columns import Types

#: Names that are counted; more are not properties, but values that were used as names.
_MAX_COUNTED = 10_000
#: Number of these, the most frequent ones, that are kept with a file and become columns.
MAX_KEPT = 1_000
_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


@dataclass
class Seen:
    """Counts by property.

    Attributes:
        rows: events looked at.
        types: how often a property had which JSON type.
        unfit: how many of its values did not fit in its column.
    """

    rows: int = 0
    types: dict[str, Counter[str]] = field(default_factory=dict)
    unfit: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, values: Iterable[Any]) -> None:
        """Count the decoded values of a property."""
        counts = self._of(name)
        if counts is None:
            return
        held = values if isinstance(values, list) else list(values)
        for kind, times in Counter(map(type, held)).items():
            if kind is float:
                whole = sum(type_of(value) == "integer" for value in held if type(value) is float)
                counts["integer"] += whole
                counts["number"] += times - whole
            else:
                counts[_TYPES[kind]] += times

    def property_types(self) -> dict[str, Types]:
        """The types of each property; of the most frequent ones, if there are very many."""
        return {name: frozenset(+self.types[name]) for name in self._kept()}

    def plain(self) -> dict[str, Any]:
        """As JSON holds it, for the record of a file."""
        return {
            "rows": self.rows,
            "types": {name: dict(+self.types[name]) for name in self._kept()},
            "unfit": {name: self.unfit[name] for name in self._kept() if self.unfit[name]},
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Seen:
        """What `plain` gave."""
        types = {name: Counter(counts) for name, counts in plain.get("types", {}).items()}
        return cls(plain.get("rows", 0), types, Counter(plain.get("unfit", {})))

    def add(self, other: Seen) -> None:
        """Count what another one counted, too."""
        self.rows += other.rows
        self.unfit += other.unfit
        for name, counts in other.types.items():
            if (own := self._of(name)) is not None:
                own.update(counts)

    def _of(self, name: str) -> Counter[str] | None:
        if name not in self.types and len(self.types) >= _MAX_COUNTED:
            return None
        return self.types.setdefault(name, Counter())

    def _kept(self) -> list[str]:
        seen = (name for name, counts in self.types.items() if counts.total())
        return sorted(sorted(seen, key=lambda name: (-self.types[name].total(), name))[:MAX_KEPT])


def type_of(value: Any) -> str:
    """The JSON type of a decoded value, as the Lexicon calls it. 3.0 is an integer, 1e300 a number."""
    if type(value) is float and value.is_integer() and abs(value) < MAX_EXACT:
        return "integer"
    return _TYPES[type(value)]

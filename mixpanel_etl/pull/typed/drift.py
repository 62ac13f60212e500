"""How far the Lexicon and the data have drifted apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixpanel_etl.pull.typed.seen_types import Seen
from mixpanel_etl.pull.typed.typed_columns import CORE_PROPERTIES, Types


@dataclass(frozen=True)
class Drift:
    """Differences between what is declared of an event and what was seen.

    Attributes:
        undeclared: properties that were seen but are not declared, with the types they had. Those that Mixpanel itself
            sets (`$browser`, `mp_lib`...) are left out: they are not declared.
        unseen: properties that are declared, but no event had.
        differing: properties that had values of other types: declared types, and how often which other one was seen.
    """

    undeclared: Mapping[str, Mapping[str, int]]
    unseen: tuple[str, ...]
    differing: Mapping[str, tuple[Types, Mapping[str, int]]]

    def __bool__(self) -> bool:
        return bool(self.undeclared or self.unseen or self.differing)

    def __str__(self) -> str:
        found = {
            "seen but not declared": list(self.undeclared),
            "declared but never seen": list(self.unseen),
            "of other types than declared": list(self.differing),
        }
        return "; ".join(f"{what}: {_listed(names)}" for what, names in found.items() if names) or "no difference"


def drift(declared: Mapping[str, Types], seen: Seen) -> Drift:
    """Compare what the Lexicon declares of an event with what was seen of it."""
    if not seen.rows:
        return Drift({}, (), {})
    had = {name: +counts for name, counts in seen.types.items() if counts.total()}
    others = {
        name: {kind: times for kind, times in sorted(had[name].items()) if not _allowed(kind, types)}
        for name, types in declared.items()
        if name in had
    }
    return Drift(
        undeclared={name: dict(had[name]) for name in sorted(had) if name not in declared and not _is_mixpanels(name)},
        unseen=tuple(name for name in sorted(declared) if name not in had and name not in CORE_PROPERTIES),
        differing={name: (declared[name], found) for name, found in sorted(others.items()) if found},
    )


def _allowed(kind: str, types: Types) -> bool:
    return kind in types or kind == "null" or (kind == "integer" and "number" in types)


def _is_mixpanels(name: str) -> bool:
    return name.startswith(("$", "mp_")) or name in CORE_PROPERTIES


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more

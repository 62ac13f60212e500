"""Dictionaries of any content, as files can hold them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mixpanel_etl.client import SchemaEntry
from mixpanel_etl.lexicon.attributes import OF_ENTITIES, OF_PROPERTIES, PROPERTY_TYPES, Said, entry

Key = tuple[str, str]

strings = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
# Two names no request can address, and the sandbox takes slashes off the end of a path.
names = strings.filter(lambda name: bool(name.strip()) and name not in (".", "..") and not name.endswith("/"))
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": strings,
    "strings": st.lists(strings, min_size=1, max_size=3, unique=True),
    "flag": st.just(value=True),
    "type": st.sampled_from(PROPERTY_TYPES),
}


def said(attributes: Any, *, kind: str) -> st.SearchStrategy[Said]:
    optional = {
        name: _VALUES[attribute.form]
        for name, attribute in attributes.items()
        if name != "type" and (name != "dropped" or kind == "event")
    }
    required = {"type": _VALUES["type"]} if "type" in attributes else {}
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def entries(draw: st.DrawFn) -> SchemaEntry:
    kind = draw(st.sampled_from(["event", "profile"]))
    properties = draw(st.dictionaries(strings, said(OF_PROPERTIES, kind=kind), max_size=3))
    return entry(kind, draw(names), draw(said(OF_ENTITIES, kind=kind)), properties)


def dictionaries() -> st.SearchStrategy[dict[Key, SchemaEntry]]:
    found = st.lists(entries(), max_size=4)
    return found.map(lambda several: {(one.entity_type, one.name): one for one in several})

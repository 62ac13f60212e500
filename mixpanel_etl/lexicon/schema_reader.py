"""One file of the schema directory, checked: every mistake with its line and what to write instead.

The YAML is read as nodes, not as values: a node knows its line, and a name is the text that stands there, also where
YAML would make a number, a date or true of it (`on`, `2024`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from mixpanel_etl.client.lexicon import MAX_ITEMS
from mixpanel_etl.lexicon.attributes import (
    KINDS,
    OF_ENTITIES,
    OF_PROPERTIES,
    PROPERTY_TYPES,
    Attribute,
    Said,
)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is
_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"


@dataclass(frozen=True)
class Parsed:
    """What a file describes; `said` and `properties` hold attributes by the names of `attributes.OF_ENTITIES`."""

    kind: str
    name: str
    line: int
    said: Said = field(default_factory=dict)
    properties: dict[str, Said] = field(default_factory=dict)


def read_file(path: Path, problems: list[str]) -> Parsed | None:
    """What a file describes; None when it has mistakes, which are appended to `problems`."""
    reader = _Reader(path)
    parsed = reader.read()
    problems.extend(reader.problems)
    return None if reader.problems else parsed


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    @property
    def problems(self) -> list[str]:
        """The mistakes, in the order of their lines."""
        return [f"{self._path}:{line}: {problem}" for line, problem in sorted(self._found)]

    def read(self) -> Parsed | None:
        try:
            node = yaml.compose(self._path.read_text(encoding="utf-8"), Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self._wrong(line, f"is not YAML: {error.problem}; correct it there or just before")
            return None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self._wrong(1, f"cannot be read as YAML in UTF-8: {str(error).splitlines()[0]}; save it as UTF-8")
            return None
        members = self._members(node, "the file") if node is not None else {}
        if members is None:
            return None
        named = [kind for kind in KINDS if kind in members]
        if len(named) != 1:
            more = ", not both" if named else "; Mixpanel's API has no schemas of groups" if "group" in members else ""
            self._wrong(1, f"must say what it describes: write one of `event: NAME` and `profile: $user`{more}")
            return None
        kind = named[0]
        name = self._text(members[kind], kind)
        if name is None or not name.strip():
            self._wrong(_line(members[kind]), f"{kind} has no name; write `{kind}: NAME`")
            return None
        properties = self._properties(members.pop("properties", None), kind)
        said = self._said({key: node for key, node in members.items() if key != kind}, OF_ENTITIES, kind, "properties")
        return Parsed(kind, name, _line(members[kind]), said, properties)

    def _properties(self, node: yaml.Node | None, kind: str) -> dict[str, Said]:
        if node is None or _empty(node):
            return {}
        members = self._members(node, "properties")
        found: dict[str, Said] = {}
        for title, described in (members or {}).items():
            if isinstance(described, yaml.MappingNode):
                of = self._members(described, f"property {title!r}") or {}
                found[title] = self._said(of, OF_PROPERTIES, kind)
                if "type" not in of:
                    self._wrong(_line(described), f"property {title!r} has no type; {_types()}")
            else:
                found[title] = {"type": self._type(described, f"type of property {title!r}")}
        if len(found) >= MAX_ITEMS:
            self._wrong(
                _line(node), f"has {len(found):,} properties, one request takes {MAX_ITEMS - 1:,}; leave some out"
            )
        return found

    def _said(
        self, members: Mapping[str, yaml.Node], attributes: Mapping[str, Attribute], kind: str, *others: str
    ) -> Said:
        found: Said = {}
        for name, node in members.items():
            if name not in attributes:
                known = [*attributes, *others]
                close = get_close_matches(name, known, 1)
                remedy = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
                self._wrong(_line(node), f"unknown key {name!r}; {remedy}")
            elif (value := self._value(node, name, attributes[name])) not in (None, "", [], False):
                found[name] = value
                if name == "dropped" and kind != "event":
                    self._wrong(_line(node), "dropped: only events and their properties can be dropped; remove it")
        return found

    def _value(self, node: yaml.Node, name: str, attribute: Attribute) -> Any:
        if attribute.form == "type":
            return self._type(node, name)
        if _empty(node):
            return None
        if attribute.form == "string":
            return self._text(node, name)
        if attribute.form == "flag":
            return self._flag(node, name)
        return self._texts(node, name)

    def _text(self, node: yaml.Node, name: str) -> str | None:
        if _empty(node):
            return None
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._wrong(_line(node), f"{name} must be a text; put it in quotes")
        return None

    def _texts(self, node: yaml.Node, name: str) -> list[str] | None:
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return list(dict.fromkeys(str(item.value) for item in node.value))
        self._wrong(_line(node), f"{name} must be a list of strings, e.g. `{name}: [one, two]`")
        return None

    def _flag(self, node: yaml.Node, name: str) -> bool | None:
        if node.tag == _BOOL:
            return str(node.value).lower() in ("true", "yes", "on")
        self._wrong(_line(node), f"{name} is {_shown(node)}; write true or false")
        return None

    def _type(self, node: yaml.Node, name: str) -> str | list[str]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        types = [str(item.value) if isinstance(item, yaml.ScalarNode) else "" for item in nodes]
        for item, kind in zip(nodes, types, strict=True):
            if kind not in PROPERTY_TYPES:
                self._wrong(_line(item), f"{name} is {_shown(item)}; {_types()}")
        if not types:
            self._wrong(_line(node), f"{name} is an empty list; {_types()}")
        return types if isinstance(node, yaml.SequenceNode) and len(types) > 1 else "".join(types)

    def _members(self, node: yaml.Node, what: str) -> dict[str, yaml.Node] | None:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(_line(node), f"{what} must be a list of `key: value` lines")
            return None
        members: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(_line(key), "a key must be a text; put it in quotes")
            elif key.value in members:
                self._wrong(_line(key), f"{key.value!r} stands twice in {what}; keep one")
            else:
                members[str(key.value)] = value
        return members

    def _wrong(self, line: int, problem: str) -> None:
        self._found.append((line, problem))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _empty(node: yaml.Node) -> bool:
    """Whether a node is missing or YAML's null; a quoted `null` is a string."""
    return bool(node.tag == _NULL)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _types() -> str:
    return f"use one of {', '.join(PROPERTY_TYPES)}"

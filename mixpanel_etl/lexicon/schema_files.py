"""The schema directory: one YAML file for each event, and for the properties of profiles.

.. code-block:: yaml

    event: Purchase
    description: A customer paid.
    tags: [core, revenue]
    properties:
      coupon: string              # short for a property of which only the type is known
      amount:
        type: number
        description: In euros, with tax.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixpanel_etl.client import SchemaEntry
from mixpanel_etl.lexicon.attributes import KINDS, entry, said_of_entity, said_of_property
from mixpanel_etl.lexicon.lexicon_errors import LexiconFilesError
from mixpanel_etl.lexicon.schema_reader import read_file

Key = tuple[str, str]
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029]")


@dataclass(frozen=True)
class Described:
    """An entity as a file describes it."""

    path: Path
    line: int
    entry: SchemaEntry


def read_directory(directory: Path) -> dict[Key, Described]:
    """What the `*.yaml` and `*.yml` files of a directory, and of those below it, describe.

    Returns:
        By kind (`event`, `profile`) and name.

    Raises:
        LexiconFilesError: there is no such directory, or files have mistakes; all of them are named.
    """
    if not directory.is_dir():
        raise LexiconFilesError([f"{directory}: there is no such directory; `mixpanel-etl lexicon pull` makes one"])
    found: dict[Key, Described] = {}
    problems: list[str] = []
    for path in sorted(path for path in directory.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file()):
        parsed = read_file(path, problems)
        if parsed is None:
            continue
        key = (parsed.kind, parsed.name)
        if key in found:
            first = found[key]
            problems.append(
                f"{path}:{parsed.line}: {parsed.kind} {parsed.name!r} is described already, in "
                f"{first.path}:{first.line}; keep one of the two"
            )
        else:
            described = entry(parsed.kind, parsed.name, parsed.said, parsed.properties)
            found[key] = Described(path, parsed.line, described)
    if problems:
        raise LexiconFilesError(problems)
    return found


def write_entries(directory: Path, entries: Iterable[SchemaEntry], there: Mapping[Key, Described]) -> list[Path]:
    """Write schemas into a directory, each into the file that describes it already, or into a new one.

    Args:
        directory: is made when it is missing.
        entries: what to write; kinds that files cannot hold are left out.
        there: what `read_directory` found. A file that says the same already is not touched.

    Returns:
        The files that were written.
    """
    written: list[Path] = []
    taken = {str(described.path).lower() for described in there.values()}
    for new in sorted(entries, key=lambda item: (item.entity_type, item.name)):
        if new.entity_type not in KINDS:
            continue
        present = there.get((new.entity_type, new.name))
        if present is not None and text_of(present.entry) == text_of(new):
            continue
        path = present.path if present is not None else _free(directory, new, taken)
        taken.add(str(path).lower())
        path.parent.mkdir(parents=True, exist_ok=True)
        # Half a file would read as a schema with fewer properties.
        partial = path.with_suffix(".part")
        partial.write_text(text_of(new), encoding="utf-8")
        partial.replace(path)
        written.append(path)
    return written


def text_of(described: SchemaEntry) -> str:
    """The file of a schema."""
    schema = described.schema_json
    content: dict[str, Any] = {described.entity_type: described.name, **said_of_entity(schema)}
    properties = {name: said_of_property(of) for name, of in sorted(schema.properties.items())}
    if properties:
        content["properties"] = {
            name: said["type"] if said.keys() == {"type"} else said for name, said in properties.items()
        }
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return text


class _Dumper(yaml.SafeDumper):
    """Strings of several lines as blocks, lists of strings in one line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Breaks other than \n would be read back as \n, unless they are escaped.
    style = '"' if _OTHER_BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _strings(dumper: yaml.SafeDumper, strings: Sequence[str]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", strings, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _strings)


def _free(directory: Path, described: SchemaEntry, taken: set[str]) -> Path:
    """A file name that reads like the entity's; names that would share a file get a mark of their own."""
    folder = directory / f"{described.entity_type}s"
    slug = re.sub(r"[^0-9a-z]+", "-", described.name.lower()).strip("-")[:80]
    plain = folder / f"{slug}.yaml"
    if slug and str(plain).lower() not in taken and not plain.exists():
        return plain
    mark = hashlib.blake2b(described.name.encode(), digest_size=4).hexdigest()
    return folder / f"{slug or described.entity_type}-{mark}.yaml"

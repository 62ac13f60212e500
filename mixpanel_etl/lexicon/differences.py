"""What would have to change in Mixpanel for its dictionary to say what the files say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET
from msgspec.structs import replace

from mixpanel_etl.client import Schema, SchemaEntry, SchemaMetadata, SchemaProperty, VendorMetadata
from mixpanel_etl.lexicon.attributes import (
    KINDS,
    OF_ENTITIES,
    OF_PROPERTIES,
    Attribute,
    Said,
    said_of_entity,
    said_of_property,
    same,
)
from mixpanel_etl.lexicon.lexicon_errors import LexiconError

Key = tuple[str, str]
Action = Literal["create", "update", "delete"]


class DropsData(LexiconError):
    """The plan would drop data: Mixpanel would discard it permanently at ingestion."""


@dataclass(frozen=True)
class Change:
    """One attribute that changes.

    Attributes:
        attribute: its name in the files.
        property: of which property; None: of the entity itself.
        before: what Mixpanel says; None: nothing.
        after: what it shall say; None: nothing.
    """

    attribute: str
    property: str | None
    before: Any
    after: Any


@dataclass(frozen=True)
class EntityChange:
    """What happens to an event, or to the properties of profiles.

    Attributes:
        upload: the schema to send, with None for metadata that goes; None when it is deleted.
    """

    action: Action
    kind: str
    name: str
    changes: tuple[Change, ...]
    upload: SchemaEntry | None

    @property
    def drops(self) -> list[str]:
        """What would be lost at ingestion from now on."""
        drops = [change for change in self.changes if change.attribute == "dropped" and change.after]
        return [
            f"event {self.name!r}" if change.property is None else f"property {change.property!r} of {self.name!r}"
            for change in drops
        ]


@dataclass(frozen=True)
class Plan:
    """The difference between files and Mixpanel.

    Attributes:
        changes: what has to be sent, by kind and name.
        left_alone: (kind, name) of what only Mixpanel has.
        unchanged: how many entities say the same on both sides.
        truncated: number of schemas that are deleted before the upload: the whole dictionary.
    """

    changes: tuple[EntityChange, ...]
    left_alone: tuple[Key, ...] = ()
    unchanged: int = 0
    truncated: int | None = None

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        counted = {action: sum(change.action == action for change in self.changes) for action in _WORDS}
        parts = [f"{count} to {action}" for action, count in counted.items() if count]
        return ", ".join([*parts, f"{self.unchanged} unchanged", f"{len(self.left_alone)} only in Mixpanel"])

    def check_drops(self, *, allow_drop: bool) -> None:
        """Raise an error if the plan would drop data without permission.

        Raises:
            DropsData: something becomes `dropped`, and that is not allowed.
        """
        drops = [name for change in self.changes for name in change.drops]
        if drops and not allow_drop:
            raise DropsData(
                f"dropped: true would make Mixpanel discard {', '.join(drops)} permanently at ingestion. "
                "Allow it with --allow-drop (allow_drop: true in YAML), or use hidden: true; nothing was sent"
            )


_WORDS: tuple[Action, ...] = ("create", "update", "delete")


def compare(
    wanted: Mapping[Key, SchemaEntry],
    there: Mapping[Key, SchemaEntry],
    *,
    delete: bool = False,
    truncate: bool = False,
) -> Plan:
    """The plan that makes Mixpanel say what the files say.

    Args:
        wanted: the files' entities, by kind and name.
        there: Mixpanel's.
        delete: delete what only Mixpanel has, too; of the kinds that files can hold.
        truncate: empty the dictionary first, so that nothing that the files do not say remains.
    """
    if truncate:
        return _anew(wanted, there)
    changes = [change for key, entry in sorted(wanted.items()) if (change := _change(entry, there.get(key)))]
    extra = [entry for key, entry in sorted(there.items()) if key not in wanted]
    deleted = [_deleted(entry) for entry in extra if delete and entry.entity_type in KINDS]
    gone_keys = {(change.kind, change.name) for change in deleted}
    left = tuple((e.entity_type, e.name) for e in extra if (e.entity_type, e.name) not in gone_keys)
    unchanged = len(wanted) - len(changes)
    return Plan((*changes, *deleted), left, unchanged)


def _anew(wanted: Mapping[Key, SchemaEntry], there: Mapping[Key, SchemaEntry]) -> Plan:
    """Everything goes and comes again, unless both sides say the same."""
    gone = [_deleted(entry) for key, entry in sorted(there.items()) if key not in wanted]
    come = [_uploaded(entry, there.get(key)) for key, entry in sorted(wanted.items())]
    if not gone and not any(change.changes or change.action == "create" for change in come):
        return Plan((), unchanged=len(wanted))
    return Plan((*come, *gone), truncated=len(there))


def _uploaded(wanted: SchemaEntry, there: SchemaEntry | None) -> EntityChange:
    """The entity as it would be sent into an empty dictionary."""
    changes = tuple(_changes(there.schema_json if there else Schema(), wanted.schema_json))
    return EntityChange("update" if there else "create", wanted.entity_type, wanted.name, changes, wanted)


def _deleted(entry: SchemaEntry) -> EntityChange:
    return EntityChange("delete", entry.entity_type, entry.name, (), None)


def _change(wanted: SchemaEntry, there: SchemaEntry | None) -> EntityChange | None:
    if there is None:
        return _uploaded(wanted, None)
    changes = tuple(_changes(there.schema_json, wanted.schema_json))
    if not changes:
        return None
    return EntityChange("update", wanted.entity_type, wanted.name, changes, _upload(wanted, there.schema_json))


def _changes(there: Schema, wanted: Schema) -> Iterator[Change]:
    yield from _differences(said_of_entity(there), said_of_entity(wanted), None)
    for title in sorted(there.properties.keys() | wanted.properties.keys()):
        before, after = there.properties.get(title), wanted.properties.get(title)
        yield from _differences(
            said_of_property(before) if before else {}, said_of_property(after) if after else {}, title
        )


def _differences(before: Said, after: Said, title: str | None) -> Iterator[Change]:
    for name in [*OF_ENTITIES, *(name for name in OF_PROPERTIES if name not in OF_ENTITIES)]:
        if not same(before.get(name), after.get(name)):
            yield Change(name, title, before.get(name), after.get(name))


def _upload(wanted: SchemaEntry, there: Schema) -> SchemaEntry:
    """The schema to send: it says None of metadata that goes, and keeps what files do not know."""
    schema = wanted.schema_json
    properties = {
        title: _with_nulls(described, there.properties.get(title), OF_PROPERTIES)
        for title, described in schema.properties.items()
    }
    sent = replace(_with_nulls(schema, there, OF_ENTITIES), properties=properties, unknown=there.unknown)
    return replace(wanted, schema_json=sent)


def _with_nulls(wanted: Any, there: Schema | SchemaProperty | None, attributes: Mapping[str, Attribute]) -> Any:
    if there is None or not there.metadata:
        return wanted
    own = wanted.metadata.mixpanel if wanted.metadata else SchemaMetadata()
    old = there.metadata.mixpanel or SchemaMetadata()
    gone: Sequence[str] = [
        name
        for name, attribute in attributes.items()
        if attribute.in_metadata
        and getattr(own, name) is UNSET
        and getattr(old, name) is not UNSET
        and getattr(old, name) is not None
    ]
    if gone:
        own = replace(own, **dict.fromkeys(gone))
    # What others than Mixpanel keep beside its metadata is replaced by an upload, so it is sent along.
    others = there.metadata.unknown
    if own == SchemaMetadata() and not others:
        return wanted
    return replace(wanted, metadata=VendorMetadata(mixpanel=own if own != SchemaMetadata() else UNSET, unknown=others))

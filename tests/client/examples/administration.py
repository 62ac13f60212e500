"""Lexicon and annotations. Source: mixpanel-api.md#lexicon, #annotations."""

from __future__ import annotations

from datetime import UTC, date, datetime

from mixpanel_etl.client import Schema, SchemaEntry, SchemaMetadata, SchemaProperty, VendorMetadata

from .example import Example

SCHEMA = {
    "description": "User completes a purchase",
    "properties": {"amount": {"type": "number", "metadata": {"com.mixpanel": {"displayName": "Amount"}}}},
    "metadata": {"com.mixpanel": {"tags": ["core"], "hidden": None}},
    "required": ["amount"],
}
PURCHASE = Schema(
    description="User completes a purchase",
    properties={
        "amount": SchemaProperty(
            type="number", metadata=VendorMetadata(mixpanel=SchemaMetadata(display_name="Amount"))
        ),
    },
    metadata=VendorMetadata(mixpanel=SchemaMetadata(tags=["core"], hidden=None)),
    unknown={"required": ["amount"]},
)
ENTRY = {"entityType": "event", "name": "Purchase", "schemaJson": SCHEMA}
LISTED = {"results": [ENTRY], "status": "ok"}
GONE = {"results": {"delete_count": 2}, "status": "ok"}
ONE = {"entity_type": "event", "name": "Add / to cart"}
WIDE = Schema(properties={f"p{n}": SchemaProperty(type="string") for n in range(1999)})

NOTE = {
    "id": 123,
    "date": "2026-01-15 12:00:00",
    "description": "New feature",
    "user": {"id": 456, "first_name": "John", "last_name": "Doe"},
    "tags": [{"id": 1, "name": "release"}],
}
TAGS = [{"id": 1, "name": "release", "project_id": 12345, "has_annotations": True}]


def one_note(note: object) -> bool:
    return (note.id, note.user.first_name, note.tags[0].name) == (123, "John", "release")  # type: ignore[attr-defined]


ADMINISTRATION = [
    Example(lambda mp: mp.lexicon.list_schemas(), LISTED, lambda entries: entries[0].schema_json == PURCHASE),
    Example(
        lambda mp: mp.lexicon.create_schemas(
            [SchemaEntry(entity_type="event", name="Purchase", schema_json=PURCHASE)], truncate=True
        ),
        {"results": {"added": 1, "deleted": 3}, "status": "ok"},
        lambda created: (created.added, created.deleted) == (1, 3),
        body={"entries": [ENTRY], "truncate": True},
        bad=lambda mp: mp.lexicon.create_schemas(
            [SchemaEntry(entity_type="event", name=f"e{n}", schema_json=WIDE) for n in range(3)]
        ),
        says=r"4,000 events and properties, .* from entries\[2\], 'e2' on",
    ),
    Example(lambda mp: mp.lexicon.delete_schemas(), GONE, lambda count: count == 2),
    Example(
        lambda mp: mp.lexicon.list_schemas_of_type("event"),
        LISTED,
        lambda entries: [entry.name for entry in entries] == ["Purchase"],
        path={"entity_type": "event"},
        bad=lambda mp: mp.lexicon.list_schemas_of_type("user"),  # type: ignore[arg-type]
        says="entity_type is 'user'.* event, profile",
    ),
    Example(
        lambda mp: mp.lexicon.delete_schemas_of_type("profile"),
        GONE,
        lambda count: count == 2,
        path={"entity_type": "profile"},
    ),
    Example(
        lambda mp: mp.lexicon.get_schema("event", "Add / to cart"),
        SCHEMA,
        lambda schema: schema == PURCHASE and schema["required"] == ["amount"],
        path=ONE,
        also=({"results": SCHEMA, "status": "ok"},),
    ),
    Example(
        lambda mp: mp.lexicon.create_schema("event", "Add / to cart", PURCHASE),
        {"status": "ok"},
        path=ONE,
        body=SCHEMA,
        bad=lambda mp: mp.lexicon.create_schema("event", "e", Schema(properties={"a": SchemaProperty(type="date")})),
        says="type of 'e', property 'a', is 'date'",
    ),
    Example(lambda mp: mp.lexicon.delete_schema("event", "Add / to cart"), GONE, lambda count: count == 2, path=ONE),
    Example(
        lambda mp: mp.annotations.list_annotations(date(2026, 1, 1), date(2026, 1, 31)),
        {"status": "ok", "results": [NOTE]},
        lambda notes: one_note(notes[0]),
        query={"fromDate": "2026-01-01", "toDate": "2026-01-31"},
        bad=lambda mp: mp.annotations.list_annotations(date(2026, 2, 1), date(2026, 1, 31)),
        says="is after",
    ),
    Example(
        lambda mp: mp.annotations.create_annotation(datetime(2026, 1, 15, 20, tzinfo=UTC), "New feature", [1]),
        {"status": "ok", "results": NOTE},
        one_note,
        # The project's zone is America/Los_Angeles.
        body={"date": "2026-01-15 12:00:00", "description": "New feature", "tags": [1]},
        bad=lambda mp: mp.annotations.create_annotation(date(2026, 1, 15), "New feature"),  # type: ignore[arg-type]
        says="datetime",
        status=201,
    ),
    Example(
        lambda mp: mp.annotations.get_annotation(123),
        {"status": "ok", "results": NOTE},
        one_note,
        path={"annotation_id": 123},
    ),
    Example(
        lambda mp: mp.annotations.update_annotation(123, description="Other", tags=[]),
        {"status": "ok", "results": NOTE},
        one_note,
        path={"annotation_id": 123},
        body={"description": "Other", "tags": []},
        bad=lambda mp: mp.annotations.update_annotation(123),
        says="nothing to change",
    ),
    Example(
        lambda mp: mp.annotations.delete_annotation(123),
        {"status": "ok", "results": {"id": 123}},
        path={"annotation_id": 123},
    ),
    Example(
        lambda mp: mp.annotations.list_tags(),
        TAGS,
        lambda tags: tags[0].has_annotations is True,
        also=({"status": "ok", "results": TAGS},),
    ),
    Example(
        lambda mp: mp.annotations.create_tag("release"),
        TAGS[0],
        lambda tag: tag.name == "release",
        body={"name": "release"},
        bad=lambda mp: mp.annotations.create_tag(""),
        says="name is ''",
    ),
]

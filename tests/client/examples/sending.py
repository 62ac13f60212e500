"""Ingestion and identity. Source: mixpanel-api.md#import, #track, #profile-updates, #lookup-tables, #identity-merge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from mixpanel_etl.client import Event, GroupUpdate, UserUpdate

from .example import Example

TIME = datetime(2026, 3, 15, 11, 0, 0, 123_000, tzinfo=UTC)
MILLISECONDS = 1_773_572_400_123
PAID = Event("Purchase", TIME, "u1", "9f2c-1", {"Amount": 5})
COLUMNS = ["id", "name", "on"]
TABLE = UUID("e8a4a1a2-3c4d-4e5f-8a9b-0c1d2e3f4a5b")
ANONYMOUS = "0e1bdd2a-8a5c-4f83-9d0c-0ed2ca0e1f3c"
TOKEN = "the-project-token"
VERBOSE = {"ip": "0", "verbose": "1"}
YES = {"status": 1, "error": None}
IMPORTED = {"code": 200, "num_records_imported": 1, "status": "OK"}


def wire(**more: Any) -> dict[str, Any]:
    properties = {"Amount": 5, "time": MILLISECONDS, "ip": "0", "$insert_id": "9f2c-1", "distinct_id": "u1", **more}
    return {"event": "Purchase", "properties": properties}


SENDING = [
    Example(
        lambda mp: mp.ingestion.import_([PAID]),
        IMPORTED,
        lambda done: done.num_records_imported == 1,
        query={"strict": "1"},
        body=[wire()],
        bad=lambda mp: mp.ingestion.import_([PAID, Event("Purchase", TIME, "u1", "a:b")]),
        says=r"events\[1\]: insert_id is a str of 3 characters: .* letters, digits and hyphens",
    ),
    Example(
        lambda mp: mp.ingestion.track([PAID]),
        YES,
        query=VERBOSE,
        body=[wire(token=TOKEN)],
        also=(1,),
        bad=lambda mp: mp.ingestion.track([Event("Old", datetime(2026, 3, 10, tzinfo=UTC), "u1")]),
        says=r"events\[0\]: .* older than 5 days",
    ),
    Example(
        lambda mp: mp.ingestion.engage([UserUpdate("u1", "$set", {"plan": "pro"}), UserUpdate("u2", "$delete")]),
        YES,
        query={**VERBOSE, "strict": "1"},
        body=[
            {"$token": TOKEN, "$distinct_id": "u1", "$ip": "0", "$set": {"plan": "pro"}},
            {"$token": TOKEN, "$distinct_id": "u2", "$ip": "0", "$delete": ""},
        ],
        also=(1,),
        bad=lambda mp: mp.ingestion.engage([UserUpdate("u1", "$add", {"n": "1"})]),
        says=r"updates\[0\] \(\$add\): .* \$add takes numbers",
    ),
    Example(
        lambda mp: mp.ingestion.groups([GroupUpdate("company", "acme", "$unset", ["plan"])]),
        YES,
        query={**VERBOSE, "strict": "1"},
        body=[{"$token": TOKEN, "$group_key": "company", "$group_id": "acme", "$unset": ["plan"]}],
        also=(1,),
        bad=lambda mp: mp.ingestion.groups([GroupUpdate("company", "acme", "$append", {"a": 1})]),
        says="not for groups",
    ),
    Example(
        lambda mp: mp.ingestion.list_lookup_tables(),
        {"code": 200, "status": "OK", "results": [{"id": str(TABLE), "name": "Products"}]},
        lambda tables: [(table.id, table.name) for table in tables] == [(str(TABLE), "Products")],
    ),
    Example(
        lambda mp: mp.ingestion.replace_lookup_table(
            TABLE, ["id", "name", "on"], [["a", 'W "A", 1', True], ["b", None, 2]]
        ),
        {"code": 200, "status": "OK"},
        path={"id": str(TABLE)},
        body='id,name,on\r\na,"W ""A"", 1",true\r\nb,,2\r\n',
        bad=lambda mp: mp.ingestion.replace_lookup_table(TABLE, ["id"], [["a"], ["b"], ["a"]]),
        says=r"rows\[2\] has the key of rows\[0\]",
    ),
    Example(
        lambda mp: mp.identity.create_identity("known", ANONYMOUS),
        YES,
        query=VERBOSE,
        body={
            "strict": "1",
            "data": {
                "event": "$identify",
                "properties": {"$identified_id": "known", "$anon_id": ANONYMOUS, "token": TOKEN},
            },
        },
        also=(1,),
        bad=lambda mp: mp.identity.create_identity("known", "visitor-456"),
        says="anon_id is a str of 11 characters",
    ),
    Example(
        lambda mp: mp.identity.create_alias("primary", "secondary"),
        YES,
        query=VERBOSE,
        body={
            "strict": "1",
            "data": {
                "event": "$create_alias",
                "properties": {"distinct_id": "primary", "alias": "secondary", "token": TOKEN},
            },
        },
        also=(1,),
        bad=lambda mp: mp.identity.create_alias("primary", "null"),
        says="alias is 'null'",
    ),
    Example(
        lambda mp: mp.identity.merge("user-1", "user-2"),
        IMPORTED,
        lambda done: done.num_records_imported == 1,
        query={"strict": "1"},
        body=[{"event": "$merge", "properties": {"$distinct_ids": ["user-1", "user-2"], "token": TOKEN}}],
        bad=lambda mp: mp.identity.merge("user-1", "user-1"),
        says="both ids are the same",
    ),
]

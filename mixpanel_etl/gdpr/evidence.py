"""Why an id may belong to a person: the place, and whether a stranger could have written it.

Source: mixpanel-api.md#export-records, #reserved-ids, #identity-merge.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

#: `certain`: only Mixpanel or the request can have said so. `claimed`: a person has to decide.
Grade = Literal["certain", "claimed"]
Reason = Literal[
    "own_device",
    "same_device",
    "lookup",
    "shared_device",
    "unresolved_device",
    "user_on_device",
    "identity_event",
    "same_row",
    "rejected_by_mixpanel",
    "profile_property",
    "event_property",
]
#: The events with which ids are joined. Everybody who has the project's public token can send them.
IDENTITY_EVENTS = ("$identify", "$create_alias", "$merge")

#: The reasons, the strongest first.
REASONS: dict[Reason, str] = {
    "own_device": "a device of the user: all its rows are the user's, as Mixpanel resolved them",
    "same_device": "the same device under its other name",
    "lookup": "a profile has the value that was looked up; anybody can set a profile's properties",
    "shared_device": "a device of the user on which other users are known as well",
    "unresolved_device": "a device of the user with rows that Mixpanel has given to no user (or that are not exported "
    "again since then)",
    "user_on_device": "a user of the device; anybody can send an event with a device and any user",
    "identity_event": "an identity event joins them; anybody can send one",
    "same_row": "another id of the same row",
    "rejected_by_mixpanel": "a row says so, and also that Mixpanel did not join them",
    "profile_property": "a property of the profile; anybody can set it",
    "event_property": "a property of an event; anybody can send it",
}
if set(REASONS) != set(get_args(Reason)):  # pragma: no cover - seen at the first import
    raise AssertionError(set(REASONS) ^ set(get_args(Reason)))


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ties an id to a person.

    Attributes:
        id: the id.
        grade: `certain` or `claimed`.
        reason: a key of `REASONS`.
        tied_to: id of the person that is in the same row; empty for a lookup.
        file: name of the first file that says so, in the lake.
        row: number of the row in that file, from 0, as DuckDB's `file_row_number` counts.
        place: column or property that holds the id.
        event: name of the identity event, if it is one.
        rows: number of rows that say so.
        users: number of known users whom the id joins, the person included.
        number: of a claim, from 1 within its request; decisions name it.
        accepted: decision of a person about a claim; None until then.
    """

    id: str
    grade: Grade
    reason: Reason
    tied_to: str = ""
    file: str = ""
    row: int = 0
    place: str = ""
    event: str = ""
    rows: int = 0
    users: int = 1
    number: int = 0
    accepted: bool | None = None

    @property
    def is_open(self) -> bool:
        """Whether a person still has to decide about it."""
        return self.grade == "claimed" and self.accepted is None

    def replace(self, **changes: object) -> Evidence:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)

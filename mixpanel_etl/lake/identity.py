"""Where Mixpanel's data says whom a row is about. Specification 7; api-facts 2.3, 5."""

from __future__ import annotations

#: The columns that name a person; each has a Bloom filter in the files of the lake.
ID_COLUMNS = ("distinct_id", "device_id", "user_id")
#: Properties with which Mixpanel itself says which ids are one person.
ID_PROPERTY_NAMES = (
    "distinct_id",
    "$distinct_id",
    "$device_id",
    "$user_id",
    "$distinct_id_before_identity",
    "$preshuffle_distinct_id",
    "mp_original_distinct_id",
    "$identified_id",
    "$anon_id",
    "$distinct_ids",
    "$device_ids",
)
#: The same names as any table, request or reply may write them.
_PLAIN_NAMES = {
    *(name.removeprefix("$").removeprefix("mp_") for name in ID_PROPERTY_NAMES),
    "resolved_distinct_id",
    "user_ids",
}


def names_a_person(name: str) -> bool:
    """Whether a column or JSON key of this name holds ids of persons."""
    return name.lower().removeprefix("$").removeprefix("mp_") in _PLAIN_NAMES

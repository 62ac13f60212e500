"""Updates of user and group profiles, and the limits that they must keep. Source: mixpanel-api.md#profile-updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.ingestion.events import MAX_BYTES
from mixpanel_etl.quoting import described
from mixpanel_etl.reserved_ids import RESERVED_IDS

Operator = Literal["$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete"]

MAX_UPDATES = 2000
MAX_PROPERTIES = 2000
MAX_NAME = 255
# Operators whose effect is the same if they are applied twice.
REPEATABLE = frozenset(("$set", "$set_once", "$union", "$unset", "$delete"))
# One page lists $add for groups, another says that groups have neither (mixpanel-api.md#profile-updates).
NOT_FOR_GROUPS = frozenset(("$add", "$append"))

Value = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class UserUpdate:
    """One change of a user's profile.

    Args:
        distinct_id: id of the user.
        operator: `$set`, `$set_once`, `$add` (numbers), `$append` (to a list), `$union` (of a list), `$remove` (from
            a list), `$unset` (names), `$delete` (the profile).
        value: properties by name; a list of names for `$unset`, nothing for `$delete`.
        ip: IP address that gives the location of the user; "0" for no location.
        ignore_time: whether `$last_seen` keeps its value.
        ignore_alias: whether `$delete` deletes the profile of exactly this id, without resolving aliases.
        latitude: latitude of the user's location.
        longitude: longitude of the user's location.
    """

    distinct_id: str
    operator: Operator
    value: Value = None
    ip: str = "0"
    ignore_time: bool = False
    ignore_alias: bool = False
    latitude: float | None = None
    longitude: float | None = None

    def _wire(self) -> dict[str, Any]:
        return {
            "$distinct_id": self.distinct_id,
            "$ip": self.ip,
            **({"$ignore_time": True} if self.ignore_time else {}),
            **({"$ignore_alias": True} if self.ignore_alias else {}),
            **({"$latitude": self.latitude} if self.latitude is not None else {}),
            **({"$longitude": self.longitude} if self.longitude is not None else {}),
        }


@dataclass(frozen=True, slots=True)
class GroupUpdate:
    """One change of a group's profile; `$add` and `$append` are not for groups.

    Args:
        group_key: property that identifies groups, as in Mixpanel's project settings.
        group_id: id of the group.
        operator: same as in `UserUpdate`.
        value: same as in `UserUpdate`.
    """

    group_key: str
    group_id: str
    operator: Operator
    value: Value = None

    def _wire(self) -> dict[str, Any]:
        return {"$group_key": self.group_key, "$group_id": self.group_id}


class _Fault(ValueError):
    """What is wrong with one update."""


def encoded(updates: Sequence[UserUpdate | GroupUpdate], *, token: str) -> list[bytes]:
    """Each update as JSON, when all of them can be sent.

    Raises:
        InvalidRequest: names the wrong update.
    """
    if not updates:
        raise InvalidRequest("no updates", advice="Give at least one.")
    if len(updates) > MAX_UPDATES:
        raise InvalidRequest(
            f"{len(updates):,} updates, the limit of one request is {MAX_UPDATES:,}",
            advice=f"Send the rest, from {_named(updates[MAX_UPDATES], MAX_UPDATES)} on, in further requests.",
        )
    sent = []
    for index, update in enumerate(updates):
        try:
            _check(update)
            sent.append(_encode(update, token))
        except (_Fault, TypeError, UnicodeEncodeError, OverflowError, RecursionError) as error:
            reason = str(error)
        else:
            continue
        raise InvalidRequest(f"{_named(update, index)}: {reason}", advice="Correct it, or leave it out.")
    return sent


def repeatable(updates: Sequence[UserUpdate | GroupUpdate]) -> bool:
    """Whether applying them twice has the same effect as once."""
    return all(update.operator in REPEATABLE for update in updates)


def _named(update: UserUpdate | GroupUpdate, index: int) -> str:
    return f"updates[{index}] ({update.operator})"


def _check(update: UserUpdate | GroupUpdate) -> None:
    whose = [update.distinct_id] if isinstance(update, UserUpdate) else [update.group_key, update.group_id]
    for value in whose:
        if not isinstance(value, str) or not value or value.lower() in RESERVED_IDS:
            raise _Fault(f"{value!r} is not a valid id" if isinstance(value, str) else f"the id is {described(value)}")
    if update.operator not in get_args(Operator):
        raise _Fault(f"operator is {update.operator!r}: give one of {', '.join(get_args(Operator))}")
    if isinstance(update, GroupUpdate) and update.operator in NOT_FOR_GROUPS:
        raise _Fault(f"{update.operator} is not for groups: $set the final sum or list")
    _check_value(update.operator, update.value)


def _check_value(operator: Operator, value: Value) -> None:
    if operator == "$delete":
        if value:
            raise _Fault("value is not for $delete: leave it out")
        return
    names = value.keys() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping) == (operator == "$unset") or isinstance(names, str) or not names:
        wanted = "a list of names" if operator == "$unset" else "properties by name"
        raise _Fault(f"value is {described(value)}: give {wanted}, at least one")
    if len(names) > MAX_PROPERTIES:
        raise _Fault(f"{len(names):,} properties, at most {MAX_PROPERTIES:,} are allowed")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise _Fault(f"the name {described(name)} is not between 1 and {MAX_NAME} characters long")
    if isinstance(value, Mapping):
        _check_members(operator, value)


def _check_members(operator: Operator, value: Mapping[str, Any]) -> None:
    for name, member in value.items():
        if operator == "$add" and (isinstance(member, bool) or not isinstance(member, int | float | Decimal)):
            raise _Fault(f"value[{name!r}] is {described(member)}: $add takes numbers")
        if operator == "$union" and not (
            isinstance(member, list | tuple)
            and member
            and all(
                isinstance(element, str | int | float | Decimal) and not isinstance(element, bool) for element in member
            )
        ):
            raise _Fault(f"value[{name!r}] is {described(member)}: $union takes a list of strings or numbers")


# A decimal with all its digits; a float would lose some.
_json = msgspec.json.Encoder(decimal_format="number")


def _encode(update: UserUpdate | GroupUpdate, token: str) -> bytes:
    value = "" if update.operator == "$delete" else update.value
    content = _json.encode({"$token": str(token), **update._wire(), update.operator: value})
    if len(content) > MAX_BYTES:
        raise _Fault(f"{len(content):,} bytes, an update must be smaller than 1 MB")
    return content

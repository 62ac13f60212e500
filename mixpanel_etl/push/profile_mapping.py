"""Rows as updates of user or group profiles. Source: mixpanel-api.md#profile-updates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa

from mixpanel_etl.client import GroupUpdate, Operator, UserUpdate
from mixpanel_etl.client.ingestion.profile_updates import NOT_FOR_GROUPS, REPEATABLE
from mixpanel_etl.lake.string_values import is_number
from mixpanel_etl.push.event_values import is_id
from mixpanel_etl.push.push_error import PushError, check_columns
from mixpanel_etl.warehouse import NumberType

Row = Mapping[str, Any]
Update = UserUpdate | GroupUpdate
Nulls = Literal["unset", "skip"]
Vanished = Literal["keep", "unset", "delete"]

#: Operators whose columns have values, in the order in which a row's updates are sent.
WITH_COLUMNS: tuple[Operator, ...] = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset")


@dataclass(frozen=True)
class ProfileMapping:
    """How the columns of a query become updates of profiles.

    Attributes:
        id: the column with the distinct_id, or the group's id.
        group_key: of the groups; None for users.
        properties: for each operator the property of each column. Without `$set`, the columns that are named nowhere
            are set under their own names.
        delete: a boolean column; where it is true the profile is deleted.
        nulls: what becomes of a property that is to be set to null: removed, or left as it is.
        vanished: what becomes of the profile when its row is gone: it is kept, its mapped properties are removed, or
            it is deleted.

    Raises:
        PushError: operators that can't be, for groups or together.
    """

    id: str
    group_key: str | None = None
    properties: Mapping[Operator, Mapping[str, str]] = field(default_factory=dict)
    delete: str | None = None
    nulls: Nulls = "unset"
    vanished: Vanished = "keep"

    def __post_init__(self) -> None:
        for operator in self.properties:
            if operator not in WITH_COLUMNS:
                raise PushError(f"unknown operator {operator}; allowed: {', '.join(WITH_COLUMNS)}")
            if self.group_key is not None and operator in NOT_FOR_GROUPS:
                raise PushError(f"{operator} is not for groups: $set what the sum or the list is to be")
        for name, value, known in (("nulls", self.nulls, Nulls), ("vanished", self.vanished, Vanished)):
            if value not in get_args(known):
                raise PushError(f"{name} is {value!r}: write one of {', '.join(get_args(known))}")

    @property
    def relative(self) -> bool:
        """Whether an update that is sent twice may change the profile twice."""
        return any(operator not in REPEATABLE for operator in self.properties)

    def of(self, schema: pa.Schema) -> ProfileMapping:
        """The mapping with all columns named.

        Raises:
            PushError: a column is not there, or of a type that its operator cannot take; names it.
        """
        named = {self.id, *([self.delete] if self.delete else []), *_columns(self.properties)}
        check_columns(named, schema.names)
        _check_types(self, schema)
        if "$set" in self.properties:
            return self
        others = {name: name for name in schema.names if name not in named}
        return ProfileMapping(
            self.id,
            self.group_key,
            {"$set": others, **self.properties} if others else self.properties,
            self.delete,
            self.nulls,
            self.vanished,
        )

    @property
    def named(self) -> list[str]:
        """The columns that are named: of a mapping with all of them, those that are sent."""
        return sorted({self.id, *([self.delete] if self.delete else []), *_columns(self.properties)})

    @property
    def person_columns(self) -> list[str]:
        """Those that say whose a row is."""
        return [] if self.group_key else [self.id]

    @property
    def text(self) -> str:
        """What the updates depend on beside the rows: profiles are pushed again when it changes."""
        properties = {operator: dict(sorted(columns.items())) for operator, columns in self.properties.items()}
        return msgspec.json.encode([self.id, self.group_key, self.delete, self.nulls, properties]).decode()

    def updates(self, id: str, row: Row) -> list[Update]:  # noqa: A002
        """What a row is sent as; nothing when all its values are null."""
        if self.delete and row[self.delete]:
            return [self._update(id, "$delete")]
        found: dict[Operator, Any] = {}
        for operator in WITH_COLUMNS:
            columns = self.properties.get(operator, {})
            values = {name: plain(row[column]) for column, name in columns.items() if row[column] is not None}
            if operator == "$unset":
                names = [name for name, value in values.items() if value]
                if self.nulls == "unset":
                    names += [name for column, name in self.properties.get("$set", {}).items() if row[column] is None]
                values = names  # type: ignore[assignment]
            elif operator == "$union":
                values = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
                values = {name: value for name, value in values.items() if value}
            if values:
                found[operator] = values
        return [self._update(id, operator, value) for operator, value in found.items()]

    def vanished_update(self, id: str) -> Update:  # noqa: A002
        """What is sent when the row of an id is gone."""
        if self.vanished == "delete":
            return self._update(id, "$delete")
        mapped = (columns.values() for operator, columns in self.properties.items() if operator != "$unset")
        return self._update(id, "$unset", sorted({name for names in mapped for name in names}))

    def _update(self, id: str, operator: Operator, value: Any = None) -> Update:  # noqa: A002
        if self.group_key is None:
            return UserUpdate(id, operator, value)
        return GroupUpdate(self.group_key, id, operator, value)


def plain(value: Any) -> Any:
    """A value of a row as JSON has it: decimals are numbers, what is not finite is null."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else value.normalize()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return value


def _columns(properties: Mapping[Operator, Mapping[str, str]]) -> Iterable[str]:
    return (column for columns in properties.values() for column in columns)


def _check_types(mapping: ProfileMapping, schema: pa.Schema) -> None:
    rules: Sequence[tuple[str, Iterable[str], Callable[[pa.DataType], bool], str]] = (
        ("$add", mapping.properties.get("$add", ()), _is_number, "numbers"),
        ("$unset", mapping.properties.get("$unset", ()), pa.types.is_boolean, "booleans"),
        ("delete", [mapping.delete] if mapping.delete else (), pa.types.is_boolean, "booleans"),
        ("id", [mapping.id], is_id, "strings or integers"),
    )
    for what, columns, fits, wanted in rules:
        for column in columns:
            kind = schema.field(column).type
            if not fits(kind):
                raise PushError(f"column {column!r} is a {kind}, and {what} takes {wanted}: cast it in the query")


def _is_number(kind: pa.DataType) -> bool:
    return isinstance(kind, NumberType) or is_number(kind)

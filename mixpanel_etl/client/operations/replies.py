"""Replies as types that keep unknown fields, because Mixpanel adds fields at any time."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import inspect
from pydantic import SecretStr

from mixpanel_etl.client.errors import ReplyError


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all replies, and of all objects in them. Fields that a type does not name are in `unknown`.

    `reply["name"]` and `reply.get("name")` reach both kinds.
    """

    # Whether unknown fields are sent, too, when the object is sent.
    returns_unknown: ClassVar[bool] = False

    unknown: dict[str, Any] = msgspec.field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name) if name in self.__struct_fields__ else self.unknown[name]

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


T = TypeVar("T")


def typed(reply: object, kind: type[T]) -> T:
    """A decoded JSON value as a type, such as `list[Annotation]`.

    Raises:
        ReplyError: it is something else, or a field has another type than documented.
    """
    shape: Any = kind
    try:
        return msgspec.convert(_with_unknown_apart(reply, _info(shape)), kind, dec_hook=_special)
    except msgspec.ValidationError as error:
        reason = str(error)
    raise ReplyError(f"a reply of another shape than documented: {reason}")


def results(reply: object) -> Any:
    """What an App API answers in `results`, or the reply itself where it comes bare.

    Source: mixpanel-api.md#annotations, #service-accounts.
    """
    return reply["results"] if isinstance(reply, dict) and "results" in reply else reply


def wire(value: Any, *, with_unknown: bool = False) -> Any:
    """A value as it is sent: names as Mixpanel has them, nothing that is unset.

    Args:
        value: value of any type.
        with_unknown: whether to add fields that a reply's type does not name, as Mixpanel sent them.
    """
    if isinstance(value, msgspec.Struct):
        known = {
            field.encode_name: wire(getattr(value, field.name), with_unknown=with_unknown)
            for field in msgspec.structs.fields(value)
            if field.name != "unknown" and getattr(value, field.name) is not msgspec.UNSET
        }
        if isinstance(value, Reply) and (with_unknown or value.returns_unknown):
            return {**value.unknown, **known}
        return known
    if isinstance(value, dict):
        return {name: wire(member, with_unknown=with_unknown) for name, member in value.items()}
    return [wire(member, with_unknown=with_unknown) for member in value] if isinstance(value, list | tuple) else value


@cache
def _info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _with_unknown_apart(value: Any, kind: inspect.Type) -> Any:
    """The same value, with what each object's type does not name moved into `unknown`."""
    if isinstance(kind, inspect.UnionType):
        kind = next((member for member in kind.types if _fits(value, member)), kind)
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in kind.fields if field.name != "unknown"}
        known = {name: _with_unknown_apart(value[name], fields[name]) for name in value if name in fields}
        return {**known, "unknown": {name: value[name] for name in value if name not in fields}}
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        return [_with_unknown_apart(member, kind.item_type) for member in value]
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {name: _with_unknown_apart(member, kind.value_type) for name, member in value.items()}
    return value


def _fits(value: Any, kind: inspect.Type) -> bool:
    if isinstance(value, dict):
        return isinstance(kind, inspect.StructType | inspect.DictType)
    return isinstance(value, list) and isinstance(kind, inspect.ListType)


def _special(kind: type, value: Any) -> Any:
    if kind is not SecretStr:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise TypeError("expected a string")  # and never the value, which may hold the secret
    return SecretStr(value)

"""Replies as types that keep what they do not know, because Mixpanel adds fields without asking."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from mixpanel_etl.client.errors import ReplyError


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all replies. Fields that the type does not name are in `unknown`, as they came.

    `reply["name"]` and `reply.get("name")` reach both kinds.
    """

    unknown: dict[str, Any] = msgspec.field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name) if name in self.__struct_fields__ else self.unknown[name]

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


R = TypeVar("R", bound=Reply)


def typed(kind: type[R], reply: object, *, endpoint: str) -> R:
    """A decoded JSON object as `kind`.

    Raises:
        ReplyError: it is no object, or a field has another type than documented.
    """
    if not isinstance(reply, dict):
        raise ReplyError(f"expected a JSON object, got {type(reply).__name__}", endpoint=endpoint)
    names = {field.encode_name for field in msgspec.structs.fields(kind)} - {"unknown"}
    known = {name: value for name, value in reply.items() if name in names}
    unknown = {name: value for name, value in reply.items() if name not in names}
    return plain({**known, "unknown": unknown}, kind, endpoint=endpoint)


T = TypeVar("T")


def plain(reply: object, kind: type[T], *, endpoint: str) -> T:
    """A decoded JSON value as any type, such as `list[str]`.

    Raises:
        ReplyError: it is something else.
    """
    try:
        return msgspec.convert(reply, kind)
    except msgspec.ValidationError as error:
        reason = str(error)
    raise ReplyError(f"a reply of another shape than documented: {reason}", endpoint=endpoint)

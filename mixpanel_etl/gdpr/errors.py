"""What can go wrong with requests of data subjects. No message names a person."""

from __future__ import annotations

from collections.abc import Iterable


class GdprError(Exception):
    """Base of what this package raises; the message says what to do."""


def without(text: str, ids: Iterable[str]) -> str:
    """A text in which no personal id is left."""
    for one in sorted(ids, key=len, reverse=True):
        if one and one in text:
            text = text.replace(one, "***")
    return text

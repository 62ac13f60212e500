"""What can go wrong with requests of data subjects. No message names a person."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mixpanel_etl.errors import MixpanelEtlError


class GdprError(MixpanelEtlError):
    """Base of what this package raises; the message says what to do."""


def without(text: str, ids: Iterable[str]) -> str:
    """A text in which no personal id is left."""
    for one in sorted(ids, key=len, reverse=True):
        if one and one in text:
            text = text.replace(one, "***")
    return text


@contextmanager
def names_nobody(ids: Iterable[str]) -> Iterator[None]:
    """A context in which the client's log, which repeats what Mixpanel says of failures, holds none of these ids."""
    known = frozenset(ids)

    def redact(record: logging.LogRecord) -> bool:
        record.msg, record.args = without(record.getMessage(), known), ()
        return True

    log = logging.getLogger("mixpanel_etl")
    log.addFilter(redact)
    try:
        yield
    finally:
        log.removeFilter(redact)

"""Errors and logs of data subject requests, without personal ids."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mixpanel_etl.errors import MixpanelEtlError


class GdprError(MixpanelEtlError):
    """Base of the errors of data subject requests; the message says what to do."""


def without_ids(text: str, ids: Iterable[str]) -> str:
    """The text with `***` in the place of each id."""
    for id_ in sorted(filter(None, ids), key=len, reverse=True):
        text = text.replace(id_, "***")
    return text


@contextmanager
def redacted_logs(ids: Iterable[str]) -> Iterator[None]:
    """A context in which the log, which quotes Mixpanel's errors, has `***` in the place of these ids."""
    known = frozenset(ids)

    def redact(record: logging.LogRecord) -> bool:
        record.msg, record.args = without_ids(record.getMessage(), known), ()
        return True

    log = logging.getLogger("mixpanel_etl")
    log.addFilter(redact)
    try:
        yield
    finally:
        log.removeFilter(redact)

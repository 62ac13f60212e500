"""Parquet files on their way into the lake: on condition, and never with the rows of suppressed persons."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mixpanel_etl.lake.column_record import columns_of, remember_columns
from mixpanel_etl.lake.errors import WriteConflict
from mixpanel_etl.lake.format_version import mark_format
from mixpanel_etl.lake.retry_pauses import tries
from mixpanel_etl.lake.storage import Draft, Storage
from mixpanel_etl.lake.suppression import entries, without_suppressed

#: Seconds in which a file must have been replaced that others replace, too.
_REPLACE_SECONDS = 300.0


def versions(store: Storage, name: str) -> Iterator[str]:
    """The version of a file, read again for each try to replace it.

    What decides whether it is replaced must be read after that: then a `WriteConflict` says that it was outdated.
    """
    for _ in tries(_REPLACE_SECONDS, lambda: f"others replace {store.uri(name)} again and again"):
        yield store.version(name)
    raise WriteConflict(store.uri(name))


def publish(store: Storage, draft: Draft, name: str, expected: str) -> None:
    """Make a finished draft visible under a name without the rows of suppressed persons.

    A person may be suppressed, and erased from the lake, between the look at the list and the publication. The erasure
    has not seen the new file then. So the list is looked at once more afterwards.

    Args:
        store: of the lake.
        draft: a whole Parquet file.
        name: relative, with `/`.
        expected: version that the file must still have, see `versions`.

    Raises:
        WriteConflict: another process was faster; nothing changed.
        OSError: the disk is full or the upload failed; what was there remains.
    """
    mark_format(store)
    remember_columns(store, name, columns_of(draft.path))
    listed = set(entries(store))
    with without_suppressed(store, draft) as kept:
        kept.publish(name, expected)
    while (now := set(entries(store))) - listed:
        listed = now
        _leave_out(store, name)


def _leave_out(store: Storage, name: str) -> None:
    """Replace a published file by the same without suppressed persons, unless another process replaces it first."""
    version = store.version(name)
    with suppress(FileNotFoundError, WriteConflict), store.snapshot(name) as file, store.draft("again") as copy:
        with Path(copy.path).open("wb") as target:
            shutil.copyfileobj(file, target)
        with without_suppressed(store, copy) as clean:
            if clean is not copy:
                clean.publish(name, version)

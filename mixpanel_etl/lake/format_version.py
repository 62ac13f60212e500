"""`_format.json` at the root of a lake: the versions of its layout. Source: docs/compatibility.md.

Each process reads it once, before anything else of the lake. A lake without the file has version 1 of everything.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.metadata import version

from mixpanel_etl.formats import LAKE_FORMAT, LEDGER_FORMAT, check_format
from mixpanel_etl.lake.errors import UnreadableFile, WriteConflict
from mixpanel_etl.lake.storage_protocol import ABSENT, Storage

FILE = "_format.json"  # engines skip files that begin with an underscore
#: The parts of a lake that have a version, as the file and errors name them.
_KNOWN = {"lake": LAKE_FORMAT, "ledger": LEDGER_FORMAT}
#: Lakes in which this process found the file, or wrote it.
_marked: set[str] = set()


def check_lake(content: bytes | None, uri: str) -> None:
    """Raise an error for a lake of a newer package.

    Args:
        content: of its `_format.json`; None if it has none.
        uri: of the lake.

    Raises:
        FormatTooNew: a part of it has a newer format.
        UnreadableFile: the file is damaged.
    """
    try:
        versions = json.loads(content) if content else {}
    except ValueError as error:
        raise UnreadableFile(f"{uri}/{FILE}", str(error)) from None
    for part, known in _KNOWN.items():
        check_format(f"the {part} {uri}" if part == "lake" else f"the {part} of {uri}", versions.get(part, 1), known)


def mark_format(store: Storage) -> None:
    """Write `_format.json` into a lake that has none: before the first file of a process."""
    uri = store.uri("")
    if uri in _marked:
        return
    if store.version(FILE) == ABSENT:
        with suppress(WriteConflict):  # another process was faster
            store.write(FILE, json.dumps({**_KNOWN, "package": version("mixpanel_etl")}).encode(), ABSENT)
    _marked.add(uri)

"""Folders for temporary files, such as DuckDB's, which contain personal data.

Files without a name are safer, and used where possible. DuckDB needs names: so a folder is locked while its process
lives, and the process that opens the next one beside it removes those that killed processes left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def scratch_folder(parent: Path, hint: str) -> Iterator[Path]:
    """A folder of its own below a parent, which is created; gone at the end, or when the next one is opened."""
    folder, held = _opened(parent, hint)
    try:
        yield folder
    finally:
        _closed(folder, held)


def spill_of(connect: Callable[[str], T]) -> T:
    """Connect to a DuckDB whose temporary files are in a scratch folder that lives as long as the connection.

    Args:
        connect: makes the connection, given the folder.
    """
    folder, held = _opened(local_scratch(), "spill")
    try:
        connection = connect(str(folder))
    except BaseException:
        _closed(folder, held)
        raise
    weakref.finalize(connection, _closed, folder, held)
    return connection


def local_scratch() -> Path:
    """Where scratch folders of this user are on this machine."""
    return Path(tempfile.gettempdir()) / f"mixpanel_etl-{os.getuid()}"


def _opened(parent: Path, hint: str) -> tuple[Path, int]:
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    gate = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)  # held for as long as it takes to make a folder
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{hint}."))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        os.close(gate)
    return folder, held


def _closed(folder: Path, held: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def _sweep(parent: Path) -> None:
    """Remove the folders that killed processes left: a process that still uses one holds its lock."""
    for path in parent.iterdir():
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(descriptor)

"""What a place for the lake's files promises, on a disk and in a bucket alike.

A file appears whole or not at all, and every write can have a condition: that the file is still as it was read. That
is all that several processes need in order not to undo each other's work; there is no lock to be left behind.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Protocol, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds

from mixpanel_etl.lake.errors import ConditionsIgnored, WriteConflict
from mixpanel_etl.lake.retry_pauses import tries

T = TypeVar("T")

#: The version of a file that does not exist.
ABSENT = "absent"
#: Folder of a local lake with what is in use for a while, see `Storage.scratch_folder`.
SCRATCH = ".scratch"
#: Seconds in which `update` must have succeeded; one process always makes progress, so this is for many of them.
_UPDATE_SECONDS = 60.0


class Draft(Protocol):
    """A file being written. Leaving the context without `publish` leaves no trace of it."""

    path: str

    def publish(self, name: str, expected: str | None = None) -> str:
        """Make the file visible under a name, replacing what was there, in one step.

        Args:
            name: relative, with `/`.
            expected: version that the file must still have, `ABSENT` for one that must not exist; None for any.

        Returns:
            The version of what was published.

        Raises:
            WriteConflict: another process was faster; nothing changed.
        """


class Storage(Protocol):
    """A folder for files, on a disk or in a bucket. Names are relative and use `/`."""

    def uri(self, name: str) -> str:
        """The full address of a file."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading.

        Raises:
            FileNotFoundError: there is none.
        """

    def read(self, name: str) -> tuple[bytes, str]:
        """The content of a small file and the version that has it.

        Raises:
            FileNotFoundError: there is none.
        """

    def read_with(self, name: str, act: Callable[[IO[bytes]], T]) -> T:
        """What a function makes of an open file; called again if the file is replaced while it reads.

        Raises:
            FileNotFoundError: there is none.
        """
        with self.open(name) as file:
            return act(file)

    def snapshot(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file opened for reading, that stays as it is while others replace it.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.open(name)

    def write(self, name: str, content: bytes, expected: str | None = None) -> str:
        """Make a small file visible under a name, replacing what was there, in one step.

        Args:
            name: relative, with `/`.
            content: the whole file.
            expected: version that the file must still have, `ABSENT` for one that must not exist; None for any.

        Returns:
            The version of what was written.

        Raises:
            WriteConflict: another process was faster; nothing changed.
        """

    def update(self, name: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Read, change and write a small file, again if another process writes it meanwhile: no change is lost.

        Args:
            name: relative, with `/`.
            change: gets the content, None if there is no file, and returns the new one; None leaves the file as it
                is. May be called several times.

        Returns:
            The content that the file has now.

        Raises:
            WriteConflict: others wrote the file again and again for a minute.
        """
        for _ in tries(_UPDATE_SECONDS, lambda: f"others change {self.uri(name)} again and again"):
            content, version = self._found(name)
            changed = change(content)
            if changed is None or changed == content:
                return content
            with suppress(WriteConflict):
                self.write(name, changed, version)
                return changed
        raise WriteConflict(self.uri(name))

    def _found(self, name: str) -> tuple[bytes | None, str]:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None, ABSENT

    def names(self, folder: str, suffix: str) -> list[str]:
        """The files below a folder whose names end so, sorted."""

    def everything(self) -> list[str]:
        """All files, also hidden ones and what links lead to, sorted.

        Folders that cannot be read, pipes and the like end with `/`.
        """

    def version(self, name: str) -> str:
        """Something that changes whenever the file is replaced; `ABSENT` when there is no file."""

    def remove(self, name: str, expected: str | None = None) -> None:
        """Remove a file; harmless when there is none.

        Args:
            name: relative, with `/`.
            expected: version that the file must still have; None for any.

        Raises:
            WriteConflict: the file was replaced meanwhile, and is still there.
        """

    def write_folder(self, folder: str, files: Iterable[tuple[str, Iterable[bytes]]]) -> dict[str, int]:
        """Write a folder in the place of what was there: visible when it is whole.

        On a disk that is one step (two where there was a folder before). In a bucket the files are uploaded elsewhere
        and copied, one after the other; what a killed process leaves is removed by the next one. One process at a time.

        Args:
            folder: its name.
            files: the files by their names in it, each in chunks.

        Returns:
            The bytes of each file.
        """

    def probe(self) -> None:
        """Write a file and remove it again.

        Raises:
            OSError: this is not allowed or not possible; the text says why.
        """

    def probe_conditions(self) -> None:
        """Write a file on conditions that are not met.

        Raises:
            ConditionsIgnored: it is written anyway, so that nothing can be promised to several processes.
            OSError: this is not allowed or not possible; the text says why.
        """
        name = f".probe-{secrets.token_hex(4)}"
        try:
            outdated = self.write(name, b"one")
            self.write(name, b"two")
            for write in self._conditional_writes():
                for expected in (ABSENT, outdated):
                    try:
                        write(name, b"three", expected)
                    except WriteConflict:
                        continue
                    raise ConditionsIgnored(self.uri(""))
        finally:
            self.remove(name)

    def _conditional_writes(self) -> list[Callable[[str, bytes, str], str]]:
        """All ways in which files are written."""
        return [self.write]

    def dataset(self, names: list[str], schema: pa.Schema) -> ds.Dataset:
        """The Parquet files of these names, to be read lazily."""

    def scratch(self) -> IO[bytes]:
        """A nameless, unbuffered file for what is only needed until it is closed."""

    def scratch_folder(self, hint: str) -> AbstractContextManager[Path]:
        """A folder on a disk for what needs names until the context ends; removed later if the process is killed.

        That of a local lake is below its root, where an erasure finds it while it is in use.
        """

    def draft(self, hint: str) -> AbstractContextManager[Draft]:
        """A new, empty draft; `hint` may be part of its path."""

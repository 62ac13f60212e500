"""Files of the lake on a local disk: drafts, renames, and locks that end with the process."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.dataset as ds

from mixpanel_etl.lake.errors import LockTimeout, WriteConflict
from mixpanel_etl.lake.format_version import FILE as FORMAT
from mixpanel_etl.lake.format_version import check_lake
from mixpanel_etl.lake.retry_pauses import tries
from mixpanel_etl.lake.storage_protocol import ABSENT, SCRATCH, Draft, Storage
from mixpanel_etl.scratch import scratch_folder

#: A lock is held for the time of a rename, or of one file's rewriting: who holds it for longer was stopped.
LOCK_SECONDS = 300.0
_SYNCS = 8  # at once


class Disk(Storage):
    """A folder on a local (or mounted) disk."""

    def __init__(self, root: Path) -> None:
        self._folder = root
        self._checked = False

    @property
    def _root(self) -> Path:
        """The folder, of whose format the first use makes sure."""
        if not self._checked:
            try:
                content = (self._folder / FORMAT).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                content = None
            check_lake(content, str(self._folder))
            self._checked = True
        return self._folder

    def uri(self, name: str) -> str:
        return str(self._folder / name)

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def read(self, name: str) -> tuple[bytes, str]:
        with self.open(name) as file:
            return file.read(), _version(os.fstat(file.fileno()))

    def write(self, name: str, content: bytes, expected: str | None = None) -> str:
        with self.draft("file") as draft:
            Path(draft.path).write_bytes(content)
            return draft.publish(name, expected)

    def names(self, folder: str, suffix: str) -> list[str]:
        found = (self._root / folder).rglob("*")
        files = (path for path in found if not path.name.startswith(".") and path.is_file())
        names = (str(path.relative_to(self._root)) for path in files)
        return sorted(name for name in names if name.endswith(suffix))

    def everything(self) -> list[str]:
        found: list[str] = []
        seen: set[str] = set()
        pending, links = [self._root], list[Path]()
        while pending or links:  # folders before links to folders, so that files have their own names
            folder = pending.pop() if pending else links.pop()
            if (real := os.path.realpath(folder)) in seen:
                continue
            seen.add(real)
            try:
                entries = sorted(folder.iterdir())
            except FileNotFoundError:
                continue
            except OSError:
                found.append(f"{folder.relative_to(self._root)}/")
                continue
            for path in entries:
                name = str(path.relative_to(self._root))
                if path.is_dir():
                    (links if path.is_symlink() else pending).append(path)
                elif path.exists():
                    found.append(name if path.is_file() else f"{name}/")
        return sorted(found)

    def version(self, name: str) -> str:
        try:
            return _version((self._root / name).stat())
        except FileNotFoundError:
            return ABSENT

    def remove(self, name: str, expected: str | None = None) -> None:
        path = self._root / name
        with suppress(FileNotFoundError), locked(path.parent):
            if expected is not None and self.version(name) not in (expected, ABSENT):
                raise WriteConflict(self.uri(name))
            target = path.resolve()  # of a link: what it leads to is the file of this name
            path.unlink()
            target.unlink(missing_ok=True)

    def write_folder(self, folder: str, files: Iterable[tuple[str, Iterable[bytes]]]) -> dict[str, int]:
        drafts, target = self._drafts(), self._root / folder
        with locked(drafts):
            _sweep(drafts)
            draft = Path(tempfile.mkdtemp(dir=drafts, prefix="folder."))
            held = os.open(draft, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            sizes = _write_files(draft / "new", files)
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(target.parent):
                with suppress(FileNotFoundError):
                    target.rename(draft / "old")
                (draft / "new").rename(target)
                _sync(target.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(held)
        return sizes

    def probe(self) -> None:
        with self.draft("probe") as draft:
            Path(draft.path).write_bytes(b"probe")

    def dataset(self, names: list[str], schema: pa.Schema) -> ds.Dataset:
        return ds.dataset([self.uri(name) for name in names], schema=schema, format="parquet")

    def scratch(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._drafts(), buffering=0)

    def scratch_folder(self, hint: str) -> AbstractContextManager[Path]:
        return scratch_folder(self._root / SCRATCH, hint)

    @contextmanager
    def draft(self, hint: str) -> Iterator[Draft]:
        folder = self._drafts()
        with locked(folder):
            _sweep(folder)
            handle = tempfile.NamedTemporaryFile(dir=folder, prefix=f"{hint}.", delete=False)  # noqa: SIM115
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield _DiskDraft(self._root, handle)
        finally:
            with suppress(FileNotFoundError):
                Path(handle.name).unlink()
            handle.close()

    def _drafts(self) -> Path:
        # On the lake's own file system, so that publishing is a rename; outside its tables, so that no reader finds it.
        folder = self._root / ".drafts"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class _DiskDraft:
    def __init__(self, root: Path, handle: Any) -> None:
        self._root = root
        self._handle = handle
        self.path: str = handle.name

    def publish(self, name: str, expected: str | None = None) -> str:
        target = (self._root / name).resolve()  # what a link leads to is the file of this name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.fsync(self._handle.fileno())
        Path(self.path).chmod(0o666 & ~_UMASK)  # temporary files are private, the lake's are not
        with locked(target.parent):
            there = _stat(target)
            if expected is not None and expected != (_version(there) if there else ABSENT):
                raise WriteConflict(str(target))
            # Strictly growing: inodes are used again, and a kernel's clock may tick only every few milliseconds.
            modified_ns = max(time.time_ns(), there.st_mtime_ns + 1 if there else 0)
            os.utime(self.path, ns=(modified_ns, modified_ns))
            _move(Path(self.path), target)
            version = _version(target.stat())
            _sync(target.parent)
        return version


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A link leads to another file system: the file is copied beside its name, and renamed there.
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".draft.") as beside:
            shutil.copyfile(source, beside.name)
            shutil.copystat(source, beside.name)
            os.fsync(beside.fileno())
            whole = Path(f"{beside.name}.whole")
            whole.hardlink_to(beside.name)
            whole.replace(target)
        source.unlink()


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """A context within which no other process holds the lock of a file or folder; gives its descriptor.

    Raises:
        LockTimeout: another process holds it for too long.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for _ in tries(LOCK_SECONDS, lambda: f"{path} is locked by {_holders(descriptor)}"):
            if try_lock(descriptor):
                break
        else:
            raise LockTimeout(str(path), _holders(descriptor), LOCK_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file, if no other process holds it. It ends with the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holders(descriptor: int) -> str:
    """The processes that hold the lock of an open file, as far as the system says so (Linux)."""
    inode = os.fstat(descriptor).st_ino
    pids: list[str] = []
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
                pids.append(fields[4])
    return f"process {', '.join(pids)}" if pids else "another process"


def _sweep(folder: Path) -> None:
    """Remove the drafts that killed processes left: a process that still writes one holds its lock.

    Drafts that cannot be removed, such as those of another user, stay.
    """
    for path in folder.iterdir():
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


def _write_files(folder: Path, files: Iterable[tuple[str, Iterable[bytes]]]) -> dict[str, int]:
    """Write files that are on the disk, with their folders, when this returns."""
    folder.mkdir()
    sizes: dict[str, int] = {}
    for name, parts in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            sizes[name] = sum(file.write(part) for part in parts)
    with ThreadPoolExecutor(_SYNCS, thread_name_prefix="sync") as pool:  # a disk takes many at once
        list(pool.map(_sync, (folder, *folder.rglob("*"))))
    return sizes


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _version(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"


# To read it is to set it, for all threads: once, at import.
_UMASK = os.umask(0)
os.umask(_UMASK)

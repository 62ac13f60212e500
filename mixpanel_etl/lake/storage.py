"""Where the lake's files are: a local disk or S3. A file appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from mixpanel_etl.lake.errors import ConfigurationError

if TYPE_CHECKING:
    import s3fs

#: S3 parts held in memory while a file is uploaded.
_PART_BYTES = 8 << 20


class Draft(Protocol):
    """A file being written. Leaving the context without `publish` leaves no trace of it."""

    path: str

    def publish(self, name: str) -> None:
        """Make the file visible under a name, replacing what was there, in one step."""


class Storage(Protocol):
    """A folder for files, on a disk or in a bucket. Names are relative and use `/`."""

    def uri(self, name: str) -> str:
        """The full address of a file."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading.

        Raises:
            FileNotFoundError: there is none.
        """

    def names(self, folder: str, suffix: str) -> list[str]:
        """The files below a folder whose names end so, sorted."""

    def version(self, name: str) -> str:
        """Something that changes whenever the file is replaced.

        Raises:
            FileNotFoundError: there is none.
        """

    def remove(self, name: str) -> None:
        """Remove a file; harmless when there is none."""

    def probe(self) -> None:
        """Write a file and remove it again.

        Raises:
            OSError: this is not allowed or not possible; the text says why.
        """

    def dataset(self, names: list[str], schema: pa.Schema) -> ds.Dataset:
        """The Parquet files of these names, to be read lazily."""

    def scratch(self) -> IO[bytes]:
        """A nameless, unbuffered file for what is only needed until it is closed."""

    def draft(self, hint: str) -> AbstractContextManager[Draft]:
        """A new, empty draft; `hint` may be part of its path."""

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """A context within which no other process of this machine publishes the file."""


def storage(uri: str) -> Storage:
    """The storage behind a path, a `file://` or an `s3://` URI.

    S3 takes credentials, region and endpoint from the environment, as botocore does (`AWS_ACCESS_KEY_ID`,
    `AWS_PROFILE`, `AWS_ENDPOINT_URL`...).

    Raises:
        ConfigurationError: another scheme, or an S3 URI without a bucket.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Disk(Path(uri).expanduser().absolute())
    if scheme == "file":
        return Disk(Path(rest))
    if scheme == "s3" and rest.strip("/"):
        return S3(rest.strip("/"))
    raise ConfigurationError(f"lake {uri!r}: use a path, file:///path or s3://bucket/prefix")


class Disk:
    """A folder on a local (or mounted) disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def uri(self, name: str) -> str:
        return str(self._root / name)

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def names(self, folder: str, suffix: str) -> list[str]:
        found = (self._root / folder).rglob(f"*{suffix}")
        files = (path for path in found if not path.name.startswith(".") and path.is_file())
        return sorted(str(path.relative_to(self._root)) for path in files)

    def version(self, name: str) -> str:
        status = (self._root / name).stat()
        return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def probe(self) -> None:
        with self.draft("probe") as draft:
            Path(draft.path).write_bytes(b"probe")

    def dataset(self, names: list[str], schema: pa.Schema) -> ds.Dataset:
        return ds.dataset([self.uri(name) for name in names], schema=schema, format="parquet")

    def scratch(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._drafts(), buffering=0)

    @contextmanager
    def draft(self, hint: str) -> Iterator[_DiskDraft]:
        folder = self._drafts()
        with _locked(folder):
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

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        folder = (self._root / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove the drafts that killed processes left: whoever still writes one holds its lock.

    What cannot be removed, as the drafts of another user, is none of our business.
    """
    for path in folder.iterdir():
        with suppress(OSError), path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


class _DiskDraft:
    def __init__(self, root: Path, handle: Any) -> None:
        self._root = root
        self._handle = handle
        self.path: str = handle.name

    def publish(self, name: str) -> None:
        target = self._root / name
        os.fsync(self._handle.fileno())
        Path(self.path).chmod(0o666 & ~_UMASK)  # temporary files are private, the lake's are not
        Path(self.path).replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# To read it is to set it, for all threads: once, at import.
_UMASK = os.umask(0)
os.umask(_UMASK)


class S3:
    """A prefix of a bucket. An upload is visible only when it is complete.

    A process that is killed during a large upload leaves parts that nobody sees; a lifecycle rule
    (`AbortIncompleteMultipartUpload`) frees them.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._connected: s3fs.S3FileSystem | None = None

    @property
    def fs(self) -> s3fs.S3FileSystem:
        if self._connected is None:
            import s3fs  # half a second that nobody with a local lake should pay

            # A connection of its own: fsspec would hand out an earlier one, made from another environment.
            self._connected = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
        return self._connected

    def uri(self, name: str) -> str:
        return f"s3://{self._prefix}/{name}"

    def open(self, name: str) -> IO[bytes]:
        with _os_errors(self.uri(name)):
            handle: IO[bytes] = self.fs.open(self.uri(name), "rb", cache_type="readahead", block_size=1 << 20)
        return handle

    def names(self, folder: str, suffix: str) -> list[str]:
        with _os_errors(self.uri(folder)):
            found = self.fs.find(f"{self._prefix}/{folder}")
        return sorted(path.removeprefix(f"{self._prefix}/") for path in found if path.endswith(suffix))

    def version(self, name: str) -> str:
        with _os_errors(self.uri(name)):
            found = self.fs.info(self.uri(name))
        return f"{found.get('ETag')} {found.get('LastModified')} {found.get('size')}"

    def remove(self, name: str) -> None:
        with _os_errors(self.uri(name)), suppress(FileNotFoundError):
            self.fs.rm_file(self.uri(name))

    def probe(self) -> None:
        with _os_errors(self.uri(".probe")):
            self.fs.pipe_file(self.uri(".probe"), b"probe")
            self.fs.rm_file(self.uri(".probe"))

    def dataset(self, names: list[str], schema: pa.Schema) -> ds.Dataset:
        paths = [f"{self._prefix}/{name}" for name in names]
        return ds.dataset(paths, schema=schema, format="parquet", filesystem=self.fs)

    def scratch(self) -> IO[bytes]:
        return tempfile.TemporaryFile(prefix="mixpanel_etl-", buffering=0)

    @contextmanager
    def draft(self, hint: str) -> Iterator[_S3Draft]:
        with tempfile.TemporaryFile(prefix=f"mixpanel_etl-{hint}") as handle:
            yield _S3Draft(self, handle)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:  # noqa: ARG002
        # S3 has no locks: of two publications at the same instant the last one stays, and each of them is whole.
        yield


class _S3Draft:
    def __init__(self, bucket: S3, handle: IO[bytes]) -> None:
        self._bucket = bucket
        # The file has no name, so that nothing remains of it if this process is killed.
        self.path = f"/dev/fd/{handle.fileno()}"

    def publish(self, name: str) -> None:
        uri = self._bucket.uri(name)
        with _os_errors(uri):
            self._bucket.fs.put_file(self.path, uri, chunksize=_PART_BYTES, max_concurrency=2)


@contextmanager
def _os_errors(uri: str) -> Iterator[None]:
    """What S3 and its client library object to, as an OSError that names the address."""
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        yield
    except (OSError, BotoCoreError) as error:
        kind = type(error) if isinstance(error, OSError) else OSError
        raise kind(f"{uri}: {error}") from error

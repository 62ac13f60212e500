"""Files of the lake in an S3 bucket, whose conditional writes are all that processes on several hosts need.

By s3fs and its `call_s3`, not by another client: `put_object` and `complete_multipart_upload` take `IfMatch` and
`IfNoneMatch` there as anywhere, which s3fs's own uploads do not offer for a file in several parts.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds

from mixpanel_etl.lake.errors import WriteConflict
from mixpanel_etl.lake.format_version import FILE as FORMAT
from mixpanel_etl.lake.format_version import check_lake
from mixpanel_etl.lake.retry_pauses import tries
from mixpanel_etl.lake.storage_protocol import ABSENT, Draft, Storage
from mixpanel_etl.scratch import local_scratch, scratch_folder

if TYPE_CHECKING:
    import s3fs

T = TypeVar("T")

#: Parts held in memory while a file is uploaded, two at a time.
_PART_BYTES = 8 << 20
#: Where the files of a folder are until all of them are there.
_UPLOADS = ".uploads"
#: Metadata of an object, by which a writer recognizes its own write.
_MARK = "mixpanel-etl-write"
#: Seconds in which a file must have been read that others replace.
_READ_SECONDS = 60.0
#: Error codes of S3 when a condition is not met, or two conditional writes meet.
_CONDITION_FAILED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class S3(Storage):
    """A prefix of a bucket. An upload is visible only when it is complete.

    A process that is killed during a large upload leaves invisible parts; a lifecycle rule
    (`AbortIncompleteMultipartUpload`) frees them.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    @property
    def fs(self) -> s3fs.S3FileSystem:
        """The connection, one for all lakes of a process and an environment; the first use checks the lake's format."""
        settings = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        connection = os.getpid(), tuple(sorted(settings.items()))
        _check_format(self._prefix, *connection)
        return _connected(*connection)

    def uri(self, name: str) -> str:
        return f"s3://{self._prefix}/{name}"

    def open(self, name: str) -> IO[bytes]:
        with _os_errors(self.uri(name)):
            handle: IO[bytes] = self.fs.open(self.uri(name), "rb", cache_type="readahead", block_size=1 << 20)
        return handle

    def read(self, name: str) -> tuple[bytes, str]:
        # Each request has the ETag of the first as its condition.
        return self.read_with(name, lambda file: (file.read(), file.details["ETag"]))  # type: ignore[attr-defined]

    def read_with(self, name: str, act: Callable[[IO[bytes]], T]) -> T:
        from s3fs.utils import FileExpired

        for _ in tries(_READ_SECONDS, lambda: f"{self.uri(name)} is replaced again and again"):
            with suppress(FileExpired), self.open(name) as file:
                return act(file)
        raise OSError(f"{self.uri(name)} was replaced again and again while it was read")

    @contextmanager
    def snapshot(self, name: str) -> Iterator[IO[bytes]]:
        with self.scratch() as copy:

            def download(file: IO[bytes]) -> None:
                copy.seek(0)
                copy.truncate()
                shutil.copyfileobj(file, copy, _PART_BYTES)

            self.read_with(name, download)
            copy.seek(0)
            yield copy

    def write(self, name: str, content: bytes, expected: str | None = None) -> str:
        with self._recognized(name, expected) as (mark, version):
            with self._condition(name, expected) as condition:
                put = self.fs.call_s3("put_object", **self._object(name), Body=content, **mark, **condition)
            version.append(put["ETag"])
        return version[-1]

    def names(self, folder: str, suffix: str) -> list[str]:
        with _os_errors(self.uri(folder)):
            found = self.fs.find(f"{self._prefix}/{folder}")
        return sorted(path.removeprefix(f"{self._prefix}/") for path in found if path.endswith(suffix))

    def everything(self) -> list[str]:
        return self.names("", "")

    def version(self, name: str) -> str:
        try:
            with _os_errors(self.uri(name)):
                return str(self.fs.info(self.uri(name))["ETag"])
        except FileNotFoundError:
            return ABSENT

    def remove(self, name: str, expected: str | None = None) -> None:
        try:
            with suppress(FileNotFoundError), self._condition(name, expected) as condition:
                self.fs.call_s3("delete_object", **self._object(name), **condition)
        except WriteConflict:
            if self.version(name) != ABSENT:
                raise

    def write_folder(self, folder: str, files: Iterable[tuple[str, Iterable[bytes]]]) -> dict[str, int]:
        self._remove_folder(_UPLOADS)
        sizes: dict[str, int] = {}
        for name, parts in files:
            with tempfile.TemporaryFile(prefix="mixpanel_etl-folder", buffering=0) as file:
                sizes[name] = sum(file.write(part) for part in parts)
                self.upload(file.fileno(), f"{_UPLOADS}/{name}", None)
        for name in sizes:
            with _os_errors(self.uri(f"{folder}/{name}")):
                self.fs.copy(self.uri(f"{_UPLOADS}/{name}"), self.uri(f"{folder}/{name}"))
        for before in set(self.names(folder, "")) - {f"{folder}/{name}" for name in sizes}:
            self.remove(before)
        self._remove_folder(_UPLOADS)
        return sizes

    def _remove_folder(self, folder: str) -> None:
        with _os_errors(self.uri(folder)), suppress(FileNotFoundError):
            self.fs.rm(self.uri(folder), recursive=True)

    def probe(self) -> None:
        with _os_errors(self.uri(".probe")):
            self.fs.pipe_file(self.uri(".probe"), b"probe")
            self.fs.rm_file(self.uri(".probe"))

    def dataset(self, names: list[str], schema: pa.Schema) -> ds.Dataset:
        paths = [f"{self._prefix}/{name}" for name in names]
        return ds.dataset(paths, schema=schema, format="parquet", filesystem=self.fs)

    def scratch(self) -> IO[bytes]:
        return tempfile.TemporaryFile(prefix="mixpanel_etl-", buffering=0)

    def scratch_folder(self, hint: str) -> AbstractContextManager[Path]:
        return scratch_folder(local_scratch(), hint)

    @contextmanager
    def draft(self, hint: str) -> Iterator[Draft]:
        with tempfile.TemporaryFile(prefix=f"mixpanel_etl-{hint}") as handle:
            yield _S3Draft(self, handle)

    def upload(self, descriptor: int, name: str, expected: str | None) -> str:
        """Make an open file an object of the bucket, in parts when it is large."""
        size = os.fstat(descriptor).st_size
        if size < 2 * _PART_BYTES:
            return self.write(name, os.pread(descriptor, size, 0), expected)
        return self._upload_parts(descriptor, name, expected)

    def _upload_parts(self, descriptor: int, name: str, expected: str | None) -> str:
        size = os.fstat(descriptor).st_size
        with self._recognized(name, expected) as (mark, version), self._condition(name, expected) as condition:
            started = self.fs.call_s3("create_multipart_upload", **self._object(name), **mark)
            upload = {**self._object(name), "UploadId": started["UploadId"]}

            def send(number: int) -> dict[str, Any]:
                body = os.pread(descriptor, _PART_BYTES, number * _PART_BYTES)
                sent = self.fs.call_s3("upload_part", **upload, PartNumber=number + 1, Body=body)
                return {"PartNumber": number + 1, "ETag": sent["ETag"]}

            try:
                with ThreadPoolExecutor(2, thread_name_prefix="upload") as pool:
                    parts = list(pool.map(send, range(-(-size // _PART_BYTES))))
                whole = {"MultipartUpload": {"Parts": parts}}
                version.append(self.fs.call_s3("complete_multipart_upload", **upload, **whole, **condition)["ETag"])
            except BaseException:
                with suppress(OSError):
                    self.fs.call_s3("abort_multipart_upload", **upload)
                raise
        return version[-1]

    @contextmanager
    def _recognized(self, name: str, expected: str | None) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Mark a conditional write, and find its version if it succeeded though its repetition was rejected.

        The answer to a request can be lost. The client then sends it again, and its condition is no longer met.
        """
        mark = "" if expected is None else secrets.token_hex(8)
        version: list[str] = []
        try:
            yield ({"Metadata": {_MARK: mark}} if mark else {}), version
        except WriteConflict:
            with _os_errors(self.uri(name)), suppress(FileNotFoundError):
                there = self.fs.call_s3("head_object", **self._object(name))
                version += [there["ETag"]] if there["Metadata"].get(_MARK) == mark else []
            if not version:
                raise

    def _conditional_writes(self) -> list[Callable[[str, bytes, str], str]]:
        return [self.write, self._write_as_part]

    def _write_as_part(self, name: str, content: bytes, expected: str) -> str:
        with self.scratch() as file:
            file.write(content)
            return self._upload_parts(file.fileno(), name, expected)

    def _object(self, name: str) -> dict[str, str]:
        bucket, _, key = f"{self._prefix}/{name}".partition("/")
        return {"Bucket": bucket, "Key": key}

    @contextmanager
    def _condition(self, name: str, expected: str | None) -> Iterator[dict[str, str]]:
        """The parameters of a conditional request, and its rejection as a `WriteConflict`."""
        try:
            with _os_errors(self.uri(name)):
                if expected is None:
                    yield {}
                else:
                    yield {"IfNoneMatch": "*"} if expected == ABSENT else {"IfMatch": expected}
        except OSError as error:
            if expected is not None and (_condition_failed(error) or isinstance(error, FileNotFoundError)):
                raise WriteConflict(self.uri(name)) from error
            raise


class _S3Draft:
    def __init__(self, bucket: S3, handle: IO[bytes]) -> None:
        self._bucket = bucket
        self._handle = handle
        # The file has no name, so that nothing remains of it if this process is killed.
        self.path = f"/dev/fd/{handle.fileno()}"

    def publish(self, name: str, expected: str | None = None) -> str:
        return self._bucket.upload(self._handle.fileno(), name, expected)


@lru_cache(maxsize=4)
def _connected(_pid: int, _settings: tuple[tuple[str, str], ...]) -> s3fs.S3FileSystem:
    import s3fs  # half a second, which a local lake does not need

    # fsspec's own cache would hand out a connection that was made from another environment.
    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


@lru_cache(maxsize=64)
def _check_format(prefix: str, pid: int, settings: tuple[tuple[str, str], ...]) -> None:
    content, uri = None, f"s3://{prefix}"
    with suppress(FileNotFoundError), _os_errors(uri):
        content = _connected(pid, settings).cat_file(f"{prefix}/{FORMAT}")
    check_lake(content, uri)


def _condition_failed(error: BaseException) -> bool:
    """Whether S3 rejected a condition: s3fs wraps the reply, and we wrapped that."""
    cause: BaseException | None = error
    while cause is not None:
        reply = getattr(cause, "response", None)
        if isinstance(reply, dict) and reply.get("Error", {}).get("Code") in _CONDITION_FAILED:
            return True
        cause = cause.__cause__
    return False


@contextmanager
def _os_errors(uri: str) -> Iterator[None]:
    """What S3 and its client library object to, as an OSError that names the address."""
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        yield
        return
    except (OSError, BotoCoreError) as error:
        kind = type(error) if isinstance(error, OSError) else OSError
        failure, cause = kind(f"{uri}: {error}"), error.__cause__
    # Out here: the original would carry signed requests and credentials along, in its frames.
    if cause is not None:
        cause.__context__ = None
        cause = cause.with_traceback(None)
    raise failure from cause

"""What all tables of a lake are: `<lake>/<name>/<column>=<key>/<file>`, replaced in one step or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import quote, unquote

import pyarrow as pa

from mixpanel_etl.lake.errors import UnreadableFile, WriteConflict
from mixpanel_etl.lake.folder_names import check_folder
from mixpanel_etl.lake.provenance import Provenance, is_newer
from mixpanel_etl.lake.publication import publish, versions
from mixpanel_etl.lake.storage import Draft, Storage, storage


class Published(Protocol):
    """A published partition, as its file tells it."""

    @property
    def uri(self) -> str: ...

    @property
    def provenance(self) -> dict[str, Any]: ...


PublishedT = TypeVar("PublishedT", bound=Published)


@dataclass(frozen=True)
class PartitionedTable(ABC, Generic[PublishedT]):
    """One Parquet file per partition, on a disk or S3.

    Attributes:
        lake: path, `file://` or `s3://` URI of the lake.
        name: folder of the table in the lake; may have several levels, e.g. `reports/signups`.
        column: name of the partition column.

    Raises:
        ConfigurationError: an unknown kind of URI, or a name that leads out of the lake.
    """

    lake: str
    name: str
    column: str = field(default="date", kw_only=True)
    storage: Storage = field(init=False, repr=False)

    #: Name of each partition's file.
    file: ClassVar[str] = "data.parquet"

    def __post_init__(self) -> None:
        check_folder(self.name)
        check_folder(self.column, "column")
        object.__setattr__(self, "storage", storage(self.lake))

    @property
    def uri(self) -> str:
        """Path or URI of the table's folder."""
        return self.storage.uri(self.name)

    def keys(self) -> list[str]:
        """The partitions that have a file, including those without rows; sorted."""
        start, end = f"{self.name}/{self.column}=", f"/{self.file}"
        names = self.storage.names(self.name, end)
        found = (name.removeprefix(start).removesuffix(end) for name in names if name.startswith(start))
        return sorted(unquote(key) for key in found if "/" not in key)

    @abstractmethod
    def _described(self, file: IO[bytes], key: str, uri: str) -> PublishedT:
        """A partition as its open file tells it.

        Raises:
            pa.ArrowInvalid: it is not a Parquet file.
        """

    def _published(self, key: str) -> PublishedT | None:
        """What is published for a partition; None if nothing is.

        Raises:
            UnreadableFile: the file is not a Parquet file.
        """
        uri = self.storage.uri(self._path(key))
        try:
            return self.storage.read_with(self._path(key), lambda file: self._described(file, key, uri))
        except FileNotFoundError:
            return None
        except pa.ArrowInvalid as error:
            raise UnreadableFile(uri, str(error)) from error

    def _replace(
        self, key: str, draft: Draft, provenance: Provenance, check: Callable[[PublishedT | None], None]
    ) -> tuple[PublishedT, bool]:
        """Make a finished draft the file of a partition, in one step; a later request wins.

        Args:
            key: partition.
            draft: a complete file.
            provenance: provenance of the draft.
            check: called with what is published before each try; raises if the draft must not replace it.

        Returns:
            The partition as published, and whether it is the draft: if a later request wrote what is there, it stays.

        Raises:
            ForeignFile: another project's file is there.
            OSError: the disk is full or the upload failed; what was there remains.
        """
        path = self._path(key)
        for version in versions(self.storage, path):
            present = self._published(key)
            if present and is_newer(present.uri, present.provenance, provenance):
                return present, False
            check(present)
            with suppress(WriteConflict):
                publish(self.storage, draft, path, version)
                if published := self._published(key):
                    return published, True
                break
        raise FileNotFoundError(f"{self.storage.uri(path)} vanished when it was published")

    def _path(self, key: str) -> str:
        return f"{self.name}/{self.column}={quote(key, safe='')}/{self.file}"

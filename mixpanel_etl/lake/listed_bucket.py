"""A bucket as DuckDB reads it: one listing a statement, and each file with as few requests as its size allows."""

from __future__ import annotations

import re
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

if TYPE_CHECKING:
    import s3fs

#: Files up to this size are read whole, once; of larger ones, the parts that are needed.
_WHOLE_BYTES = 4 << 20
#: What is kept of files that were read whole: DuckDB opens a file more than once.
_KEPT_BYTES = 64 << 20


class ListedBucket(AbstractFileSystem):  # type: ignore[misc]
    """Reads the objects that a pattern found without asking for each whether it is there and how large.

    Args:
        s3: the connection.
    """

    protocol = ("s3", "s3a")
    cachable = False

    def __init__(self, s3: s3fs.S3FileSystem) -> None:
        super().__init__()
        self._s3 = s3
        self._infos: dict[str, dict[str, Any]] = {}
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = Lock()

    def glob(self, path: str, **_: Any) -> list[str]:
        """All objects that match a pattern, from one listing of what is below its first wildcard."""
        pattern = self._strip_protocol(path)
        start = re.split(r"[*?\[]", pattern)[0].rpartition("/")[0]
        found = self._s3.find(start, detail=True)
        matches = re.compile(_expression(pattern))
        listed = {name: info for name, info in found.items() if matches.fullmatch(name)}
        self._infos.update(listed)
        return sorted(listed)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name not in self._infos:
            self._infos[name] = self._s3.info(name)
        return self._infos[name]

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self._infos or bool(self._s3.exists(path))

    def modified(self, path: str) -> Any:
        return self.info(path)["LastModified"]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> AbstractBufferedFile:
        info = self.info(path)
        cache = "all" if info["size"] <= _WHOLE_BYTES else "readahead"
        return _ListedFile(self, path, mode, block_size=1 << 20, cache_type=cache, size=info["size"])

    def part(self, path: str, start: int, end: int) -> bytes:
        """Bytes of an object as it was when it was listed.

        Raises:
            OSError: it has been replaced since.
        """
        info = self.info(path)
        key = (info["name"], info["ETag"])
        with self._lock:
            if key in self._kept:
                return self._kept[key][start:end]
        bucket, _, name = info["name"].partition("/")
        # The condition makes the parts those of one version.
        got = self._s3.call_s3(
            "get_object", Bucket=bucket, Key=name, Range=f"bytes={start}-{end - 1}", IfMatch=info["ETag"]
        )
        content = _body(self._s3, got)
        if start == 0 and end == info["size"]:
            self._keep(key, content)
        return content

    def _keep(self, key: tuple[str, str], content: bytes) -> None:
        with self._lock:
            self._kept[key] = content
            while sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)


class _ListedFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.part(self.path, start, end)  # type: ignore[no-any-return]


def _body(s3: s3fs.S3FileSystem, reply: Any) -> bytes:
    from fsspec.asyn import sync

    content: bytes = sync(s3.loop, reply["Body"].read)
    return content


def _expression(pattern: str) -> str:
    """A pattern of DuckDB's `glob` as a regular expression: `*` stays in a folder, `**` does not."""
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[.*?\])", pattern)
    return "".join(wild.get(part) or (part if re.fullmatch(r"\[.*\]", part) else re.escape(part)) for part in parts)

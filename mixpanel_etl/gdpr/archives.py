"""The archive of a retrieval: downloaded, verified, unpacked without trusting it, taken apart by person."""

from __future__ import annotations

import re
import stat
import time
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import msgspec

from mixpanel_etl.client import Gdpr
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.lake.storage import Storage

_CHUNK = 1 << 20
_LOCAL_HEADER = 30  # bytes at least, before each file's content
_ENTRY = 512  # bytes of the directory for a file, on average: a name has 255 at most
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA takes as much memory as its header demands
_NAME = re.compile(r"[^\x00-\x1f\x7f\\:*?\"<>|]+")


class BadArchive(GdprError):
    """An archive that is not what it should be. Nothing of it was delivered."""


@dataclass(frozen=True)
class Bounds:
    """What an archive may be at most.

    Attributes:
        files: maximum number of files.
        bytes: downloaded, and also unpacked.
        ratio: unpacked bytes for each packed one, of a file of more than a megabyte. JSON comes to 10-40.
        line: bytes of a line, where an archive is taken apart by lines.
        seconds: until it is downloaded, however steadily it comes.
    """

    files: int = 10_000
    bytes: int = 50 << 30
    ratio: int = 200
    line: int = 64 << 20
    seconds: float = 86_400.0


@contextmanager
def downloaded(gdpr: Gdpr, link: str, place: Storage, bounds: Bounds | None = None) -> Iterator[IO[bytes]]:
    """The archive behind a link as a nameless file, which is gone with the process.

    Raises:
        BadArchive: it is empty or too big.
        MixpanelError: one of the kinds in `client.errors`; it did not arrive whole, for example.
    """
    bounds = bounds or Bounds()
    over_at = time.monotonic() + bounds.seconds
    with place.scratch() as file:
        size = 0
        with gdpr.download(link) as response:
            announced = response.headers.get("Content-Length", "")
            if announced.isdecimal() and int(announced) > bounds.bytes:
                raise BadArchive(f"the archive has more than {bounds.bytes:,} bytes")
            for chunk in response:
                size += len(chunk)
                if size > bounds.bytes:
                    raise BadArchive(f"the archive has more than {bounds.bytes:,} bytes")
                if time.monotonic() > over_at:
                    raise BadArchive(f"the archive did not arrive within {bounds.seconds / 3600:g} hours")
                file.write(chunk)
        if not size:
            raise BadArchive("the archive is empty")
        file.seek(0)
        yield file


def checked(file: IO[bytes], bounds: Bounds | None = None) -> zipfile.ZipFile:
    """A ZIP archive of which nothing can escape or explode, and all can be put side by side into a folder.

    Raises:
        BadArchive: it is not an archive, exceeds the bounds, or is empty.
    """
    bounds = bounds or Bounds()
    archive = _opened(file, bounds)
    found = members(archive)
    if not found:
        raise BadArchive("the archive has no file in it, not even an empty one: nothing can be handed out")
    if len(found) > bounds.files:
        raise BadArchive(f"the archive has {len(found):,} files, {bounds.files:,} are allowed")
    for number, member in enumerate(found, 1):
        if fault := _fault(member, bounds):
            raise BadArchive(f"file {number} of the archive {fault}")
    _check_names(archive)
    if _overlap(found, file.seek(0, 2)):
        raise BadArchive("files of the archive overlap")
    if sum(member.file_size for member in found) > bounds.bytes:
        raise BadArchive(f"the archive unpacks to more than {bounds.bytes:,} bytes")
    return archive


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive."""
    return [member for member in archive.infolist() if not member.is_dir()]


def name_of(member: zipfile.ZipInfo) -> str:
    """Where a file belongs below the folder into which its archive is unpacked: `a//b` and `./a/b` are `a/b`."""
    return "/".join(PurePosixPath(member.filename).parts)


def _opened(file: IO[bytes], bounds: Bounds) -> zipfile.ZipFile:
    try:
        # The directory is read as a whole, and its length is what the end of the archive says.
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        if end is None or end[zipfile._ECD_SIZE] <= bounds.files * _ENTRY:  # type: ignore[attr-defined]
            return zipfile.ZipFile(file)
        reason = f"the archive's directory is longer than {bounds.files:,} files need"
    except Exception as error:  # noqa: BLE001 - of hostile bytes; what they say is not repeated
        reason = f"the archive is not a ZIP file ({type(error).__name__}); only ZIP is supported"
    raise BadArchive(reason)


def _fault(member: zipfile.ZipInfo, bounds: Bounds) -> str:
    path, name = PurePosixPath(member.filename), name_of(member)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or not _NAME.fullmatch(name) or len(name.encode()) > 255:
        return "has a name that leads elsewhere"
    if kind not in (0, stat.S_IFREG):
        return "is a link or another special file"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in _METHODS:
        return "is packed by another method than deflate"
    if member.file_size > 1 << 20 and member.file_size > bounds.ratio * max(1, member.compress_size):
        return f"unpacks to more than {bounds.ratio} times its size"
    return ""


def _check_names(archive: zipfile.ZipFile) -> None:
    """Reject an archive of which a disk would keep less than it holds: `a` and `A` are one file on some."""
    files, folders = set[str](), set[str]()
    for member in archive.infolist():
        name = unicodedata.normalize("NFKC", name_of(member)).casefold()
        if member.is_dir():
            folders.add(name)
        elif name in files:
            raise BadArchive("the archive has several files of one name")
        else:
            files.add(name)
        folders.update(map(str, PurePosixPath(name).parents))
    if files & folders:
        raise BadArchive("the archive has a file and a folder of one name")


def _overlap(found: Iterable[zipfile.ZipInfo], size: int) -> bool:
    end = 0
    for member in sorted(found, key=lambda member: member.header_offset):
        if member.header_offset < end:
            return True
        end = member.header_offset + _LOCAL_HEADER + member.compress_size
    return end > size


def chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a file; its size and CRC are checked on the way.

    Raises:
        BadArchive: it is not what the archive says.
    """
    left = member.file_size
    try:
        with archive.open(member) as file:
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except Exception as error:  # noqa: BLE001 - of hostile bytes; what they say is not repeated
        reason = f"a file of the archive is damaged ({type(error).__name__})"
    else:
        if not left:
            return
        reason = f"a file of the archive is {'longer' if left < 0 else 'shorter'} than it says"
    raise BadArchive(reason)


def lines(parts: Iterable[bytes], bounds: Bounds | None = None) -> Iterator[bytes]:
    """The lines of a file that comes in chunks, each of which is looked at once.

    Raises:
        BadArchive: one is too long.
    """
    most = (bounds or Bounds()).line
    held: list[bytes] = []
    size = 0
    for part in parts:
        first, *others = part.split(b"\n")
        held.append(first)
        size += len(first)
        if size > most:
            raise BadArchive(f"a line of the archive has more than {most:,} bytes, so it can't be told whose it is")
        if others:
            yield b"".join(held)
            yield from others[:-1]
            held, size = others[-1:], len(others[-1])
    yield b"".join(held)


def owner(line: bytes, of_id: Mapping[str, Collection[str]], is_closed: Callable[[str], bool]) -> Collection[str]:
    """Whose record a line is.

    Args:
        line: an event or a profile as JSON.
        of_id: requests by the ids that belong to them.
        is_closed: whether an id belongs to a closed request: its records are dropped.

    Raises:
        BadArchive: it names no requested person.
    """
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        record = None
    named = list(_named(record))
    for one in named:
        if one in of_id:
            return of_id[one]
    if any(map(is_closed, named)):
        return ()
    raise BadArchive(
        "the archive of several people has a record that names none of them, so it can't be told whose it is. Nothing "
        "was delivered; set `pack_retrievals: false`, and `mixpanel-etl gdpr retry` asks for each of them alone"
    )


def _named(record: Any) -> Iterator[str]:
    if not isinstance(record, dict):
        return
    inner = record.get("properties") or record.get("$properties")
    for fields in (record, inner if isinstance(inner, dict) else {}):
        for name in ("distinct_id", "$distinct_id", "$user_id", "$device_id"):
            value = fields.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
                value = str(value)
            if isinstance(value, str):
                yield value
                if name == "$device_id":
                    yield f"$device:{value}"

"""The archive of a retrieval: downloaded, verified, unpacked without trusting it, taken apart by person."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import msgspec

from mixpanel_etl.client.gdpr import Gdpr
from mixpanel_etl.gdpr.errors import GdprError
from mixpanel_etl.lake.storage import Storage

_CHUNK = 1 << 20
_NAME = re.compile(r"[^\x00-\x1f\x7f\\:*?\"<>|]+")


class BadArchive(GdprError):
    """An archive that is not what it should be. Nothing of it was delivered."""


@dataclass(frozen=True)
class Bounds:
    """What an archive may be at most.

    Attributes:
        files: so many.
        bytes: downloaded, and also unpacked.
        ratio: unpacked bytes for each packed one, of a file of more than a megabyte. JSON comes to 10-40.
    """

    files: int = 10_000
    bytes: int = 50 << 30
    ratio: int = 200


@contextmanager
def downloaded(gdpr: Gdpr, link: str, place: Storage, bounds: Bounds | None = None) -> Iterator[IO[bytes]]:
    """The archive behind a link as a nameless file, which is gone with the process.

    Raises:
        BadArchive: it is empty or too big.
        MixpanelError: one of the kinds in `client.errors`; it did not arrive whole, for example.
    """
    bounds = bounds or Bounds()
    with place.scratch() as file:
        size = 0
        with gdpr.download(link) as response:
            for chunk in response:
                size += len(chunk)
                if size > bounds.bytes:
                    raise BadArchive(f"the archive has more than {bounds.bytes:,} bytes")
                file.write(chunk)
        if not size:
            raise BadArchive("the archive is empty")
        file.seek(0)
        yield file


def checked(file: IO[bytes], bounds: Bounds | None = None) -> zipfile.ZipFile:
    """A ZIP archive of which nothing can escape or explode.

    Raises:
        BadArchive: it is none, or one that could.
    """
    bounds = bounds or Bounds()
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadArchive(f"the archive is no ZIP file ({error})") from None
    found = members(archive)
    if len(found) > bounds.files:
        raise BadArchive(f"the archive has {len(found):,} files, {bounds.files:,} are allowed")
    if len({member.filename.casefold() for member in found}) < len(found):
        raise BadArchive("the archive has several files of one name")
    for number, member in enumerate(found, 1):
        if fault := _fault(member, bounds):
            raise BadArchive(f"file {number} of the archive {fault}")
    if sum(member.compress_size for member in found) > file.seek(0, 2):
        raise BadArchive("files of the archive overlap")
    if sum(member.file_size for member in found) > bounds.bytes:
        raise BadArchive(f"the archive unpacks to more than {bounds.bytes:,} bytes")
    return archive


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive."""
    return [member for member in archive.infolist() if not member.is_dir()]


def _fault(member: zipfile.ZipInfo, bounds: Bounds) -> str:
    path = PurePosixPath(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or not _NAME.fullmatch(member.filename) or len(member.filename) > 255:
        return "has a name that leads elsewhere"
    if kind not in (0, stat.S_IFREG):
        return "is a link or another special file"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > 1 << 20 and member.file_size > bounds.ratio * max(1, member.compress_size):
        return f"unpacks to more than {bounds.ratio} times its size"
    return ""


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
                    raise BadArchive("a file of the archive is longer than it says")
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise BadArchive(f"a file of the archive is damaged: {error}") from None
    if left:
        raise BadArchive("a file of the archive is shorter than it says")


def lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file that comes in chunks."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    yield rest


def owner(line: bytes, of_id: Mapping[str, Collection[str]], is_closed: Callable[[str], bool]) -> Collection[str]:
    """Whose record a line is.

    Args:
        line: an event or a profile as JSON.
        of_id: requests by the ids that belong to them.
        is_closed: whether an id is that of a request which is over: its record is nobody's any more.

    Raises:
        BadArchive: it names nobody whom we asked about.
    """
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError:
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
            if isinstance(value, str):
                yield value
                if name == "$device_id":
                    yield f"$device:{value}"

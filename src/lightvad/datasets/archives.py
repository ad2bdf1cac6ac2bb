"""Safe reading of `.tar`, `.tar.gz`, `.tar.xz` and `.zip`: members are streamed, nothing is unpacked to disk.

An archive from outside is not trusted: a member with an absolute path or `..`, a link, a device, or an absurd size is
refused before its content is read.
"""

import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from lightvad.errors import LightvadError

DAMAGE = (
    OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error,
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What the standard library raises on archives that are cut off, damaged, encrypted or no archives at all."""


@dataclass(frozen=True)
class Limits:
    """The most bytes that are believed: of one member, and of all members of an archive, after decompression."""

    member: int = 4 * 2**30
    total: int = 64 * 2**30


LIMITS = Limits()


def members(path: Path, pattern: re.Pattern[str], *, limits: Limits = LIMITS) -> Iterator[tuple[re.Match[str], bytes]]:
    """Yield the files of an archive whose name `pattern` finds, in the order in which they are stored.

    Args:
        path: `.zip`, or a `.tar` with any compression.
        pattern: searched in the name of a member, e.g. `ped2/training/frames/01/000.jpg`. Members that are not wanted
            are checked all the same.
        limits: sizes above which the archive is refused.

    Yields:
        The match, whose `string` is the member's name, and the content.

    Raises:
        LightvadError: the archive is missing, truncated or not an archive, or holds a member that is unsafe or too big.
    """
    guard = _Guard(path, limits)
    read = _zip_members if path.suffix == ".zip" else _tar_members
    try:
        yield from read(path, pattern, guard)
    except DAMAGE as error:
        after = f" after {guard.last}" if guard.last else ""
        message = f"{path}: truncated or not an archive{after} ({error}); delete it and run `lightvad fetch` again"
        raise LightvadError(message) from error


class _Guard:
    """Refuses members that could harm: where they point, what they are, how big they say they are."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._total = 0
        self.last = ""

    def check(self, name: str, size: int, *, special: bool) -> None:
        """Refuse a member that is no plain file, points outside the archive, or is too large alone or with the others.

        Raises:
            LightvadError: naming archive and member.
        """
        parts = PurePosixPath(name.replace("\\", "/"))
        self._total += size
        reason = ""
        if special:
            reason = "is a link or a device"
        elif parts.is_absolute() or ".." in parts.parts or (parts.parts[:1] and parts.parts[0].endswith(":")):
            reason = "points outside the archive"
        elif size > self._limits.member:
            reason = f"says it has {size} bytes, more than the {self._limits.member} that are believed"
        elif self._total > self._limits.total:
            reason = f"brings the archive to {self._total} bytes, more than the {self._limits.total} that are believed"
        if reason:
            message = f"{self._path}: member {name!r} {reason}; do not use this archive, get it from its publisher"
            raise LightvadError(message)
        self.last = name


DAMAGED_HEADER = (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError)  # type: ignore[attr-defined]


class _StrictHeader(tarfile.TarInfo):
    """`tarfile` takes a header that is cut off or damaged for the end of the archive; here it is an error."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except DAMAGED_HEADER as error:
            raise tarfile.ReadError(str(error)) from error


def _tar_members(path: Path, pattern: re.Pattern[str], guard: _Guard) -> Iterator[tuple[re.Match[str], bytes]]:
    # "r|*" reads forward only: one pass over a compressed archive, whatever the order of its members.
    with tarfile.open(path, "r|*", tarinfo=_StrictHeader) as archive:
        for member in archive:
            guard.check(member.name, member.size, special=not (member.isfile() or member.isdir()))
            if member.isfile() and (found := pattern.search(member.name)):
                file = archive.extractfile(member)
                content = file.read() if file else b""
                if len(content) != member.size:
                    message = f"{len(content)} of {member.size} bytes"
                    raise EOFError(message)
                yield found, content


def _zip_members(path: Path, pattern: re.Pattern[str], guard: _Guard) -> Iterator[tuple[re.Match[str], bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            special = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
            guard.check(member.filename, member.file_size, special=special)
            if not member.is_dir() and (found := pattern.search(member.filename)):
                yield found, archive.read(member)

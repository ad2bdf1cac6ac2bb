"""Files appear whole or not at all: temporary file in the same folder, fsync, `os.replace`."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightvad.errors import LightvadError

TEMPORARY = re.compile(r"\.(.+)\.\w{8}\.tmp(\.\w+)?")
"""Name of a temporary file: the stem and the suffix of the one that it was to become."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that only writing can raise."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is synced to disk and renamed to `path`.

    On an exception (a full disk, a kill that Python sees) the temporary file is removed and `path` is left as it was.
    The temporary name keeps the suffix of `path`, for libraries that choose a format by it.

    Raises:
        LightvadError: the folder cannot be written, the disk is full, or the block could not read another file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); free space or change the folder's permissions"
        raise LightvadError(message) from error
    temporary = Path(name)
    try:
        try:
            yield temporary
        except OSError as error:
            raise LightvadError(_reason(error, path, temporary)) from error
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error}); free disk space and run again"
        raise LightvadError(message) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_left(written: Iterable[Path]) -> None:
    """Remove the temporary files that killed writes of these files have left; nobody may be writing them now."""
    names: dict[Path, set[tuple[str, str]]] = {}
    for path in written:
        names.setdefault(path.parent, set()).add((path.stem, path.suffix))
    for folder, own in names.items():
        for left in folder.glob(".*.tmp*"):
            found = TEMPORARY.fullmatch(left.name)
            if found is not None and (found[1], found[2]) in own:
                left.unlink(missing_ok=True)


def _reason(error: OSError, path: Path, temporary: Path) -> str:
    """What an error inside the block was about, in one line: a full disk, this file, another one, or it is not known.

    A full disk may carry the name of the file that was copied from, so it is looked for first.
    """
    why = error.strerror or str(error)
    if error.errno in NO_ROOM or error.filename in (str(temporary), temporary):
        return f"{path}: cannot be written ({why}); free disk space and run again"
    if error.filename is not None:
        return f"{error.filename}: {why}; {path} was being made from it and was not written"
    return f"{path}: not written ({why}): what it is made from could not be read, or it could not be written"


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` atomically, UTF-8."""
    write_bytes(path, content.encode())


def remove(path: Path) -> None:
    """Remove `path`, if it is there, before it is made again.

    Raises:
        LightvadError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); free its place or change the folder's permissions"
        raise LightvadError(message) from error

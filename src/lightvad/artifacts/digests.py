"""Checksums of files and of sets of files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lightvad.errors import LightvadError


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in blocks.

    Raises:
        LightvadError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"{path}: missing or unreadable ({error.strerror}); run the stage that writes it"
        raise LightvadError(message) from error


def check_bytes(path: Path, *, size: int, sha256: str, remedy: str) -> None:
    """Check a file from outside before it is used.

    Raises:
        LightvadError: the file is missing, or of another size or sha256; the line ends with `remedy`.
    """
    if not path.is_file():
        message = f"{path}: missing; {remedy}"
        raise LightvadError(message)
    if (found_size := path.stat().st_size) != size:
        message = f"{path}: {found_size} bytes, {size} expected (sha256 {sha256}); {remedy}"
        raise LightvadError(message)
    if (found := sha256_of(path)) != sha256:
        message = f"{path}: sha256 {found}, {sha256} expected; {remedy}"
        raise LightvadError(message)


def digest_of_files(paths: Iterable[Path], root: Path) -> str:
    """Hex sha256 over the names (relative to `root`) and contents of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(root).as_posix()}\0{sha256_of(path)}\n".encode())
    return total.hexdigest()

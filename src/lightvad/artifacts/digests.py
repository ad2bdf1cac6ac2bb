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
        message = f"{path}: cannot be read ({error.strerror})"
        raise LightvadError(message) from error


def digest_of_files(paths: Iterable[Path], root: Path) -> str:
    """Hex sha256 over the names (relative to `root`) and contents of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(root).as_posix()}\0{sha256_of(path)}\n".encode())
    return total.hexdigest()

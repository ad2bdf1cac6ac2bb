"""Checksums of files and of sets of files."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lightvad.errors import LightvadError
from lightvad.progress import track

BLOCK = 2**20


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


def checksums_of(files: Sequence[Path], *, root: Path, what: str) -> dict[str, str]:
    """Hex sha256 of several files, each once: path as given -> checksum. Long work says how many MiB a second it reads.

    Args:
        files: relative to `root`.
        root: the folder that they are relative to.
        what: for progress lines.

    Raises:
        LightvadError: a file cannot be read.
    """
    wanted = list(dict.fromkeys(files))
    found: dict[str, str] = {}
    try:
        blocks = sum(-(-(root / file).stat().st_size // BLOCK) for file in wanted)
        for _ in track(_hashed(wanted, root, found), total=blocks, what=what, unit="MiB"):
            pass
    except OSError as error:
        message = f"{error.filename}: missing or unreadable ({error.strerror}); run the stage that writes it"
        raise LightvadError(message) from error
    return found


def _hashed(files: Iterable[Path], root: Path, found: dict[str, str]) -> Iterator[None]:
    """Fill `found`; yields after every block that was read."""
    for file in files:
        total = hashlib.sha256()
        with (root / file).open("rb") as opened:
            while block := opened.read(BLOCK):
                total.update(block)
                yield
        found[file.as_posix()] = total.hexdigest()


def check_bytes(path: Path, *, size: int | None, sha256: str, remedy: str) -> None:
    """Check a file from outside before it is used; `size` in bytes, None where it is not known.

    Raises:
        LightvadError: the file is missing, or of another size or sha256; the line ends with `remedy`.
    """
    if not path.is_file():
        message = f"{path}: missing; {remedy}"
        raise LightvadError(message)
    if size is not None and (found_size := path.stat().st_size) != size:
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

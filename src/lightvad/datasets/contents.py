"""What the fetched files of a dataset hold, whether they are archives or plain files: paths that can be read."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lightvad.artifacts.scratch import clear_scratch, scratch_folder
from lightvad.config import Dataset
from lightvad.datasets.archives import members
from lightvad.datasets.clips import clear
from lightvad.datasets.fetching import fetched_files
from lightvad.errors import LightvadError
from lightvad.progress import say

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")


class Item(NamedTuple):
    """A file of a dataset: what the reader's pattern found in its name, where it can be read, where it came from."""

    found: re.Match[str]
    path: Path
    where: str


@contextlib.contextmanager
def fetched_contents(dataset: Dataset, pattern: re.Pattern[str], *, raw: Path, root: Path) -> Iterator[list[Item]]:
    """The `contents` of the files that fetch has brought, after what an earlier preparation has left is removed.

    Raises:
        LightvadError: fetch has not run, or as `contents`.
    """
    _, files = fetched_files(dataset, raw)
    clear(root)
    with contents(files, pattern, raw=raw, root=root) as items:
        yield items


@contextlib.contextmanager
def contents(files: Sequence[Path], pattern: re.Pattern[str], *, raw: Path, root: Path) -> Iterator[list[Item]]:
    """Every file that `pattern` finds: plain files as they lie, members of archives unpacked for the time of the block.

    Args:
        files: the fetched files, below `raw`.
        pattern: searched in the names of members and in those of plain files relative to `raw`.
        raw: `data/raw/DATASET`.
        root: `data/clips/DATASET`; archives are unpacked into a scratch folder below it, wanted members only.

    Raises:
        LightvadError: an archive is damaged or unsafe, or a name comes twice.
    """
    clear_scratch(root)
    with scratch_folder(root) as scratch:
        items = list(_items(files, pattern, raw, Path(scratch)))
        seen: dict[tuple[str | None, ...], str] = {}
        for item in items:
            # What the pattern found, not the whole name: a clip that lies in two folders is one too many.
            if (found := item.found.groups()) in seen:
                message = f"{item.where}: comes twice (also {seen[found]}); take one of the two away"
                raise LightvadError(message)
            seen[found] = item.where
        yield items


def by_group(items: Sequence[Item], pattern: re.Pattern[str]) -> dict[str, dict[str, Item]]:
    """For every named group of `pattern` the items in which it found something, by what it found."""
    return {group: {item.found[group]: item for item in items if item.found[group]} for group in pattern.groupindex}


def _items(files: Sequence[Path], pattern: re.Pattern[str], raw: Path, scratch: Path) -> Iterator[Item]:
    for number, path in enumerate(files):
        if path.suffix not in ARCHIVES:
            if found := pattern.search(path.relative_to(raw).as_posix()):
                yield Item(found, path, str(path))
            continue
        say(f"unpack {path}")
        folder = scratch / str(number)
        for count, (found, content) in enumerate(members(path, pattern)):
            # Named by number: the name of a member is not trusted as a path.
            unpacked = folder / f"{count:07d}{Path(found.string).suffix}"
            _write(unpacked, content)
            yield Item(found, unpacked, f"{path}: {found.string}")


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        message = f"{path}: cannot be unpacked ({error.strerror}); free disk space and run again"
        raise LightvadError(message) from error

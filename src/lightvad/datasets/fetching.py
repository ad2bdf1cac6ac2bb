"""Fetching: a dataset's files come from a mirror or from their publisher, and every byte is checked before use."""

import filecmp
import shutil
import urllib.error
import urllib.request
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from http.client import HTTPException
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pooch
from pydantic import ValidationError

from lightvad.artifacts.atomic import atomic_path
from lightvad.artifacts.digests import check_bytes, sha256_of
from lightvad.artifacts.documents import read_json, read_sealed, write_json, write_sealed
from lightvad.config import Dataset, Found, Source
from lightvad.errors import LightvadError
from lightvad.progress import say, track

RETRIES = 3
TIMEOUT = 30
"""Seconds without an answer after which a server is given up."""
MIB = 2**20
FOUND = "found"
"""Name of the layout of files without known checksums."""
COPIED = ".copied.json"
"""Beside `fetched.json`: the files without known checksums that were copied from a mirror, and the sha256 of each.

It is hidden, and no output of the stage: Snakemake removes outputs before a stage begins.
"""
MOST_NAMES = 5
Layouts = Mapping[str, Sequence[Source]]


def fetch(dataset: Dataset, *, root: Path, mirror: str | None) -> None:
    """Bring the files of one layout of `dataset` under `root`; write `root`/fetched.json last.

    Of files without known checksums the copies that earlier calls made and that are not in the list any more are
    removed first.

    Args:
        dataset: its layouts are tried in order, `found` last; a generated dataset has none and needs no files of its
            own. Where its key `found.at` says where its files lie, they are taken from there, and the mirror is
            another dataset's.
        root: `data/raw/DATASET`.
        mirror: a folder, a `file://` address or an http(s) address in front of every file's name; None: the publishers.

    Raises:
        LightvadError: a file cannot be had, or its size or sha256 is wrong.
    """
    brought = dataset.found is not None and bool(dataset.found.at)
    if brought:
        mirror = None
    if dataset.generator is None:
        _check_names(source for layout in dataset.layouts.values() for source in layout)
        layout, sources = _chosen(dataset, root, mirror)
    else:
        layout, sources = "generated", ()
    if layout == FOUND and (gone := _old_copies_removed(sources, root, brought=brought)):
        names = ", ".join(gone[:MOST_NAMES]) + (", ..." if len(gone) > MOST_NAMES else "")
        say(f"fetch {dataset.name}: removed from {root}: {len(gone)} copied files that the list has no more: {names}")
    files = _fetched(sources, root, mirror)
    write_json(root / "fetched.json", {"layout": layout, "files": files})
    checked = "sha256 recorded as found: no publisher gives any" if layout == FOUND else "all sha256 right"
    place = f" from {mirror}" if mirror is not None and files else ""
    say(f"fetch {dataset.name}: layout {layout}, {len(files)} files{place}, {checked}")


def _chosen(dataset: Dataset, root: Path, mirror: str | None) -> tuple[str, Sequence[Source]]:
    """The layout to fetch and its files: one with known checksums, or what is found."""
    if dataset.found is not None and dataset.found.at:
        return FOUND, _brought(files_at(dataset.name, dataset.found), root)
    reason = f"{dataset.name} has no files with known checksums"
    if dataset.layouts:
        try:
            layout = choose_layout(dataset.layouts, mirror, destination=root)
        except LightvadError as error:
            if dataset.found is None:
                raise
            reason = str(error)
        else:
            return layout, dataset.layouts[layout]
    if dataset.found is None:
        message = (
            f"config/datasets/{dataset.name}.yaml: neither `layouts` nor `found` nor `generator`; give one of them"
        )
        raise LightvadError(message)
    return FOUND, found_sources(dataset.found, root=root, mirror=mirror, reason=reason)


def found_sources(found: Found, *, root: Path, mirror: str | None, reason: str) -> list[Source]:
    """The files that the patterns find, in the mirror or, where it is no folder that has them all, under `root`.

    Args:
        found: patterns and the place of the files.
        root: `data/raw/DATASET`.
        mirror: a folder or a `file://` address; an address of a server cannot be searched.
        reason: why no files with known checksums are taken, for the message.

    Raises:
        LightvadError: a pattern leads outside, or finds nothing; the line says what to put where.
    """
    for pattern in found.every:
        _check_name(pattern)
    searched = [folder for folder in (None if mirror is None else _folder_of(mirror), root) if folder is not None]
    lacks: list[str] = []
    for folder in searched:
        files = {pattern: _files_in(folder, pattern) for pattern in found.every}
        missing = [pattern for pattern in found.files if not files[pattern]]
        if not missing:
            names = sorted({path.relative_to(folder).as_posix() for paths in files.values() for path in paths})
            return [_as_found(folder, name) for name in track(names, total=len(names), what="sha256", unit="files")]
        lacks = lacks or missing
    message = f"{reason}; {searched[0]}: nothing is found as {', '.join(lacks)}; {found.place}"
    raise LightvadError(message)


def _old_copies_removed(sources: Sequence[Source], root: Path, *, brought: bool) -> list[str]:
    """Remove what earlier calls copied under `root` and `sources` no longer name with these bytes; note what will come.

    What a person has put there stays, and what is no longer the copy that was made. With `brought`, all of `sources`
    were copied by this call.

    Returns:
        The names of the removed files.

    Raises:
        LightvadError: the list of copies is damaged.
    """
    path = root / COPIED
    copied: dict[str, str] = read_sealed(path)["files"] if path.is_file() else {}
    listed = {source.file: source.sha256 for source in sources}
    old = [name for name, sha256 in copied.items() if listed.get(name) != sha256]
    gone = [name for name in old if _is_below(root / name, root) and sha256_of(root / name) == copied[name]]
    for name in gone:
        (root / name).unlink()
    kept = {name: sha256 for name, sha256 in copied.items() if name not in old}
    coming = {name: sha256 for name, sha256 in listed.items() if brought or not (root / name).exists()}
    write_sealed(path, {"files": kept | coming})
    return gone


def _is_below(path: Path, root: Path) -> bool:
    """Whether a file is there and lies below `root` itself, not behind a link that leads outside."""
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def files_at(dataset: str, found: Found) -> dict[str, Path]:
    """The files that lie where `found.at` says, by their names under `data/raw/DATASET`.

    Raises:
        LightvadError: a folder or file is not there, or a folder is empty.
    """
    files: dict[str, Path] = {}
    for pattern in found.every:
        _check_name(pattern)
        top, _, below = pattern.partition("/")
        if top not in found.at:
            continue
        place = Path(found.at[top])
        paths = _files_in(place, below) if below else [place] if place.is_file() else []
        if not paths:
            message = f"config/datasets/{dataset}.yaml: found.at.{top}: no files in {place}; {found.place}"
            raise LightvadError(message)
        files |= {f"{top}/{path.relative_to(place).as_posix()}" if below else top: path for path in paths}
    return files


def _brought(files: Mapping[str, Path], root: Path) -> list[Source]:
    """These files, after each was copied under `root`, also over an older copy of another content."""
    for name, origin in track(files.items(), total=len(files), what="fetch", unit="files"):
        copy = root / name
        if not (copy.is_file() and filecmp.cmp(origin, copy, shallow=False)):
            with atomic_path(copy) as temporary:
                shutil.copyfile(origin, temporary)
    return [_as_found(root, name) for name in track(sorted(files), total=len(files), what="sha256", unit="files")]


def found_listing(dataset: Dataset, mirror: str | None) -> list[tuple[str, int, int]]:
    """Of the files without known checksums, where they lie: name, bytes, and time of the last change in nanoseconds.

    By it a workflow sees that files came, went or changed; without a place, or with an address of a server, which
    cannot be searched, it is empty.

    Raises:
        LightvadError: the mirror is a folder that is not there, a place of `found.at` is not, or a pattern leads
            outside.
    """
    found = dataset.found
    if found is None:
        return []
    if found.at:
        files = files_at(dataset.name, found)
    elif mirror is not None and (folder := _folder_of(mirror)) is not None:
        for pattern in found.every:
            _check_name(pattern)
        paths = {path for pattern in found.every for path in _files_in(folder, pattern)}
        files = {path.relative_to(folder).as_posix(): path for path in paths}
    else:
        files = {}
    stats = {name: path.stat() for name, path in files.items()}
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in sorted(stats.items())]


def _files_in(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith(".")]


def _as_found(folder: Path, name: str) -> Source:
    path = folder / name
    size = path.stat().st_size
    if not size:
        message = f"{path}: 0 bytes; put the whole file there, or take it away"
        raise LightvadError(message)
    return Source(file=name, size=size, sha256=sha256_of(path))


def fetch_for_detection(sources: Sequence[Source], *, what: str, root: Path, mirror: str | None, listed: Path) -> None:
    """Bring the files that a detection backend needs under `root`; write the list `listed` last, also if it is empty.

    Args:
        sources: imported boxes, ONNX networks, weights.
        what: dataset and backend, for the line that is said.
        root: `data/raw/DATASET`.
        mirror: as in `fetch`.
        listed: `root`/fetched-BACKEND.json.

    Raises:
        LightvadError: a file cannot be had, or its size or sha256 is wrong.
    """
    _check_names(sources)
    files = _fetched(sources, root, mirror)
    write_json(listed, {"files": files})
    say(f"fetch {what}: {len(files)} files, all sha256 right")


def _fetched(sources: Sequence[Source], root: Path, mirror: str | None) -> list[dict[str, Any]]:
    """Fetch every file once; what the list of fetched files says of each."""
    wanted = list(dict.fromkeys(sources))
    fetch_sources(wanted, destination=root, mirror=mirror)
    return [source.model_dump(include={"file", "size", "sha256"}) for source in wanted]


def _check_names(sources: Iterable[Source]) -> None:
    """Check that the names of files stay below the folder that they are fetched into.

    Raises:
        LightvadError: one is absolute or holds `..`.
    """
    for source in sources:
        _check_name(source.file)


def _check_name(file: str) -> None:
    name = PurePosixPath(file)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        message = f"file {file!r} does not lie below the dataset's folder; give a relative name without `..`"
        raise LightvadError(message)


def fetched_files(dataset: Dataset, raw: Path) -> tuple[str, list[Path]]:
    """The layout that was fetched, and the paths of its files, their bytes checked once more.

    Raises:
        LightvadError: fetch has not run, the configuration has changed since, or a file is missing or wrong.
    """
    fetched = read_json(raw / "fetched.json")
    layout = str(fetched.get("layout")) if isinstance(fetched, dict) else "(none)"
    if layout == FOUND and dataset.found is not None:
        return layout, [_checked(raw / source.file, source) for source in _listed(fetched, raw / "fetched.json")]
    if layout not in dataset.layouts:
        message = (
            f"{raw / 'fetched.json'}: layout {layout!r} is not in config/datasets/{dataset.name}.yaml"
            f" ({', '.join(dataset.layouts)}); run `lightvad fetch` again"
        )
        raise LightvadError(message)
    return layout, [_checked(raw / source.file, source) for source in dataset.layouts[layout]]


def _listed(fetched: Mapping[str, Any], where: Path) -> list[Source]:
    """The files of `fetched.json`, as they were found."""
    try:
        sources = [Source.model_validate(entry) for entry in fetched["files"]]
    except (KeyError, TypeError, ValidationError) as error:
        message = f"{where}: not what fetch writes; delete it and run `lightvad fetch` again"
        raise LightvadError(message) from error
    _check_names(sources)
    return sources


def choose_layout(layouts: Layouts, mirror: str | None, *, destination: Path | None = None) -> str:
    """The layout to fetch.

    A layout that lies complete under `destination` is kept. Otherwise it is the first all of whose files are in the
    mirror (or under `destination` already), or, without a mirror, the first all of whose files have a URL.

    Raises:
        LightvadError: there is none; the line lists what each lacks.
    """

    def here(source: Source) -> bool:
        return destination is not None and (destination / source.file).is_file()

    def to_be_had(source: Source) -> bool:
        return here(source) or (source.url is not None if mirror is None else _in_mirror(source, mirror) is not None)

    for obtainable in (here, to_be_had):
        for name, sources in layouts.items():
            if all(obtainable(source) for source in sources):
                return name
    lacks = [
        f"{name} lacks {', '.join(source.file for source in sources if not to_be_had(source))}"
        for name, sources in layouts.items()
    ]
    where = "without a mirror" if mirror is None else f"in the mirror {mirror}"
    message = f"no complete layout {where}: {'; '.join(lacks)}; give a folder or URL that has the files: MIRROR=..."
    raise LightvadError(message)


def fetch_sources(sources: Sequence[Source], *, destination: Path, mirror: str | None) -> list[Path]:
    """Bring every file under `destination` (as `destination`/FILE) and check its size and sha256, old or new.

    A file that is there already is kept if its bytes are right. Otherwise it is copied from the mirror (mirror/FILE, or
    in a folder also mirror/NAME), or downloaded from its URL where the mirror does not have it.

    Returns:
        The paths, in the order of `sources`.

    Raises:
        LightvadError: a file cannot be had, or is not the one that the configuration names.
    """
    wanted = track(sources, total=len(sources), what="fetch", unit="files")
    return [_fetch_one(source, destination / source.file, mirror) for source in wanted]


def _fetch_one(source: Source, path: Path, mirror: str | None) -> Path:
    if path.exists():
        return _checked(path, source)
    origin = _in_mirror(source, mirror) if mirror is not None else None
    if isinstance(origin, Path):
        _check_bytes(origin, source, remedy="put the right file into the mirror")
        # A copy, not a hard link: a mirror must not change when somebody edits a file under data/raw.
        with atomic_path(path) as temporary:
            shutil.copyfile(origin, temporary)
        return _checked(path, source)
    url = origin or source.url
    if url is None:
        place = f" in the mirror {mirror}" if mirror is not None else ""
        remedy = "give a folder or URL that has it: MIRROR=..., or put it there by hand"
        message = f"{path}: not there, not found{place}, and it has no public URL; {remedy}"
        raise LightvadError(message)
    _download(url, source, path)
    return path


def _in_mirror(source: Source, mirror: str) -> Path | str | None:
    """Where the mirror has a file: a path, a URL, or None.

    Raises:
        LightvadError: the mirror is neither a folder nor a server that answers.
    """
    folder = _folder_of(mirror)
    if folder is None:
        url = f"{mirror.rstrip('/')}/{source.file}"
        return url if _answers(url) else None
    candidates = (folder / source.file, folder / Path(source.file).name)
    return next((path for path in candidates if path.is_file()), None)


def _folder_of(mirror: str) -> Path | None:
    """The folder that a mirror is; None: it is a server.

    Raises:
        LightvadError: there is no such folder.
    """
    if mirror.startswith(("http://", "https://")):
        return None
    try:
        folder = Path(unquote(urlsplit(mirror).path)) if mirror.startswith("file://") else Path(mirror).expanduser()
        found = folder.is_dir()
    except (ValueError, RuntimeError):  # an address or a ~user that cannot be read
        found = False
    if not found:
        message = f"mirror {mirror}: no such folder; give an existing folder, or an address with http(s):// or file://"
        raise LightvadError(message)
    return folder


def _answers(url: str) -> bool:
    """Whether a server has a file.

    Raises:
        LightvadError: no server answers, or it answers with anything but the file or "not found".
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT):  # noqa: S310 - http(s) only, see the caller
            return True
    except urllib.error.HTTPError as error:
        if error.code in (403, 404, 410):
            return False
        reason = f"{error.code} {error.reason}"
    except (OSError, ValueError, HTTPException) as error:
        reason = str(error)
    message = f"{url}: no answer ({reason}); check the network and the mirror's address, or give a folder: MIRROR=..."
    raise LightvadError(message)


def _download(url: str, source: Source, path: Path) -> None:
    """Download to `path` through a temporary file; the sha256 is checked before the file appears."""
    size = f"{source.size / MIB:.0f} MiB " if source.size is not None else ""
    say(f"fetch {source.file}: download {size}from {url}")
    downloads = pooch.create(
        path=path.parent,
        base_url="",
        registry={path.name: f"sha256:{source.sha256}"},
        urls={path.name: url},
        retry_if_failed=RETRIES,
    )
    pooch.get_logger().setLevel("ERROR")
    bar = _DownloadProgress(source)
    try:
        downloads.fetch(
            path.name, downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=MIB // 4, timeout=TIMEOUT)
        )
    except (OSError, ValueError, HTTPException) as error:
        reason = " ".join(str(_first_cause(error)).split())
        message = f"{path}: download from {url} failed ({reason}); try again, or give a folder that has it: MIRROR=..."
        raise LightvadError(message) from error
    finally:
        bar.close()
    path.chmod(0o644)  # pooch leaves the rights of its temporary file: nobody but the owner
    _checked(path, source)


def _first_cause(error: BaseException) -> BaseException:
    """What it all began with: the layers of the HTTP library bury "name not known" under their own words."""
    while error.__context__ is not None:
        error = error.__context__
    return error


class _DownloadProgress:
    """What pooch tells its progress bar, as steps of a MiB on ours."""

    def __init__(self, source: Source) -> None:
        self._file = source.file
        self._size = source.size
        self._received = 0
        self._shown = 0
        self._steps: Iterator[int] | None = None

    @property
    def total(self) -> int:
        """Bytes of the file; 0 where neither the configuration nor the server says."""
        return self._size or 0

    @total.setter
    def total(self, announced: int) -> None:
        """Pooch says how many bytes the server announces whenever it begins, also when it tries again."""
        self._size = self._size or announced
        self.reset()

    def update(self, received: int) -> None:
        """`received` more bytes have come."""
        self._received += received
        if self._size:
            self._received = min(self._received, self._size)
        if self._steps is None:
            self._steps = track(count(), total=-(-self.total // MIB), what=f"fetch {self._file}", unit="MiB")
        while self._shown < self._received // MIB:
            next(self._steps)
            self._shown += 1

    def reset(self) -> None:
        """Count from 0 again; what is shown does not go back."""
        self._received = 0

    def close(self) -> None:
        """The download has ended, well or not."""
        if isinstance(self._steps, Generator):
            self._steps.close()


def _checked(path: Path, source: Source) -> Path:
    """`path`, if its size and sha256 are those of `source`."""
    _check_bytes(path, source, remedy="delete it and run `lightvad fetch` again, with a network or MIRROR=...")
    return path


def _check_bytes(path: Path, source: Source, *, remedy: str) -> None:
    check_bytes(path, size=source.size, sha256=source.sha256, remedy=remedy)

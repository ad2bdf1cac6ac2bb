"""NumPy archives that are written and read piece by piece: anomaly maps and ground-truth masks.

`maps.npz` is an ordinary `.npz` (`numpy.load` reads it). It is written one frame block at a time, so memory stays
constant in the length of a clip.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from lightvad.artifacts.atomic import atomic_path
from lightvad.errors import LightvadError

DAMAGE = (
    OSError, EOFError, KeyError, ValueError, TypeError, MemoryError, RuntimeError, struct.error, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What NumPy and `zipfile` raise on archives that are cut off, damaged, pickled, or larger than the memory."""

Resolution = int | str
"""Side of a square anomaly map (`16` -> 16x16), `"full"`: the frame's size, or `"patches"`: a cell for each of them."""


class MapsWriter:
    """Writes anomaly maps under the keys `CLIP/RESOLUTION`, each of shape (T, r, r) or (T, h, w), float32."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def write(
        self, clip: str, resolution: Resolution, shape: tuple[int, int, int], blocks: Iterable[np.ndarray]
    ) -> None:
        """Append the array `CLIP/RESOLUTION` of `shape` (T, h, w) from consecutive `blocks` (t, h, w).

        Raises:
            LightvadError: the blocks do not add up to `shape`, or hold NaN.
        """
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        written = 0
        with self._archive.open(f"{clip}/{resolution}.npy", "w", force_zip64=True) as entry:
            entry.write(header.getvalue())
            for block in blocks:
                if block.shape[1:] != shape[1:] or not np.isfinite(block).all():
                    message = f"anomaly map {clip}/{resolution}: block of shape {block.shape} with wrong size or NaN"
                    raise LightvadError(message)
                entry.write(np.ascontiguousarray(block, "<f4").tobytes())
                written += len(block)
        if written != shape[0]:
            message = f"anomaly map {clip}/{resolution}: {written} frames written, {shape[0]} expected"
            raise LightvadError(message)

    def note(self, name: str, array: np.ndarray) -> None:
        """Store a small array beside the maps, e.g. the normalisation constants."""
        with self._archive.open(f"{name}.npy", "w") as entry:
            np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


@contextmanager
def maps_writer(path: Path, *, level: int = 1) -> Iterator[MapsWriter]:
    """Open `path` (`maps.npz`) for writing; the file appears when the block ends without an error.

    `level`: of the compression, 1 (fast) to 9.
    """
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive,
    ):
        yield MapsWriter(archive)


class Maps:
    """Anomaly maps of one run, read clip by clip.

    Raises:
        LightvadError: the file is missing or damaged, or a key is not in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = _opened(path)
        except DAMAGE as error:
            message = f"{path}: missing or damaged anomaly maps ({error}); run `lightvad maps` for this run again"
            raise LightvadError(message) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def keys(self) -> list[str]:
        """All keys, `CLIP/RESOLUTION` and the notes beside them."""
        return list(self._archive.keys())

    def read(self, clip: str, resolution: Resolution) -> np.ndarray:
        """The maps of one clip: float32 (T, r, r), or (T, H, W) for `"full"`."""
        return self.note(f"{clip}/{resolution}")

    def note(self, name: str) -> np.ndarray:
        """The array stored under `name`."""
        if name not in self._archive.files:
            message = (
                f"{self.path}: no array {name!r}; it holds {len(self._archive.files)} arrays; run `lightvad maps` again"
            )
            raise LightvadError(message)
        try:
            return _array(self._archive, name)
        except DAMAGE as error:
            message = f"{self.path}: array {name!r} is damaged ({error}); run `lightvad maps` again"
            raise LightvadError(message) from error


def read_arrays(path: Path, names: Sequence[str] | None, *, what: str, remedy: str) -> dict[str, np.ndarray]:
    """Read small arrays from an `.npz`; nothing in it is ever unpickled.

    Args:
        path: the file.
        names: of the arrays; None: all.
        what: the file should hold, for the message.
        remedy: what to do, for the message.

    Raises:
        LightvadError: the file is missing, damaged or no `.npz`, lacks an array, or holds pickled objects.
    """
    try:
        with _opened(path) as archive:
            return {name: _array(archive, name) for name in (archive.files if names is None else names)}
    except DAMAGE as error:
        message = f"{path}: missing or damaged {what} ({error}); {remedy}"
        raise LightvadError(message) from error


def array_names(path: Path, *, what: str, remedy: str) -> list[str]:
    """The names of the arrays in an `.npz`, as they were written; arguments and errors as those of `read_arrays`."""
    try:
        with _opened(path) as archive:
            return list(archive.files)
    except DAMAGE as error:
        message = f"{path}: missing or damaged {what} ({error}); {remedy}"
        raise LightvadError(message) from error


def read_array(path: Path, *, what: str, remedy: str) -> np.ndarray:
    """Read the array of a `.npy`, whatever its name; arguments and errors as those of `read_arrays`."""
    try:
        array = np.load(path, allow_pickle=False)
        if isinstance(array, np.ndarray):
            return array
        error: Exception = TypeError("an archive of arrays, no .npy")
    except DAMAGE as damage:
        error = damage
    message = f"{path}: missing or damaged {what} ({error}); {remedy}"
    raise LightvadError(message) from error


def _opened(path: Path) -> np.lib.npyio.NpzFile:
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        message = "a single array, no .npz"
        raise TypeError(message)
    return archive


def _array(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    array = archive[name]
    if not isinstance(array, np.ndarray):  # NumPy hands over what is no array as bytes
        message = f"{name!r} is no array"
        raise TypeError(message)
    return array


def write_object_masks(path: Path, masks: Sequence[np.ndarray]) -> None:
    """Write the masks of objects inside their boxes, bool (h, w) each: bit-packed one by one, and compressed."""
    packed = [np.packbits(mask.astype(bool), axis=None) for mask in masks]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, bits=np.concatenate([np.zeros(0, np.uint8), *packed]))


class ObjectMasks:
    """The masks of the annotated objects of one clip, kept bit-packed.

    Args:
        path: `objects/CLIP.npz`.
        sizes: int (N, 2), height and width of the boxes of the clip's rows in `objects.parquet`.

    Raises:
        LightvadError: the file is missing, damaged, or holds masks of other boxes.
    """

    def __init__(self, path: Path, sizes: np.ndarray) -> None:
        remedy = "run `lightvad prepare` again"
        self._bits = read_arrays(path, ("bits",), what="mask file", remedy=remedy)["bits"]
        self._sizes = sizes
        self._ends = np.cumsum(-(-sizes.prod(1) // 8))
        if self._bits.dtype != np.uint8 or self._bits.shape != (self._ends[-1] if len(sizes) else 0,):
            message = f"{path}: not the masks of the {len(sizes)} boxes of its clip; {remedy}"
            raise LightvadError(message)

    def __getitem__(self, row: int) -> np.ndarray:
        """The mask of the clip's `row`-th row: bool (h, w)."""
        height, width = self._sizes[row]
        start = self._ends[row - 1] if row else 0
        bits = np.unpackbits(self._bits[start : self._ends[row]], count=height * width)
        return bits.reshape(height, width).astype(bool)


def write_masks(path: Path, masks: np.ndarray) -> None:
    """Write pixel masks bool (T, H, W) of one clip, bit-packed and compressed."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, bits=np.packbits(masks.astype(bool), axis=None), shape=np.array(masks.shape))


def read_masks(path: Path) -> np.ndarray:
    """Read pixel masks: bool (T, H, W)."""
    stored = read_arrays(path, ("bits", "shape"), what="mask file", remedy="run `lightvad prepare` again")
    try:
        shape = tuple(stored["shape"])
        return np.unpackbits(stored["bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    except DAMAGE as error:
        message = f"{path}: missing or damaged mask file ({error}); run `lightvad prepare` again"
        raise LightvadError(message) from error

"""The clip store: `data/clips/DATASET/SPLIT/CLIP.*`, random access to any frame of any clip.

A clip is either a video file as published (`.avi`, `.mp4`: read through PyAV) or a `.zip` of still images stored
without further compression (`.jpg` as published, `.png` for everything else). Both give RGB frames.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.atomic import atomic_path
from lightvad.artifacts.tables import INDEX, read_table
from lightvad.errors import LightvadError
from lightvad.video.decoding import VideoFrames


@dataclass(frozen=True)
class Clip:
    """One clip of a dataset: its name (unique over all splits), split, number and size of frames, rate, origin."""

    name: str
    split: str
    frames: int
    height: int
    width: int
    fps: float
    source: str


class Frames(Protocol):
    """The frames of one clip in order: `len(frames)`, `frames[t]` -> uint8 (H, W, 3) RGB."""

    def __len__(self) -> int: ...

    def __getitem__(self, t: int) -> np.ndarray: ...


class ZipFrames:
    """Frames stored as still images in a `.zip`, in the order of their names.

    Raises:
        LightvadError: the archive or an image in it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            message = f"{path}: missing or damaged clip ({error}); run `lightvad prepare` again"
            raise LightvadError(message) from error
        self._names = sorted(self._archive.namelist())

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, t: int) -> np.ndarray:
        try:
            content = self._archive.read(self._names[t])
        except zipfile.BadZipFile as error:
            message = f"{self.path}: frame {t} is damaged ({error}); run `lightvad prepare` again"
            raise LightvadError(message) from error
        return decode_image(content, f"{self.path}, frame {t}")


def decode_image(content: bytes, where: str) -> np.ndarray:
    """Decode an image file to uint8 (H, W, 3) RGB; gray is replicated, an alpha channel dropped, 16 bit scaled to 8.

    Raises:
        LightvadError: `content` is not a whole image; `where` names it.
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    except cv2.error:
        image = None
    if image is None:
        message = f"{where}: truncated or not an image ({len(content)} bytes); get the file again"
        raise LightvadError(message)
    return image


def write_zip_clip(path: Path, images: Iterable[tuple[str, bytes]]) -> None:
    """Write encoded images (name with suffix, bytes) as a clip, atomically; names must sort in frame order."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in images:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


class ClipStore:
    """All prepared clips of a dataset, with a cache of decoded frames.

    Args:
        root: `data/clips/DATASET`.
        cache_bytes: decoded frames kept in memory, least recently used dropped first.

    Raises:
        LightvadError: no index, or a clip's file is missing or of another length than the index says.
    """

    def __init__(self, root: Path, *, cache_bytes: int = 2_000_000_000) -> None:
        self.root = root
        table = read_table(root / "index.parquet", INDEX)
        self._clips: dict[str, Clip] = {row["clip"]: Clip(*row.values()) for row in table.to_dict("records")}
        self._open: OrderedDict[str, Frames] = OrderedDict()
        self._cache: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0

    def clips(self, split: str | None = None) -> list[Clip]:
        """The clips of `split` (all if None), by name."""
        return [clip for _, clip in sorted(self._clips.items()) if split in (None, clip.split)]

    def __getitem__(self, name: str) -> Clip:
        if name not in self._clips:
            message = f"{self.root}: no clip {name!r}; it holds {', '.join(sorted(self._clips)[:8])}, ..."
            raise LightvadError(message)
        return self._clips[name]

    def frame(self, clip: str, t: int) -> np.ndarray:
        """Frame `t` of `clip`: uint8 (H, W, 3) RGB. The array is shared by the cache: do not write to it."""
        key = (clip, t)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        frame = self._frames(clip)[t]
        frame.flags.writeable = False
        self._cache[key] = frame
        self._cached += frame.nbytes
        while self._cached > self._cache_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached -= dropped.nbytes
        return frame

    def window(self, clip: str, indices: Iterable[int]) -> np.ndarray:
        """Several frames of one clip: uint8 (F, H, W, 3) RGB."""
        return np.stack([self.frame(clip, t) for t in indices])

    def sequential(self, clip: str) -> Iterator[np.ndarray]:
        """All frames of a clip in order, each decoded once: uint8 (H, W, 3) RGB."""
        for t in range(self[clip].frames):
            yield self.frame(clip, t)

    def path(self, clip: str) -> Path:
        """The file of a clip."""
        info = self[clip]
        found = sorted((self.root / info.split).glob(f"{clip}.*"))
        found = [path for path in found if path.stem == clip and not path.name.startswith(".")]
        if len(found) != 1:
            place = self.root / info.split
            message = f"{place}: {len(found)} files for clip {clip}, expected 1; run `lightvad prepare` again"
            raise LightvadError(message)
        return found[0]

    def _frames(self, clip: str) -> Frames:
        if clip not in self._open:
            path = self.path(clip)
            frames: Frames = ZipFrames(path) if path.suffix == ".zip" else VideoFrames(path)
            if len(frames) != self[clip].frames:
                expected = self[clip].frames
                message = f"{path}: {len(frames)} frames, but the index says {expected}; run `lightvad prepare` again"
                raise LightvadError(message)
            self._open[clip] = frames
            while len(self._open) > 64:
                self._open.popitem(last=False)
        return self._open[clip]


def index_of(clips: Iterable[Clip]) -> pd.DataFrame:
    """The table `index.parquet` of these clips."""
    rows = [(c.name, c.split, c.frames, c.height, c.width, c.fps, c.source) for c in clips]
    return pd.DataFrame(rows, columns=list(INDEX))


def prepared_files(root: Path) -> list[Path]:
    """Every file that belongs to the clips under `root`, relative to it: tables, then clips and masks, by name.

    What lies in a folder below must be named after a clip of the index: what was left there by another preparation
    does not count.

    Raises:
        LightvadError: there is no index.
    """
    clips = set(read_table(root / "index.parquet", INDEX)["clip"])
    files = [*root.glob("*.parquet"), *(path for path in root.glob("*/*") if path.stem in clips)]
    return sorted((path.relative_to(root) for path in files), key=lambda path: (len(path.parts), path))

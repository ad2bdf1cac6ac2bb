"""The clip store: `data/clips/DATASET/SPLIT/CLIP.*`, random access to any frame of any clip.

A clip is either a video file as published (`.avi`, `.mp4`: read through PyAV) or a `.zip` of still images stored
without further compression (`.jpg` as published, `.png` for everything else). Both give RGB frames.
"""

import glob
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.arrays import DAMAGE
from lightvad.artifacts.atomic import atomic_path
from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json
from lightvad.artifacts.tables import INDEX, LABELS, UNKNOWN, read_table
from lightvad.errors import LightvadError
from lightvad.layout import CHECKSUMS
from lightvad.video.decoding import VideoFrames

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # what OpenCV says of a damaged image would stand beside the one line that we say

SPLITS = ("train", "test", "detector", "abnormal")
PNG_BEGINS, PNG_ENDS = b"\x89PNG", b"IEND\xaeB`\x82"


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
        except (*DAMAGE, IndexError) as error:
            message = f"{self.path}: frame {t} is missing or damaged ({error}); run `lightvad prepare` again"
            raise LightvadError(message) from error
        return decode_image(content, f"{self.path}, frame {t}")


def decode_image(content: bytes, where: str) -> np.ndarray:
    """Decode an image file to uint8 (H, W, 3) RGB; gray is replicated, an alpha channel dropped, 16 bit scaled to 8.

    Raises:
        LightvadError: `content` is not a whole image; `where` names it.
    """
    cut_off = content.startswith(PNG_BEGINS) and PNG_ENDS not in content
    try:
        whole = bool(content) and not cut_off
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if whole else None
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

    A file is read once as a whole, when it is first opened, and compared with `checksums.json`, where there is one: a
    decoder does not notice every flipped bit.

    Args:
        root: `data/clips/DATASET`.
        cache_bytes: decoded frames kept in memory, least recently used dropped first.

    Raises:
        LightvadError: no index, an impossible line in it, or a clip's file is missing, not as prepared, or of another
            length or size than the index says.
    """

    def __init__(self, root: Path, *, cache_bytes: int = 2_000_000_000) -> None:
        self.root = root
        self._clips = _clips_of_index(root / "index.parquet")
        checksums = root / CHECKSUMS
        self._checksums: dict[str, str] | None = read_json(checksums) if checksums.is_file() else None
        self._checked: set[Path] = set()
        self._open: OrderedDict[str, Frames] = OrderedDict()
        self._cache: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0

    def reopened(self) -> "ClipStore":
        """The same clips with nothing opened or cached yet."""
        return ClipStore(self.root, cache_bytes=self._cache_bytes)

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
        info = self[clip]
        if frame.shape != (info.height, info.width, 3):
            height, width = frame.shape[:2]
            message = (
                f"{self.path(clip)}: frame {t} has {height}x{width} pixels, but the index says"
                f" {info.height}x{info.width}; run `lightvad prepare` again"
            )
            raise LightvadError(message)
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
        found = sorted((self.root / info.split).glob(f"{glob.escape(clip)}.*"))
        found = [path for path in found if path.stem == clip and not path.name.startswith(".")]
        if not found and (lost := self._prepared_as(clip, info.split)):
            message = f"{self.root / lost}: missing, though {CHECKSUMS} names it; run `lightvad prepare` again"
            raise LightvadError(message)
        if len(found) != 1:
            place = self.root / info.split
            message = f"{place}: {len(found)} files for clip {clip}, expected 1; run `lightvad prepare` again"
            raise LightvadError(message)
        return found[0]

    def prepared(self, path: Path) -> bool:
        """Whether `path`, below the root, is among what was prepared; also where it is lost since."""
        if self._checksums is None:
            return path.is_file()
        return path.relative_to(self.root).as_posix() in self._checksums

    def _prepared_as(self, clip: str, split: str) -> str | None:
        """The file of a clip that `checksums.json` names, relative to the root."""
        named = (Path(file) for file in self._checksums or ())
        return next((file.as_posix() for file in named if (file.parent.name, file.stem) == (split, clip)), None)

    def checked(self, path: Path) -> Path:
        """`path`, a prepared file below the root, after its bytes have been compared with `checksums.json`.

        Raises:
            LightvadError: it is missing or is not what was prepared.
        """
        if self._checksums is None or path in self._checked:
            return path
        name = path.relative_to(self.root).as_posix()
        if (found := sha256_of(path)) != self._checksums.get(name):
            told = self._checksums.get(name, "nothing of it")
            message = f"{path}: sha256 {found}, but {CHECKSUMS} says {told}; run `lightvad prepare` again"
            raise LightvadError(message)
        self._checked.add(path)
        return path

    def _frames(self, clip: str) -> Frames:
        if clip not in self._open:
            path = self.checked(self.path(clip))
            frames: Frames = ZipFrames(path) if path.suffix == ".zip" else VideoFrames(path)
            if len(frames) != self[clip].frames:
                expected = self[clip].frames
                message = f"{path}: {len(frames)} frames, but the index says {expected}; run `lightvad prepare` again"
                raise LightvadError(message)
            self._open[clip] = frames
            while len(self._open) > 64:
                self._open.popitem(last=False)
        return self._open[clip]


def _clips_of_index(path: Path) -> dict[str, Clip]:
    """The clips of an index by name.

    Raises:
        LightvadError: a name comes twice or is no name of a file, a split is unknown, or a clip has no frames.
    """
    clips: dict[str, Clip] = {}
    for row in read_table(path, INDEX).to_dict("records"):
        clip = Clip(*row.values())
        reason = ""
        if clip.name in clips:
            reason = "comes twice"
        elif clip.name in ("", ".", "..") or "/" in clip.name or "\0" in clip.name:
            reason = "cannot be the name of a file"
        elif clip.split not in SPLITS:
            reason = f"is of the split {clip.split!r}, not one of {', '.join(SPLITS)}"
        elif min(clip.frames, clip.height, clip.width) < 1:
            reason = f"has {clip.frames} frames of {clip.height}x{clip.width} pixels"
        if reason:
            message = f"{path}: clip {clip.name} {reason}; run `lightvad prepare` again"
            raise LightvadError(message)
        clips[clip.name] = clip
    return clips


def check_places(table: pd.DataFrame, clips: Iterable[Clip], where: Path | str, remedy: str) -> None:
    """Check that every row of a table with the columns clip and frame is about a frame of `clips`.

    Raises:
        LightvadError: a row is about another clip, or a frame that its clip does not have.
    """
    frames = table["clip"].map({clip.name: clip.frames for clip in clips}).to_numpy(np.float64)
    outside = ~((table["frame"] >= 0) & (table["frame"] < frames)).to_numpy()
    if outside.any():
        first = int(np.argmax(outside))
        row = table.iloc[first]
        has = "which is not there" if np.isnan(frames[first]) else f"which has {frames[first]:g} frames"
        message = f"{where}: clip {row['clip']}, frame {row['frame']}: of a clip {has}; {remedy}"
        raise LightvadError(message)


def read_labels(store: ClipStore) -> pd.DataFrame:
    """The labels of the test clips: table LABELS, sorted, one row for every frame and no other.

    A clip has 0 (normal) and 1 (abnormal), or UNKNOWN throughout.

    Raises:
        LightvadError: a label is neither, or the labels of a clip are not one for each of its frames.
    """
    path, test = store.root / "labels.parquet", store.clips("test")
    remedy = "run `lightvad prepare` again"
    table = read_table(path, LABELS).sort_values(["clip", "frame"], kind="stable").reset_index(drop=True)
    whole = table.groupby("clip")["label"].transform("max") == UNKNOWN
    wrong = table[~(table["label"].isin([0, 1]) | (whole & (table["label"] == UNKNOWN)))]
    if len(wrong):
        row = wrong.iloc[0]
        message = f"{path}: clip {row['clip']}, frame {row['frame']}: label {row['label']}, not 0 or 1; {remedy}"
        raise LightvadError(message)
    unknown = set(table["clip"]) - {clip.name for clip in test}
    if unknown:
        message = f"{path}: labels of clip {min(unknown)}, which is no test clip; {remedy}"
        raise LightvadError(message)
    for clip in test:
        frames = table.loc[table["clip"] == clip.name, "frame"].to_numpy()
        if not np.array_equal(frames, np.arange(clip.frames)):
            message = f"{path}: clip {clip.name} has {clip.frames} frames and {len(frames)} labels; {remedy}"
            raise LightvadError(message)
    return table


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

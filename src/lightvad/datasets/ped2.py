"""UCSD Pedestrian 2 (Mahadevan et al., CVPR 2010): clips, labels, masks and tracks from any of its three layouts.

- `official`: the publisher's archive, `.tif` frames and `.bmp` masks. Frames are stored as PNG, pixel for pixel.
- `jpeg`: the JPEG frames of the future-frame-prediction code, which most later work uses. Stored byte for byte.
- `compact_h264`: a re-encoding of the JPEG frames as video. Stored byte for byte; a number measured on it says so.

Masks of the last two come from `ped2_gt_masks.npz`. A frame is abnormal where its mask has any pixel; this is checked
against the publisher's ranges (`UCSDped2.m`) wherever that file is at hand.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from lightvad.artifacts.arrays import DAMAGE, read_arrays, write_masks
from lightvad.artifacts.atomic import write_bytes
from lightvad.config import Dataset
from lightvad.datasets.archives import Limits, members
from lightvad.datasets.clips import check_frames, clear, in_order, one_size, video_clip, write_tables
from lightvad.datasets.fetching import fetched_files
from lightvad.datasets.labels import check_masks, check_ranges, labels_from_masks, labels_table, read_matlab_ranges
from lightvad.datasets.tracks import tracks_table
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip, decode_image, write_zip_clip

Item = TypeVar("Item")
Key = TypeVar("Key", int, str)

SOURCES = {
    "official": "official .tif frames, stored losslessly as PNG",
    "jpeg": "JPEG q95 frames (future-frame-prediction distribution)",
    "compact_h264": "re-encoded H.264 (compact: x264 CRF 17 of the JPEG frames)",
}
"""What `source` in the index says of each layout."""

LIMITS = Limits(member=64 * 2**20, total=8 * 2**30)
"""Far above any frame, any of the re-encoded clips and the publisher's archive with both its datasets."""
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
MEMBER = re.compile(
    r"(?:^|/)(?:"
    r"UCSDped2/(?P<folder>Train|Test)/(?:Train|Test)(?P<tif_clip>\d{3})/(?P<tif>\d{1,6})\.tif"
    r"|UCSDped2/Test/Test(?P<mask_clip>\d{3})_gt/(?P<mask>\d{1,6})\.bmp"
    r"|(?P<frames>training|testing)/frames/(?P<jpg_clip>\d{1,3})/(?P<jpg>\d{1,6})\.jpg"
    r"|(?P<videos>training|testing)/(?P<mp4_clip>\d{1,3})\.mp4"
    r"|(?P<ranges>UCSDped2\.m)"
    r")$"
)


class Image(NamedTuple):
    """A whole image: its file as it will be stored, height and width."""

    encoded: bytes
    size: tuple[int, int]


@dataclass
class Content:
    """What the archives hold, by clip name: images by frame number as published, videos, masks, ranges."""

    images: dict[str, dict[int, Image]] = field(default_factory=lambda: defaultdict(dict))
    videos: dict[str, bytes] = field(default_factory=dict)
    mask_images: dict[str, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    ranges: str | None = None


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Write `root` (data/clips/ped2) from `raw` (data/raw/ped2, filled by fetch); `index.parquet` is written last.

    Raises:
        LightvadError: fetch has not run, a file is damaged, or clips, frames and masks do not agree in number.
    """
    layout, files = fetched_files(dataset, raw)
    clear(root)
    content = _read(files, total=_files_of(layout, dataset))
    names = _clip_names(content, dataset, raw)
    clips = [
        _write_clip(root, name, content, fps=dataset.fps, source=SOURCES.get(layout, layout), raw=raw)
        for name in track(names, total=len(names), what=f"prepare {dataset.name}", unit="clips")
    ]
    check_frames(clips, dataset, raw)
    masks = {clip.name: _masks(clip, content, raw) for clip in clips if clip.split == "test"}
    labels = {name: labels_from_masks(stack) for name, stack in masks.items()}
    if content.ranges is not None:
        check_ranges(labels, read_matlab_ranges(content.ranges, "UCSDped2.m"), "UCSDped2.m")
    for name, stack in masks.items():
        write_masks(root / "masks" / f"{name}.npz", stack)
    write_tables(root, clips, labels=labels_table(labels), tracks=tracks_table(masks))


def _files_of(layout: str, dataset: Dataset) -> int:
    """How many files the archives of a layout hold, for the progress."""
    frames = sum(dataset.frames.values())
    masks_and_ranges = dataset.frames.get("test", 0) + 1
    return {"official": frames + masks_and_ranges, "jpeg": frames}.get(layout, sum(dataset.clips.values()))


def _read(files: list[Path], *, total: int) -> Content:
    """Read the files of a layout; the whole dataset is 0.1 to 0.3 GB of encoded images, so it is kept in memory."""
    content = Content()
    archives = []
    for path in files:
        if path.suffix == ".npz":
            content.masks = _packed_masks(path)
        elif path.suffix == ".m":
            content.ranges = path.read_text("latin-1")
        else:
            archives.append(path)
    stored = ((path, found, encoded) for path in archives for found, encoded in members(path, MEMBER, limits=LIMITS))
    for path, found, encoded in track(stored, total=total, what="read the archives", unit="files"):
        where = f"{path}: {found.string}"
        if found["tif"]:
            clip = _clip_name(found["folder"], found["tif_clip"])
            _once(content.images[clip], int(found["tif"]), _as_png(encoded, where), where)
        elif found["mask"]:
            _once(content.mask_images[_clip_name("Test", found["mask_clip"])], int(found["mask"]), encoded, where)
        elif found["jpg"]:
            image = Image(encoded, decode_image(encoded, where).shape[:2])
            _once(content.images[_clip_name(found["frames"], found["jpg_clip"])], int(found["jpg"]), image, where)
        elif found["videos"]:
            _once(content.videos, _clip_name(found["videos"], found["mp4_clip"]), encoded, where)
        else:
            content.ranges = encoded.decode("latin-1")
    return content


def _once(known: dict[Key, Item], key: Key, item: Item, where: str) -> None:
    """Keep `item` under `key`.

    Raises:
        LightvadError: another member of the archive was kept there.
    """
    if key in known:
        message = f"{where}: this frame or clip comes twice; delete the archive and run `lightvad fetch` again"
        raise LightvadError(message)
    known[key] = item


def _clip_name(split: str, number: str) -> str:
    """`Train001` from `training`, `01`."""
    return f"{SPLITS[split.lower()].capitalize()}{int(number):03d}"


def _as_png(encoded: bytes, where: str) -> Image:
    """A .tif as PNG with the same pixels, gray where its colours are equal."""
    image = decode_image(encoded, where)
    gray = image[..., 0]
    same = gray if (image == gray[..., None]).all() else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return Image(cv2.imencode(".png", same)[1].tobytes(), gray.shape)


def _packed_masks(path: Path) -> dict[str, np.ndarray]:
    """Masks bool (T, H, W) by clip from an `.npz` with bit-packed arrays `01`, `02`, ... and their `shapes`."""
    masks: dict[str, np.ndarray] = {}
    stored = read_arrays(path, None, what="masks", remedy="delete it and run `lightvad fetch` again")
    try:
        shapes = stored.pop("shapes").tolist()
        for name, shape in zip(sorted(stored), shapes, strict=True):
            bits = np.unpackbits(stored[name])
            masks[_clip_name("Test", name)] = bits[: math.prod(shape)].reshape(shape).astype(bool)
    except DAMAGE as error:
        message = f"{path}: damaged masks ({error}); delete it and run `lightvad fetch` again"
        raise LightvadError(message) from error
    return masks


def _clip_names(content: Content, dataset: Dataset, raw: Path) -> list[str]:
    """The names of all clips, `Test001` to `TrainNNN`, after their number has been checked.

    Raises:
        LightvadError: a clip is missing or not one of the dataset's.
    """
    found = set(content.images) | set(content.videos)
    expected = {
        f"{split.capitalize()}{number:03d}"
        for split, count in dataset.clips.items()
        for number in range(1, count + 1)
    }  # fmt: skip
    if found != expected:
        which = sorted(expected - found) or sorted(found - expected)
        wrong = "missing" if expected - found else "unknown"
        message = (
            f"{raw}: {len(found)} clips, {len(expected)} expected; {wrong}: {', '.join(which[:8])};"
            " run `lightvad fetch` again"
        )
        raise LightvadError(message)
    return sorted(found)


def _write_clip(root: Path, name: str, content: Content, *, fps: float, source: str, raw: Path) -> Clip:
    """Write one clip: a zip of images, or the video as it is."""
    split = "train" if name.startswith("Train") else "test"
    if name in content.videos:
        path = root / split / f"{name}.mp4"
        write_bytes(path, content.videos[name])
        return video_clip(path, name=name, split=split, fps=fps, source=source)
    frames = in_order(f"{raw}: clip {name}", content.images[name], "frame")
    height, width = one_size((frame.size for frame in frames), f"{raw}: clip {name}")
    suffix = "png" if frames[0].encoded.startswith(b"\x89PNG") else "jpg"
    images = ((f"{t:05d}.{suffix}", frame.encoded) for t, frame in enumerate(frames))
    write_zip_clip(root / split / f"{name}.zip", images)
    return Clip(name, split, len(frames), height, width, fps, source)


def _masks(clip: Clip, content: Content, raw: Path) -> np.ndarray:
    """The pixel masks of a test clip: bool (T, H, W).

    Raises:
        LightvadError: there are none, or they do not fit the clip's frames.
    """
    if clip.name in content.mask_images:
        images = in_order(f"{raw}: clip {clip.name}", content.mask_images[clip.name], "mask")
        where = f"{raw}: clip {clip.name}, mask"
        masks = np.stack([decode_image(image, f"{where} {t}").any(2) for t, image in enumerate(images)])
    elif clip.name in content.masks:
        masks = content.masks[clip.name]
    else:
        message = f"{raw}: no masks of clip {clip.name}; run `lightvad fetch` again"
        raise LightvadError(message)
    check_masks(clip.name, masks, frames=clip.frames, height=clip.height, width=clip.width, where=str(raw))
    return masks

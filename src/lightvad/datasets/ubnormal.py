"""UBnormal (Acsintoae et al., CVPR 2022): generated scenes; normal and abnormal training and test videos.

Files, in the publisher's archive or as they lie in a folder: `SceneN/CLIP.mp4`; for abnormal videos
`SceneN/CLIP_annotations/CLIP_tracks.txt` (rows object,first,last: frames from 0, `last` included) and
`CLIP_FFFF_gt.png` (every pixel is the number of its object); the lists `KIND_SPLIT_video_names.txt`. Methods here are
trained on normal videos alone: abnormal training videos are a split of their own, `abnormal`, whose tracked objects can
be cut out (AED-MAE pastes them into other videos). The validation lists are not read.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.arrays import write_masks, write_object_masks
from lightvad.artifacts.tables import OBJECTS, write_table
from lightvad.config import Dataset
from lightvad.datasets.clips import check_clips, check_rate, store_video, write_tables
from lightvad.datasets.contents import Item, by_group, fetched_contents
from lightvad.datasets.labels import check_masks, labels_from_ranges, labels_table
from lightvad.datasets.tracks import numbered
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip, decode_image

MEMBER = re.compile(
    r"(?:^|/)(?:"
    r"(?P<video>(?:ab)?normal_scene_\w+)\.mp4"
    r"|(?P<annotated>(?:ab)?normal_scene_\w+?)_(?P<frame>\d{4,})_gt\.png"
    r"|(?P<tracked>(?:ab)?normal_scene_\w+?)_tracks\.txt"
    r"|(?P<list>(?:ab)?normal_(?:training|test))_video_names\.txt"
    r")$"
)
SPLITS = {
    "normal_training": "train", "abnormal_training": "abnormal", "normal_test": "test", "abnormal_test": "test"
}  # fmt: skip
NUMBER = r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"
ROW = re.compile(rf"{NUMBER}\s*,\s*{NUMBER}\s*,\s*{NUMBER}")
"""Whole numbers, in some of the published files written as 4.000000000000000000e+00."""
REMEDY = "get the file again"


@dataclass(frozen=True)
class Track:
    """An abnormal object: its number in the annotations and its frames, counted from 0, `last` included."""

    number: int
    first: int
    last: int


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Write `root` (data/clips/ubnormal) from `raw` (data/raw/ubnormal); `index.parquet` is written last.

    Raises:
        LightvadError: fetch has not run, a file is damaged or missing, or clips, frames and tracks do not agree.
    """
    with fetched_contents(dataset, MEMBER, raw=raw, root=root) as items:
        named = by_group(items, MEMBER)
        annotations: dict[str, dict[int, Item]] = defaultdict(dict)
        for item in items:
            if item.found["annotated"]:
                annotations[item.found["annotated"]][int(item.found["frame"])] = item
        splits = _splits(named["list"], raw)
        clips, labels = [], {}
        boxes: dict[str, pd.DataFrame] = {}
        objects: dict[str, pd.DataFrame] = {}
        for name, split in track(splits.items(), total=len(splits), what=f"prepare {dataset.name}", unit="clips"):
            if name not in named["video"]:
                message = f"{raw}: no {name}.mp4, which is in the list of {split} videos; {REMEDY}"
                raise LightvadError(message)
            video = named["video"][name]
            clip = store_video(video.path, root, name=name, split=split, source="as published")
            check_rate(clip, dataset, video.where)
            clips.append(clip)
            if split == "train":
                continue
            tracks = _tracks(clip, named["tracked"], raw)
            if split == "abnormal":
                masks, objects[name] = _objects(clip, tracks, annotations[name], raw)
                write_object_masks(root / "objects" / f"{name}.npz", masks)
            else:
                ranges = [(found.first + 1, found.last + 1) for found in tracks]
                labels[name] = labels_from_ranges(ranges, clip.frames)
                whole, boxes[name] = _masks(clip, tracks, annotations[name], raw)
                write_masks(root / "masks" / f"{name}.npz", whole)
        check_clips(clips, dataset, raw)
    write_table(root / "objects.parquet", numbered(objects, OBJECTS), OBJECTS)
    write_tables(root, clips, labels=labels_table(labels), tracks=numbered(boxes))


def _splits(lists: Mapping[str, Item], raw: Path) -> dict[str, str]:
    """The split of every video that is used, by name.

    Raises:
        LightvadError: a list is missing, or a video is in two of them.
    """
    found: dict[str, str] = {}
    for name, split in SPLITS.items():
        if name not in lists:
            message = f"{raw}: no list {name}_video_names.txt; {REMEDY}"
            raise LightvadError(message)
        for video in lists[name].path.read_text("utf-8", "replace").split():
            if video in found:
                message = f"{lists[name].where}: {video} is in two lists; {REMEDY}"
                raise LightvadError(message)
            found[video] = split
    return dict(sorted(found.items()))


def _tracks(clip: Clip, published: Mapping[str, Item], raw: Path) -> list[Track]:
    """The abnormal objects of a clip; none in a normal one.

    Raises:
        LightvadError: an abnormal clip has none, or a row is none or reaches beyond the clip.
    """
    if clip.name.startswith("normal"):
        return []
    if clip.name not in published:
        message = f"{raw}: no {clip.name}_tracks.txt for the abnormal clip {clip.name}; {REMEDY}"
        raise LightvadError(message)
    item = published[clip.name]
    tracks = []
    for number, line in enumerate(item.path.read_text("utf-8", "replace").split(), start=1):
        row = ROW.fullmatch(line)
        values = [float(value) for value in row.groups()] if row else []
        found = Track(*(int(value) for value in values)) if values and all(v.is_integer() for v in values) else None
        if found is None or not found.first <= found.last < clip.frames:
            message = f"{item.where}: line {number} ({line[:40]!r}): no object,first,last below {clip.frames}; {REMEDY}"
            raise LightvadError(message)
        tracks.append(found)
    if not tracks:
        message = f"{item.where}: no track of the abnormal clip {clip.name}; {REMEDY}"
        raise LightvadError(message)
    return tracks


def _masks(
    clip: Clip, tracks: list[Track], annotations: Mapping[int, Item], raw: Path
) -> tuple[np.ndarray, pd.DataFrame]:
    """Pixel masks bool (T, H, W) of the tracked objects, and their boxes: track (from 0), frame, x1, y1, x2, y2."""
    masks = np.zeros((clip.frames, clip.height, clip.width), bool)
    rows = []
    for number, t, mask, (x1, y1, x2, y2) in _annotated(clip, tracks, annotations, raw):
        masks[t] |= mask
        rows.append((number, t, x1, y1, x2, y2))
    return masks, pd.DataFrame(rows, columns=["track", "frame", "x1", "y1", "x2", "y2"])


def _objects(
    clip: Clip, tracks: list[Track], annotations: Mapping[int, Item], raw: Path
) -> tuple[list[np.ndarray], pd.DataFrame]:
    """The tracked objects, track by track and frame by frame.

    Returns:
        Their masks inside their boxes, bool (h, w), and a row each: track (from 0), frame, x1, y1, x2, y2, area.
    """
    found = []
    for number, t, mask, (x1, y1, x2, y2) in _annotated(clip, tracks, annotations, raw):
        inside = mask[y1:y2, x1:x2].copy()
        found.append(((number, t, x1, y1, x2, y2, int(inside.sum())), inside))
    found.sort(key=lambda one: one[0][:2])
    columns = ["track", "frame", "x1", "y1", "x2", "y2", "area"]
    return [inside for _, inside in found], pd.DataFrame([row for row, _ in found], columns=columns)


def _annotated(
    clip: Clip, tracks: list[Track], annotations: Mapping[int, Item], raw: Path
) -> Iterator[tuple[int, int, np.ndarray, tuple[int, int, int, int]]]:
    """Every tracked object that is seen in a frame: track (from 0), frame, mask bool (H, W), box; frame by frame.

    Raises:
        LightvadError: a frame of a track has no annotation, or one of another size.
    """
    for t in sorted({t for found in tracks for t in range(found.first, found.last + 1)}):
        if t not in annotations:
            message = f"{raw}: no {clip.name}_{t:04d}_gt.png, though a track is there in frame {t}; {REMEDY}"
            raise LightvadError(message)
        item = annotations[t]
        objects = decode_image(item.path.read_bytes(), item.where)[..., 0]
        check_masks(clip.name, objects[None], frames=1, height=clip.height, width=clip.width, where=item.where)
        for number, found in enumerate(tracks):
            if found.first <= t <= found.last and (mask := objects == found.number).any():
                x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
                yield number, t, mask, (x, y, x + width, y + height)

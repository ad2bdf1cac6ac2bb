"""Your own videos: a folder `normal` to train on, a folder `score` to score, and labels if you have some.

The reader of the dataset `folder`, and of every camera that `lightvad new-dataset` writes a configuration for.

Files: `normal/*` and `score/*` (`.mp4`, `.avi`, `.mkv`, `.mov`, `.webm`), and optionally `labels.csv` with the columns
clip, first, last: ranges of abnormal frames, counted from 0, `last` included. A video of `score` that `labels.csv` does
not name is normal throughout; a clip without any abnormal frame needs no line. Without `labels.csv` nothing is known of
any frame: everything is scored, and nothing that compares scores with labels is computed.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.tables import TRACKS, UNKNOWN
from lightvad.config import Dataset
from lightvad.datasets.clips import check_rate, store_video, write_tables
from lightvad.datasets.contents import Item, fetched_contents
from lightvad.datasets.labels import labels_from_ranges, labels_table
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
"""Of a video, in capitals or not; other files are not read."""
MEMBER = re.compile(
    rf"^(?:(?P<split>normal|score)/(?P<video>[^/]+)(?:{'|'.join(map(re.escape, SUFFIXES))})|(?P<labels>labels\.csv))$",
    re.IGNORECASE,
)
SPLITS = {"normal": "train", "score": "test"}
COLUMNS = ("clip", "first", "last")


def prepare(dataset: Dataset, *, raw: Path, root: Path) -> None:
    """Write `root` (data/clips/DATASET) from `raw` (data/raw/DATASET, by fetch); `index.parquet` is written last.

    Raises:
        LightvadError: fetch has not run, a video is damaged, of another frame rate than `fps`, or has the name of
            another, or `labels.csv` names a clip or frame that is not there.
    """
    with fetched_contents(dataset, MEMBER, raw=raw, root=root) as items:
        videos = [item for item in items if item.found["split"]]
        if dataset.heldout_fraction:
            normal = [item for item in videos if SPLITS[item.found["split"].lower()] == "train"]
            check_training(len(normal), f"{raw}/normal")
        clips = [
            _clip(item, dataset, root)
            for item in track(videos, total=len(videos), what=f"prepare {dataset.name}", unit="clips")
        ]
        check_names([clip.name for clip in clips], str(raw))
        frames = {clip.name: clip.frames for clip in clips if clip.split == "test"}
        listed = [item for item in items if item.found["labels"]]
        labels = read_ranges(listed[0].path, frames) if listed else _unknown(frames)
    write_tables(root, clips, labels=labels_table(labels), tracks=pd.DataFrame(columns=list(TRACKS)))


def _clip(item: Item, dataset: Dataset, root: Path) -> Clip:
    """A video in the clip store, by the name of its file.

    Raises:
        LightvadError: it cannot be decoded, or has another frame rate than the dataset.
    """
    split = SPLITS[item.found["split"].lower()]
    clip = store_video(item.path, root, name=item.found["video"], split=split, source="videos as given")
    check_rate(clip, dataset, item.where)
    return clip


def check_training(videos: int, where: str) -> None:
    """Check that a training video is left when one is held out for validation.

    Raises:
        LightvadError: there is only one, or none.
    """
    if videos < 2:
        message = (
            f"{where}: {videos} video{'' if videos else 's'} of normal life, at least two are needed, as one is held"
            " out for validation: cut a long one (`ffmpeg -i IN -c copy -f segment -segment_time 60 OUT%02d.mp4`)"
        )
        raise LightvadError(message)


def check_names(names: Iterable[str], where: str) -> None:
    """Check that no two clips, normal or scored, have one name.

    Raises:
        LightvadError: two have.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            message = f"{where}: two videos are called {name}; rename one of them"
            raise LightvadError(message)
        seen.add(name)


def _unknown(frames: Mapping[str, int]) -> dict[str, np.ndarray]:
    return {name: np.full(count, UNKNOWN, np.int8) for name, count in frames.items()}


def read_ranges(path: Path, frames: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Frame labels int8 (T,) of every scored clip from a file like `labels.csv`.

    Args:
        path: of the file.
        frames: number of frames of every scored clip, by its name.

    Raises:
        LightvadError: a column is missing, or a line names no clip or no frames of its clip.
    """
    ranges: dict[str, list[tuple[int, int]]] = {name: [] for name in frames}
    for number, row in enumerate(read_csv(path), start=2):
        if set(row) != set(COLUMNS):
            message = f"{path}: columns {', '.join(row)}, not {', '.join(COLUMNS)}; correct the first line"
            raise LightvadError(message)
        name = row["clip"]
        if name not in frames:
            there = ", ".join(sorted(frames)[:8])
            message = f"{path}: line {number}: no scored video {name!r} ({there}); take off suffixes"
            raise LightvadError(message)
        first, last = (int(row[key]) if row[key].isdecimal() else -1 for key in ("first", "last"))
        if not 0 <= first <= last < frames[name]:
            message = (
                f"{path}: line {number}: {row['first']} to {row['last']} are no frames of {name}, which has"
                f" 0 to {frames[name] - 1}; correct the line"
            )
            raise LightvadError(message)
        ranges[name].append((first + 1, last + 1))
    return {name: labels_from_ranges(spans, frames[name]) for name, spans in ranges.items()}

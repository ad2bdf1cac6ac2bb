"""What the readers of datasets share: clips written into the clip store, and checks that nothing is missing."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from lightvad.artifacts.atomic import atomic_path, remove
from lightvad.artifacts.tables import INDEX, LABELS, TRACKS, write_table
from lightvad.config import Dataset
from lightvad.errors import LightvadError
from lightvad.video.clips import SPLITS, Clip, decode_image, index_of, write_zip_clip
from lightvad.video.decoding import VideoFrames

Item = TypeVar("Item")


def write_tables(root: Path, clips: Sequence[Clip], *, labels: pd.DataFrame, tracks: pd.DataFrame) -> None:
    """Write the tables LABELS, TRACKS and INDEX of prepared clips, the index last: it says that all is there."""
    write_table(root / "labels.parquet", labels, LABELS)
    write_table(root / "tracks.parquet", tracks, TRACKS)
    write_table(root / "index.parquet", index_of(clips), INDEX)


def clear(root: Path) -> None:
    """Remove what an earlier preparation has left under `root` (data/clips/DATASET), the index first."""
    remove(root / "index.parquet")
    for folder in (*SPLITS, "masks", "objects"):
        shutil.rmtree(root / folder, ignore_errors=True)


def store_video(video: Path, root: Path, *, name: str, split: str, source: str, fps: float | None = None) -> Clip:
    """Copy a video into the clip store, byte for byte.

    Args:
        video: the file; its suffix is kept.
        root: `data/clips/DATASET`.
        name: of the clip.
        split: train or test.
        source: what the index says of where the pixels come from.
        fps: frames per second; None: what the file says.

    Raises:
        LightvadError: it cannot be decoded from end to end.
    """
    path = root / split / f"{name}{video.suffix.lower()}"
    with atomic_path(path) as temporary:
        shutil.copyfile(video, temporary)
    return video_clip(path, name=name, split=split, fps=fps, source=source)


def video_clip(path: Path, *, name: str, split: str, source: str, fps: float | None = None) -> Clip:
    """The index's line of a video in the clip store; arguments and errors as those of `store_video`."""
    video = VideoFrames(path)
    height, width, _ = video[0].shape
    if not (rate := fps or video.fps):
        message = f"{path}: says no frame rate; remux it (`ffmpeg -i IN -c copy -r RATE OUT.mp4`)"
        raise LightvadError(message)
    return Clip(name, split, len(video), height, width, rate, source)


def store_images(
    images: Mapping[int, Path], root: Path, *, name: str, split: str, source: str, fps: float, where: str
) -> Clip:
    """Write still images, byte for byte, as a clip of the clip store.

    Args:
        images: files by frame number; the numbers start at 0 or 1 and leave nothing out.
        root: `data/clips/DATASET`.
        name: of the clip.
        split: train or test.
        source: what the index says of where the pixels come from.
        fps: frames per second.
        where: what the images were read from, for messages.

    Raises:
        LightvadError: a frame is missing or damaged, or they differ in size.
    """
    frames = in_order(f"{where}: clip {name}", images, "frame")
    sizes = []

    def encoded() -> Iterable[tuple[str, bytes]]:
        for t, path in enumerate(frames):
            content = path.read_bytes()
            sizes.append(decode_image(content, f"{where}: clip {name}, frame {t}").shape[:2])
            yield f"{t:05d}{path.suffix.lower()}", content

    write_zip_clip(root / split / f"{name}.zip", encoded())
    height, width = one_size(sizes, f"{where}: clip {name}")
    return Clip(name, split, len(frames), height, width, fps, source)


def one_size(sizes: Iterable[tuple[int, ...]], where: str) -> tuple[int, ...]:
    """The size that all frames of a clip have.

    Raises:
        LightvadError: there is more than one.
    """
    found = set(sizes)
    if len(found) > 1:
        message = f"{where}: frames of different sizes ({sorted(found)}); get the dataset's files again"
        raise LightvadError(message)
    return found.pop()


def in_order(where: str, images: Mapping[int, Item], what: str) -> list[Item]:
    """Images in the order of their numbers, which start at 0 or 1 and leave nothing out.

    Raises:
        LightvadError: a number is missing.
    """
    first = min(images)
    missing = set(range(min(first, 1), max(images) + 1)) - set(images)
    if missing:
        message = f"{where}: {what} {min(missing)} is missing ({len(images)} found); run `lightvad fetch` again"
        raise LightvadError(message)
    return [images[number] for number in sorted(images)]


def check_clips(clips: Sequence[Clip], dataset: Dataset, raw: Path) -> None:
    """Check the number of clips and frames of every split that the configuration counts.

    Raises:
        LightvadError: another number; the line lists what there is.
    """
    found = Counter(clip.split for clip in clips)
    for split, expected in dataset.clips.items():
        if found[split] != expected:
            names = ", ".join(clip.name for clip in clips if clip.split == split)
            message = (
                f"{raw}: {found[split]} clips for {split}, {expected} expected; there are: {names or 'none'};"
                " get the missing files, or take the others away"
            )
            raise LightvadError(message)
    check_frames(clips, dataset, raw)


def check_rate(clip: Clip, dataset: Dataset, where: str) -> None:
    """Check that a video, `where`, has on average the frame rate of its dataset, by which scores are smoothed.

    Raises:
        LightvadError: it differs by more than one percent.
    """
    if abs(clip.fps - dataset.fps) > 0.01 * dataset.fps:
        message = (
            f"{where}: {clip.fps:g} frames a second, but fps of config/datasets/{dataset.name}.yaml is"
            f" {dataset.fps:g}; if all its videos have this rate, set datasets.{dataset.name}.fps, else get or convert"
            " this one anew"
        )
        raise LightvadError(message)


def check_frames(clips: Sequence[Clip], dataset: Dataset, raw: Path) -> None:
    """Check the number of frames of every split that the configuration counts.

    Raises:
        LightvadError: another number; the line lists the clips.
    """
    for split, expected in dataset.frames.items():
        frames = {clip.name: clip.frames for clip in clips if clip.split == split}
        if sum(frames.values()) != expected:
            each = ", ".join(f"{name} {count}" for name, count in frames.items())
            message = (
                f"{raw}: {split} has {sum(frames.values())} frames, {expected} expected; clips have {each};"
                " run `lightvad fetch` again"
            )
            raise LightvadError(message)

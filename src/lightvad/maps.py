"""From object scores to anomaly maps: rasterise, normalise by training quantiles, max-pool (fast_aed sheet, section 4).

A map is 0 where there is no box, and the largest score of the boxes that cover a pixel elsewhere. Its max-pooled
pyramids are made straight from the boxes: a box raises exactly the bins that it touches, so no full map is made, and the
result equals adaptive max-pooling of the full map.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter

from lightvad.artifacts.arrays import Resolution, maps_writer
from lightvad.artifacts.tables import FRAME_SCORES
from lightvad.config import ObjectMaps
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip

BLOCK = 64
"""Frames that are rasterised at a time: memory does not grow with the length of a clip."""


def covered_pixels(box: np.ndarray, *, height: int, width: int) -> tuple[int, int, int, int]:
    """The pixels that a box (x1, y1, x2, y2) covers, even partly: first row, last row + 1, first column, last column + 1."""
    x1, y1, x2, y2 = box
    rows = max(int(np.floor(y1)), 0), min(int(np.ceil(y2)), height)
    columns = max(int(np.floor(x1)), 0), min(int(np.ceil(x2)), width)
    return *rows, *columns


def touched_bins(first: int, end: int, *, size: int, bins: int) -> slice:
    """The bins of adaptive max-pooling that pixels `first` .. `end` - 1 of a side of `size` pixels fall into.

    Bin i holds the pixels floor(i * size / bins) .. ceil((i + 1) * size / bins) - 1; neighbouring bins may overlap.
    """
    index = np.arange(bins)
    starts, ends = index * size // bins, -(-(index + 1) * size // bins)
    touched = np.flatnonzero((starts < end) & (ends > first))
    return slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 0)


def rasterise(
    boxes: Sequence[np.ndarray], scores: Sequence[float], *, frame_size: tuple[int, int], map_size: tuple[int, int]
) -> np.ndarray:
    """The anomaly map of one frame, max-pooled to `map_size`: float32 (h, w), 0 where no box is.

    Args:
        boxes: (4,) each, pixels of the frame.
        scores: >= 0, one per box.
        frame_size: height and width of the frame, pixels.
        map_size: height and width of the map; `frame_size` gives the map itself.
    """
    result = np.zeros(map_size, np.float32)
    height, width = frame_size
    for box, score in zip(boxes, scores, strict=True):
        top, bottom, left, right = covered_pixels(box, height=height, width=width)
        rows = touched_bins(top, bottom, size=height, bins=map_size[0])
        columns = touched_bins(left, right, size=width, bins=map_size[1])
        cells = result[rows, columns]
        np.maximum(cells, np.float32(score), out=cells)
    return result


def map_size(resolution: Resolution, frame_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a map of this resolution."""
    return frame_size if isinstance(resolution, str) else (resolution, resolution)


def training_quantiles(scores: np.ndarray, quantiles: tuple[float, float]) -> tuple[float, float]:
    """The constants of `normalised`: low and high quantile of the training split's scores.

    Raises:
        LightvadError: the two are equal, so that nothing could be told apart.
    """
    low, high = (float(value) for value in np.quantile(scores.astype(np.float64), quantiles))
    if not low < high:
        message = f"object scores: the training quantiles {quantiles} are both {low:g}; the teacher scores everything alike: train it longer"
        raise LightvadError(message)
    return low, high


def normalised(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scores to [0, 1], monotone: clip((s - low) / (high - low))."""
    return np.clip((scores - low) / (high - low), 0, 1)


def write_maps(
    path: Path,
    *,
    clips: list[Clip],
    object_scores: pd.DataFrame,
    train_clips: set[str],
    resolutions: tuple[Resolution, ...],
    settings: ObjectMaps,
) -> None:
    """Write `maps.npz`: `CLIP/RESOLUTION` float32 (T, h, w) in [0, 1] for every clip, and `quantiles` (low, high).

    Args:
        path: of `maps.npz`.
        clips: clips to map.
        object_scores: table OBJECT_SCORES of (at least) these clips.
        train_clips: names of the training clips, whose scores give the quantiles.
        resolutions: sides of the maps, or `full`.
        settings: the dataset's `object_maps`.

    Raises:
        LightvadError: there are no training scores, or they are all alike.
    """
    training = object_scores.loc[object_scores["clip"].isin(train_clips), "score"].to_numpy()
    if len(training) == 0:
        message = f"{path.parent}: no object scores of training clips; run `lightvad score` again"
        raise LightvadError(message)
    low, high = training_quantiles(training, settings.quantiles)
    scored = object_scores.assign(score=normalised(object_scores["score"].to_numpy(np.float64), low, high))
    by_clip = {str(name): rows for name, rows in scored.groupby("clip")}
    with maps_writer(path) as writer:
        for clip in track(clips, total=len(clips), what="anomaly maps", unit="clips"):
            frames = _by_frame(by_clip.get(clip.name, scored.iloc[:0]), clip)
            frame_size = (clip.height, clip.width)
            for resolution in dict.fromkeys(resolutions):
                size = map_size(resolution, frame_size)
                blocks = _blocks(frames, frame_size=frame_size, size=size)
                writer.write(clip.name, resolution, (clip.frames, *size), blocks)
        writer.note("quantiles", np.array([low, high]))


def frame_scores_from_objects(
    object_scores: pd.DataFrame, *, clips: list[Clip], labels: pd.DataFrame, settings: ObjectMaps
) -> pd.DataFrame:
    """Frame scores of an object method: the maximum of its (optionally mean-filtered) map (ssmtl sheet, section 6).

    The map is made on a grid of `block_scale` pixels a cell and, with a `filter_size` n, mean-filtered over n cells in x
    and y and n frames in time, with zeros outside. Frames without boxes score 0.

    Args:
        object_scores: table OBJECT_SCORES; raw scores >= 0.
        clips: clips to score.
        labels: table LABELS.
        settings: the dataset's `object_maps`.

    Returns:
        Table FRAME_SCORES.

    Raises:
        LightvadError: a clip has labels for another number of frames than it has.
    """
    tables = []
    by_clip = {str(name): rows for name, rows in object_scores.groupby("clip")}
    truth = {str(name): rows.sort_values("frame")["label"].to_numpy() for name, rows in labels.groupby("clip")}
    for clip in track(clips, total=len(clips), what="frame scores", unit="clips"):
        label = truth.get(clip.name, np.zeros(0))
        if len(label) != clip.frames:
            message = f"clip {clip.name}: {len(label)} labels for {clip.frames} frames; run `lightvad prepare` again"
            raise LightvadError(message)
        frames = _by_frame(by_clip.get(clip.name, object_scores.iloc[:0]), clip)
        scores = _largest(frames, clip) if settings.filter_size is None else _largest_filtered(frames, clip, settings)
        columns = {"clip": clip.name, "frame": np.arange(clip.frames), "score": scores, "label": label}
        tables.append(pd.DataFrame(columns)[list(FRAME_SCORES)])
    return pd.concat(tables, ignore_index=True)


Frames = list[tuple[np.ndarray, np.ndarray]]
"""Boxes (K, 4) and scores (K,) of every frame of a clip."""


def _by_frame(rows: pd.DataFrame, clip: Clip) -> Frames:
    rows = rows.sort_values("frame", kind="stable")
    boxes, scores = rows[["x1", "y1", "x2", "y2"]].to_numpy(np.float64), rows["score"].to_numpy(np.float64)
    ends = np.searchsorted(rows["frame"].to_numpy(), np.arange(clip.frames + 1))
    return [(boxes[a:b], scores[a:b]) for a, b in zip(ends[:-1], ends[1:], strict=True)]


def _blocks(frames: Frames, *, frame_size: tuple[int, int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    for start in range(0, len(frames), BLOCK):
        chunk = frames[start : start + BLOCK]
        yield np.stack([rasterise(boxes, scores, frame_size=frame_size, map_size=size) for boxes, scores in chunk])


def _largest(frames: Frames, clip: Clip) -> np.ndarray:
    del clip
    return np.array([scores.max() if len(scores) else 0.0 for _, scores in frames])


def _largest_filtered(frames: Frames, clip: Clip, settings: ObjectMaps) -> np.ndarray:
    """Blocks of frames with half a filter of context on either side, so that the filter never sees a seam."""
    assert settings.filter_size is not None  # noqa: S101 - the caller has looked
    context = settings.filter_size // 2
    scale = settings.block_scale
    size = (-(-clip.height // scale), -(-clip.width // scale))
    grid = (size[0] * scale, size[1] * scale)
    largest = np.zeros(len(frames))
    for start in range(0, len(frames), BLOCK):
        end = min(start + BLOCK, len(frames))
        first, last = max(start - context, 0), min(end + context, len(frames))
        maps = np.stack([rasterise(b, s, frame_size=grid, map_size=size) for b, s in frames[first:last]])
        filtered = uniform_filter(maps, settings.filter_size, mode="constant")
        largest[start:end] = filtered[start - first : end - first].reshape(end - start, -1).max(1)
    return largest

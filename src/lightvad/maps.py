"""From object scores to anomaly maps: rasterised boxes, max-pooled pyramids, and a frame score from the filtered map.

An anomaly map is as large as the frame; every box fills its pixels with its score, the larger score wins where boxes
overlap, and what no box covers is 0 (sheet fast_aed, section 4; sheet teacher_ssmtl, section 6). A max-pooled map is
made straight from the boxes, without the full map: a bin's value is the largest score of the boxes that touch it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.arrays import Resolution, maps_writer
from lightvad.artifacts.tables import BOX, FRAME_SCORES
from lightvad.config import ObjectMaps
from lightvad.errors import LightvadError
from lightvad.progress import track
from lightvad.video.clips import Clip

BLOCK_BYTES = 32_000_000
"""Maps held in memory at a time."""


def write_maps(
    path: Path,
    *,
    clips: Sequence[Clip],
    object_scores: pd.DataFrame,
    train_clips: set[str],
    resolutions: Sequence[Resolution],
    settings: ObjectMaps,
) -> None:
    """Write `maps.npz`: float32 in [0, 1], `CLIP/RESOLUTION` of shape (T, r, r) or (T, H, W), and `quantiles`.

    Scores become clip((s - low) / (high - low), 0, 1), low and high being quantiles of the scores of the training clips
    (sheet fast_aed, section 4); [low, high] is stored under `quantiles`. Memory is constant in the length of a clip.

    Args:
        path: of the file.
        clips: whose maps are written.
        object_scores: table OBJECT_SCORES of these clips and of the training clips.
        train_clips: names of the training clips.
        resolutions: sides of the square maps, or `full`.
        settings: holds the two quantile levels.

    Raises:
        LightvadError: no spread in the training scores, or a box outside its frame or clip.
    """
    quantiles = training_quantiles(object_scores, train_clips, settings.quantiles)
    by_clip = {str(name): own for name, own in object_scores.groupby("clip")}
    with maps_writer(path) as writer:
        for clip in track(clips, total=len(clips), what="anomaly maps", unit="clips"):
            own = by_clip.get(clip.name, object_scores[:0])
            pixels = covered_pixels(own, clip)
            scores, frames = normalised(own["score"].to_numpy(), quantiles), own["frame"].to_numpy()
            for resolution in dict.fromkeys(resolutions):
                bins = bins_touched(pixels, clip.height, clip.width, resolution)
                side = map_size(resolution, clip.height, clip.width)
                blocks = rasterised(bins, scores, frames, length=clip.frames, size=side)
                writer.write(clip.name, resolution, (clip.frames, *side), blocks)
        writer.note("quantiles", np.array(quantiles))


def training_quantiles(
    object_scores: pd.DataFrame, train_clips: set[str], levels: tuple[float, float]
) -> tuple[float, float]:
    """The scores that become 0 and 1: quantiles at `levels` of the scores of the training clips.

    Raises:
        LightvadError: there are no such scores, they are not finite, or the two quantiles are equal.
    """
    scores = object_scores.loc[object_scores["clip"].isin(train_clips), "score"].to_numpy(np.float64)
    low, high = (float(value) for value in np.quantile(scores, levels)) if len(scores) else (np.nan, np.nan)
    if not high > low:
        message = (
            f"object scores: {len(scores)} boxes in the training clips, score quantiles {levels} are {low:g} and"
            f" {high:g}: nothing to scale the maps by; check the boxes and train the method again"
        )
        raise LightvadError(message)
    return low, high


def normalised(scores: np.ndarray, quantiles: tuple[float, float]) -> np.ndarray:
    """Scores (N,) to float32 (N,) in [0, 1], `quantiles` becoming 0 and 1."""
    low, high = quantiles
    return np.clip((scores.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)


def covered_pixels(boxes: pd.DataFrame, clip: Clip) -> np.ndarray:
    """The pixels that boxes cover: every pixel that a box reaches into, cut off at the frame (project choice).

    Args:
        boxes: columns frame, x1, y1, x2, y2 of one clip.
        clip: gives the number and size of frames.

    Returns:
        int64 (N, 4): x1, y1, x2, y2 with floor(x1) <= x < ceil(x2), floor(y1) <= y < ceil(y2).

    Raises:
        LightvadError: a box lies wholly outside the frame, or its frame outside the clip.
    """
    corners = boxes[list(BOX)].to_numpy(np.float64)
    limits = np.array([clip.width, clip.height] * 2)
    pixels = np.clip(np.concatenate([np.floor(corners[:, :2]), np.ceil(corners[:, 2:])], axis=1), 0, limits)
    frames = boxes["frame"].to_numpy()
    bad = (pixels[:, 2:] <= pixels[:, :2]).any(1) | (frames < 0) | (frames >= clip.frames)
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        values = ", ".join(f"{value:g}" for value in corners[k])
        message = (
            f"clip {clip.name}, frame {frames[k]}: box ({values}) lies outside "
            f"the clip of {clip.frames} frames of {clip.width}x{clip.height} pixels; run `lightvad detect` again"
        )
        raise LightvadError(message)
    return pixels.astype(np.int64)


def map_size(resolution: Resolution, height: int, width: int) -> tuple[int, int]:
    """Height and width of a map at a resolution."""
    return (height, width) if resolution == "full" else (int(resolution), int(resolution))


def bins_touched(pixels: np.ndarray, height: int, width: int, resolution: Resolution) -> np.ndarray:
    """The bins of a max-pooled map that boxes touch.

    Bin i of r covers the rows floor(i H / r) to ceil((i + 1) H / r), the adaptive max-pool rule; neighbouring bins may
    share a row (sheet fast_aed, section 4).

    Args:
        pixels: int64 (N, 4) from `covered_pixels`.
        height: of the frame, pixels.
        width: of the frame, pixels.
        resolution: side of the map; `full` gives the pixels back.

    Returns:
        int64 (N, 4): first column, first row, last column + 1, last row + 1.
    """
    if resolution == "full":
        return pixels
    bins = int(resolution)
    index = np.arange(bins)
    result = np.empty_like(pixels)
    for axis, size in enumerate((width, height)):
        starts, ends = index * size // bins, -((index + 1) * -size // bins)
        result[:, axis] = np.searchsorted(ends, pixels[:, axis], side="right")
        result[:, 2 + axis] = np.searchsorted(starts, pixels[:, 2 + axis], side="left")
    return result


def rasterised(
    cells: np.ndarray, scores: np.ndarray, frames: np.ndarray, *, length: int, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Maps of one clip, block by block: the largest score of the boxes on a cell, 0 where there is none.

    Args:
        cells: int64 (N, 4): x1, y1, x2, y2 in cells, x2/y2 exclusive.
        scores: (N,), >= 0.
        frames: (N,), 0 <= frame < length.
        length: frames of the clip.
        size: height and width of the map, cells.

    Yields:
        float32 (t, height, width), together `length` frames.
    """
    # Boxes are drawn in ascending order of score, so that a larger score overwrites a smaller one.
    order = np.lexsort((scores, frames))
    cells, scores, frames = cells[order], scores[order], frames[order]
    step = max(1, BLOCK_BYTES // (4 * size[0] * size[1]))
    for start in range(0, length, step):
        block = np.zeros((min(step, length - start), *size), np.float32)
        first, last = np.searchsorted(frames, [start, start + len(block)])
        for t, (x1, y1, x2, y2), score in zip(
            (frames[first:last] - start).tolist(), cells[first:last].tolist(), scores[first:last].tolist(), strict=True
        ):
            block[t, y1:y2, x1:x2] = score
        yield block


def frame_scores_from_objects(
    object_scores: pd.DataFrame, *, clips: Sequence[Clip], labels: pd.DataFrame, settings: ObjectMaps
) -> pd.DataFrame:
    """Frame scores of an object method: the maximum of the mean-filtered anomaly map (sheet teacher_ssmtl, section 6).

    The map lies on a grid of `block_scale` pixels a cell and holds the scores as they are; the 3D mean filter takes in
    zeros outside the frame and the clip. A frame far from any box has score 0. Memory is constant in a clip's length.

    Args:
        object_scores: table OBJECT_SCORES; scores >= 0.
        clips: the test clips.
        labels: table LABELS of these clips.
        settings: `block_scale` and `filter_size`.

    Returns:
        table FRAME_SCORES, clip by clip.

    Raises:
        LightvadError: a negative score, a box outside its frame or clip, or labels that do not match a clip's frames.
    """
    by_clip = {str(name): own for name, own in object_scores.groupby("clip")}
    labels_by_clip = {str(name): own.sort_values("frame") for name, own in labels.groupby("clip")}
    tables = []
    for clip in track(clips, total=len(clips), what="frame scores", unit="clips"):
        own_labels = labels_by_clip.get(clip.name, labels[:0])
        if not np.array_equal(own_labels["frame"], np.arange(clip.frames)):
            message = (
                f"labels: clip {clip.name} has {clip.frames} frames and {len(own_labels)} labels;"
                " run `lightvad prepare` again"
            )
            raise LightvadError(message)
        scores = _frame_scores(by_clip.get(clip.name, object_scores[:0]), clip, settings)
        tables.append(own_labels[["clip", "frame", "label"]].assign(score=scores))
    return pd.concat(tables, ignore_index=True)[list(FRAME_SCORES)]


def _frame_scores(own: pd.DataFrame, clip: Clip, settings: ObjectMaps) -> np.ndarray:
    """Frame scores float64 (T,) of one clip."""
    covered_pixels(own, clip)
    scores, frames = own["score"].to_numpy(np.float64), own["frame"].to_numpy()
    if (scores < 0).any():
        k = int(np.argmin(scores))
        message = (
            f"clip {clip.name}, frame {frames[k]}: score {scores[k]:g} < 0 would vanish in a map whose ground is 0"
        )
        raise LightvadError(message)
    if settings.filter_size is None:
        result = np.zeros(clip.frames)
        np.maximum.at(result, frames, scores)
        return result
    cells, size = grid_cells(own, clip, settings.block_scale)
    blocks = rasterised(cells, scores, frames, length=clip.frames, size=size)
    filtered = mean_filtered((plane for block in blocks for plane in block), settings.filter_size)
    return np.array([float(plane.max()) for plane in filtered])


def grid_cells(boxes: pd.DataFrame, clip: Clip, block_scale: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Boxes on the coarse grid: first and last pixel divided by `block_scale`, rounded, the last cell included.

    Returns:
        int64 (N, 4) cells x1, y1, x2, y2 with x2/y2 exclusive, and the grid's height and width.
    """
    size = max(1, round(clip.height / block_scale)), max(1, round(clip.width / block_scale))
    corners = boxes[list(BOX)].to_numpy(np.float64)
    limit = np.array([size[1], size[0]]) - 1
    first = np.clip(np.floor(corners[:, :2] / block_scale + 0.5), 0, limit)
    last = np.clip(np.floor((corners[:, 2:] - 1) / block_scale + 0.5), first, limit)
    return np.concatenate([first, last + 1], axis=1).astype(np.int64), size


def mean_filtered(planes: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """3D mean filter of side `size` over (time, y, x) in one pass, zeros outside; `size` planes are held in memory.

    Args:
        planes: float32 (h, w), one for each frame.
        size: side of the filter; an even one reaches one further back than forth.

    Yields:
        float32 (h, w), one for each frame.
    """
    ahead = size - 1 - size // 2
    held: deque[np.ndarray] = deque(maxlen=size)
    seen = 0
    for seen, plane in enumerate(planes, start=1):
        held.append(cv2.boxFilter(plane, cv2.CV_32F, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT))
        if seen > ahead:
            yield _mean(held, size)
    for late in range(ahead if seen else 0):
        if seen + late + 1 > size:
            held.popleft()
        if seen + late + 1 > ahead:
            yield _mean(held, size)


def _mean(held: Iterable[np.ndarray], size: int) -> np.ndarray:
    total: np.ndarray | None = None
    for plane in held:
        total = plane.copy() if total is None else cv2.add(total, plane, dst=total)
    assert total is not None  # noqa: S101 - called with at least one plane
    total *= np.float32(1 / size**3)
    return total

"""Scored boxes from the anomaly maps of methods that have no boxes, for RBDC and TBDC.

The papers do not say how (sheet fast_aed, section 5: project choice). Here: upsample the finest map bilinearly, take a
mean over 9x9 pixels and 9 frames, cut it at 20 thresholds spread over its quantiles, box every 8-connected component,
score a box by the maximum inside its component, and drop boxes that overlap a better one of the same frame by half
(non-maximum suppression). Components of several thresholds that hold the same peak have the same score: only the one
cut nearest to half the peak's height is kept, for the others are too tight or too wide to overlap the object. (With
scores made from Ped2's masks plus noise, as 16x16 maps, that rule lifts RBDC from 0.50 to 0.97.)

For speed the work is done on a grid of a quarter of the frame's size: cells of 4x4 pixels, the spatial side of the mean
rounded to 3 cells (12 pixels). Box corners are multiples of a cell.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d

from lightvad.artifacts.tables import BOX, REGIONS
from lightvad.errors import LightvadError

CELL = 4
"""Pixels of the frame per cell of the grid on which regions are found."""
FILTER_FRAMES, FILTER_PIXELS = 9, 9
THRESHOLDS = 20
LOWEST_QUANTILE, HIGHEST_QUANTILE = 0.5, 0.999
SUPPRESSION = 0.5
BLOCK_BYTES = 64_000_000
"""Filtered maps held in memory at a time."""


def regions_from_maps(
    maps: np.ndarray, *, clip: str, frame_size: tuple[int, int], thresholds: int = THRESHOLDS
) -> pd.DataFrame:
    """Boxes around what a clip's maps call abnormal.

    The thresholds belong to the clip; they shape the boxes only. Scores are values of the filtered map, so that boxes
    of different clips compare.

    Args:
        maps: float32 (T, h, w), higher = more anomalous.
        clip: its name.
        frame_size: height and width of the frame, pixels: the unit of the boxes.
        thresholds: number of thresholds.

    Returns:
        table REGIONS, x2/y2 exclusive.

    Raises:
        LightvadError: a value of the maps is NaN or infinite.
    """
    bad = ~np.isfinite(maps).all((1, 2))
    if bad.any():
        message = f"anomaly map of clip {clip}, frame {int(np.argmax(bad))}: NaN or infinite; score the run again"
        raise LightvadError(message)
    levels = _levels(maps, frame_size, thresholds)
    found = []
    for start, block in _filtered_blocks(maps, frame_size):
        for t, plane in enumerate(block, start=start):
            boxes, scores = _boxes(plane, levels, frame_size)
            kept = best_of_overlapping(boxes, scores)
            found.append(pd.DataFrame(boxes[kept], columns=list(BOX)).assign(frame=t, score=scores[kept]))
    table = pd.concat(found, ignore_index=True).assign(clip=clip)
    return table[list(REGIONS)].astype({name: kind for name, kind in REGIONS.items() if name != "clip"})


def best_of_overlapping(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Non-maximum suppression: which boxes stay, by falling score, int (M,).

    Args:
        boxes: float32 (N, 4), x2/y2 exclusive.
        scores: float32 (N,).
    """
    if len(boxes) == 0:
        return np.empty(0, int)
    corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    # OpenCV's wants positive scores. (torchvision's is as good, but its import takes longer than a clip's regions.)
    ranks = np.unique(scores, return_inverse=True)[1] + 1
    kept = cv2.dnn.NMSBoxes(corners_and_sizes.tolist(), ranks.tolist(), score_threshold=0, nms_threshold=SUPPRESSION)
    return np.asarray(kept, int)


def grid_size(frame_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid, cells."""
    return -(-frame_size[0] // CELL), -(-frame_size[1] // CELL)


def _filtered_blocks(maps: np.ndarray, frame_size: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """Upsampled, mean-filtered maps block by block: (first frame, float32 (t, rows, columns)); edges are repeated."""
    rows, columns = grid_size(frame_size)
    step, halo = max(1, BLOCK_BYTES // (4 * rows * columns)), FILTER_FRAMES // 2
    for start in range(0, len(maps), step):
        stop = min(start + step, len(maps))
        first, last = max(0, start - halo), min(len(maps), stop + halo)
        planes = np.stack([_filtered_plane(plane, rows, columns) for plane in maps[first:last]])
        smooth = uniform_filter1d(planes, FILTER_FRAMES, axis=0, mode="nearest")
        yield start, smooth[start - first : stop - first]


def _filtered_plane(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    shrinks = plane.shape[0] > rows or plane.shape[1] > columns
    resized = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    side = 2 * round((FILTER_PIXELS / CELL - 1) / 2) + 1
    return cv2.blur(resized, (side, side), borderType=cv2.BORDER_REPLICATE)


def _levels(maps: np.ndarray, frame_size: tuple[int, int], thresholds: int) -> np.ndarray:
    """Ascending thresholds, equal ones once.

    Their quantiles come closer to 1 in equal ratios, from 0.5 to 0.999: an anomaly covers a small share of a clip.
    """
    share = np.geomspace(1 - LOWEST_QUANTILE, 1 - HIGHEST_QUANTILE, thresholds)
    # At most about 2 million values speak for the clip: a regular choice of its frames.
    rows, columns = grid_size(frame_size)
    chosen = maps[:: max(1, len(maps) * rows * columns // 2_000_000)]
    values = np.concatenate([block.ravel() for _, block in _filtered_blocks(chosen, frame_size)])
    return np.unique(np.quantile(values, 1 - share))


def _boxes(plane: np.ndarray, levels: np.ndarray, frame_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float32 (N, 4) in pixels around the components of one filtered map, by peak, and the peaks (N,)."""
    boxes, peaks, cuts = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)], [np.empty(0)]
    for level in levels:
        above = plane > level
        if not above.any():
            break
        count, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
        maxima = np.full(count, -np.inf, np.float32)
        np.maximum.at(maxima, labels[above], plane[above])
        corner, size = stats[1:, :2], stats[1:, 2:4]
        boxes.append(np.concatenate([corner, corner + size], axis=1).astype(np.float32) * CELL)
        peaks.append(maxima[1:])
        cuts.append(np.full(count - 1, level))
    limit = np.array([frame_size[1], frame_size[0]] * 2, np.float32)
    return _one_for_each_peak(
        np.minimum(np.concatenate(boxes), limit), np.concatenate(peaks), np.concatenate(cuts), ground=float(levels[0])
    )


def _one_for_each_peak(
    boxes: np.ndarray, peaks: np.ndarray, cuts: np.ndarray, *, ground: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of boxes with the same peak, the one whose threshold (`cuts`) is nearest to half its height over `ground`."""
    order = np.lexsort((np.abs(cuts - (ground + peaks) / 2), peaks))
    peaks = peaks[order]
    first = np.append(True, peaks[1:] != peaks[:-1])[: len(peaks)]
    return boxes[order][first], peaks[first]

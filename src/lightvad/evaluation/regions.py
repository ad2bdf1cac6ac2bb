"""Boxes from the maps of methods without boxes, for RBDC and TBDC (project choice, fast_aed sheet, section 5)."""

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from lightvad.artifacts.tables import REGIONS
from lightvad.evaluation.localization import overlap

SCALE = 4
"""Maps are upsampled to a quarter of the frame's height and width: finer than any map, coarse enough to be quick."""
FILTER_FRAMES = 9
FILTER_PIXELS = 9
THRESHOLDS = 20
QUANTILES = (0.5, 0.999)
LARGEST_OVERLAP = 0.5


def regions_from_maps(maps: np.ndarray, *, clip: str, frame_size: tuple[int, int]) -> pd.DataFrame:
    """Regions of one clip: upsampled, mean-filtered over 9 frames and 9 pixels, cut at 20 quantiles into components.

    A region's score is the largest value in its component; of regions that overlap by more than one half (IoU), the
    highest-scored stays.

    Args:
        maps: float32 (T, h, w), higher = more anomalous.
        clip: its name.
        frame_size: height and width, pixels.

    Returns:
        Table REGIONS, boxes in pixels of the frame.
    """
    smooth = filtered(maps, frame_size=frame_size)
    thresholds = np.unique(np.quantile(smooth, np.linspace(*QUANTILES, THRESHOLDS)))
    rows = []
    for frame, image in enumerate(smooth):
        for box, score in suppressed(*components(image, thresholds)):
            x1, y1, x2, y2 = box * SCALE
            rows.append((clip, frame, x1, y1, min(x2, frame_size[1]), min(y2, frame_size[0]), score))
    return pd.DataFrame(rows, columns=list(REGIONS))


def filtered(maps: np.ndarray, *, frame_size: tuple[int, int]) -> np.ndarray:
    """Bilinear upsampling to a quarter of the frame, then a mean over 9 frames and (about) 9 pixels: float32 (T, H/4, W/4)."""
    height, width = (-(-side // SCALE) for side in frame_size)
    large = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in maps])
    cells = 2 * round(FILTER_PIXELS / SCALE / 2) + 1
    return ndimage.uniform_filter(large, (FILTER_FRAMES, cells, cells), mode="nearest")


def components(image: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) of the 8-connected components of `image` above each threshold, and their largest values (N,)."""
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for threshold in thresholds[thresholds < image.max()]:
        count, labels, stats, _ = cv2.connectedComponentsWithStats((image > threshold).astype(np.uint8))
        corners = stats[1:, :4].astype(np.float64)
        corners[:, 2:] += corners[:, :2]
        boxes.append(corners)
        scores.append(np.asarray(ndimage.maximum(image, labels, np.arange(1, count))))
    return np.concatenate(boxes), np.concatenate(scores)


def suppressed(boxes: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Greedy non-maximum suppression; among equal scores the smaller region stays."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.lexsort((areas, -scores))
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append((boxes[best], float(scores[best])))
        waiting = waiting[overlap(boxes[best], boxes[waiting]) <= LARGEST_OVERLAP]
    return kept

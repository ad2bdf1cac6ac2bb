"""Backend `motion`: boxes around what moves; needs no weights and no classes (project choice).

A pixel moves if it differs from the same pixel `gap` frames earlier and from the one `gap` frames later: what has left
a place differs from the past only, what arrives there from the future only, so that a box holds the object where it is
now. Moving pixels are closed to regions, and every region that is large enough gives one box.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from lightvad.config import MotionRegions

BLUR = (5, 5)
"""Gaussian that takes away sensor noise and JPEG blocks, pixels."""

CLOSING = (3, 7)
"""Width and height of the ellipse that joins head, trunk and legs of one walker, pixels."""


def motion_boxes(window: Sequence[np.ndarray | None], settings: MotionRegions) -> np.ndarray:
    """The moving regions of a frame.

    Args:
        window: the frames t - gap, t and t + gap, uint8 (H, W, 3) RGB; None for a frame outside the clip.
        settings: threshold, minimal area.

    Returns:
        float32 (K, 4): x1, y1, x2, y2 in pixels, x2/y2 exclusive, from top to bottom.
    """
    before, now, after = (None if frame is None else _gray(frame) for frame in window)
    if now is None:
        message = "the middle frame of the window is missing"
        raise ValueError(message)
    moving: np.ndarray = np.full(now.shape, np.inf, np.float32)
    for other in (before, after):
        if other is not None:
            moving = np.minimum(moving, cv2.absdiff(now, other))
    mask = ((moving > settings.threshold) & np.isfinite(moving)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, CLOSING))
    _, _, regions, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    regions = regions[1:]  # the first is the background
    x, y, width, height, _ = regions[regions[:, cv2.CC_STAT_AREA] >= settings.minimal_area].T
    return np.stack([x, y, x + width, y + height], axis=1).astype(np.float32)


def _gray(frame: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), BLUR, 0)

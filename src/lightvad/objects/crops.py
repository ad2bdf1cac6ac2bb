"""Crops of one object through time: the same box of the current frame is cut from every frame of a window, no tracking.

Both teachers see objects this way (teacher_ssmtl sheet, section 1; teacher_background_agnostic sheet, section 1).
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from lightvad.errors import LightvadError


def pixel_bounds(box: np.ndarray, *, height: int, width: int) -> tuple[int, int, int, int]:
    """The whole pixels that `box` touches: rounded outwards, clipped to the frame, at least one pixel each way.

    Args:
        box: float (4,), x1, y1, x2, y2 in pixels, x2/y2 exclusive.
        height: of the frame, pixels.
        width: of the frame, pixels.

    Returns:
        (x1, y1, x2, y2) whole pixels with 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height.

    Raises:
        LightvadError: the box is not finite or lies wholly outside the frame.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    inside = all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < width and y1 < height and x2 > 0 and y2 > 0
    if not inside or x2 < x1 or y2 < y1:
        message = (
            f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) lies outside a frame of {width}x{height} pixels; "
            "make the boxes again from the frames that they are used on (`lightvad detect`)"
        )
        raise LightvadError(message)
    left, top = max(math.floor(x1), 0), max(math.floor(y1), 0)
    right, bottom = min(math.ceil(x2), width), min(math.ceil(y2), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def crop_sequence(frames: Sequence[np.ndarray] | np.ndarray, box: np.ndarray, *, size: int = 64) -> np.ndarray:
    """Cut `box` from every frame of a window and resize each crop to `size` x `size`.

    The box is rounded outwards and clipped to the frame. The aspect ratio is not kept (as in the papers). Crops are
    shrunk by area averaging and enlarged bilinearly (project choice).

    Args:
        frames: uint8 (F, H, W, 3), the window around the current frame; or a list of F frames (spares stacking them).
        box: float32 (4,) of the current frame: x1, y1, x2, y2 in pixels, x2/y2 exclusive.
        size: side of the crops in pixels.

    Returns:
        uint8 (F, size, size, 3), channels in the order of `frames`.

    Raises:
        LightvadError: the box lies wholly outside the frame.
    """
    height, width = frames[0].shape[:2]
    x1, y1, x2, y2 = pixel_bounds(box, height=height, width=width)
    interpolation = cv2.INTER_AREA if (x2 - x1 > size or y2 - y1 > size) else cv2.INTER_LINEAR
    crops = np.empty((len(frames), size, size, 3), np.uint8)
    for crop, frame in zip(crops, frames, strict=True):
        cv2.resize(frame[y1:y2, x1:x2], (size, size), dst=crop, interpolation=interpolation)
    return crops

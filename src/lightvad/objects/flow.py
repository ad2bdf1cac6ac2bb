"""Motion between two frames: dense optical flow (OpenCV's DIS) or gray-level gradients, and crops of such motion maps.

Flow is estimated on the whole frame at native size and in pixels, then cut: a crop is resized, its displacements are
not, so that a fast object keeps large values whatever the size of its box. The flow from t to t+1 is not the negated
flow from t+1 to t (each is defined on the pixels of its own first frame), so every pair of frames takes two estimates.
"""

from typing import Literal

import cv2
import numpy as np

from lightvad.errors import LightvadError
from lightvad.objects.crops import pixel_bounds

Preset = Literal["ultrafast", "fast", "medium"]

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

SMALLEST_SIDE = 16
"""DIS matches patches of 8 pixels on a pyramid: smaller frames hold no flow."""


def gray_frame(frame: np.ndarray) -> np.ndarray:
    """Luma of an RGB frame: uint8 (H, W, 3) -> uint8 (H, W)."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


class OpticalFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) as in OpenCV; the paper's flow network is not obtainable.

    Args:
        preset: OpenCV's trade of quality for time.
        scale: displacement in pixels that becomes 1 (teacher_background_agnostic sheet, section 1: 20).
    """

    channels = 2

    def __init__(self, *, preset: Preset, scale: float) -> None:
        self._estimator = cv2.DISOpticalFlow.create(_PRESETS[preset])
        self.scale = scale

    def pixels(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Displacement (x, y) of every pixel of `first` towards `second`.

        Args:
            first: uint8 (H, W) gray.
            second: uint8 (H, W) gray.

        Returns:
            float32 (H, W, 2), pixels.

        Raises:
            LightvadError: the frames are too small for DIS.
        """
        if min(first.shape) < SMALLEST_SIDE:
            height, width = first.shape
            message = f"optical flow needs frames of at least {SMALLEST_SIDE} pixels a side, got {width}x{height}"
            raise LightvadError(message)
        return np.asarray(self._estimator.calc(first, second, None))  # type: ignore[call-overload]

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """`pixels` divided by `scale` and clipped to [-1, 1]: float32 (H, W, 2)."""
        return np.clip(self.pixels(first, second) / self.scale, -1.0, 1.0)


class Gradients:
    """Absolute gray-level difference of two frames, one channel: the motion of the predecessor paper (CVPR 2019)."""

    channels = 1

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """From two gray frames uint8 (H, W) to float32 (H, W, 1) in [0, 1]."""
        return cv2.absdiff(first, second).astype(np.float32)[..., None] / 255.0


Motion = OpticalFlow | Gradients


def motion_crops(motion: np.ndarray, boxes: np.ndarray, *, size: int = 64) -> np.ndarray:
    """Cut every box from a motion map; values are averaged or interpolated, never rescaled.

    Boxes are rounded outwards and clipped to the frame as in `crops.crop_sequence`.

    Args:
        motion: float32 (H, W, C).
        boxes: float32 (K, 4), x1, y1, x2, y2 in pixels, x2/y2 exclusive.
        size: side of the crops in pixels.

    Returns:
        float32 (K, C, size, size).

    Raises:
        LightvadError: a box lies wholly outside the frame.
    """
    height, width, channels = motion.shape
    crops = np.empty((len(boxes), channels, size, size), np.float32)
    for crop, box in zip(crops, boxes, strict=True):
        x1, y1, x2, y2 = pixel_bounds(box, height=height, width=width)
        interpolation = cv2.INTER_AREA if (x2 - x1 > size or y2 - y1 > size) else cv2.INTER_LINEAR
        resized = cv2.resize(motion[y1:y2, x1:x2], (size, size), interpolation=interpolation)
        crop[:] = np.moveaxis(resized.reshape(size, size, channels), 2, 0)
    return crops


def rotated_motion(crops: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Turn the direction of every displacement of a flow crop by an angle; one-channel crops are returned as they are.

    Args:
        crops: float32 (K, C, h, w), C = 2 (flow x, y) or 1 (gradients have no direction).
        angles: float (K,), radians.

    Returns:
        float32 (K, C, h, w).
    """
    if crops.shape[1] == 1:
        return crops
    cosine, sine = (turn(angles).astype(np.float32)[:, None, None] for turn in (np.cos, np.sin))
    x, y = crops[:, 0], crops[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)

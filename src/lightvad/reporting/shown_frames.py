"""Which clips and frames a figure shows, and those frames with the ground truth drawn on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lightvad.artifacts.arrays import read_masks
from lightvad.config import Figure
from lightvad.errors import LightvadError
from lightvad.reporting.selection import Shown
from lightvad.reporting.style import OUTLINE_COLOUR
from lightvad.video.clips import ClipStore

SMALL_HEIGHT = 240


@dataclass(frozen=True)
class FrameStrip:
    """Frames of one clip: numbers, images uint8 (H, W, 3) RGB with the truth's outline, whether each is abnormal."""

    clip: str
    frames: Sequence[int]
    images: Sequence[np.ndarray]
    abnormal: Sequence[bool]

    @property
    def height(self) -> int:
        """Of a frame, in pixels."""
        return int(self.images[0].shape[0])

    @property
    def width(self) -> int:
        """Of a frame, in pixels."""
        return int(self.images[0].shape[1])


def clips_shown(shown: Shown, figure: Figure, number: str, dataset: str, store: ClipStore) -> list[str]:
    """The clips of `dataset` that a figure shows: the configured ones, else test clips by the figure's position.

    The k-th figure of score curves shows the k-th test clip; maps and pictures are of the first five.

    Raises:
        LightvadError: a configured clip is not among the dataset's clips.
    """
    configured = figure.clips.get(dataset, ())
    for clip in configured:
        if store[clip].split != "test":
            message = f"config/experiments/{shown.experiment.name}.yaml: figures.{number}.clips: {clip} is no test clip"
            raise LightvadError(message)
    if configured:
        return list(configured)
    names = [clip.name for clip in store.clips("test")]
    if figure.shows_pictures:
        return names[:5]
    curves = sorted((n for n, other in shown.experiment.figures.items() if other.kind == figure.kind), key=int)
    return [names[curves.index(number) % len(names)]]


def frame_strip(store: ClipStore, clip: str, frames: Sequence[int]) -> FrameStrip:
    """Frames of a clip, each with the outline of its abnormal pixels where the dataset has masks."""
    path = store.root / "masks" / f"{clip}.npz"
    masks = read_masks(store.checked(path)) if store.prepared(path) else np.zeros((store[clip].frames, 1, 1), bool)
    images = [outlined(store.frame(clip, t), masks[t]) for t in frames]
    return FrameStrip(clip, frames, images, [bool(masks[t].any()) for t in frames])


def outlined(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = OUTLINE_COLOUR) -> np.ndarray:
    """A copy of a frame with the outline of a mask.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: bool (h, w), of any size.
        colour: RGB.

    Returns:
        uint8 RGB, enlarged by a whole number where it is small, so that the outline stays thin.
    """
    scale = max(1, round(SMALL_HEIGHT / image.shape[0]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    if mask.any():
        size = (image.shape[1], image.shape[0])
        large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, contours, -1, colour, 2)
    return image

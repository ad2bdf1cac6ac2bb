"""Pasted objects: the anomalies that normal videos lack (sheet fast_aed, section 8; sheet aed_mae, section 4).

An abnormal object is one of another training clip: stretched to the side, moving otherwise than it does, or lying on
its side. Unchanged ones are pasted too, so that neither a paste nor the number of pastes gives the anomaly away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.tables import BOX
from lightvad.config import ObjectChanges
from lightvad.errors import LightvadError
from lightvad.video.readers import Place, WindowReader

MARGIN = 0.15
"""Of an object's size: ground that is pasted with it, and fades out."""
DRIFT = (0.25, 0.03)
"""Largest distance of the paste from the object's own place, in frame widths and heights: perspective stays right."""
BORDER = 2
"""Pixels at the frame's border; objects that reach into it are cut off and not pasted."""

Bounds = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels, x2/y2 exclusive."""
Margins = tuple[int, int, int, int]
"""Pixels left of, above, right of and below an object."""


@dataclass(frozen=True)
class Cutout:
    """An object cut out of a window, and how it is changed.

    Attributes:
        pixels: uint8 (h, w, 3F), the box of the middle frame and its margins, from every frame of the window.
        margins: ground around the object, pixels.
        stretch: factor of the width.
        velocity: movement in addition to its own, (x, y) pixels a frame.
    """

    pixels: np.ndarray
    margins: Margins
    stretch: float = 1.0
    velocity: tuple[float, float] = (0.0, 0.0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the object as it is pasted, pixels."""
        left, top, right, bottom = self.margins
        height, width = self.pixels.shape[:2]
        return round((width - left - right) * self.stretch), height - top - bottom

    def turned(self, *, clockwise: bool) -> "Cutout":
        """The object turned by a quarter."""
        left, top, right, bottom = self.margins
        if clockwise:
            return Cutout(np.rot90(self.pixels, -1), (bottom, left, top, right))
        return Cutout(np.rot90(self.pixels), (top, right, bottom, left))


@dataclass(frozen=True)
class Pasted:
    """One pasted object.

    Attributes:
        bounds: where it lies in the middle frame: x1, y1, x2, y2 in whole pixels of the window.
        source: frame that it was cut from.
        source_bounds: where it lay there.
        abnormal: whether it was changed.
    """

    bounds: Bounds
    source: Place
    source_bounds: Bounds
    abnormal: bool


class Paster:
    """Pastes objects of some clips into windows.

    Args:
        reader: the windows.
        boxes: table BOXES.
        clips: names of the clips whose objects are pasted.
        changes: what makes an object abnormal.
        smallest: pixels of the window; objects with a shorter side are not pasted.

    Raises:
        LightvadError: these clips have no box that could be pasted.
    """

    def __init__(
        self,
        reader: WindowReader,
        boxes: pd.DataFrame,
        clips: Sequence[str],
        changes: ObjectChanges,
        *,
        smallest: int = 6,
    ) -> None:
        self.reader = reader
        self.changes = changes
        height, width = reader.frame_size
        own = boxes[boxes["clip"].isin(clips)]
        sizes = {name: (reader.clips[name].width, reader.clips[name].height) for name in clips}
        scale = np.array([(width / sizes[name][0], height / sizes[name][1]) * 2 for name in own["clip"]])
        corners = np.rint(own[list(BOX)].to_numpy(np.float64) * scale.reshape(-1, 4)).astype(int)
        inside = (corners[:, :2] >= BORDER).all(1) & (corners[:, 2:] <= (width - BORDER, height - BORDER)).all(1)
        sides = corners[:, 2:] - corners[:, :2]
        usable = inside & ((sides >= smallest) & (sides <= min(height, width))).all(1)
        if not usable.any():
            message = (
                f"boxes: none of the {len(own)} boxes of {', '.join(sorted(clips))} can be pasted (sides of {smallest}"
                f" pixels, {BORDER} from the border: {int(inside.sum())} lie inside); run `lightvad detect` again or"
                " train without pasted objects"
            )
            raise LightvadError(message)
        self._clips = own["clip"].to_numpy()[usable]
        self._frames = own["frame"].to_numpy()[usable]
        self._corners = corners[usable]
        self._several = len(set(self._clips)) > 1

    def paste(
        self, window: np.ndarray, clip: str, draw: np.random.Generator, *, unchanged: int = 0, abnormal: int = 0
    ) -> list[Pasted]:
        """Paste objects of other clips (of `clip` itself if there is no other) into its window, in place.

        Args:
            window: uint8 (h, w, 3F).
            clip: that the window belongs to.
            draw: decides everything that is random.
            unchanged: objects that are pasted as they are.
            abnormal: objects that are changed; they lie on top.

        Returns:
            What was pasted, from below to above.
        """
        return [self._paste(window, clip, draw, abnormal=k >= unchanged) for k in range(unchanged + abnormal)]

    def _paste(self, window: np.ndarray, clip: str, draw: np.random.Generator, *, abnormal: bool) -> Pasted:
        height, width = self.reader.frame_size
        source, (x1, y1, x2, y2) = self._chosen(clip, draw)
        cutout = self._cut(source, (x1, y1, x2, y2))
        if abnormal:
            cutout = self._changed(cutout, draw)
        size = np.array(cutout.size)
        # Its feet stay where they are, but for the drift.
        drift = draw.uniform(-1, 1, 2) * DRIFT * (width, height)
        corner = np.rint(np.array([(x1 + x2 - size[0]) / 2, y2 - size[1]]) + drift)
        corner = np.clip(corner, 0, np.array([width, height]) - size)
        _blend(window, cutout, corner, self.reader.offsets)
        left, top, right, bottom = np.concatenate([corner, corner + size]).astype(int).tolist()
        return Pasted((left, top, right, bottom), source, (x1, y1, x2, y2), abnormal)

    def _chosen(self, clip: str, draw: np.random.Generator) -> tuple[Place, Bounds]:
        """An object's frame and its bounds there."""
        chosen = int(draw.integers(len(self._clips)))
        while self._several and self._clips[chosen] == clip:
            chosen = int(draw.integers(len(self._clips)))
        x1, y1, x2, y2 = self._corners[chosen].tolist()
        return (str(self._clips[chosen]), int(self._frames[chosen])), (x1, y1, x2, y2)

    def _cut(self, source: Place, bounds: Bounds) -> Cutout:
        height, width = self.reader.frame_size
        x1, y1, x2, y2 = bounds
        dx, dy = round(MARGIN * (x2 - x1)) + 1, round(MARGIN * (y2 - y1)) + 1
        left, top, right, bottom = max(0, x1 - dx), max(0, y1 - dy), min(width, x2 + dx), min(height, y2 + dy)
        pixels = self.reader.read(source)[top:bottom, left:right]
        return Cutout(pixels, (x1 - left, y1 - top, right - x2, bottom - y2))

    def _changed(self, cutout: Cutout, draw: np.random.Generator) -> Cutout:
        """The object made abnormal."""
        changes = self.changes
        kind = changes.anomalies[int(draw.integers(len(changes.anomalies)))]
        if kind == "stretched":
            largest = self.reader.frame_size[1] / cutout.size[0]
            return replace(cutout, stretch=min(draw.uniform(*changes.widening), largest))
        if kind == "turned":
            return cutout.turned(clockwise=draw.random() < 0.5)
        speed, angle = cutout.size[1] * draw.uniform(*changes.speed), draw.uniform(0, 2 * np.pi)
        return replace(cutout, velocity=(speed * np.cos(angle), speed * np.sin(angle)))


def _blend(window: np.ndarray, cutout: Cutout, corner: np.ndarray, offsets: Sequence[int]) -> None:
    """Blend an object into a window uint8 (H, W, 3F), in place; `corner`: its upper left (x, y) in the middle frame."""
    height, width = window.shape[:2]
    patch, stretch = cutout.pixels, np.array([cutout.stretch, 1.0])
    size = np.maximum(np.rint(np.array(patch.shape[1::-1]) * stretch), 1).astype(int)
    before, after = np.array(cutout.margins[:2]) * stretch, np.array(cutout.margins[2:]) * stretch
    across, down = (_fade(int(n), float(a), float(b)) for n, a, b in zip(size, before, after, strict=True))
    alpha = np.outer(down, across)[..., None]
    for k, offset in enumerate(offsets):
        channels = slice(3 * k, 3 * k + 3)
        frame = np.ascontiguousarray(patch[..., channels])
        frame = cv2.resize(frame, size.tolist(), interpolation=cv2.INTER_LINEAR)
        left, top = np.rint(corner - before + np.array(cutout.velocity) * offset).astype(int)
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size[0], width), min(top + size[1], height)
        if x1 >= x2 or y1 >= y2:
            continue
        inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        under = window[y1:y2, x1:x2, channels]
        mixed = under + alpha[inside] * (frame[inside].astype(np.float32) - under)
        window[y1:y2, x1:x2, channels] = np.rint(mixed)


def _fade(length: int, before: float, after: float) -> np.ndarray:
    """Weights float32 (length,): 1 on the object, falling to near 0 over the margins before and after it."""
    from_start, from_end = np.arange(1, length + 1), np.arange(length, 0, -1)
    return np.minimum(np.minimum(from_start / (before + 1), from_end / (after + 1)), 1).astype(np.float32)

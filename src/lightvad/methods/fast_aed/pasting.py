"""Pasted objects: the high targets that normal videos lack. Beyond the paper (sheet, section 8).

An abnormal object is one of another training clip: stretched to the side, moving faster than it does, or lying on its
side. Normal ones are pasted too, as they are, so that the paste itself is no cue.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch

from lightvad.artifacts.tables import BOX
from lightvad.errors import LightvadError
from lightvad.maps import bins_touched
from lightvad.methods.fast_aed.settings import Pasting
from lightvad.methods.fast_aed.windows import Place, Targets, WindowReader

MARGIN = 0.15
"""Of an object's size: ground that is pasted with it, and fades out."""
DRIFT = (0.25, 0.03)
"""Largest distance of the paste from the object's own place, in frame widths and heights: perspective stays right."""
SMALLEST = 6
"""Pixels; objects with a shorter side are not pasted."""
BORDER = 2
"""Pixels at the frame's border; objects that reach into it are cut off and not pasted."""

Margins = tuple[int, int, int, int]
"""Pixels left of, above, right of and below an object in its patch."""


@dataclass(frozen=True)
class Pasted:
    """One pasted object.

    Attributes:
        bounds: where it lies in the middle frame: x1, y1, x2, y2 in whole pixels of the window.
        source: frame that it was cut from.
        source_bounds: where it lay there.
        abnormal: whether its target is 1.
    """

    bounds: tuple[int, int, int, int]
    source: Place
    source_bounds: tuple[int, int, int, int]
    abnormal: bool


class Paster:
    """Pastes objects of some clips into windows.

    Args:
        reader: the windows.
        boxes: table BOXES.
        clips: names of the clips whose objects are pasted.
        settings: how many, and how they are changed.

    Raises:
        LightvadError: these clips have no box that could be pasted.
    """

    def __init__(self, reader: WindowReader, boxes: pd.DataFrame, clips: Sequence[str], settings: Pasting) -> None:
        self.reader = reader
        self.settings = settings
        height, width = reader.frame_size
        own = boxes[boxes["clip"].isin(clips)]
        sizes = {name: (reader.clips[name].width, reader.clips[name].height) for name in clips}
        scale = np.array([(width / sizes[name][0], height / sizes[name][1]) * 2 for name in own["clip"]])
        corners = np.rint(own[list(BOX)].to_numpy(np.float64) * scale.reshape(-1, 4)).astype(int)
        inside = (corners[:, :2] >= BORDER).all(1) & (corners[:, 2:] <= (width - BORDER, height - BORDER)).all(1)
        usable = inside & ((corners[:, 2:] - corners[:, :2]) >= SMALLEST).all(1)
        if not usable.any():
            message = (
                f"{reader.clips.root}: none of the {len(own)} boxes of {', '.join(sorted(clips))} can be pasted (a side"
                f" of {SMALLEST} pixels, {BORDER} from the border); run `lightvad detect` again or leave out `pasting`"
            )
            raise LightvadError(message)
        self._clips = own["clip"].to_numpy()[usable]
        self._frames = own["frame"].to_numpy()[usable]
        self._corners = corners[usable]
        self._several = len(set(self._clips)) > 1

    def paste(self, window: np.ndarray, clip: str, draw: np.random.Generator) -> list[Pasted]:
        """Paste objects into a window uint8 (h, w, 3F) of `clip`, in place; those that are abnormal lie on top."""
        settings = self.settings
        normal = int(draw.integers(1, settings.normal + 1)) if draw.random() < settings.normal_share else 0
        abnormal = int(draw.integers(1, settings.abnormal + 1)) if draw.random() < settings.abnormal_share else 0
        return [self._paste(window, clip, draw, abnormal=k >= normal) for k in range(normal + abnormal)]

    def _paste(self, window: np.ndarray, clip: str, draw: np.random.Generator, *, abnormal: bool) -> Pasted:
        chosen = int(draw.integers(len(self._clips)))
        while self._several and self._clips[chosen] == clip:
            chosen = int(draw.integers(len(self._clips)))
        source = (str(self._clips[chosen]), int(self._frames[chosen]))
        x1, y1, x2, y2 = self._corners[chosen].tolist()
        height, width = self.reader.frame_size
        cut = _with_margin((x1, y1, x2, y2), width, height)
        patch = self.reader.read(source)[cut[1] : cut[3], cut[0] : cut[2]]
        margins = (x1 - cut[0], y1 - cut[1], cut[2] - x2, cut[3] - y2)
        size = np.array([x2 - x1, y2 - y1])
        velocity, stretch = np.zeros(2), np.ones(2)
        kind = self.settings.anomalies[int(draw.integers(len(self.settings.anomalies)))] if abnormal else ""
        if kind == "stretched":
            stretch[0] = min(draw.uniform(*self.settings.widening), width / size[0])
        elif kind == "faster":
            angle = draw.uniform(0, 2 * np.pi)
            velocity = size[1] * draw.uniform(*self.settings.speed) * np.array([np.cos(angle), np.sin(angle)])
        elif kind == "turned":
            patch, margins = _turned(patch, margins, clockwise=draw.random() < 0.5)
        new = np.minimum(np.rint(size[:: -1 if kind == "turned" else 1] * stretch), (width, height))
        # Its feet stay where they are.
        drift = draw.uniform(-1, 1, 2) * DRIFT * (width, height)
        corner = np.rint(np.array([(x1 + x2 - new[0]) / 2, y2 - new[1]]) + drift)
        corner = np.clip(corner, 0, np.array([width, height]) - new)
        _blend(window, patch, corner, velocity, stretch, margins, self.reader.offsets)
        left, top, right, bottom = np.concatenate([corner, corner + new]).astype(int).tolist()
        return Pasted((left, top, right, bottom), source, (x1, y1, x2, y2), abnormal)


def paint(
    maps: list[list[torch.Tensor]], pasted: Sequence[Sequence[Pasted]], targets: Targets, settings: Pasting
) -> list[list[torch.Tensor]]:
    """The teachers' maps of windows with pasted objects.

    What a teacher gave to the frame and to a pasted normal object, at the place it was cut from, is scaled by
    `normal_ceiling`; inside an abnormal object every map is 1.

    Args:
        maps: teachers x resolutions of maps float32 (B, r, r) or (B, h, w).
        pasted: for each of the B windows what was pasted into it.
        targets: the teachers' maps, to look up those of the sources.
        settings: holds `normal_ceiling`.
    """
    height, width = targets.frame_size
    painted = [[one * settings.normal_ceiling for one in teacher] for teacher in maps]
    for b, objects in enumerate(pasted):
        for item in objects:
            bounds = np.array([item.bounds, item.source_bounds])
            sources = targets.read([item.source])
            for teacher, own in zip(painted, sources, strict=True):
                for resolution, one, source in zip(targets.resolutions, teacher, own, strict=True):
                    cells, cut = bins_touched(bounds, height, width, resolution).tolist()
                    value = 1.0
                    if not item.abnormal:
                        value = settings.normal_ceiling * float(source[0, cut[1] : cut[3], cut[0] : cut[2]].max())
                    one[b, cells[1] : cells[3], cells[0] : cells[2]].clamp_(min=value)
    return painted


def _with_margin(bounds: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = bounds
    dx, dy = round(MARGIN * (x2 - x1)) + 1, round(MARGIN * (y2 - y1)) + 1
    return max(0, x1 - dx), max(0, y1 - dy), min(width, x2 + dx), min(height, y2 + dy)


def _turned(patch: np.ndarray, margins: Margins, *, clockwise: bool) -> tuple[np.ndarray, Margins]:
    """A patch turned by a quarter, and its margins."""
    left, top, right, bottom = margins
    if clockwise:
        return np.rot90(patch, -1), (bottom, left, top, right)
    return np.rot90(patch), (top, right, bottom, left)


def _blend(
    window: np.ndarray,
    patch: np.ndarray,
    corner: np.ndarray,
    velocity: np.ndarray,
    stretch: np.ndarray,
    margins: Margins,
    offsets: Sequence[int],
) -> None:
    """Blend a patch uint8 (h, w, 3F) into a window, frame by frame along `velocity` (x, y; pixels a frame).

    Args:
        window: uint8 (H, W, 3F), changed in place.
        patch: the object with its margins.
        corner: where the object's upper left corner comes to lie in the middle frame.
        velocity: movement in addition to its own.
        stretch: factors of width and height.
        margins: ground around the object in the patch, pixels.
        offsets: frames of the window.
    """
    height, width = window.shape[:2]
    size = np.maximum(np.rint(np.array(patch.shape[1::-1]) * stretch), 1).astype(int)
    before, after = np.array(margins[:2]) * stretch, np.array(margins[2:]) * stretch
    across, down = (_fade(int(n), float(a), float(b)) for n, a, b in zip(size, before, after, strict=True))
    alpha = np.outer(down, across)[..., None]
    for k, offset in enumerate(offsets):
        channels = slice(3 * k, 3 * k + 3)
        frame = np.ascontiguousarray(patch[..., channels])
        frame = cv2.resize(frame, size.tolist(), interpolation=cv2.INTER_LINEAR)
        left, top = np.rint(corner - before + velocity * offset).astype(int)
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

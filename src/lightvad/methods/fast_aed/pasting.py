"""Pasted objects: the high targets that normal videos lack. Beyond the paper (sheet, section 8).

An abnormal object is one of another training clip, stretched to the side or moving faster than it does. Normal ones are
pasted too, as they are, so that the paste itself is no cue.
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
        size = np.array([x2 - x1, y2 - y1])
        velocity = np.zeros(2)
        stretched = size
        if abnormal and draw.random() < 0.5:
            wide = min(size[0] * draw.uniform(*self.settings.widening), width - 2 * BORDER)
            stretched = np.array([round(wide), size[1]])
        elif abnormal:
            angle = draw.uniform(0, 2 * np.pi)
            velocity = size[1] * draw.uniform(*self.settings.speed) * np.array([np.cos(angle), np.sin(angle)])
        drift = draw.uniform(-1, 1, 2) * DRIFT * (width, height)
        corner = np.rint(np.array([x1, y1]) + (size - stretched) / 2 + drift)
        corner = np.clip(corner, 0, np.array([width, height]) - stretched).astype(int)
        cut = _with_margin((x1, y1, x2, y2), width, height)
        origin = corner - (np.array([x1, y1]) - cut[:2]) * stretched / size
        patch = self.reader.read(source)[cut[1] : cut[3], cut[0] : cut[2]]
        _blend(window, patch, origin, stretched / size, velocity, self.reader.offsets, np.array([x1, y1]) - cut[:2])
        bounds = (int(corner[0]), int(corner[1]), int(corner[0] + stretched[0]), int(corner[1] + stretched[1]))
        return Pasted(bounds, source, (x1, y1, x2, y2), abnormal)


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


def _blend(
    window: np.ndarray,
    patch: np.ndarray,
    origin: np.ndarray,
    stretch: np.ndarray,
    velocity: np.ndarray,
    offsets: Sequence[int],
    margin: np.ndarray,
) -> None:
    """Blend a patch uint8 (h, w, 3F) into a window at `origin` (x, y), frame by frame along `velocity` (pixels)."""
    height, width = window.shape[:2]
    size = np.maximum(np.rint(np.array(patch.shape[1::-1]) * stretch), 1).astype(int)
    across, down = (_fade(int(n), float(m)) for n, m in zip(size, margin * stretch, strict=True))
    alpha = np.outer(down, across)[..., None]
    for k, offset in enumerate(offsets):
        channels = slice(3 * k, 3 * k + 3)
        frame = cv2.resize(patch[..., channels], size.tolist(), interpolation=cv2.INTER_LINEAR)
        left, top = np.rint(origin + velocity * offset).astype(int)
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size[0], width), min(top + size[1], height)
        if x1 >= x2 or y1 >= y2:
            continue
        inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        under = window[y1:y2, x1:x2, channels]
        mixed = under + alpha[inside] * (frame[inside].astype(np.float32) - under)
        window[y1:y2, x1:x2, channels] = np.rint(mixed)


def _fade(length: int, margin: float) -> np.ndarray:
    """Weights float32 (length,) that rise from near 0 to 1 over `margin` pixels at either end."""
    from_end = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1))
    return np.minimum(from_end / (max(margin, 1.0) + 1), 1).astype(np.float32)

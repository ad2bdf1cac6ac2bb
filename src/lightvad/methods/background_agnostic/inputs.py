"""From three frames and the boxes of the middle one to the crops that the three streams see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from lightvad.artifacts.tables import BOX
from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.model import SIZE
from lightvad.methods.background_agnostic.settings import Settings
from lightvad.objects.crops import crop_sequence
from lightvad.objects.flow import Gradients, Motion, OpticalFlow, gray_frame, motion_crops
from lightvad.video.clips import ClipStore
from lightvad.video.windows import window_indices


class ObjectCrops(NamedTuple):
    """What the streams see of K objects.

    Attributes:
        appearance: gray, uint8 (K, 1, 64, 64) while stored, float32 in [0, 1] as input.
        previous: motion to the frame `gap` before, float (K, C, 64, 64) in [-1, 1], C = 2 (flow) or 1 (gradients).
        following: motion to the frame `gap` after, the same shape.
    """

    appearance: np.ndarray
    previous: np.ndarray
    following: np.ndarray


def motion_of(settings: Settings) -> Motion:
    """The estimator of motion that the settings ask for."""
    if settings.motion == "gradients":
        return Gradients()
    return OpticalFlow(preset=settings.flow.preset, scale=settings.flow.scale)


def object_crops(window: np.ndarray, boxes: np.ndarray, motion: Motion, where: str) -> ObjectCrops:
    """Crops of all objects of one frame.

    Args:
        window: uint8 (3, H, W, 3) RGB, the frames t - gap, t, t + gap; at the ends of a clip the nearest frame stands
            in for a missing one, so an object there has no motion on that side (project choice).
        boxes: float32 (K, 4) of frame t, pixels.
        motion: the estimator.
        where: names the clip and the frame in errors.

    Raises:
        LightvadError: a box lies wholly outside the frame.
    """
    before, now, after = (gray_frame(frame) for frame in window)
    try:
        appearance = [crop_sequence(window[1:2], box, size=SIZE)[0] for box in boxes]
        previous = motion_crops(motion(now, before), boxes, size=SIZE)
        following = motion_crops(motion(now, after), boxes, size=SIZE)
    except LightvadError as error:
        message = f"{where}: {error}"
        raise LightvadError(message) from error
    gray = [gray_frame(crop)[None] for crop in appearance]
    return ObjectCrops(np.stack(gray) if gray else np.empty((0, 1, SIZE, SIZE), np.uint8), previous, following)


def as_inputs(crops: ObjectCrops, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Crops as float32 inputs of the networks: gray in [0, 1], motion in [-1, 1]."""
    appearance, previous, following = (
        torch.from_numpy(np.ascontiguousarray(part)).to(device).float() for part in crops
    )
    return appearance / 255.0, previous, following


@dataclass(frozen=True)
class FrameObjects:
    """The objects of one frame.

    Attributes:
        clip: its clip.
        t: its number in the clip.
        rows: row of every object in the table of boxes.
        boxes: float32 (K, 4), pixels.
        window: uint8 (3, H, W, 3) RGB, frames t - gap, t, t + gap.
    """

    clip: str
    t: int
    rows: np.ndarray
    boxes: np.ndarray
    window: np.ndarray

    @property
    def where(self) -> str:
        """Names the frame in errors."""
        return f"clip {self.clip}, frame {self.t}"


def frames_with_objects(
    clips: ClipStore, names: Sequence[str], boxes: pd.DataFrame, *, gap: int, stride: int = 1
) -> Iterator[FrameObjects]:
    """Every `stride`-th frame of the clips `names` that has objects, in order.

    Raises:
        LightvadError: the boxes name a frame that the clip does not have.
    """
    corners = boxes[list(BOX)].to_numpy(np.float32)
    for clip, t, rows in _rows_by_frame(names, boxes, stride):
        frames = clips[clip].frames
        if t >= frames:
            message = (
                f"boxes: clip {clip} has a box at frame {t}, but only {frames} frames; run `lightvad detect` again"
            )
            raise LightvadError(message)
        yield FrameObjects(
            clip=clip,
            t=t,
            rows=rows,
            boxes=corners[rows],
            window=clips.window(clip, window_indices(t, (-gap, 0, gap), frames, "clamp")),
        )


def counts(names: Sequence[str], boxes: pd.DataFrame, *, stride: int = 1) -> tuple[int, int]:
    """Number of frames and of objects that `frames_with_objects` gives."""
    sizes = [len(rows) for _, _, rows in _rows_by_frame(names, boxes, stride)]
    return len(sizes), sum(sizes)


def _rows_by_frame(names: Sequence[str], boxes: pd.DataFrame, stride: int) -> Iterator[tuple[str, int, np.ndarray]]:
    by_clip = boxes.groupby("clip", sort=False).indices
    frame = boxes["frame"].to_numpy()
    for clip in names:
        rows = by_clip.get(clip, np.empty(0, np.int64))
        rows = rows[frame[rows] % stride == 0]
        rows = rows[np.argsort(frame[rows], kind="stable")]
        for group in np.split(rows, np.flatnonzero(np.diff(frame[rows])) + 1):
            if len(group):
                yield clip, int(frame[group[0]]), group

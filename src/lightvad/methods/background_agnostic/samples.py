"""What T1 is trained on: normal crops of the training clips, and pseudo-abnormal crops drawn as many per batch.

Normal crops lie in memory-mapped files, so that memory does not grow with the dataset; a batch is a function of
(seed, epoch) alone.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lightvad.artifacts.scratch import scratch_array, scratch_folder
from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.inputs import (
    FrameObjects,
    ObjectCrops,
    counts,
    frames_with_objects,
    motion_of,
    object_crops,
)
from lightvad.methods.background_agnostic.model import SIZE
from lightvad.methods.background_agnostic.settings import PseudoAbnormal, Settings
from lightvad.objects.flow import Motion, gray_frame, motion_crops, rotated_motion
from lightvad.progress import track
from lightvad.video.clips import ClipStore


class Batch(NamedTuple):
    """Normal objects and as many pseudo-abnormal ones."""

    normal: ObjectCrops
    abnormal: ObjectCrops


@dataclass(frozen=True)
class Samples:
    """Normal and pseudo-abnormal crops of some clips.

    Attributes:
        normal: crops of all objects, stored: uint8 gray and float16 motion.
        images: pseudo-abnormal images, gray uint8 (N, 64, 64).
        motions: pseudo-abnormal motion over wide gaps, float16 (M, C, 64, 64).
        pseudo: how pseudo-abnormal crops are drawn.
    """

    normal: ObjectCrops
    images: np.ndarray
    motions: np.ndarray
    pseudo: PseudoAbnormal

    def batches(self, rng: np.random.Generator, *, objects: int | None, batch: int) -> Iterator[Batch]:
        """Batches of `objects` normal objects in random order (all if None), the last one smaller."""
        total = len(self.normal.appearance)
        order = rng.permutation(total)[:objects]
        for start in range(0, len(order), batch):
            rows = np.sort(order[start : start + batch])
            yield Batch(ObjectCrops(*(part[rows] for part in self.normal)), self._abnormal(rng, len(rows)))

    def _abnormal(self, rng: np.random.Generator, count: int) -> ObjectCrops:
        images = self.images[rng.integers(len(self.images), size=count)][:, None]
        return ObjectCrops(images, self._motion(rng, count, 1), self._motion(rng, count, 2))

    def _motion(self, rng: np.random.Generator, count: int, stream: int) -> np.ndarray:
        """Motion over wide gaps, and normal motion that is turned by any angle and enlarged (sheet, section 3)."""
        transformed = rng.random(count) < self.pseudo.transformed if len(self.motions) else np.ones(count, bool)
        rows = rng.integers(len(self.normal.appearance), size=count)
        angles, factors = rng.uniform(0, 2 * np.pi, count), rng.uniform(*self.pseudo.scales, count)
        normal = rotated_motion(self.normal[stream][np.sort(rows)].astype(np.float32), angles)
        result = np.clip(normal * factors[:, None, None, None].astype(np.float32), -1, 1)
        if len(self.motions):
            wide = self.motions[rng.integers(len(self.motions), size=count)].astype(np.float32)
            result = np.where(transformed[:, None, None, None], result, wide)
        return result


@contextlib.contextmanager
def collected(
    clips: ClipStore,
    names: Sequence[str],
    boxes: pd.DataFrame,
    *,
    settings: Settings,
    images: np.ndarray,
    seed: int,
    folder: Path,
    what: str,
) -> Iterator[Samples]:
    """Cut all crops of the clips `names`; the files below `folder` are removed when the block ends.

    Raises:
        LightvadError: the clips have no boxes at all, or a box lies outside its frame.
    """
    frames, objects = counts(names, boxes, stride=settings.stride)
    if objects == 0:
        message = f"{what}: no boxes on the clips {', '.join(names)}; run `lightvad detect` or take another backend"
        raise LightvadError(message)
    motion = motion_of(settings)
    with scratch_folder(folder) as name:
        scratch, shape = Path(name), (objects, motion.channels, SIZE, SIZE)
        normal = ObjectCrops(
            scratch_array(scratch / "appearance", np.uint8, (objects, 1, SIZE, SIZE)),
            scratch_array(scratch / "previous", np.float16, shape),
            scratch_array(scratch / "following", np.float16, shape),
        )
        wide = _WideGaps(clips, motion, settings, seed=seed, frames=frames)
        done = 0
        source = frames_with_objects(clips, names, boxes, gap=settings.gap, stride=settings.stride)
        for objects_here in track(source, total=frames, what=f"{what}: crops", unit="frames"):
            crops = object_crops(objects_here.window, objects_here.boxes, motion, objects_here.where)
            for stored, part in zip(normal, crops, strict=True):
                stored[done : done + len(part)] = part
            done += len(crops.appearance)
            wide.take(objects_here)
        yield Samples(normal, images, wide.crops(), settings.pseudo)


class _WideGaps:
    """Collects motion over gaps widened `pseudo.gaps` times, in boxes of random place and usual size (project choice).

    Of eight random boxes the one with the most motion is taken: still ground is not abnormal.

    Args:
        clips: the clip store.
        motion: the estimator.
        settings: of the method.
        seed: of the draw.
        frames: that will be offered; each gives about the same number of crops.
    """

    def __init__(self, clips: ClipStore, motion: Motion, settings: Settings, *, seed: int, frames: int) -> None:
        self._clips, self._motion = clips, motion
        self._gap, self._pseudo = settings.gap, settings.pseudo
        self._rng = np.random.default_rng((seed, 1))
        self._due, self._per_frame = 0.0, settings.pseudo.motions / frames
        self._crops: list[np.ndarray] = []

    def take(self, objects: FrameObjects) -> None:
        """Cut the crops that are due at this frame; they wait for the next one where the clip is too short."""
        self._due += self._per_frame
        reach = [
            sign * k * self._gap
            for k in range(self._pseudo.gaps[0], self._pseudo.gaps[1] + 1)
            for sign in (-1, 1)
            if 0 <= objects.t + sign * k * self._gap < self._clips[objects.clip].frames
        ]
        # Four crops from one estimate: flow over a wide gap costs more than cutting it.
        if self._due < 4 or not reach:
            return
        other = self._clips.frame(objects.clip, objects.t + int(self._rng.choice(reach)))
        motion = self._motion(gray_frame(objects.window[1]), gray_frame(other))
        count = int(self._due)
        self._due -= count
        boxes = np.stack([self._moving_box(motion, objects.boxes) for _ in range(count)])
        self._crops.append(motion_crops(motion, boxes, size=SIZE).astype(np.float16))

    def crops(self) -> np.ndarray:
        """All crops so far: float16 (M, C, 64, 64), M = 0 where every clip is too short for a wide gap."""
        empty = np.empty((0, self._motion.channels, SIZE, SIZE), np.float16)
        return np.concatenate([empty, *self._crops])

    def _moving_box(self, motion: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        height, width = motion.shape[:2]
        best, most = boxes[0], -1.0
        for _ in range(8):
            sides = np.diff(boxes[self._rng.integers(len(boxes))].reshape(2, 2), axis=0)[0] * self._rng.uniform(
                0.7, 1.5
            )
            sides = np.clip(sides, 2, (width - 1, height - 1))
            corner = self._rng.uniform(0, (width, height) - sides)
            left, top, right, bottom = (int(value) for value in (*corner, *(corner + sides)))
            moved = float(np.abs(motion[top:bottom, left:right]).mean())
            if moved > most:
                best, most = np.array([left, top, right, bottom], np.float32), moved
        return best

"""Training samples of SSMTL: which objects an epoch sees, in which order, and the crops of one object.

Crops are cut from the decoded frames when they are needed. The order of an epoch is random over pools of frames that
fit into the cache of the clip store, so that a long dataset is decoded about once an epoch and not once an object.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd
import torch

from lightvad.artifacts.tables import BOX
from lightvad.errors import LightvadError
from lightvad.methods.ssmtl.model import HALF_WINDOW
from lightvad.objects.crops import crop_sequence
from lightvad.shares import Share
from lightvad.video.clips import ClipStore
from lightvad.video.windows import window_indices

OFFSETS = tuple(range(-HALF_WINDOW, HALF_WINDOW + 1))
SEGMENT_FRAMES = 32
POOL_BYTES = 1_000_000_000
SHORTEST_CLIP = len(OFFSETS)


@dataclass(frozen=True)
class Objects:
    """Detected objects and the targets of task 4.

    Attributes:
        clip: name of the clip of each object, (N,).
        frame: int (N,).
        box: float32 (N, 4), pixels.
        targets: float32 (N, classes + features).
    """

    clip: np.ndarray
    frame: np.ndarray
    box: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: np.ndarray) -> "Objects":
        return Objects(self.clip[rows], self.frame[rows], self.box[rows], self.targets[rows])


def objects_of(boxes: pd.DataFrame, targets: np.ndarray) -> Objects:
    """The objects of a table BOXES with targets (len(boxes), D)."""
    corners = boxes[list(BOX)].to_numpy(np.float32)
    return Objects(boxes["clip"].to_numpy(str), boxes["frame"].to_numpy(np.int64), corners, targets)


def rows_of(boxes: pd.DataFrame, clips: ClipStore, names: Sequence[str], *, frame_stride: int = 1) -> np.ndarray:
    """Rows of `boxes` that training may use: in the clips `names`, every `frame_stride`-th frame.

    Clips of fewer than seven frames give none: where the border rule repeats frames, a sequence with skipped frames can
    equal the one without.
    """
    usable = [name for name in names if clips[name].frames >= SHORTEST_CLIP]
    chosen = boxes["clip"].isin(usable).to_numpy() & (boxes["frame"].to_numpy() % frame_stride == 0)
    return np.flatnonzero(chosen)


def irregular_indices(t: int, frames: int, *, largest_step: int, generator: np.random.Generator) -> list[int]:
    """Frames of a sequence with skipped frames around `t` (task 2; sheet, section 2).

    Each of the six steps is drawn from 1..`largest_step`; a draw that equals the consecutive sequence is rejected, also
    where it does so only because indices are clamped to the clip.

    Returns:
        Seven indices in [0, frames), not decreasing, `t` in the middle.
    """
    consecutive = window_indices(t, OFFSETS, frames, "clamp")
    while True:
        steps = generator.integers(1, largest_step + 1, len(OFFSETS) - 1)
        before, after = np.cumsum(steps[:HALF_WINDOW]), np.cumsum(steps[HALF_WINDOW:])
        indices = window_indices(t, [*(-before[::-1]).tolist(), 0, *after.tolist()], frames, "clamp")
        if indices != consecutive:
            return indices


@dataclass(frozen=True)
class Batch:
    """Samples of B objects.

    Attributes:
        consecutive: uint8 (B, 7, S, S, 3), frames t-3..t+3.
        irregular: uint8 (B, 7, S, S, 3), with skipped frames, the same middle; (B, 0, ...) where not wanted.
        targets: float32 (B, classes + features).
    """

    consecutive: torch.Tensor
    irregular: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        return Batch(self.consecutive.to(device), self.irregular.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Sampler:
    """Cuts the crops of objects.

    Attributes:
        clips: decoded frames.
        crop_size: side of a crop.
        largest_step: of a sequence with skipped frames; 0: none are made.
    """

    clips: ClipStore
    crop_size: int
    largest_step: int

    def shuffled(
        self,
        objects: Objects,
        *,
        size: int,
        generator: np.random.Generator,
        skipping: np.random.Generator,
        share: Share,
    ) -> Iterator[Batch]:
        """A share of batches of `size` objects in random order.

        Args:
            objects: to train on.
            size: of a whole batch; of a last one that is too small for two objects in every share (batch statistics
                need two), none is given.
            generator: draws the order.
            skipping: draws the skipped frames; where there are several shares, not `generator`, which would draw other
                orders in each.
            share: which objects of a batch.
        """
        for rows in _chunks(self._order(objects, generator), size):
            if len(own := share.of(rows)) > 1:
                yield self.batch(objects[own], skipping)

    def in_order(self, objects: Objects, *, size: int, generator: np.random.Generator) -> Iterator[Batch]:
        """Batches of `size` objects in the order given; `generator` draws the skipped frames."""
        read: set[tuple[str, int]] = set()
        for rows in _chunks(range(len(objects)), size):
            segments = set(
                zip(objects.clip[rows].tolist(), (objects.frame[rows] // SEGMENT_FRAMES).tolist(), strict=True)
            )
            self._read(sorted(segments - read))
            read = segments
            yield self.batch(objects[rows], generator)

    def batch(self, objects: Objects, generator: np.random.Generator) -> Batch:
        """The samples of `objects`.

        Raises:
            LightvadError: a box lies outside its frame or clip, or a frame cannot be decoded.
        """
        size, length = self.crop_size, len(OFFSETS)
        consecutive = np.empty((len(objects), length, size, size, 3), np.uint8)
        irregular = np.empty((len(objects), length if self.largest_step else 0, size, size, 3), np.uint8)
        for k, (clip, t, box) in enumerate(zip(objects.clip, objects.frame.tolist(), objects.box, strict=True)):
            frames = self.clips[clip].frames
            try:
                consecutive[k] = self._crops(clip, window_indices(t, OFFSETS, frames, "clamp"), box)
            except (LightvadError, ValueError) as error:
                message = f"clip {clip}, frame {t}: {error}"
                raise LightvadError(message) from error
            if self.largest_step:
                skipping = irregular_indices(t, frames, largest_step=self.largest_step, generator=generator)
                irregular[k] = self._crops(clip, skipping, box)
        return Batch(torch.from_numpy(consecutive), torch.from_numpy(irregular), torch.from_numpy(objects.targets))

    def _crops(self, clip: str, indices: Sequence[int], box: np.ndarray) -> np.ndarray:
        return crop_sequence([self.clips.frame(clip, t) for t in indices], box, size=self.crop_size)

    def _read(self, segments: Iterable[tuple[str, int]]) -> None:
        """Decode the frames of these segments into the cache, in order.

        Random access to a video file decodes far more; and frames that are decoded one by one between the buffers of a
        network tear the heap to pieces (6 GB for 1 GB of frames).
        """
        reach = max(self.largest_step, 1) * HALF_WINDOW
        for name, segment in segments:
            first = max(segment * SEGMENT_FRAMES - reach, 0)
            for t in range(first, min((segment + 1) * SEGMENT_FRAMES + reach, self.clips[name].frames)):
                self.clips.frame(name, t)

    def _order(self, objects: Objects, generator: np.random.Generator) -> Iterator[int]:
        segments: dict[tuple[str, int], list[int]] = {}
        for row, (clip, t) in enumerate(zip(objects.clip, objects.frame.tolist(), strict=True)):
            segments.setdefault((clip, t // SEGMENT_FRAMES), []).append(row)
        keys = list(segments)
        generator.shuffle(keys)
        reach = max(self.largest_step, 1) * HALF_WINDOW
        while keys:
            pool: list[tuple[str, int]] = []
            room = POOL_BYTES
            while keys and (not pool or room > 0):
                key = keys.pop()
                pool.append(key)
                clip = self.clips[key[0]]
                room -= (SEGMENT_FRAMES + 2 * reach) * clip.height * clip.width * 3
            self._read(sorted(pool))
            rows = np.concatenate([segments[key] for key in pool])
            yield from generator.permutation(rows).tolist()


def _chunks(rows: Iterable[int], size: int) -> Iterator[np.ndarray]:
    rows = iter(rows)
    while chunk := list(islice(rows, size)):
        yield np.array(chunk)

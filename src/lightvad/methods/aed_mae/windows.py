"""What the network sees and what it is to rebuild: batches of windows, with synthetic anomalies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lightvad.artifacts.pictures import ShownFrame
from lightvad.methods.aed_mae.model import Grid
from lightvad.methods.aed_mae.settings import GRADIENT_OFFSETS, AedMaeSettings
from lightvad.methods.aed_mae.synthetic import Anomalies
from lightvad.shares import WHOLE, Share
from lightvad.video.readers import Place, WindowReader

HELDOUT = 1
"""Last word of the seeds of held-out batches, which do not depend on the epoch."""
SHOWN = 2
"""Last word of the seed of the frames that are kept for a figure."""
COLOURS = 3
GRAY_MEAN = 127.5
"""A frame is normalised as (x - 127.5) / 127.5 (sheet, section 1)."""


def normalized(frames: torch.Tensor) -> torch.Tensor:
    """uint8 gray levels -> float32 in [-1, 1]."""
    return frames.float().sub_(GRAY_MEAN).div_(GRAY_MEAN)


def gray_levels(planes: torch.Tensor) -> torch.Tensor:
    """The inverse of `normalized`: what lies beyond [-1, 1] is cut off."""
    return (planes.float() * GRAY_MEAN + GRAY_MEAN).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Batch:
    """Some frames.

    Attributes:
        windows: uint8 (B, 3F, H, W), the network's input, with synthetic anomalies.
        targets: uint8 (B, 3, H, W), the frames without them.
        gradients: two uint8 (B, 3, H, W), without them: the frames whose difference is the motion.
        maps: float32 (B, 1, H, W), 1 where a synthetic anomaly lies.
        noise: float32 (B, N), by which tokens are hidden.
    """

    windows: torch.Tensor
    targets: torch.Tensor
    gradients: tuple[torch.Tensor, torch.Tensor]
    maps: torch.Tensor
    noise: torch.Tensor

    @property
    def abnormal(self) -> torch.Tensor:
        """Whether a frame has a synthetic anomaly: bool (B,)."""
        return self.maps.flatten(1).any(1)


@dataclass(frozen=True)
class Batches:
    """The batches of every epoch, a function of (seed, epoch) alone.

    Attributes:
        reader: windows of all frames that a batch needs, `offsets_read`.
        places: the frames to draw from.
        batch: frames a batch.
        frames: frames an epoch; None: all. The last, smaller batch is left out.
        settings: of the method.
        grid: rows and columns of patches.
        seed: of the drawing.
        anomalies: what is pasted into windows; None: nothing.
        share: which frames of a batch are read, where several processes train together.
    """

    reader: WindowReader
    places: Sequence[Place]
    batch: int
    frames: int | None
    settings: AedMaeSettings
    grid: Grid
    seed: int
    anomalies: Anomalies | None = None
    share: Share = WHOLE

    def __len__(self) -> int:
        """Batches an epoch; at least one."""
        return max(1, min(self.frames or len(self.places), len(self.places)) // self.batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.places))
        rank = [self.share.rank + 1] if self.share.count > 1 else []
        for index in range(len(self)):
            chosen = self.share.of(order[index * self.batch : (index + 1) * self.batch])
            yield self._read([self.places[k] for k in chosen], [self.seed, epoch, index + 1, *rank])

    def ordered(self) -> Iterator[Batch]:
        """All places in order, the last batch smaller; the same anomalies and hidden tokens each time."""
        for start in range(0, len(self.places), self.batch):
            yield self._read(self.places[start : start + self.batch], [self.seed, start, 0, HELDOUT])

    def _read(self, places: Sequence[Place], seed: list[int]) -> Batch:
        draw = np.random.default_rng(seed)
        height, width = self.reader.frame_size
        own = [self.reader.offsets.index(offset) for offset in self.settings.offsets]
        pair = [self.reader.offsets.index(offset) for offset in GRADIENT_OFFSETS[self.settings.gradients]]
        middle = self.reader.offsets.index(0)
        windows, targets, gradients = [], [], []
        maps = torch.zeros(len(places), 1, height, width)
        for k, place in enumerate(places):
            window = self.reader.read(place)
            clean = window
            if self.anomalies is not None:
                clean, covered = self.anomalies.paste(window, place[0], draw)
                maps[k, 0] = torch.from_numpy(covered)
            windows.append(_chosen(window, own))
            targets.append(_chosen(clean, [middle]))
            gradients.append(_chosen(clean, pair))
        noise = torch.from_numpy(draw.random((len(places), self.grid[0] * self.grid[1]), np.float32))
        first, second = _planes(gradients).chunk(2, dim=1)
        return Batch(_planes(windows), _planes(targets), (first, second), maps, noise)


def pasted_frames(batches: Batches, count: int) -> Iterator[ShownFrame]:
    """The first `count` frames with synthetic anomalies, of the frames that are trained on, in a random order.

    Pictures `clean` (the target) and `pasted` (as the network sees it), and the map `anomalies`.
    """
    order = np.random.default_rng([batches.seed, SHOWN]).permutation(len(batches.places))
    places = [batches.places[k] for k in order]
    middle = COLOURS * batches.settings.offsets.index(0)
    found = 0
    for place, batch in zip(places, replace(batches, places=places, batch=1).ordered(), strict=True):
        if found == count:
            return
        if batch.abnormal.item():
            found += 1
            images = {"clean": batch.targets[0], "pasted": batch.windows[0, middle : middle + COLOURS]}
            pictures = {name: image.permute(1, 2, 0).numpy() for name, image in images.items()}
            yield ShownFrame(place[0], place[1], pictures, {"anomalies": batch.maps[0, 0].numpy()})


def offsets_read(settings: AedMaeSettings) -> tuple[int, ...]:
    """Frames that a batch of the training needs: the window's, and those of the motion gradient."""
    return tuple(sorted({*settings.offsets, *GRADIENT_OFFSETS[settings.gradients], 0}))


def _chosen(window: np.ndarray, frames: Sequence[int]) -> np.ndarray:
    """Some frames of a window uint8 (H, W, 3F')."""
    return np.concatenate([window[..., 3 * k : 3 * k + 3] for k in frames], axis=2)


def _planes(images: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 (H, W, C) each -> uint8 (B, C, H, W)."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

"""The batches of both training phases: windows drawn from (seed, epoch) alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lightvad.methods.fast_aed.painting import paint, paste
from lightvad.methods.fast_aed.settings import Pasting
from lightvad.methods.fast_aed.windows import Targets, to_frames
from lightvad.objects.pasting import Paster
from lightvad.shares import WHOLE, Share
from lightvad.video.readers import Place, WindowReader

PASTING, HELDOUT_PASTING = 7, 8
"""Last words of the seeds of pasting: not 0, which numpy takes for no word at all."""


@dataclass(frozen=True)
class Batch:
    """Some windows.

    Attributes:
        step: number of the batch, counted from the first one of the training.
        frames: uint8 (B, 3F, h, w), channels-last.
        targets: teachers x resolutions of maps float32 (B, r, r); empty in pre-training.
        abnormal: bool (B,), whether an abnormal object was pasted into the window.
    """

    step: int
    frames: torch.Tensor
    targets: list[list[torch.Tensor]]
    abnormal: torch.Tensor


@dataclass(frozen=True)
class Batches:
    """The batches of every epoch, a function of (seed, epoch) alone.

    Attributes:
        reader: the windows.
        targets: the teachers' maps, None in pre-training.
        places: the frames to draw from.
        batch: windows a batch.
        windows: windows an epoch; None: all. The last, smaller batch is left out.
        flip: mirror half of the windows, drawn anew each time.
        seed: of the drawing.
        paster: pastes objects into the windows; None: they stay as they are.
        heldout_paster: the same for windows in order; its draws do not depend on the epoch.
        pasting: how many objects are pasted; goes with the two.
        share: which of the windows of a batch are read, where several processes train together.
    """

    reader: WindowReader
    targets: Targets | None
    places: Sequence[Place]
    batch: int
    windows: int | None
    flip: bool
    seed: int
    paster: Paster | None = None
    heldout_paster: Paster | None = None
    pasting: Pasting | None = None
    share: Share = WHOLE

    def __len__(self) -> int:
        """Batches an epoch; at least one."""
        return max(1, min(self.windows or len(self.places), len(self.places)) // self.batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        return self._drawn([self.seed, epoch], first=epoch * len(self), count=len(self))

    def recalibration(self, epoch: int, count: int) -> Iterator[Batch]:
        """At most `count` further batches, others than those of the epoch."""
        return self._drawn([self.seed, epoch, 1], first=0, count=min(count, max(1, len(self.places) // self.batch)))

    def _drawn(self, seed: list[int], *, first: int, count: int) -> Iterator[Batch]:
        draw = np.random.default_rng(seed)
        order = draw.permutation(len(self.places))
        mirrored = draw.random(len(self.places)) < (0.5 if self.flip else 0)

        of_share = [self.share.rank + 1] if self.share.count > 1 else []
        for index in range(count):
            chosen = slice(index * self.batch, (index + 1) * self.batch)
            places = [self.places[k] for k in self.share.of(order[chosen])]
            flipped = self.share.of(mirrored[chosen])
            yield self._read(first + index, places, flipped, self.paster, [*seed, index, PASTING, *of_share])

    def ordered(self, places: Sequence[Place]) -> Iterator[Batch]:
        """Some frames in the order given, none mirrored, the last batch smaller."""
        for start in range(0, len(places), self.batch):
            chosen = places[start : start + self.batch]
            yield self._read(
                0, chosen, np.zeros(len(chosen), bool), self.heldout_paster, [self.seed, start, HELDOUT_PASTING]
            )

    def _read(
        self, step: int, places: Sequence[Place], mirrored: np.ndarray, paster: Paster | None, seed: list[int]
    ) -> Batch:
        windows = [self.reader.read(place) for place in places]
        targets = self.targets.read(places) if self.targets is not None else []
        abnormal = torch.zeros(len(places), dtype=torch.bool)
        if paster is not None and self.pasting is not None:
            draw = np.random.default_rng(seed)
            pasted = [
                paste(paster, window, clip, draw, self.pasting)
                for window, (clip, _) in zip(windows, places, strict=True)
            ]
            abnormal = torch.tensor([any(item.abnormal for item in items) for items in pasted])
            if self.targets is not None:
                targets = paint(targets, pasted, self.targets, self.pasting)
        frames = to_frames(windows)
        if mirrored.any():
            flip = torch.from_numpy(mirrored)
            frames = _mirror(frames, flip).contiguous(memory_format=torch.channels_last)
            targets = [[_mirror(maps, flip) for maps in teacher] for teacher in targets]
        return Batch(step=step, frames=frames, targets=targets, abnormal=abnormal)


def _mirror(x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    return torch.where(chosen.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)

"""Windows with pasted objects, and the teachers' maps of them. Beyond the paper (sheet, section 8)."""

from collections.abc import Sequence

import numpy as np
import torch

from lightvad.artifacts.arrays import Resolution
from lightvad.maps import bins_touched
from lightvad.methods.fast_aed.settings import Pasting
from lightvad.methods.fast_aed.windows import Targets
from lightvad.objects.pasting import Pasted, Paster


def paste(paster: Paster, window: np.ndarray, clip: str, draw: np.random.Generator, settings: Pasting) -> list[Pasted]:
    """Paste as many objects as `settings` and the draw say into a window uint8 (h, w, 3F) of `clip`, in place."""
    further = int(draw.integers(1, settings.normal + 1)) if draw.random() < settings.normal_share else 0
    others = int(draw.integers(1, settings.abnormal + 1))
    if draw.random() < settings.abnormal_share:
        return paster.paste(window, clip, draw, unchanged=further, abnormal=others)
    return paster.paste(window, clip, draw, unchanged=further + others)


def paint(
    maps: list[list[torch.Tensor]], pasted: Sequence[Sequence[Pasted]], targets: Targets, settings: Pasting
) -> list[list[torch.Tensor]]:
    """The teachers' maps of windows with pasted objects.

    What a teacher gave to the frame is scaled by `normal_ceiling`, and so is what it gave to a pasted unchanged object:
    the largest value of its finest map on the object's cells, at the place that the object was cut from. Inside an
    abnormal object every map is 1.

    Args:
        maps: teachers x resolutions of maps float32 (B, r, r) or (B, h, w).
        pasted: for each of the B windows what was pasted into it.
        targets: the teachers' maps, to look up those of the sources.
        settings: holds `normal_ceiling`.
    """
    height, width = targets.frame_size
    painted = [[one * settings.normal_ceiling for one in teacher] for teacher in maps]
    finest = max(range(len(targets.resolutions)), key=lambda k: side_of(targets.resolutions[k], targets.frame_size))
    for b, objects in enumerate(pasted):
        for item in objects:
            bounds = np.array([item.bounds, item.source_bounds])
            cells = [bins_touched(bounds, height, width, resolution).tolist() for resolution in targets.resolutions]
            left, top, right, bottom = cells[finest][1]
            for teacher, own in zip(painted, targets.read([item.source]), strict=True):
                value = 1.0
                if not item.abnormal:
                    value = settings.normal_ceiling * float(own[finest][0, top:bottom, left:right].max())
                for one, ((x1, y1, x2, y2), _) in zip(teacher, cells, strict=True):
                    one[b, y1:y2, x1:x2].clamp_(min=value)
    return painted


def side_of(resolution: Resolution, frame_size: tuple[int, int]) -> int:
    """The longer side of a map."""
    return max(frame_size) if isinstance(resolution, str) else resolution

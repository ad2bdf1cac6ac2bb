"""Windows for INT8: what activations reach on normal frames, and on frames that are not.

On normal frames alone the ranges are too narrow for what the detector is for: of Ped2's test windows the scores of the
student `pasted` then lay up to 1.1 from those of fp32 (their standard deviation is 0.4). So a third of the windows is
as it is, a third is in fast motion, and a third has moving patches of other windows on it. All are of training clips.
"""

from collections.abc import Sequence

import numpy as np

from lightvad.video.clips import Clip, ClipStore
from lightvad.video.windows import stacked, window_indices

FAST_MOTION = 6
"""Times the distance between the frames of a window."""
PATCHES = 3
PATCH_SHARE = (0.15, 0.06)
"""Height and width of a patch over those of the frame."""
PATCH_SPEED = 0.02
"""Largest movement of a patch between two frames of the window, over the width of the frame."""


def calibration_windows(
    store: ClipStore, clips: Sequence[Clip], *, offsets: Sequence[int], frame_size: tuple[int, int], count: int
) -> list[np.ndarray]:
    """Windows uint8 (1, h, w, 3F): normal ones, ones in fast motion and ones with patches, a third each.

    Args:
        store: the prepared clips.
        clips: training clips, not those held out.
        offsets: frames of a window relative to the current one.
        frame_size: (h, w) at which the network sees a frame.
        count: how many, in all.
    """
    normal = spread_windows(store, clips, offsets=offsets, frame_size=frame_size, count=count // 3)
    fast = [FAST_MOTION * offset for offset in offsets]
    moving = spread_windows(store, clips, offsets=fast, frame_size=frame_size, count=count // 3)
    generator = np.random.default_rng(0)
    others = generator.integers(len(normal), size=len(normal))
    patched = [_patched(one, normal[k], len(offsets), generator) for one, k in zip(normal, others, strict=True)]
    return normal + moving + patched


def spread_windows(
    store: ClipStore, clips: Sequence[Clip], *, offsets: Sequence[int], frame_size: tuple[int, int], count: int
) -> list[np.ndarray]:
    """At most `count` windows uint8 (1, h, w, 3F), evenly spread over the frames of `clips`."""
    places = [(clip, t) for clip in clips for t in range(clip.frames)]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    windows = []
    for clip, t in (places[k] for k in chosen):
        frames = store.window(clip.name, window_indices(t, offsets, clip.frames, "current"))
        windows.append(stacked(frames, frame_size)[None])
    return windows


def _patched(window: np.ndarray, other: np.ndarray, frames: int, generator: np.random.Generator) -> np.ndarray:
    """A window (1, h, w, 3F) with rectangles of another one on it, which move as nothing there does."""
    found = window.copy()
    height, width = window.shape[1:3]
    tall, wide = (max(1, round(share * side)) for share, side in zip(PATCH_SHARE, (height, width), strict=True))
    reach = max(1, round(PATCH_SPEED * width))
    for _ in range(PATCHES):
        y, x, from_y, from_x = generator.integers(0, [height - tall + 1, width - wide + 1] * 2)
        for k in range(frames):
            moved = int(np.clip(x + generator.integers(-reach, reach + 1), 0, width - wide))
            colours = slice(3 * k, 3 * k + 3)
            patch = other[0, from_y : from_y + tall, from_x : from_x + wide, colours]
            found[0, y : y + tall, moved : moved + wide, colours] = patch
    return found

"""Windows around any frame of any clip."""

from collections.abc import Sequence

import numpy as np

from lightvad.video.clips import Clip, ClipStore
from lightvad.video.windows import stacked, window_indices

Place = tuple[str, int]
"""A clip's name and a frame in it."""


class WindowReader:
    """Windows around any frame of any clip; a neighbour outside the clip is replaced by the current frame."""

    def __init__(self, clips: ClipStore, *, offsets: Sequence[int], frame_size: tuple[int, int]) -> None:
        self.clips = clips
        self.offsets = tuple(offsets)
        self.frame_size = frame_size

    def read(self, place: Place) -> np.ndarray:
        """The window around a frame: uint8 (h, w, 3F)."""
        return stacked(self.frames(place), self.frame_size)

    def frames(self, place: Place) -> np.ndarray:
        """The frames of a window as stored: uint8 (F, H, W, 3) RGB."""
        clip, t = place
        return self.clips.window(clip, window_indices(t, self.offsets, self.clips[clip].frames, "current"))


def places_of(clips: Sequence[Clip]) -> list[Place]:
    """Every frame of these clips."""
    return [(clip.name, t) for clip in clips for t in range(clip.frames)]


def spread(places: Sequence[Place], count: int) -> list[Place]:
    """At most `count` of the places, evenly spread."""
    step = max(1, -(-len(places) // count))
    return list(places[step // 2 :: step])

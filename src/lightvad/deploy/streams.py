"""Frames in, windows out: every frame is resized, copied to the device and kept there once."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from lightvad.video.windows import resized, window_indices


def offsets_at(offsets: Sequence[int], *, trained_fps: float, fps: float) -> tuple[int, ...]:
    """Offsets that reach as far in time in a video of another rate as (-3, 0, 3) do in those that were trained on."""
    ratio = fps / trained_fps
    return tuple((1 if one > 0 else -1) * max(1, round(abs(one) * ratio)) if one else 0 for one in offsets)


class Windows:
    """A ring buffer of one stream's frames, and the windows that they complete.

    A window needs frames that come later: that of frame t is ready when frame t + max(offsets) has come, or the
    stream has ended. What lies outside the stream is replaced by the current frame (Fast-AED, sheet section 1).

    On a CPU the ring is NumPy's: torch would copy with several threads, which then wait busily beside the engine's.

    Args:
        offsets: frames of a window relative to the current one, in channel order.
        frame_size: (h, w) in pixels at which the network sees a frame.
        device: where frames are kept.
    """

    def __init__(self, offsets: Sequence[int], *, frame_size: tuple[int, int], device: torch.device) -> None:
        self.offsets = tuple(offsets)
        self.ahead = max(0, *self.offsets)
        self.frame_size = frame_size
        self.frames = 0
        self._device = device
        self._ring: list[np.ndarray | torch.Tensor] = []
        self._kept = self.ahead - min(0, *self.offsets) + 1

    def push(self, frame: np.ndarray) -> list[torch.Tensor]:
        """Add a frame uint8 (H, W, 3) RGB of any size; the windows uint8 (h, w, 3F) that it completes: none or one.

        The frame is not copied on a CPU: do not write to it afterwards.
        """
        small = resized(frame, self.frame_size)
        self._ring.append(small if self._device.type == "cpu" else torch.tensor(small).to(self._device))
        del self._ring[: -self._kept]
        self.frames += 1
        t = self.frames - 1 - self.ahead
        return [self._window(t)] if t >= 0 else []

    def rest(self) -> list[torch.Tensor]:
        """The windows of the last frames, when the stream has ended."""
        return [self._window(t) for t in range(max(0, self.frames - self.ahead), self.frames)]

    def _window(self, t: int) -> torch.Tensor:
        oldest = self.frames - len(self._ring)
        places = window_indices(t, self.offsets, self.frames, "current")
        frames: list[Any] = [self._ring[place - oldest] for place in places]
        if self._device.type == "cpu":
            return torch.from_numpy(cv2.merge(frames))
        return torch.cat(frames, dim=-1)

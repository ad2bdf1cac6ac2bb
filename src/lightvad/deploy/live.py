"""Scores and alarms of a stream that has not ended: the same numbers as of a file, as soon as they can be known.

The smoothing is centred (the `plain` protocol's), so a frame's smoothed score is known when the frames of four sigma
after it have been scored. Until then its map is kept.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from lightvad.deploy.alarms import JOINED_SECONDS, Event, box_of

REACH = 4.0
"""The kernel ends at so many sigma (`smoothing.smooth_plain`)."""


class LiveSmoothing:
    """`smooth_plain` of scores that come one after another.

    Args:
        sigma: in frames.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.delay = int(REACH * sigma + 0.5)
        places = np.arange(-self.delay, self.delay + 1)
        weights = np.exp(-0.5 * (places / sigma) ** 2)
        self._weights = weights / weights.sum()
        self._scores: deque[float] = deque(maxlen=2 * self.delay + 1)
        self._seen = 0

    def push(self, score: float) -> list[float]:
        """Add the score of the next frame; the smoothed scores that are now known: of no frame, or of the next one."""
        if self._seen == 0:
            self._scores.extend([score] * self.delay)  # before the stream its first score goes on
        self._scores.append(score)
        self._seen += 1
        return [self._smoothed()] if self._seen > self.delay else []

    def rest(self) -> list[float]:
        """The smoothed scores of the last frames, when the stream has ended: after it its last score goes on."""
        last = self._scores[-1] if self._scores else 0.0
        return [one for _ in range(self.delay if self._seen else 0) for one in self.push(last)]

    def _smoothed(self) -> float:
        return float(np.array(self._scores) @ self._weights)


@dataclass
class LiveAlarms:
    """Alarms of smoothed scores that come one after another; the same as `alarms.events` finds in all of them.

    Attributes:
        threshold: smoothed scores at or above it are abnormal.
        fps: frames a second.
        frame_size: (height, width) of the video in pixels: the unit of boxes.
        first: number of the first frame that is pushed.
    """

    threshold: float
    fps: float
    frame_size: tuple[int, int]
    first: int = 0
    _pushed: int = 0
    _open: Event | None = None

    def push(self, smoothed: float, anomaly_map: np.ndarray) -> tuple[Event | None, Event | None]:
        """Add the smoothed score of the next frame and its finest map float (h, w).

        Returns:
            The alarm that begins with this frame, and the one that is now known to have ended; None: none.
        """
        frame = self.first + self._pushed
        self._pushed += 1
        begun = ended = None
        if self._open is not None and frame - self._open.last - 1 > round(JOINED_SECONDS * self.fps):
            ended = self.rest()
        if smoothed >= self.threshold:
            box = box_of(anomaly_map.astype(np.float32), self.frame_size)
            if self._open is None:
                begun = self._open = Event(frame, frame, frame, smoothed, box)
            elif smoothed > self._open.score:
                self._open = Event(self._open.first, frame, frame, smoothed, box)
            else:
                self._open = Event(self._open.first, frame, self._open.peak, self._open.score, self._open.box)
        return begun, ended

    def rest(self) -> Event | None:
        """The alarm that is still open, when the stream has ended."""
        ended, self._open = self._open, None
        return ended

"""From frame scores to alarms: a threshold from normal video, events, and where in the frame they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lightvad.artifacts.exports import Threshold
from lightvad.errors import LightvadError

JOINED_SECONDS = 1.0
"""Alarms with no more than this between them are one event."""
LARGEST_MAP = 64
"""Side of the largest map that is kept of a frame; finer ones are kept as maxima of so many cells."""
MARGIN = 1e-3
"""A threshold above every score lies so many standard deviations above the highest: engines differ in last digits."""
CANDIDATES = 2000
"""Thresholds that are tried, evenly spread over the ranks of the scores."""


@dataclass(frozen=True)
class Event:
    """One alarm.

    Attributes:
        first: first frame.
        last: last frame, included.
        peak: frame of the highest smoothed score.
        score: that score.
        box: (x1, y1, x2, y2) around the highest values of the finest map at the peak, pixels of the video, x2/y2
            exclusive; None where no map was kept.
    """

    first: int
    last: int
    peak: int
    score: float
    box: tuple[int, int, int, int] | None = None

    def as_json(self, seconds: Callable[[int], float]) -> dict[str, object]:
        """For a line of events.jsonl: frames from 0, seconds from the first frame.

        Args:
            seconds: when a frame is shown; of the frame after the last one, when that has been shown.
        """
        return {
            "start_seconds": round(seconds(self.first), 3),
            "end_seconds": round(seconds(self.last + 1), 3),
            "peak_seconds": round(seconds(self.peak), 3),
            "first_frame": self.first,
            "last_frame": self.last,
            "peak_frame": self.peak,
            "peak_score": self.score,
            "box": self.box,
        }


def spans(abnormal: np.ndarray, *, joined: int) -> list[tuple[int, int]]:
    """Runs of True in bool (T,) as (first, last); runs with at most `joined` frames between them are one."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], abnormal.astype(np.int8), [0]])))
    found: list[tuple[int, int]] = []
    for first, end in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
        if found and first - found[-1][1] - 1 <= joined:
            found[-1] = (found[-1][0], end - 1)
        else:
            found.append((first, end - 1))
    return found


def events(smoothed: np.ndarray, *, threshold: float, fps: float) -> list[Event]:
    """The alarms of smoothed scores float (T,), without their places."""
    found = spans(smoothed >= threshold, joined=round(JOINED_SECONDS * fps))
    peaks = [first + int(np.argmax(smoothed[first : last + 1])) for first, last in found]
    return [Event(*span, peak, float(smoothed[peak])) for span, peak in zip(found, peaks, strict=True)]


def threshold_for(smoothed: Sequence[np.ndarray], *, clips: Sequence[str], fps: float, per_hour: float) -> Threshold:
    """The lowest threshold with at most `per_hour` false alarms an hour on normal video.

    Thresholds are lowered from the highest score until the alarms are too many. Where the video is too short for one
    alarm of it to be allowed, the threshold lies just above its highest score.

    Args:
        smoothed: smoothed scores float (T,) of each clip, all normal.
        clips: their names.
        fps: of the clips.
        per_hour: false alarms an hour that are allowed.

    Raises:
        LightvadError: there are no scores.
    """
    if not sum(len(scores) for scores in smoothed):
        message = "threshold: no normal frames to choose one on; give the dataset a `heldout_fraction` above 0"
        raise LightvadError(message)
    everything = np.sort(np.concatenate(smoothed))[::-1]
    hours = len(everything) / fps / 3600
    value = float(max(np.nextafter(everything[0], np.inf), everything[0] + MARGIN * everything.std()))
    measured = 0
    for candidate in everything[np.unique(np.linspace(0, len(everything) - 1, CANDIDATES).round().astype(int))]:
        count = sum(len(events(scores, threshold=candidate, fps=fps)) for scores in smoothed)
        if count > per_hour * hours:
            break
        value, measured = float(candidate), count
    return Threshold(
        value=value, wanted_per_hour=per_hour, measured_per_hour=measured / hours, hours=hours, clips=tuple(clips)
    )


def kept_map(anomaly_map: np.ndarray) -> np.ndarray:
    """A map float32 (h, w) as float16, sides at most `LARGEST_MAP`: a cell is the maximum of those it stands for."""
    step = -(-max(anomaly_map.shape) // LARGEST_MAP)
    if step > 1:
        anomaly_map = cv2.dilate(anomaly_map, np.ones((step, step), np.uint8), anchor=(0, 0))[::step, ::step]
    return anomaly_map.astype(np.float16)


def box_of(anomaly_map: np.ndarray, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box around the peak of a map float (h, w): its cells above half of the peak's height over the median.

    Args:
        anomaly_map: higher = more anomalous.
        frame_size: (height, width) of the video, pixels.

    Returns:
        x1, y1, x2, y2 in pixels, x2/y2 exclusive.
    """
    ground, peak = float(np.median(anomaly_map)), np.unravel_index(int(np.argmax(anomaly_map)), anomaly_map.shape)
    above = anomaly_map >= (ground + float(anomaly_map[peak])) / 2
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    x, y, width, height = stats[labels[peak], :4].tolist()
    scale_x, scale_y = frame_size[1] / anomaly_map.shape[1], frame_size[0] / anomaly_map.shape[0]
    return (
        int(x * scale_x),
        int(y * scale_y),
        min(frame_size[1], int(np.ceil((x + width) * scale_x))),
        min(frame_size[0], int(np.ceil((y + height) * scale_y))),
    )

"""Many live streams on one network: bounded latency, every dropped frame counted, alarms as they come."""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from lightvad.deploy.alarms import Event, threshold_for
from lightvad.deploy.detectors import Detector
from lightvad.deploy.live import LiveAlarms, LiveSmoothing
from lightvad.deploy.sources import Source, Waiting
from lightvad.progress import say

BATCHES = (8, 4, 2, 1)
"""Windows in one pass: so many if so many wait. Few sizes, since some engines compile each anew."""
IDLE_SECONDS = 0.002
TOLD_EVERY = 60.0
"""Seconds between two lines on how the streams are."""

Tell = Callable[[str], None]
"""Takes a line of JSON: an alarm."""


@dataclass
class Stream:
    """One source, and what is known of its scores.

    Attributes:
        source: that is read.
        smoothing: of its scores.
        threshold: None: still being chosen, or none.
        calibration: smoothed scores of the time in which everything is taken as normal.
    """

    source: Source
    smoothing: LiveSmoothing
    threshold: float | None
    calibration: list[float] = field(default_factory=list)
    alarms: LiveAlarms | None = None
    scored: int = 0
    latency: float = 0.0
    _last: float | None = None
    _maps: deque[np.ndarray] = field(default_factory=deque)

    def push(self, score: float, anomaly_map: np.ndarray, *, dropped: int) -> list[tuple[str, Event]]:
        """Add a frame's score and finest map; dropped frames before it count as the last one scored.

        Returns:
            What has become known: `begin` and `end` of alarms.
        """
        found = []
        last = score if self._last is None else self._last
        for one in [last] * dropped + [score]:
            self._maps.append(anomaly_map)
            for smoothed in self.smoothing.push(one):
                found += self._known(smoothed)
        self._last = score
        self.scored += 1
        return found

    def rest(self) -> list[tuple[str, Event]]:
        """What the end of the stream makes known."""
        found = [event for smoothed in self.smoothing.rest() for event in self._known(smoothed)]
        ended = self.alarms.rest() if self.alarms is not None else None
        return [*found, *([("end", ended)] if ended is not None else [])]

    def _known(self, smoothed: float) -> list[tuple[str, Event]]:
        anomaly_map = self._maps.popleft()
        if self.threshold is None:
            self.calibration.append(smoothed)
            return []
        if self.alarms is None:
            size = self.source.frame_size or (anomaly_map.shape[0], anomaly_map.shape[1])
            self.alarms = LiveAlarms(self.threshold, self.source.fps, size, first=len(self.calibration))
        begun, ended = self.alarms.push(smoothed, anomaly_map)
        return [(kind, event) for kind, event in (("end", ended), ("begin", begun)) if event is not None]


def watch(
    detector: Detector,
    sources: Sequence[Source],
    *,
    threshold: float | None,
    calibrate: float,
    per_hour: float,
    seconds: float | None,
    tell: Tell,
) -> list[Stream]:
    """Score sources until all have ended, or for some time.

    Args:
        detector: what scores them.
        sources: not started yet.
        threshold: of the smoothed scores; None: it is chosen for every stream by itself on its first seconds.
        calibrate: seconds from the start of each stream in which everything is normal, where there is no threshold.
        per_hour: false alarms an hour that are allowed there.
        seconds: end after so long; None: when all have ended.
        tell: takes a line of JSON when an alarm begins, and one when it has ended.

    Returns:
        The streams, with their counts.
    """
    streams = [
        Stream(source, LiveSmoothing(detector.manifest.smoothing_seconds * source.fps), threshold) for source in sources
    ]
    for source in sources:
        source.start()
    begun = told = time.monotonic()
    open_streams = list(streams)
    try:
        while open_streams and (seconds is None or time.monotonic() - begun < seconds):
            if not _score_waiting(detector, open_streams, tell):
                time.sleep(IDLE_SECONDS)
            for stream in open_streams:
                _calibrate(stream, calibrate, per_hour)
            for stream in [one for one in open_streams if one.source.finished]:
                open_streams.remove(stream)
                _tell(stream, stream.rest(), tell)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                say_counts(streams)
    finally:
        for source in sources:
            source.stop()
    for stream in open_streams:
        _tell(stream, stream.rest(), tell)
    return streams


def say_counts(streams: Sequence[Stream]) -> None:
    """One line for every stream: frames, dropped ones, losses, and how long its last frame took to its score."""
    for stream in streams:
        counts = stream.source.counts
        say(
            f"{stream.source.name}: {counts.frames} frames, {stream.scored} scored, {counts.dropped} dropped, lost"
            f" {counts.lost} times, {1000 * stream.latency:.0f} ms from frame to score"
        )


def _score_waiting(detector: Detector, streams: list[Stream], tell: Tell) -> bool:
    """Score one batch of what waits, in turn over the streams; whether there was anything."""
    taken: list[tuple[Stream, Waiting]] = []
    for stream in list(streams):
        if len(taken) == BATCHES[0]:
            break
        waiting = stream.source.take()
        if waiting is not None:
            taken.append((stream, waiting))
            streams.remove(stream)
            streams.append(stream)
    while taken:
        size = next(one for one in BATCHES if one <= len(taken))
        batch, taken = taken[:size], taken[size:]
        scores, maps = detector.engine.run(torch.stack([waiting.window for _, waiting in batch]))
        finest = max(maps, key=lambda one: one.shape[-1] * one.shape[-2])
        now = time.monotonic()
        for (stream, waiting), score, anomaly_map in zip(batch, scores.tolist(), finest.numpy(), strict=True):
            stream.latency = now - waiting.read
            _tell(stream, stream.push(score, anomaly_map.astype(np.float16), dropped=waiting.dropped), tell)
        if not taken:
            return True
    return False


def _calibrate(stream: Stream, seconds: float, per_hour: float) -> None:
    if stream.threshold is None and len(stream.calibration) >= seconds * stream.source.fps > 0:
        name, fps = stream.source.name, stream.source.fps
        found = threshold_for([np.array(stream.calibration)], clips=[name], fps=fps, per_hour=per_hour)
        stream.threshold = found.value
        short = (
            "" if per_hour * found.hours >= 1 else f"; {seconds:g} s cannot tell {per_hour:g} an hour: just above all"
        )
        say(f"{name}: threshold {found.value:.4g}, from {seconds:g} s of normal video{short}")


def _tell(stream: Stream, found: Sequence[tuple[str, Event]], tell: Tell) -> None:
    for kind, event in found:
        tell(json.dumps({"source": stream.source.name, "alarm": kind} | event.as_json(stream.source.fps)))

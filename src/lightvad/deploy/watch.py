"""Many live streams on one network: bounded latency, every dropped frame counted, alarms as they come."""

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import torch

from lightvad.deploy.alarms import Event, kept_map, threshold_for
from lightvad.deploy.detectors import Detector
from lightvad.deploy.live import LiveAlarms, LiveSmoothing
from lightvad.deploy.sources import Source, Waiting, shown
from lightvad.errors import LightvadError
from lightvad.progress import say

BATCHES = (8, 4, 2, 1)
"""Windows in one pass: so many if so many wait. Few sizes, since some engines compile each anew."""
IDLE_SECONDS = 0.002
STOP_SECONDS = 2.0
"""For the readers of all sources together, at the end."""
TOLD_EVERY = 60.0
"""Seconds between two lines on how the streams are."""

Tell = Callable[[str], None]
"""Takes a line of JSON: an alarm."""


@dataclass(frozen=True)
class Alarm:
    """An alarm that begins or has ended.

    Attributes:
        kind: `begin` or `end`.
        event: what is known of it so far; frames are counted from the start of the stream.
        times: `start_time`, `peak_time`, `end_time`: time of day in UTC, ISO 8601; empty for a file.
    """

    kind: str
    event: Event
    times: dict[str, str]


@dataclass
class Stream:
    """One source, and what is known of its scores.

    Attributes:
        source: that is read.
        smoothing: of its scores.
        threshold: None: still being chosen, or none.
        calibration: smoothed scores of the time in which everything is taken as normal.
        alarms: of what is being read without a break; None: none of its smoothed scores is known yet.
        scored: frames that the network has seen.
        frames: frames whose smoothed score is known.
        latency: seconds from when the last scored frame was due to its score.
        clock: seconds from the zero of `time.monotonic` to that of `time.time`.
    """

    source: Source
    smoothing: LiveSmoothing
    threshold: float | None
    calibration: list[float] = field(default_factory=list)
    alarms: LiveAlarms | None = None
    scored: int = 0
    frames: int = 0
    latency: float = 0.0
    clock: float = field(default_factory=lambda: time.time() - time.monotonic())
    _last: float | None = None
    _kept: deque[tuple[np.ndarray, float]] = field(default_factory=deque)
    _known_last: tuple[int, float] = (0, 0.0)
    _began: tuple[int, float] = (0, 0.0)

    def push(self, score: float, anomaly_map: np.ndarray, shown: float, *, dropped: int) -> list[Alarm]:
        """Add a frame's score; dropped frames before it count as the last one scored.

        Args:
            score: raw.
            anomaly_map: float (h, w), its finest.
            shown: when the source sent it, on the clock of `time.monotonic`.
            dropped: frames since the last one that were not scored.

        Returns:
            What has become known.
        """
        found: list[Alarm] = []
        for missing in range(dropped, 0, -1):
            repeated = score if self._last is None else self._last
            found += self._pushed(repeated, anomaly_map, shown - missing / self.source.fps)
        found += self._pushed(score, anomaly_map, shown)
        self._last = score
        self.scored += 1
        return found

    def rest(self) -> list[Alarm]:
        """What the end of what was read without a break makes known; what comes next is smoothed by itself."""
        found = [alarm for smoothed in self.smoothing.rest() for alarm in self._known(smoothed)]
        ended = self.alarms.rest() if self.alarms is not None else None
        self.smoothing, self.alarms, self._last = LiveSmoothing(self.smoothing.sigma), None, None
        return [*found, *([self._alarm("end", ended)] if ended is not None else [])]

    def _pushed(self, score: float, anomaly_map: np.ndarray, shown: float) -> list[Alarm]:
        self._kept.append((anomaly_map, shown))
        return [alarm for smoothed in self.smoothing.push(score) for alarm in self._known(smoothed)]

    def _known(self, smoothed: float) -> list[Alarm]:
        anomaly_map, shown = self._kept.popleft()
        frame, self.frames = self.frames, self.frames + 1
        self._known_last = (frame, shown)
        if self.threshold is None:
            self.calibration.append(smoothed)
            return []
        if self.alarms is None:
            size = self.source.frame_size or (anomaly_map.shape[0], anomaly_map.shape[1])
            self.alarms = LiveAlarms(self.threshold, self.source.fps, size, first=frame)
        begun, ended = self.alarms.push(smoothed, anomaly_map)
        found = [self._alarm("end", ended)] if ended is not None else []
        if begun is not None:
            self._began = self._known_last
            found.append(self._alarm("begin", begun))
        return found

    def _alarm(self, kind: str, event: Event) -> Alarm:
        if self.source.is_file:
            return Alarm(kind, event, {})
        moments = {"start": event.first, "peak": event.peak, "end": event.last + 1}
        return Alarm(kind, event, {f"{name}_time": self._time_of_day(frame) for name, frame in moments.items()})

    def _time_of_day(self, frame: int) -> str:
        """When a frame of the alarm that began last was shown: in proportion between its begin and what is known."""
        (first, began), (last, known) = self._began, self._known_last
        rate = (last - first) / (known - began) if known > began and last > first else self.source.fps
        moment = datetime.fromtimestamp(self.clock + began + (frame - first) / rate, tz=UTC)
        return moment.isoformat(timespec="milliseconds")


def watch(
    detector: Detector,
    sources: Sequence[Source],
    *,
    threshold: float | None,
    calibrate: float,
    per_hour: float,
    seconds: float | None,
    tell: Tell,
    stop: threading.Event,
) -> list[Stream]:
    """Score sources until all have ended, for some time, or until it is told to stop.

    Args:
        detector: what scores them.
        sources: not started yet.
        threshold: of the smoothed scores; None: it is chosen for every stream by itself on its first seconds.
        calibrate: seconds from the start of each stream in which everything is normal, where there is no threshold.
        per_hour: false alarms an hour that are allowed there.
        seconds: end after so long; None: when all have ended.
        tell: takes a line of JSON when an alarm begins, and one when it has ended.
        stop: set by another thread or a signal: alarms that are open are told as ended, and it returns.

    Returns:
        The streams, with their counts.
    """
    streams = [
        Stream(source, LiveSmoothing(detector.manifest.smoothing_seconds * source.fps), threshold) for source in sources
    ]
    _warm_up(detector, len(sources))
    for source in sources:
        source.start()
    begun = told = time.monotonic()
    open_streams = list(streams)
    try:
        while open_streams and not stop.is_set() and (seconds is None or time.monotonic() - begun < seconds):
            if not _score_waiting(detector, open_streams, tell):
                time.sleep(IDLE_SECONDS)
            for stream in open_streams:
                _calibrate(stream, calibrate, per_hour)
            for stream in [one for one in open_streams if one.source.finished]:
                open_streams.remove(stream)
                _close(stream, calibrate, tell)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                say_counts(streams)
        for stream in open_streams:
            _close(stream, calibrate, tell)
    finally:
        for source in sources:
            source.stop()
        until = time.monotonic() + STOP_SECONDS
        for source in sources:
            source.join(max(0.0, until - time.monotonic()))
    return streams


def say_counts(streams: Sequence[Stream]) -> None:
    """One line for every stream: frames, dropped ones, losses, and how long its last frame took to its score."""
    for stream in streams:
        counts = stream.source.counts
        say(
            f"{shown(stream.source.name)}: {counts.frames} frames, {stream.scored} scored, {counts.dropped} dropped,"
            f" lost {counts.lost} times, {1000 * stream.latency:.0f} ms from frame to score"
        )


def _score_waiting(detector: Detector, streams: list[Stream], tell: Tell) -> bool:
    """Score one batch of what waits, in turn over the streams; whether there was anything."""
    taken: list[tuple[Stream, torch.Tensor, Waiting]] = []
    ends = False
    for stream in list(streams):
        if len(taken) == BATCHES[0]:
            break
        waiting = stream.source.take()
        if waiting is None:
            continue
        if waiting.window is None:
            ends = True
            _tell(stream, stream.rest(), tell)
            continue
        taken.append((stream, waiting.window, waiting))
        streams.remove(stream)
        streams.append(stream)
    count = len(taken)
    for size in _sizes(count):
        batch, taken = taken[:size], taken[size:]
        scores, maps = detector.engine.run(torch.stack([window for _, window, _ in batch]))
        finest = max(maps, key=lambda one: one.shape[-1] * one.shape[-2])
        now = time.monotonic()
        for (stream, _, waiting), score, anomaly_map in zip(batch, scores.tolist(), finest.numpy(), strict=True):
            if not math.isfinite(score):
                message = (
                    f"{shown(stream.source.name)}: frame {stream.frames}: score is NaN or infinite; export the model"
                    " again in another precision"
                )
                raise LightvadError(message)
            stream.latency = now - waiting.due
            _tell(stream, stream.push(score, kept_map(anomaly_map), waiting.shown, dropped=waiting.dropped), tell)
    return ends or count > 0


def _sizes(count: int) -> list[int]:
    """The batches in which so many windows are scored."""
    sizes = []
    while count:
        sizes.append(next(one for one in BATCHES if one <= count))
        count -= sizes[-1]
    return sizes


def _warm_up(detector: Detector, sources: int) -> None:
    """Let the engine make itself ready for every batch that can come, before the first frame waits for it."""
    height, width = detector.manifest.frame_size
    channels = 3 * len(detector.manifest.offsets)
    for size in BATCHES:
        if size <= sources:
            detector.engine.run(
                torch.zeros((size, height, width, channels), dtype=torch.uint8, device=detector.engine.device)
            )


def _close(stream: Stream, calibrate: float, tell: Tell) -> None:
    """What the end of a stream makes known."""
    if stream.source.failure is not None:
        raise stream.source.failure
    _tell(stream, stream.rest(), tell)
    if stream.threshold is None:
        name, seconds = shown(stream.source.name), len(stream.calibration) / stream.source.fps
        say(
            f"{name}: ended after {seconds:.1f} s, before the {calibrate:g} s of --calibrate: nothing of it was watched"
        )


def _calibrate(stream: Stream, seconds: float, per_hour: float) -> None:
    if stream.threshold is None and len(stream.calibration) >= seconds * stream.source.fps > 0:
        name, fps = shown(stream.source.name), stream.source.fps
        found = threshold_for([np.array(stream.calibration)], clips=[name], fps=fps, per_hour=per_hour)
        stream.threshold = found.value
        short = (
            "" if per_hour * found.hours >= 1 else f"; {seconds:g} s cannot tell {per_hour:g} an hour: just above all"
        )
        say(f"{name}: threshold {found.value:.4g}, from {seconds:g} s of normal video{short}")


def _tell(stream: Stream, found: Sequence[Alarm], tell: Tell) -> None:
    fps = stream.source.fps
    for alarm in found:
        known = alarm.event.as_json(lambda frame: frame / fps)
        tell(json.dumps({"source": shown(stream.source.name), "alarm": alarm.kind} | known | alarm.times))

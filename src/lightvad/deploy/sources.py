"""Sources of live video: files, cameras, addresses; each is read by a thread of its own."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import av
import numpy as np
import torch

from lightvad.deploy.streams import Windows
from lightvad.progress import say

OPEN_SECONDS, READ_SECONDS = 10.0, 10.0
"""A source that does not answer, or sends no frame, for so long is taken as lost."""
DEVICES = "/dev/video"
"""Names of cameras begin like this."""
ENDED = "has ended"
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds before a lost source is opened again: doubled every time up to the longest."""


@dataclass(frozen=True)
class Waiting:
    """A window that waits for the network, or (None) the end of what was read without a break.

    Attributes:
        window: uint8 (h, w, 3F).
        dropped: windows of the stream that were dropped since the one before.
        due: when its last frame was due, on the clock of `time.monotonic`.
        shown: when its current frame was, the one that is scored.
    """

    window: torch.Tensor | None
    dropped: int
    due: float
    shown: float


@dataclass
class Counts:
    """What became of a source's frames."""

    frames: int = 0
    dropped: int = 0
    lost: int = 0


class Source:
    """One source and its reader.

    A file is read at its own rate, as a camera would send it, or as fast as it is scored. What ends, stalls, or sends
    what is no video is opened again, but not a file.

    Args:
        name: a path, a device (/dev/video0) or an address (rtsp://...).
        fps: frames a second that are scored; a file's own rate must be it.
        make_windows: gives the ring of a new stream.
        latency: seconds that a window may wait; older ones are dropped and counted.
        paced: whether a file is read at its own rate; else nothing of it is dropped.

    Attributes:
        counts: of its frames so far.
        frame_size: (height, width) of the last frame in pixels; None: there was none.
        ended: whether nothing more will be read.
        failure: what ended the reader though it is no fault of the source; for the main thread to raise.
    """

    def __init__(
        self, name: str, fps: float, make_windows: Callable[[], Windows], *, latency: float, paced: bool = True
    ) -> None:
        self.name = name
        self.fps = fps
        self.is_file = is_file(name)
        self.counts = Counts()
        self.frame_size: tuple[int, int] | None = None
        self.ended = False
        self.failure: Exception | None = None
        self._make_windows = make_windows
        self._latency = latency
        self._waits = self.is_file and not paced
        self._room = max(1, round(latency * fps))
        self._queue: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the reader to end."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the reader, at most so long; what still waits then is dropped and counted."""
        self._thread.join(seconds)
        with self._changed:
            self.counts.dropped += sum(one.window is not None for one in self._queue)
            self._queue.clear()

    def take(self) -> Waiting | None:
        """What has waited longest and is not too old, or else the newest; None: nothing waits."""
        with self._changed:
            missing = 0
            while self._queue:
                one = self._queue.popleft()
                self._changed.notify_all()
                late = time.monotonic() - one.due > self._latency
                if one.window is None or self._waits or not late or not self._queue:
                    return replace(one, dropped=one.dropped + missing)
                self.counts.dropped += 1
                missing += 1 + one.dropped
            return None

    @property
    def finished(self) -> bool:
        """Whether it has ended and everything was taken."""
        with self._changed:
            return self.ended and not self._queue

    def _read(self) -> None:
        wait = FIRST_WAIT / 2
        try:
            while not self._stop.is_set():
                before = self.counts.frames
                reason = self._segment()
                if self._stop.is_set():
                    return
                if self.is_file:
                    if reason != ENDED:
                        say(f"{shown(self.name)}: {reason} at frame {self.counts.frames}; the other sources go on")
                    return
                wait = FIRST_WAIT if self.counts.frames > before else min(2 * wait, LONGEST_WAIT)
                self.counts.lost += 1
                say(f"{shown(self.name)}: {reason} at frame {self.counts.frames}; opened again in {wait:g} s")
                self._stop.wait(wait)
        except Exception as error:
            self.failure = error
        finally:
            self.ended = True

    def _segment(self) -> str:
        """Read until the source ends or breaks; returns why it did."""
        windows = self._make_windows()
        moments: deque[float] = deque()  # of the frames whose windows are not complete yet
        try:
            self._stream(windows, moments)
            reason = ENDED
        except (OSError, IndexError, ValueError, av.FFmpegError) as error:
            reason = f"is lost ({error})"
        now = time.monotonic()
        for window in windows.rest():
            self._offer(window, now, moments.popleft())
        with self._changed:
            self._queue.append(Waiting(None, 0, now, now))
        return reason

    def _stream(self, windows: Windows, moments: deque[float]) -> None:
        begun = time.monotonic()
        for t, frame in enumerate(self._frames()):
            due = time.monotonic()
            if self.is_file and not self._waits:
                due = begun + t / self.fps
                self._stop.wait(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                return
            size = (frame.shape[0], frame.shape[1])
            if self.frame_size not in (None, size):
                say(f"{shown(self.name)}: frame {self.counts.frames} has another size ({size[0]}x{size[1]}); resized")
            self.frame_size = size
            self.counts.frames += 1
            moments.append(due)
            for window in windows.push(frame):
                self._offer(window, due, moments.popleft())

    def _frames(self) -> Iterator[np.ndarray]:
        options = {"rtsp_transport": "tcp"} if self.name.startswith("rtsp") else {}
        if self.is_file:
            options = {"protocol_whitelist": "file"}
        kind = "v4l2" if self.name.startswith(DEVICES) else None
        opened = av.open(
            self.name, format=kind, options=options, timeout=(OPEN_SECONDS, READ_SECONDS), metadata_errors="replace"
        )
        with opened as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")

    def _offer(self, window: torch.Tensor, due: float, shown: float) -> None:
        with self._changed:
            while self._waits and len(self._queue) >= self._room and not self._stop.is_set():
                self._changed.wait(0.5)
            kept = [k for k, one in enumerate(self._queue) if one.window is not None]
            if len(kept) >= self._room and not self._waits:
                oldest = self._queue[kept[0]]
                missing = 1 + oldest.dropped
                self.counts.dropped += 1
                del self._queue[kept[0]]
                if kept[0] < len(self._queue):
                    following = self._queue[kept[0]]
                    self._queue[kept[0]] = replace(following, dropped=following.dropped + missing)
                    missing = 0
            else:
                missing = 0
            self._queue.append(Waiting(window, missing, due, shown))


def is_file(name: str) -> bool:
    """Whether a source is a file, which has an end; else it is a camera or an address."""
    return "://" not in name and not name.startswith(DEVICES)


def shown(name: str) -> str:
    """The name of a source without the password in its address."""
    return re.sub(r"//[^/@]*@", "//...@", name)

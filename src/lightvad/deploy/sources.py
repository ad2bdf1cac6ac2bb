"""Sources of live video: files, cameras, addresses; each is read by a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import torch

from lightvad.deploy.streams import Windows
from lightvad.progress import say

OPEN_SECONDS, READ_SECONDS = 10.0, 10.0
"""A source that does not answer, or sends no frame, for so long is taken as lost."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds before a lost source is opened again: doubled every time up to the longest."""


@dataclass(frozen=True)
class Waiting:
    """A window that waits for the network, and the number of windows of its stream that were dropped before it.

    Attributes:
        window: uint8 (h, w, 3F).
        dropped: windows dropped since the one before.
        read: when its last frame was read, on the clock of `time.monotonic`.
    """

    window: torch.Tensor
    dropped: int
    read: float


@dataclass
class Counts:
    """What became of a source's frames."""

    frames: int = 0
    dropped: int = 0
    lost: int = 0


@dataclass
class Source:
    """One source and its reader.

    A file is read at its own rate, as a camera would send it. What ends, stalls, or sends what is no video is opened
    again, but for a file that was read to its end.

    Args:
        name: a path, a device (/dev/video0) or an address (rtsp://...).
        fps: frames a second that are scored; a file's own rate must be it.
        make_windows: gives the ring of a new stream.
        room: windows that may wait; when one more comes, the oldest is dropped and counted.
        paced: whether a file is read at its own rate; else as fast as it can be.
    """

    name: str
    fps: float
    make_windows: Callable[[], Windows]
    room: int
    paced: bool = True
    counts: Counts = field(default_factory=Counts)
    frame_size: tuple[int, int] | None = None
    ended: bool = False
    _queue: deque[Waiting] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._read, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the reading; returns when the thread has ended, or after two seconds without it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2)

    def take(self) -> Waiting | None:
        """The window that has waited longest, or None."""
        with self._lock:
            return self._queue.popleft() if self._queue else None

    @property
    def is_file(self) -> bool:
        """Whether it has an end."""
        return Path(self.name).is_file()

    @property
    def finished(self) -> bool:
        """Whether it has ended and every window was taken."""
        with self._lock:
            return self.ended and not self._queue

    def _read(self) -> None:
        wait = FIRST_WAIT / 2
        while not self._stop.is_set():
            before = self.counts.frames
            try:
                self._stream()
                reason = "has ended"
            except (OSError, IndexError, av.FFmpegError) as error:
                reason = f"is lost ({error})"
            if self._stop.is_set() or (reason == "has ended" and self.is_file):
                break
            if self.is_file:
                say(f"{self.name}: {reason} at frame {self.counts.frames}; the other sources go on")
                break
            wait = FIRST_WAIT if self.counts.frames > before else min(2 * wait, LONGEST_WAIT)
            self.counts.lost += 1
            say(f"{self.name}: {reason} at frame {self.counts.frames}; opened again in {wait:g} s")
            self._stop.wait(wait)
        self.ended = True

    def _stream(self) -> None:
        windows = self.make_windows()
        begun = time.monotonic()
        for t, frame in enumerate(self._frames()):
            if self._stop.is_set():
                return
            if self.paced and self.is_file:
                self._stop.wait(max(0.0, begun + t / self.fps - time.monotonic()))
            if self.frame_size not in (None, frame.shape[:2]):
                height, width = frame.shape[:2]
                say(
                    f"{self.name}: frame {self.counts.frames} has another size ({height}x{width}); it is scored resized"
                )
            self.frame_size = (frame.shape[0], frame.shape[1])
            self.counts.frames += 1
            self._offer(windows.push(frame))
        self._offer(windows.rest())

    def _frames(self) -> Iterator[np.ndarray]:
        options = {"rtsp_transport": "tcp"} if self.name.startswith("rtsp") else {}
        kind = "v4l2" if self.name.startswith("/dev/video") else None
        with av.open(self.name, format=kind, options=options, timeout=(OPEN_SECONDS, READ_SECONDS)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")

    def _offer(self, ready: list[torch.Tensor]) -> None:
        for window in ready:
            with self._lock:
                missing = 0
                while len(self._queue) >= self.room:
                    missing += 1 + self._queue.popleft().dropped
                    self.counts.dropped += 1
                if missing and self._queue:
                    self._queue[0] = replace(self._queue[0], dropped=self._queue[0].dropped + missing)
                    missing = 0
                self._queue.append(Waiting(window, missing, time.monotonic()))

"""Exact random access to the frames of a video file through PyAV."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from lightvad.errors import LightvadError

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg"
"""What a clip may be. FFmpeg also knows playlists, which would have it open further files and addresses."""
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}


class VideoFrames:
    """The frames of a video in presentation order: `len(frames)`, `frames[t]` -> uint8 (H, W, 3) RGB.

    Opening decodes the file once to learn the time stamp of every frame (the container's count, `promised`, is often
    wrong, and 0 where there is none).
    Reading in order decodes each frame once; a jump seeks to the key frame before the wanted frame.

    Raises:
        LightvadError: the file is missing, empty, cut off, holds no video, or frames of different sizes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with av.open(str(path), options=OPTIONS) as container:
                stream = container.streams.video[0]
                self.fps = float(stream.average_rate or 0)
                self.promised = stream.frames or round((container.duration or 0) / av.time_base * self.fps)
                found = [(_time_of(frame), (frame.height, frame.width)) for frame in container.decode(video=0)]
            self._container = av.open(str(path), options=OPTIONS)
        except (OSError, IndexError, av.FFmpegError) as error:
            message = (
                f"{path}: cannot be decoded ({error}); the file is missing, truncated or not a video: get it again"
            )
            raise LightvadError(message) from error
        self._times = sorted(time for time, _ in found)
        if not self._times:
            message = f"{path}: holds no frames; get the file again"
            raise LightvadError(message)
        if len(set(self._times)) != len(self._times):
            message = f"{path}: frames without time stamps of their own; remux it (`ffmpeg -i IN -c copy OUT.mp4`)"
            raise LightvadError(message)
        sizes = sorted({size for _, size in found})
        if len(sizes) > 1:
            message = f"{path}: frames of different sizes ({', '.join(f'{h}x{w}' for h, w in sizes)}); get it again"
            raise LightvadError(message)
        self._stream = self._container.streams.video[0]
        self._position = {pts: t for t, pts in enumerate(self._times)}
        self._next = 0
        self._decoder = self._container.decode(self._stream)

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, t: int) -> np.ndarray:
        if not -len(self) <= t < len(self):
            message = f"{self.path}: no frame {t}, it has {len(self)}"
            raise IndexError(message)
        t %= len(self)
        if t != self._next:
            self._container.seek(self._times[t], stream=self._stream, backward=True)
            self._decoder = self._container.decode(self._stream)
        for frame in self._decoder:
            if self._position[_time_of(frame)] == t:
                self._next = t + 1
                return frame.to_ndarray(format="rgb24")
        message = f"{self.path}: frame {t} could not be decoded; get the file again"
        raise LightvadError(message)


def _time_of(frame: av.VideoFrame) -> int:
    """Presentation time in units of the stream; -1 where the container gives none."""
    return -1 if frame.pts is None else frame.pts


HIGHEST_RATE = 240.0
"""Frames a second; headers that say more count something else."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: size in pixels, frames a second, and about how many frames it has (0: unknown)."""

    height: int
    width: int
    fps: float
    frames: int


def video_info(path: Path) -> VideoInfo:
    """Read the head of a video in any container and codec that FFmpeg knows.

    Raises:
        LightvadError: the file is missing, holds no video, or does not say its frame rate.
    """
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or stream.base_rate or 0)
            seconds = float(container.duration or 0) / av.time_base
            found = VideoInfo(stream.height, stream.width, rate, stream.frames or round(seconds * rate))
    except (OSError, IndexError, av.FFmpegError) as error:
        message = f"{path}: cannot be opened ({error}); the file is missing or not a video: give another"
        raise LightvadError(message) from error
    if not 0 < found.fps <= HIGHEST_RATE:
        message = (
            f"{path}: says that it has {found.fps:g} frames a second, which cannot be; remux it"
            " (`ffmpeg -r RATE -i IN -c copy OUT.mp4`)"
        )
        raise LightvadError(message)
    return found


def frames_in_order(path: Path, times: list[float] | None = None) -> Iterator[np.ndarray]:
    """Every frame of a video in presentation order, each decoded once: uint8 (H, W, 3) RGB.

    Args:
        path: the video.
        times: takes each frame's presentation time in seconds, as the file gives it; NaN where it gives none.

    Raises:
        LightvadError: the file is missing or holds no video, or a frame is damaged, or has another size than the first.
    """
    count, size = 0, None
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace") as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                if size not in (None, (frame.height, frame.width)):
                    message = (
                        f"{path}: frame {count} has {frame.height}x{frame.width} pixels, the first has"
                        f" {'x'.join(map(str, size or ()))}; cut the video where its size changes"
                    )
                    raise LightvadError(message)
                size = (frame.height, frame.width)
                if times is not None:
                    times.append(math.nan if frame.time is None else frame.time)
                yield frame.to_ndarray(format="rgb24")
                count += 1
    except (OSError, IndexError, av.FFmpegError) as error:
        message = f"{path}: cannot be decoded at frame {count} ({error}); the file is missing or damaged: get it again"
        raise LightvadError(message) from error
    if count == 0:
        message = f"{path}: holds no frames; get the file again"
        raise LightvadError(message)

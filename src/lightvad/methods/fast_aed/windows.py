"""Windows of frames and the teachers' maps for them: the batches of both training phases."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lightvad.artifacts.arrays import Maps, Resolution
from lightvad.errors import LightvadError
from lightvad.methods.protocol import TeacherMaps
from lightvad.video.clips import Clip, ClipStore
from lightvad.video.windows import window_indices

Place = tuple[str, int]
"""A clip's name and a frame in it."""
LARGEST_IN_MEMORY = 64
"""Maps with longer sides are kept in a scratch file."""
PREFETCHED = 2


def stacked(window: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """Frames uint8 (F, H, W, 3) RGB, previous to next -> uint8 (h, w, 3F) at `frame_size`: the one channel order."""
    height, width = frame_size
    if window.shape[1:3] != frame_size:
        shrinks = height <= window.shape[1] and width <= window.shape[2]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        window = np.stack([cv2.resize(frame, (width, height), interpolation=interpolation) for frame in window])
    return np.concatenate(list(window), axis=-1)


def to_frames(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stacked windows uint8 (h, w, 3F) -> one tensor uint8 (B, 3F, h, w) in channels-last layout."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def normalized(frames: torch.Tensor) -> torch.Tensor:
    """uint8 gray levels -> float32 (x - 127) / 128 (sheet, section 1); keeps the channels-last layout."""
    return frames.float().sub_(127).div_(128)


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


class Targets:
    """The teachers' maps of some clips, for random access. Large ones lie in a scratch file, gone with the object.

    Raises:
        LightvadError: a teacher lacks a clip or a resolution, or its maps have another length than the clip.
    """

    def __init__(
        self,
        teachers: Sequence[TeacherMaps],
        clips: Sequence[Clip],
        *,
        resolutions: Sequence[Resolution],
        frame_size: tuple[int, int],
        folder: Path,
    ) -> None:
        self.frame_size = frame_size
        self.starts = dict(
            zip([c.name for c in clips], np.cumsum([0] + [c.frames for c in clips]).tolist(), strict=False)
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(prefix=".maps_", dir=folder, ignore_cleanup_errors=True)
        self._maps = [
            [self._load(teacher, clips, resolution, f"{k}_{resolution}") for resolution in resolutions]
            for k, teacher in enumerate(teachers)
        ]

    def read(self, places: Sequence[Place]) -> list[list[torch.Tensor]]:
        """Teachers x resolutions of maps float32 (B, r, r) in [0, 1] for some frames."""
        rows = np.array([self.starts[clip] + t for clip, t in places])
        return [[torch.from_numpy(maps[rows]) for maps in teacher] for teacher in self._maps]

    def _load(self, teacher: TeacherMaps, clips: Sequence[Clip], resolution: Resolution, name: str) -> np.ndarray:
        frames = sum(clip.frames for clip in clips)
        sides = self.frame_size if isinstance(resolution, str) else (resolution, resolution)
        if max(sides) <= LARGEST_IN_MEMORY:
            loaded = np.empty((frames, *sides), np.float32)
        else:
            loaded = np.memmap(Path(self._scratch.name, name), np.float32, "w+", shape=(frames, *sides))
        with Maps(teacher.path) as maps:
            for clip in clips:
                found = maps.read(clip.name, resolution)
                if len(found) != clip.frames:
                    message = (
                        f"{teacher.path}: {clip.name}/{resolution} has {len(found)} maps, but the clip {clip.frames}"
                        f" frames; run `lightvad maps` for {teacher.name} again"
                    )
                    raise LightvadError(message)
                start = self.starts[clip.name]
                loaded[start : start + clip.frames] = _resized(found, sides)
        return loaded


def _resized(maps: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Maps (T, H, W) at the size at which the student sees a frame; only `full` ones can differ."""
    if maps.shape[1:] == sides:
        return maps
    return np.stack([cv2.resize(one, sides[::-1], interpolation=cv2.INTER_LINEAR) for one in maps])


@dataclass(frozen=True)
class Batch:
    """Some windows.

    Attributes:
        step: number of the batch, counted from the first one of the training.
        frames: uint8 (B, 3F, h, w), channels-last.
        targets: teachers x resolutions of maps float32 (B, r, r); empty in pre-training.
    """

    step: int
    frames: torch.Tensor
    targets: list[list[torch.Tensor]]


@dataclass(frozen=True)
class Batches:
    """The batches of every epoch, a function of (seed, epoch) alone.

    Attributes:
        reader: the windows.
        targets: the teachers' maps, None in pre-training.
        places: the frames to draw from.
        batch: windows a batch.
        windows: windows an epoch; None: all. The last, smaller batch is left out.
        flip: mirror half of the windows, drawn anew each time.
        seed: of the drawing.
    """

    reader: WindowReader
    targets: Targets | None
    places: Sequence[Place]
    batch: int
    windows: int | None
    flip: bool
    seed: int

    def __len__(self) -> int:
        """Batches an epoch; at least one."""
        return max(1, min(self.windows or len(self.places), len(self.places)) // self.batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, read ahead by one thread."""
        return self._drawn([self.seed, epoch], first=epoch * len(self), count=len(self))

    def recalibration(self, epoch: int, count: int) -> Iterator[Batch]:
        """At most `count` further batches, others than those of the epoch."""
        return self._drawn([self.seed, epoch, 1], first=0, count=min(count, max(1, len(self.places) // self.batch)))

    def _drawn(self, seed: list[int], *, first: int, count: int) -> Iterator[Batch]:
        draw = np.random.default_rng(seed)
        order = draw.permutation(len(self.places))
        mirrored = draw.random(len(self.places)) < (0.5 if self.flip else 0)

        def read(index: int) -> Batch:
            chosen = slice(index * self.batch, (index + 1) * self.batch)
            places = [self.places[k] for k in order[chosen]]
            return self._read(first + index, places, mirrored[chosen])

        return _read_ahead(read, count)

    def ordered(self, places: Sequence[Place]) -> Iterator[Batch]:
        """Some frames in the order given, none mirrored, the last batch smaller."""
        for start in range(0, len(places), self.batch):
            chosen = places[start : start + self.batch]
            yield self._read(0, chosen, np.zeros(len(chosen), bool))

    def _read(self, step: int, places: Sequence[Place], mirrored: np.ndarray) -> Batch:
        frames = to_frames([self.reader.read(place) for place in places])
        targets = self.targets.read(places) if self.targets is not None else []
        if mirrored.any():
            flip = torch.from_numpy(mirrored)
            frames = _mirror(frames, flip).contiguous(memory_format=torch.channels_last)
            targets = [[_mirror(maps, flip) for maps in teacher] for teacher in targets]
        return Batch(step=step, frames=frames, targets=targets)


def _mirror(x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    return torch.where(chosen.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)


def _read_ahead(read: Callable[[int], Batch], count: int) -> Iterator[Batch]:
    with ThreadPoolExecutor(max_workers=1) as executor:
        waiting: deque[Future[Batch]] = deque()
        for index in range(count):
            waiting.append(executor.submit(read, index))
            if len(waiting) > PREFETCHED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def places_of(clips: Sequence[Clip]) -> list[Place]:
    """Every frame of these clips."""
    return [(clip.name, t) for clip in clips for t in range(clip.frames)]


def spread(places: Sequence[Place], count: int) -> list[Place]:
    """At most `count` of the places, evenly spread."""
    step = max(1, -(-len(places) // count))
    return list(places[step // 2 :: step])

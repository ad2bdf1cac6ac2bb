"""Windows of frames and the teachers' maps for them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from lightvad.artifacts.arrays import Maps, Resolution
from lightvad.artifacts.scratch import scratch_array, scratch_folder
from lightvad.errors import LightvadError
from lightvad.methods.protocol import TeacherMaps
from lightvad.video.clips import Clip
from lightvad.video.readers import Place

LARGEST_IN_MEMORY = 64
"""Maps with longer sides are kept in a scratch file."""


def to_frames(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stacked windows uint8 (h, w, 3F) -> one tensor uint8 (B, 3F, h, w) in channels-last layout."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def normalized(frames: torch.Tensor) -> torch.Tensor:
    """uint8 gray levels -> float32 (x - 127) / 128 (sheet, section 1); keeps the channels-last layout."""
    return frames.float().sub_(127).div_(128)


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
        self.resolutions = tuple(resolutions)
        self.starts = dict(
            zip([c.name for c in clips], np.cumsum([0] + [c.frames for c in clips]).tolist(), strict=False)
        )
        self._scratch = scratch_folder(folder)
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
            loaded = scratch_array(Path(self._scratch.name, name), np.float32, (frames, *sides))
        with Maps(teacher.path) as maps:
            for clip in clips:
                found = maps.read(clip.name, resolution)
                if found.shape[:1] != (clip.frames,):
                    count = len(found) if found.ndim else 0
                    message = (
                        f"{teacher.path}: {clip.name}/{resolution} has {count} maps, but the clip {clip.frames}"
                        f" frames; run `lightvad maps` for {teacher.name} again"
                    )
                    raise LightvadError(message)
                wrong = found.ndim != 3 or (isinstance(resolution, int) and found.shape[1:] != sides)
                if wrong or found.dtype.kind != "f" or not np.isfinite(found).all():
                    message = (
                        f"{teacher.path}: {clip.name}/{resolution} of shape {found.shape} has another size or holds NaN"
                        f" or infinity; run `lightvad maps` for {teacher.name} again"
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

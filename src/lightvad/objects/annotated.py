"""Annotated objects of another dataset, cut along their masks and pasted into windows (sheet aed_mae, section 4).

An object lies where it lies in its own clip, and moves as it moves there: the frames of a window take the frames of its
track at the same distances, whatever the frame rates of the two datasets are (as in the released code).
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import pandas as pd

from lightvad.artifacts.arrays import ObjectMasks
from lightvad.artifacts.tables import BOX, OBJECTS, read_table
from lightvad.errors import LightvadError
from lightvad.video.clips import ClipStore, check_places
from lightvad.video.readers import WindowReader

SPLIT = "abnormal"
"""Of the clips whose objects are annotated."""
TRIES = 100
"""Draws until an object has a pixel left at the window's size."""

Appearance = Literal["paper", "released_code"]


class AnnotatedPaster:
    """Pastes annotated objects into windows, hard along their masks.

    Attributes:
        reader: the windows that objects are cut out of.
        clips: names of the clips whose objects are pasted.

    Args:
        clips: the prepared clips of the dataset that has the objects.
        names: of those of its clips whose objects are pasted.
        frame_size: (height, width) of a window, pixels.
        offsets: of its frames.
        smallest: pixels of the object's own frame; a track ends before the first frame with a smaller mask, or none.
        largest: share of the frame; larger objects are not pasted (the frame of a window that counts: offset 0).
        appearance: `paper`: as they are; `released_code`: gray, and blurred by a 3x3 Gaussian.

    Raises:
        LightvadError: these clips have no object that could be pasted, or their table or masks are damaged.
    """

    def __init__(
        self,
        clips: ClipStore,
        names: Sequence[str],
        *,
        frame_size: tuple[int, int],
        offsets: Sequence[int],
        smallest: int,
        largest: float,
        appearance: Appearance,
    ) -> None:
        self.reader = WindowReader(clips, offsets=offsets, frame_size=frame_size)
        self.clips = tuple(names)
        self._appearance = appearance
        objects = _objects_of(clips, names)
        self._owners, self._frames = objects["clip"].to_numpy(), objects["frame"].to_numpy()
        self._corners = objects[list(BOX)].to_numpy().astype(int)
        self._masks: dict[str, ObjectMasks] = {}
        tracks = [own for _, own in objects.groupby("track", sort=False)]
        places = [_usable(own, clips, offsets, smallest=smallest, largest=largest) for own in tracks]
        self._places = np.concatenate(places) if places else np.zeros(0, int)
        if not len(self._places):
            span = max(offsets) - min(offsets) + 1
            message = (
                f"{clips.root}: none of the {len(tracks)} tracks of {len(names)} clips of the split {SPLIT} can be"
                f" pasted (masks of at least {smallest} pixels over {span} frames, at most {largest:g} of the frame);"
                " choose another `synthetic.source`, or other limits of this one"
            )
            raise LightvadError(message)

    def paste(self, window: np.ndarray, draw: np.random.Generator, *, count: int = 1) -> np.ndarray:
        """Paste objects into a window uint8 (H, W, 3F), in place; `draw` decides which.

        Returns:
            bool (H, W): their pixels in the current frame (offset 0).

        Raises:
            LightvadError: at this size nothing is left of the objects.
        """
        covered = np.zeros(self.reader.frame_size, bool)
        for _ in range(count):
            covered |= self._paste(window, draw)
        return covered

    def _paste(self, window: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        for _ in range(TRIES):
            row = int(self._places[draw.integers(len(self._places))])
            covered = self._mask(row)
            if covered.any():
                break
        else:
            height, width = self.reader.frame_size
            message = (
                f"{self.reader.clips.root}: at {height}x{width} pixels no mask of {TRIES} drawn objects has a pixel;"
                " choose another `synthetic.source`, or a larger input"
            )
            raise LightvadError(message)
        source = self.reader.read((str(self._owners[row]), int(self._frames[row])))
        for k, offset in enumerate(self.reader.offsets):
            mask, channels = self._mask(row + offset), slice(3 * k, 3 * k + 3)
            pixels = source[..., channels]
            if self._appearance == "released_code":
                pixels = _gray_and_blurred(pixels, mask)
            window[..., channels][mask] = pixels[mask]
        return covered

    def _mask(self, row: int) -> np.ndarray:
        """The mask of an object at the size of a window: bool (H, W)."""
        name = str(self._owners[row])
        clip, own = self.reader.clips[name], np.flatnonzero(self._owners == name)
        if name not in self._masks:
            path = self.reader.clips.checked(self.reader.clips.root / "objects" / f"{name}.npz")
            self._masks[name] = ObjectMasks(path, (self._corners[own, 2:] - self._corners[own, :2])[:, ::-1])
        x1, y1, x2, y2 = self._corners[row]
        whole = np.zeros((clip.height, clip.width), np.uint8)
        whole[y1:y2, x1:x2] = self._masks[name][row - own[0]]
        height, width = self.reader.frame_size
        return cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


def _objects_of(clips: ClipStore, names: Sequence[str]) -> pd.DataFrame:
    """The rows of table OBJECTS that are about these clips; the rows of a clip lie together, a track's by frame."""
    path, remedy = clips.root / "objects.parquet", "run `lightvad prepare` of this dataset again"
    table = read_table(clips.checked(path), OBJECTS) if clips.prepared(path) else pd.DataFrame(columns=list(OBJECTS))
    if not names or not len(table):
        message = (
            f"{clips.root}: no annotated objects of clips of the split {SPLIT}, which `synthetic.source` asks for;"
            f" {remedy}, or choose another source"
        )
        raise LightvadError(message)
    check_places(table, clips.clips(SPLIT), path, remedy)
    own = table[table["clip"].isin(names)]
    return own.reset_index(drop=True)


def _usable(
    track: pd.DataFrame, clips: ClipStore, offsets: Sequence[int], *, smallest: int, largest: float
) -> np.ndarray:
    """The rows of a track around which the frames at all offsets have masks, until the track ends."""
    clip = clips[str(track["clip"].iat[0])]
    frames, areas = track["frame"].to_numpy(), track["area"].to_numpy()
    ends = (areas < smallest) | (frames != frames[0] + np.arange(len(frames)))
    length = int(ends.argmax()) if ends.any() else len(frames)
    places = np.arange(max(0, -min(offsets)), length - max(0, *offsets))
    return track.index.to_numpy()[places[areas[places] <= largest * clip.height * clip.width]]


def _gray_and_blurred(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): the object in gray on black, blurred."""
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    gray[~mask] = 0
    return np.repeat(cv2.GaussianBlur(gray, (3, 3), 0)[..., None], 3, axis=2)

"""Pictures and maps of a few frames, which figures show: `reconstructions.npz` and `pasted.npz`.

An ordinary `.npz` with one array for each picture and map, `CLIP/FRAME/NAME`. Pictures and maps are made so small that
a figure loses nothing, and the file stays small whatever the size of the frames.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lightvad.artifacts.arrays import array_names, maps_writer, read_arrays
from lightvad.errors import LightvadError

PICTURE_SIDE, MAP_SIDE = 240, 80
"""The longer side of a picture and of a map, at most."""
COMPRESSION = 6


@dataclass(frozen=True)
class ShownFrame:
    """What a method shows of one frame.

    Attributes:
        clip: its clip.
        frame: counted from 0.
        pictures: name -> uint8 (H, W, 3) RGB.
        maps: name -> float32 (h, w), finite.
    """

    clip: str
    frame: int
    pictures: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]


def write_shown(path: Path, frames: Iterable[ShownFrame], *, map_side: int = MAP_SIDE) -> None:
    """Write frames, each once, atomically; the same frames give the same bytes.

    Args:
        path: the file.
        frames: taken one by one; what is larger than PICTURE_SIDE and `map_side` is averaged down to it.
        map_side: the longer side of a map, at most.

    Raises:
        LightvadError: a map holds NaN or infinity.
    """
    with maps_writer(path, level=COMPRESSION) as writer:
        for shown in frames:
            for name, picture in shown.pictures.items():
                writer.note(_key(shown, name), reduced(picture, PICTURE_SIDE))
            for name, values in shown.maps.items():
                if not np.isfinite(values).all():
                    message = f"{path}: {name} of {shown.clip}, frame {shown.frame}, holds NaN or infinity; train again"
                    raise LightvadError(message)
                writer.note(_key(shown, name), reduced(values, map_side).astype(np.float32))


def _key(shown: ShownFrame, name: str) -> str:
    return f"{shown.clip}/{shown.frame}/{name}"


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """An image (H, W) or (H, W, C) whose longer side is `side` at most: means over areas; smaller ones as they are."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def read_shown(path: Path, clips: Container[str] | None = None, *, remedy: str) -> list[ShownFrame]:
    """Read frames in the order in which they were written.

    Args:
        path: the file.
        clips: whose frames are read; None: all.
        remedy: what to do if the file is not whole, for the message.

    Raises:
        LightvadError: the file is missing or damaged, or holds something else.
    """
    what = "pictures"
    names = [name for name in array_names(path, what=what, remedy=remedy) if clips is None or _place(name)[0] in clips]
    arrays = read_arrays(path, names, what=what, remedy=remedy)
    places: dict[tuple[str, str], ShownFrame] = {}
    for name, array in arrays.items():
        clip, frame, part = _place(name)
        picture = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
        if not (frame.isdecimal() and part and (picture or (array.dtype == np.float32 and array.ndim == 2))):
            message = f"{path}: {name!r} is neither a picture nor a map of a frame; {remedy}"
            raise LightvadError(message)
        shown = places.setdefault((clip, frame), ShownFrame(clip, int(frame), {}, {}))
        kept = shown.pictures if picture else shown.maps
        assert isinstance(kept, dict)  # noqa: S101 - made two lines above
        kept[part] = array
    return list(places.values())


def _place(name: str) -> tuple[str, str, str]:
    """Clip, frame and name of a picture or map; empty where the key says none."""
    place, _, part = name.rpartition("/")
    clip, _, frame = place.rpartition("/")
    return clip, frame, part

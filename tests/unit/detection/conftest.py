"""A tiny clip store on disk, made of drawn frames."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lightvad.artifacts.tables import INDEX, write_table
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip

HEIGHT, WIDTH = 60, 80


def square_frame(t: int, *, still: bool = False) -> np.ndarray:
    """Gray ground with a bright 12x20 rectangle that moves 3 px a frame to the right."""
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    left = 10 if still else 6 + 3 * t
    frame[20:40, left : left + 12] = 220
    return frame


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[dict[str, list[np.ndarray]]], ClipStore]:
    """Writes clips given as SPLIT/NAME -> frames and opens them."""

    def make(content: dict[str, list[np.ndarray]]) -> ClipStore:
        root = tmp_path / "clips"
        clips = []
        for place, frames in content.items():
            split, name = place.split("/")
            images = [
                (f"{t:04d}.png", cv2.imencode(".png", frame[:, :, ::-1])[1].tobytes()) for t, frame in enumerate(frames)
            ]
            write_zip_clip(root / split / f"{name}.zip", images)
            clips.append(Clip(name, split, len(frames), *frames[0].shape[:2], 10.0, "drawn"))
        write_table(root / "index.parquet", index_of(clips), INDEX)
        return ClipStore(root)

    return make

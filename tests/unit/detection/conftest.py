"""A tiny clip store on disk, made of drawn frames."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from lightvad.artifacts.tables import INDEX, write_table
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip

HEIGHT, WIDTH = 60, 80


@pytest.fixture(scope="session")
def moving_frame() -> Callable[[int], np.ndarray]:
    """Frame t, uint8 (60, 80, 3): gray ground, a checked rectangle 12x20 that moves 3 px a frame to the right."""
    checks = np.kron(np.indices((5, 3)).sum(0) % 2, np.ones((4, 4)))[..., None] * 60 + 180

    def frame(t: int) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        image[20:40, 6 + 3 * t : 18 + 3 * t] = checks
        return image

    return frame


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[Mapping[str, Sequence[np.ndarray]]], ClipStore]:
    """Writes clips given as SPLIT/NAME -> frames and opens them."""

    def make(content: Mapping[str, Sequence[np.ndarray]]) -> ClipStore:
        root = tmp_path / "clips"
        clips = []
        for place, frames in content.items():
            split, name = place.split("/")
            images = [(f"{t:04d}.png", cv2.imencode(".png", image[:, :, ::-1])[1]) for t, image in enumerate(frames)]
            write_zip_clip(root / split / f"{name}.zip", [(file, coded.tobytes()) for file, coded in images])
            clips.append(Clip(name, split, len(frames), *frames[0].shape[:2], 10.0, "drawn"))
        write_table(root / "index.parquet", index_of(clips), INDEX)
        return ClipStore(root)

    return make

"""A toy dataset: textured squares that move to the right over a gray ground."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.tables import BOX, BOXES, INDEX, checked, write_table
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl.settings import Settings
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip

HEIGHT, WIDTH, FRAMES = 40, 64, 16
SPLITS = {"train_01": "train", "train_02": "train", "train_03": "train", "test_01": "test"}
TOY: dict[str, Any] = {
    "crop_size": 16,
    "trunk": {"depth": "shallow", "width": "narrow"},
    "distillation": {"features": "none"},
    "training": {"epochs": 2, "batch": 8, "validation_objects": 16},
}


def square_at(t: int, row: int, generator: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """A frame with one bright, ramped square, and the square's box widened by two pixels."""
    frame = generator.integers(90, 110, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    left = 4 + 2 * t
    frame[row : row + 12, left : left + 12] = np.linspace(120, 250, 12, dtype=np.uint8)[None, :, None]
    return frame, [left - 2.5, row - 2.5, left + 14.5, row + 14.5]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipStore, pd.DataFrame]:
    """The clips and the boxes of the toy dataset."""
    root = tmp_path_factory.mktemp("toy")
    rows, clips = [], []
    for k, (name, split) in enumerate(SPLITS.items()):
        generator = np.random.default_rng(k)
        images = []
        for t in range(FRAMES):
            frame, box = square_at(t, 4 + 5 * k, generator)
            images.append((f"{t:03d}.png", cv2.imencode(".png", frame)[1].tobytes()))
            rows.append((name, t, *box, np.nan, -1))
        write_zip_clip(root / split / f"{name}.zip", images)
        clips.append(Clip(name, split, FRAMES, HEIGHT, WIDTH, 10.0, "toy"))
    write_table(root / "index.parquet", index_of(clips), INDEX)
    boxes = pd.DataFrame(rows, columns=list(BOXES))
    boxes[list(BOX)] = boxes[list(BOX)].clip(lower=0)
    return ClipStore(root), checked(boxes, BOXES, "toy")


@pytest.fixture
def toy_job(toy: tuple[ClipStore, pd.DataFrame], tmp_path: Path) -> Callable[..., Job]:
    """Make a job on the toy dataset; keywords replace settings, or fields of the job."""

    def make(*, folder: str = "run", classes: int = 3, **settings: Any) -> Job:
        clips, boxes = toy
        probabilities = np.tile(np.linspace(0.1, 0.9, max(classes, 1), dtype=np.float32)[:classes], (len(boxes), 1))
        return Job(
            what="toy ssmtl/default", folder=tmp_path / folder, settings=Settings(**{**TOY, **settings}), clips=clips,
            heldout=frozenset({"train_02"}), frame_size=(HEIGHT, WIDTH), resolutions=(1, 4), boxes=boxes,
            class_probabilities=probabilities, teachers=(), pretrained=None, seed=3, device="cpu", digest="0" * 64,
            metadata={"method": "ssmtl", "variant": "default"},
        )  # fmt: skip

    return make

"""A tiny scene: textured squares that glide over a textured ground."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.tables import BOXES, INDEX, checked, write_table
from lightvad.methods.background_agnostic.settings import Settings
from lightvad.methods.protocol import Job
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip

HEIGHT, WIDTH, FRAMES = 80, 112, 14
CLIPS = {"train_01": "train", "train_02": "train", "train_03": "train", "test_01": "test"}

TINY = {
    "flow": {"preset": "ultrafast", "scale": 8.0},
    "pseudo": {"images": 32, "motions": 24},
    "autoencoders": {"epochs": 2, "lr_drop_epoch": 2, "warmup_epochs": 1, "ramp_epochs": 1},
    "classifiers": {"epochs": 2, "lr": 1e-3},
    "batch": 8,
    "stride": 2,
    "objects_per_epoch": 16,
    "validation_objects": 8,
    "score_batch": 5,
}


def texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.2)


def scene(seed: int, speed: int) -> tuple[list[np.ndarray], list[tuple]]:
    ground, squares = texture(0, HEIGHT, WIDTH) // 2, [texture(seed + k, 22, 14) // 2 + 128 for k in range(3)]
    frames, boxes = [], []
    for t in range(FRAMES):
        frame = ground.copy()
        for k, square in enumerate(squares):
            x = (8 + 30 * k + (speed if k else 1) * t * (-1) ** k) % (WIDTH - 14)
            frame[6 + 24 * k : 28 + 24 * k, x : x + 14] = square
            boxes.append((t, x - 1.5, 4.5 + 24 * k, x + 15.5, 29.5 + 24 * k))
        frames.append(frame)
    return frames, boxes


@pytest.fixture(scope="session")
def tiny_scene(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    root = tmp_path_factory.mktemp("data") / "clips" / "tiny"
    clips, rows = [], []
    for number, (name, split) in enumerate(CLIPS.items()):
        frames, boxes = scene(number, speed=6 if split == "test" else 2)
        encoded = [(f"{t:03d}.png", cv2.imencode(".png", frame)[1].tobytes()) for t, frame in enumerate(frames)]
        write_zip_clip(root / split / f"{name}.zip", encoded)
        clips.append(Clip(name, split, FRAMES, HEIGHT, WIDTH, 10.0, "made here"))
        rows += [(name, t, max(x1, 0), y1, x2, y2, 0.9, 0) for t, x1, y1, x2, y2 in boxes if t != 5]
    write_table(root / "index.parquet", index_of(clips), INDEX)
    return root, checked(pd.DataFrame(rows, columns=list(BOXES)), BOXES, "tiny boxes")


@pytest.fixture
def tiny_job(tiny_scene, tmp_path) -> Callable[..., Job]:
    root, boxes = tiny_scene

    def make(folder: str = "run", heldout: frozenset[str] = frozenset({"train_03"}), **changes) -> Job:
        job = Job(
            what="tiny background_agnostic/default train", folder=tmp_path / folder,
            settings=Settings.model_validate(TINY | changes), clips=ClipStore(root), heldout=heldout,
            frame_size=(HEIGHT, WIDTH), resolutions=(1, 4), boxes=boxes,
            class_probabilities=np.zeros((len(boxes), 0), np.float32), teachers=(), pretrained=None, seed=0,
            device="cpu", digest="d" * 64, metadata={"method": "background_agnostic", "variant": "default"},
        )  # fmt: skip
        return replace(job)

    return make

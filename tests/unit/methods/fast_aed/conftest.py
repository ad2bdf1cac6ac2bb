"""A tiny dataset: drawn clips, labels, and two teachers' maps of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from lightvad.artifacts.arrays import maps_writer
from lightvad.artifacts.tables import BOXES, INDEX, LABELS, write_table
from lightvad.methods.fast_aed.settings import Settings
from lightvad.methods.protocol import Job, TeacherMaps
from lightvad.project import merged
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip

HEIGHT, WIDTH, FRAMES = 40, 56, 9
CLIPS = {"train_01": "train", "train_02": "train", "train_03": "train", "test_01": "test"}
TEACHERS = [{"method": "first"}, {"method": "second"}]
TINY: dict[str, Any] = {
    "teachers": TEACHERS,
    "pretrained_variant": None,
    "network": {"blocks": 1, "heads": 1},
    "pretraining": {"epochs": 1, "batch": 4, "windows_per_epoch": 8, "lr": 1e-3},
    "training": {"epochs": 2, "batch": 4, "windows_per_epoch": 8, "lr": 1e-3},
    "recalibration_batches": 1,
    "validation_windows": 4,
    "score_batch": 4,
}


def frame(clip: int, t: int) -> np.ndarray:
    """A square that glides over a ramp; the gray level of the corner pixel says which frame it is."""
    image = np.tile(np.linspace(40, 120, WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))
    image[8 + 4 * clip : 20 + 4 * clip, 3 + 4 * t : 11 + 4 * t] = (230, 200, 150)
    image[0, 0] = 100 * clip + t
    return image


def boxes() -> pd.DataFrame:
    """Table BOXES of the squares of the training clips."""
    rows = [
        (name, t, 3 + 4 * t, 8 + 4 * clip, 11 + 4 * t, 20 + 4 * clip, np.nan, -1)
        for clip, name in enumerate(n for n, split in CLIPS.items() if split == "train")
        for t in range(FRAMES)
    ]
    return pd.DataFrame(rows, columns=list(BOXES)).astype(BOXES)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    root = tmp_path_factory.mktemp("data") / "clips" / "tiny"
    clips = []
    for number, (name, split) in enumerate(CLIPS.items()):
        images = [(f"{t:03d}.png", cv2.imencode(".png", frame(number % 3, t)[:, :, ::-1])[1]) for t in range(FRAMES)]
        write_zip_clip(root / split / f"{name}.zip", [(file, coded.tobytes()) for file, coded in images])
        clips.append(Clip(name, split, FRAMES, HEIGHT, WIDTH, 10.0, "drawn"))
    write_table(root / "index.parquet", index_of(clips), INDEX)
    labels = pd.DataFrame({"clip": "test_01", "frame": range(FRAMES), "label": [0] * 5 + [1] * (FRAMES - 5)})
    write_table(root / "labels.parquet", labels, LABELS)
    return ClipStore(root)


@pytest.fixture(scope="session")
def teachers(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[TeacherMaps, ...]:
    """Random maps; the second teacher's are those of the first, halved."""
    folder = tmp_path_factory.mktemp("teachers")
    made = []
    for factor, name in ((1.0, "first"), (0.5, "second")):
        draw = np.random.default_rng(0)
        with maps_writer(folder / name / "maps.npz") as writer:
            for clip in store.clips("train"):
                for side in (1, 2, 4, "full"):
                    sides = (HEIGHT, WIDTH) if side == "full" else (side, side)
                    maps = draw.random((FRAMES, *sides), np.float32) * np.float32(factor)
                    writer.write(clip.name, side, maps.shape, [maps])
        made.append(TeacherMaps(name, folder / name / "maps.npz", 1.0))
    return tuple(made)


@pytest.fixture
def make_job(store: ClipStore, teachers: tuple[TeacherMaps, ...], tmp_path: Path) -> Callable[..., Job]:
    """A job of tiny settings in a folder of its own; keywords are layers of settings."""
    torch.set_num_threads(1)

    def make(name: str = "run", settings: dict[str, Any] | None = None, **job: Any) -> Job:
        parsed = Settings.model_validate(merged(TINY, settings or {}))
        wanted = {
            "what": f"tiny fast_aed/{name}",
            "folder": tmp_path / name,
            "settings": parsed,
            "clips": store,
            "heldout": frozenset({"train_03"}),
            "frame_size": (HEIGHT, WIDTH),
            "resolutions": (1, 2, 4),
            "boxes": pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in BOXES.items()}),
            "class_probabilities": np.zeros((0, 0), np.float32),
            "teachers": teachers[: len(parsed.teachers)],
            "pretrained": None,
            "seed": 3,
            "device": "cpu",
            "digest": "d",
            "metadata": {"method": "fast_aed", "variant": name},
        }
        return Job(**{**wanted, **job})

    return make

"""Two teachers' maps of the drawn clips, and jobs on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.unit.drawn_clips import FRAMES, HEIGHT, WIDTH

from lightvad.artifacts.arrays import maps_writer
from lightvad.artifacts.tables import BOXES
from lightvad.methods.fast_aed.settings import Settings
from lightvad.methods.protocol import Job, TeacherMaps
from lightvad.project import merged
from lightvad.video.clips import ClipStore

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


@pytest.fixture(scope="session")
def store(drawn_clips: ClipStore) -> ClipStore:
    return drawn_clips


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

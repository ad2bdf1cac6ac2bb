"""Jobs of a tiny AED-MAE on the drawn clips."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.drawn_clips import HEIGHT, WIDTH, boxes

from lightvad.methods.aed_mae.settings import Settings
from lightvad.methods.protocol import Job
from lightvad.project import merged
from lightvad.video.clips import ClipStore

TINY: dict[str, Any] = {
    "network": {"patch": 8},
    "synthetic": {"share": 0.5},
    "teacher_training": {"epochs": 2, "batch": 4, "frames_per_epoch": 8, "lr": 1e-3},
    "student_training": {"epochs": 2, "batch": 4, "frames_per_epoch": 8, "lr": 1e-3},
    "validation_frames": 4,
    "score_batch": 4,
}


@pytest.fixture
def make_job(drawn_clips: ClipStore, tmp_path: Path) -> Callable[..., Job]:
    """A job of tiny settings in a folder of its own; keywords are layers of settings."""
    torch.set_num_threads(1)

    def make(name: str = "run", settings: dict[str, Any] | None = None, **job: Any) -> Job:
        parsed = Settings.model_validate(merged(TINY, settings or {}))
        wanted = {
            "what": f"tiny aed_mae/{name}",
            "folder": tmp_path / name,
            "settings": parsed,
            "clips": drawn_clips,
            "heldout": frozenset({"train_03"}),
            "frame_size": (HEIGHT, WIDTH),
            "resolutions": (1, 2, 4),
            "boxes": boxes(),
            "class_probabilities": np.zeros((0, 0), np.float32),
            "teachers": (),
            "pretrained": tmp_path / name / "pretrained.safetensors",
            "seed": 3,
            "device": "cpu",
            "digest": "d",
            "metadata": {"method": "aed_mae", "variant": name},
        }
        return Job(**{**wanted, **job})

    return make

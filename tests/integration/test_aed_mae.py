"""AED-MAE through the command line: all stages, what they leave, and an export that scores a video."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.documents import read_json
from lightvad.artifacts.weights import read_metadata
from lightvad.layout import Run

from .conftest import Command
from .tiny_ped2 import FRAMES

RUN = Run("ped2", "tiny", "aed_mae", "default", 0)
SHORT = [
    "methods.aed_mae.settings.network={input_size: [32, 48], patch: 8}",
    "methods.aed_mae.settings.synthetic.normal_share=0",
    "methods.aed_mae.settings.teacher_training={epochs: 1, batch: 4, frames_per_epoch: 4}",
    "methods.aed_mae.settings.student_training={epochs: 1, batch: 4, frames_per_epoch: 4}",
]


def test_all_stages_and_an_export(project: Callable[[str], Path], lightvad: Command, tmp_path: Path) -> None:
    root = project("prepared")
    keys = [part for item in SHORT for part in ("--set", item)]
    for stage in ("pretrain", "train", "score", "evaluate"):
        ended = lightvad(root, stage, "--run", str(RUN.folder), *keys)
        assert ended.status == 0, ended.err
    folder = root / RUN.folder
    assert read_metadata(folder / "model.safetensors")["input_size"] == "32x48"
    scores = pd.read_parquet(folder / "frame_scores.parquet")
    assert len(scores) == 2 * FRAMES
    assert np.isfinite(scores["score"]).all()
    with Maps(folder / "maps.npz") as maps:
        assert {maps.read(clip, "patches").shape for clip in scores["clip"].unique()} == {(FRAMES, 4, 6)}
    metrics = read_json(folder / "metrics.json")
    assert {"plain", "aed_mae_avenue"} <= set(metrics["protocols"])
    assert metrics["rbdc"] is not None
    export = tmp_path / "student.lightvad"
    ended = lightvad(root, "export", "--run", str(RUN.folder), "--to", "onnx", "--out", str(export), *keys)
    assert ended.status == 0, ended.err
    assert export.stat().st_size > 1_000_000

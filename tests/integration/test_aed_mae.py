"""AED-MAE through the command line: all stages, what they leave, and an export that scores a video."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.documents import read_json
from lightvad.artifacts.weights import read_metadata, read_weights
from lightvad.layout import Run
from lightvad.reporting.results import recorded

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
    _check_figures(root, folder, lightvad, keys)
    export = tmp_path / "student.lightvad"
    ended = lightvad(root, "export", "--run", str(RUN.folder), "--to", "onnx", "--out", str(export), *keys)
    assert ended.status == 0, ended.err
    assert export.stat().st_size > 1_000_000


def _check_figures(root: Path, folder: Path, lightvad: Command, keys: list[str]) -> None:
    """Figures 3, 5 and 7 from what the run has kept: four frames of two clips, and nothing of one that kept none."""
    assert "pasted.npz" in " ".join(read_json(folder / "records/pretrain.json")["outputs"])
    assert "reconstructions.npz" in " ".join(read_json(folder / "records/score.json")["outputs"])
    assert "reconstructions.npz" not in " ".join(read_json(folder / "records/evaluate.json")["inputs"])
    chosen = [
        part for n in (5, 7) for part in ("--set", f"experiments.aed_mae.figures.{n}.clips.ped2=[Test001, Test002]")
    ]
    parts = {"3": 3, "5": 2, "7": 5}
    for number, count in parts.items():
        command = ("figure", "--paper", "aed_mae", "--number", number, "--datasets", "ped2", "--budget", "tiny")
        ended = lightvad(root, *command, *keys, *chosen)
        assert ended.status == 0, ended.err
        path = root / "results/figures/ped2/tiny/aed_mae" / f"figure{number}.csv"
        lines = pd.read_csv(path)
        assert lines["part"].nunique() == count
        if number != "3":
            assert lines["clip"].nunique() == 2
            assert len(lines) == count * 4, "an abnormal and a normal frame of each clip"
        picture = cv2.imread(str(path.with_suffix(".png")))
        assert picture.std() > 10
        document = "pasted.npz" if number == "3" else "reconstructions.npz"
        assert str(RUN.folder / document) in read_json(path.parent / "records" / f"figure{number}.json")["inputs"]
    (folder / "reconstructions.npz").unlink()
    ended = lightvad(root, *command, *keys, *chosen)
    assert (ended.status, len(ended.lines)) == (1, 1)
    assert "reconstructions.npz: missing" in ended.err


def test_another_sum_of_the_same_weights_trains_nothing(project: Callable[[str], Path], lightvad: Command) -> None:
    """`weights_variant` from pre-training to the table's columns: records, provenance, and what is wrong in a line."""
    root = project("prepared")
    keys = [part for item in SHORT for part in ("--set", item)]
    taken = replace(RUN, variant="alpha_10")
    ended = lightvad(root, "train", "--run", str(taken.folder), *keys)
    assert ended.status == 1
    assert ended.lines[-1].startswith(f"lightvad: {RUN.folder / 'model.safetensors'}: missing")
    for run, stages in ((RUN, ("pretrain", "train")), (taken, ("train", "score", "evaluate"))):
        for stage in stages:
            ended = lightvad(root, stage, "--run", str(run.folder), *keys)
            assert ended.status == 0, ended.err
    folder = root / taken.folder
    own, header = read_weights(folder / "model.safetensors")
    weights, _ = read_weights(root / RUN.folder / "model.safetensors")
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[name], weights[name]) for name in own)
    assert header["variant"] == "alpha_10"
    assert pd.read_csv(folder / "training.csv")["epoch"].tolist() == [0]
    record = read_json(folder / "records/train.json")
    assert list(record["inputs"]) == [str(RUN.folder / "model.safetensors")]
    assert set(read_json(folder / "record.json")["stages"]) == {"train", "score", "evaluate"}
    scored = read_json(folder / "records/score.json")
    assert recorded(root, [taken], "precision") == scored["precision"]
    assert recorded(root, [taken], "device") == scored["device"]
    ended = lightvad(root, "explain", str(taken.folder / "metrics.json"), "--json")
    stages = [
        (stage["stage"], Run.parse(Path(stage["record"]).parents[1]).variant)
        for stage in json.loads(ended.out)["stages"]
        if stage["record"].startswith("results/runs")
    ]
    assert stages == [
        ("pretrain", "default"),
        ("train", "default"),
        ("train", "alpha_10"),
        ("score", "alpha_10"),
        ("evaluate", "alpha_10"),
    ]
    assert lightvad(root, "verify").status == 0

    longer = [*keys, "--set", "methods.aed_mae.settings.student_training.epochs=2"]
    assert lightvad(root, "train", "--run", str(RUN.folder), *longer).status == 0
    ended = lightvad(root, "verify")
    assert ended.status == 1
    assert f"broken  {taken.folder / 'records/train.json'}: it read {RUN.folder / 'model.safetensors'}" in ended.out

"""Evaluation: what the papers' choice among kept epochs would have given, and the records that are gathered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.documents import read_json, read_sealed, write_json, write_sealed
from lightvad.artifacts.tables import EPOCH_SCORES, FRAME_SCORES, INDEX, REGIONS, TRACKS, write_table
from lightvad.errors import LightvadError
from lightvad.layout import Run, clips_folder
from lightvad.project import Project
from lightvad.stages import evaluate
from lightvad.stages.machine import Machine
from lightvad.video.clips import Clip, index_of

RUN = Run("plaza", "quick", "fast_aed", "default", 0)
FRAMES, CLIPS = 40, ("test_01", "test_02")
KEPT = (
    "budgets.quick.methods.fast_aed.checkpoints_on_test=3",
    "budgets.quick.datasets.plaza.fast_aed.training.epochs=3",
)


def scores(quality: float, seed: int) -> pd.DataFrame:
    """Two clips whose second half is abnormal; `quality` says how far its scores lie above the rest."""
    noise = np.random.default_rng(seed)
    labels = (np.arange(FRAMES) >= FRAMES // 2).astype(np.int8)
    parts = [
        pd.DataFrame({"clip": name, "frame": np.arange(FRAMES), "label": labels}).assign(
            score=noise.normal(0, 1, FRAMES) + quality * labels
        )
        for name in CLIPS
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    """A student of three epochs: the first is chance, the second best, the last in between."""
    (tmp_path / "config").symlink_to(repository / "config")
    clips, run = tmp_path / clips_folder("plaza"), tmp_path / RUN.folder
    index = index_of([Clip(name, "test", FRAMES, 48, 64, 10.0, "noise") for name in CLIPS])
    write_table(clips / "index.parquet", index, INDEX)
    write_json(clips / "checksums.json", {})
    nothing = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TRACKS.items()})
    write_table(clips / "tracks.parquet", nothing, TRACKS)
    write_table(
        run / "regions.parquet", nothing.drop(columns="track").assign(score=pd.Series(dtype="float32")), REGIONS
    )
    write_table(run / "frame_scores.parquet", scores(0.8, 3), FRAME_SCORES)
    kept = [scores(quality, epoch).assign(epoch=epoch) for epoch, quality in ((1, 0.0), (2, 4.0))]
    write_table(run / "epoch_scores.parquet", pd.concat(kept).drop(columns="label"), EPOCH_SCORES)
    return Project(tmp_path, KEPT)


def test_the_result_is_the_last_epochs_and_the_best_on_test_stands_beside_it(project: Project) -> None:
    evaluate.run(project, RUN, Machine("cpu"))
    metrics = read_json(project.root / RUN.folder / "metrics.json")
    assert metrics["checkpoint"] == "last"
    assert set(metrics["best_on_test"]) == set(metrics["protocols"])
    for name, best in metrics["best_on_test"].items():
        assert best["epoch"] == 2
        assert best["micro_auc"] > metrics["protocols"][name]["micro_auc"]
    # Without the kept epochs the result is the same to the last digit.
    evaluate.run(Project(project.root), RUN, Machine("cpu"))
    alone = read_json(project.root / RUN.folder / "metrics.json")
    assert alone["best_on_test"] is None
    assert alone["protocols"] == metrics["protocols"]


def test_records_of_the_runs_own_stages_are_gathered_and_missing_ones_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.root / RUN.folder
    record = {"command": "lightvad", "inputs": {}, "outputs": {}, "started": "2026-11-22T00:00:00Z"}
    for stage in ("train", "score", "maps"):
        write_sealed(folder / "records" / f"{stage}.json", {**record, "threads": len(stage)})
    evaluate.run(project, RUN, Machine("cpu"))
    gathered = read_sealed(folder / "record.json")["stages"]
    assert set(gathered) == {"train", "score", "evaluate"}, "a student has no stage maps"
    assert gathered["train"] == read_sealed(folder / "records" / "train.json")
    warned = [line for line in capsys.readouterr().err.splitlines() if "record.json" in line]
    assert [line.split(":")[1].strip() for line in warned] == [str(RUN.folder / "records" / "pretrain.json")]


def test_scores_of_an_epoch_that_do_not_fit_are_one_line(project: Project) -> None:
    path = project.root / RUN.folder / "epoch_scores.parquet"
    table = pd.read_parquet(path)
    write_table(path, table[(table["epoch"] != 2) | (table["frame"] < 30)], EPOCH_SCORES)
    with pytest.raises(LightvadError, match=r"epoch_scores.parquet: epoch 2 has 60 scores for 80 frames; run"):
        evaluate.run(project, RUN, Machine("cpu"))

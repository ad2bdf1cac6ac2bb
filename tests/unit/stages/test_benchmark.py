"""The benchmark's rows and documents, from a tiny run on disk and without data. No test asserts a time."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json, write_json
from lightvad.artifacts.tables import INDEX, LABELS, write_table
from lightvad.artifacts.weights import read_weights, write_weights
from lightvad.errors import LightvadError
from lightvad.layout import Run, clips_folder, speeds_path
from lightvad.methods.fast_aed.model import AutoEncoder
from lightvad.methods.protocol import part_of
from lightvad.project import Project
from lightvad.resolution import settings_of
from lightvad.stages import benchmark, score
from lightvad.stages.machine import Machine
from lightvad.video.clips import Clip, index_of, prepared_files, write_zip_clip

RUN = Run("plaza", "quick", "fast_aed", "default", 0)
HEIGHT, WIDTH, FRAMES = 48, 64, 12
SMALL = (
    "datasets.plaza.frame_size=[48, 64]",
    "budgets.quick.benchmark={warmup: 0, iterations: 2, rounds: 1, batches: [1]}",
    "methods.fast_aed.settings.network={blocks: 1, heads: 1}",
)
RECONSTRUCTION = (
    "methods.fast_aed.settings.teachers=[]",
    "methods.fast_aed.settings.distillation=false",
    "methods.fast_aed.settings.adversarial.discriminators=none",
)
"""The auto-encoder's error is the score: a run without teachers."""
BF16, FP32 = "bf16-mixed", "32-true"


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    """A student with random weights, one clip of noise whose middle is abnormal."""
    (tmp_path / "config").symlink_to(repository / "config")
    project = Project(tmp_path, (*SMALL, *RECONSTRUCTION))
    noise = np.random.default_rng(0)
    images = [
        (f"{t:03}.png", cv2.imencode(".png", noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))[1].tobytes())
        for t in range(FRAMES)
    ]
    clips = tmp_path / clips_folder("plaza")
    write_zip_clip(clips / "test" / "test_01.zip", images)
    write_table(
        clips / "index.parquet", index_of([Clip("test_01", "test", FRAMES, HEIGHT, WIDTH, 10.0, "noise")]), INDEX
    )
    labels = np.isin(np.arange(FRAMES), [5, 6, 7]).astype(np.int8)
    table = pd.DataFrame({"clip": "test_01", "frame": np.arange(FRAMES), "label": labels})
    write_table(clips / "labels.parquet", table.sample(frac=1, random_state=0), LABELS)
    write_json(clips / "checksums.json", {str(path): sha256_of(clips / path) for path in prepared_files(clips)})
    settings = settings_of(project, RUN)
    weights = AutoEncoder(settings.network, settings.autoencoder).state_dict()  # type: ignore[attr-defined]
    write_weights(tmp_path / RUN.folder / "model.safetensors", weights, {"method": "fast_aed"})
    return project


def told_last(rows: list[dict], where: str) -> list[str]:
    """The last lines of a benchmark of these rows."""
    row = rows[0]
    lines = [f"{where}: frames/s (median), {row['device']}, 1 threads, frames of {HEIGHT} x {WIDTH} pixels:"]
    paths = dict.fromkeys((row["variant"], row["precision"], row["scored"]) for row in rows)
    for variant, precision, scored in paths:
        own = [row for row in rows if (row["variant"], row["precision"]) == (variant, precision)]
        name = f"fast_aed/{variant}, eager, {precision}, batch 1" + (
            "" if scored else " (reference, not what is scored)"
        )
        scopes = {"model": "model only", "end_to_end": "end to end"}
        lines += [f"  {name}: " + ", ".join(f"{row['fps_median']:.1f} {scopes[row['scope']]}" for row in own)]
    return lines


def rows_of(project: Project) -> list[dict]:
    benchmark.run(project, RUN, Machine("cpu", 1))
    return read_json(project.root / RUN.folder / "speed.json")


def test_a_run_scored_in_bf16_is_timed_beside_fp32_of_the_same_weights(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(project)
    assert capsys.readouterr().err.splitlines()[-3:] == told_last(rows, f"{RUN.folder}/speed.json")
    assert [(row["scope"], row["precision"], row["scored"]) for row in rows] == [
        ("model", FP32, False),
        ("model", BF16, True),
        ("end_to_end", FP32, False),
        ("end_to_end", BF16, True),
    ]
    for row in rows:
        assert row["compared_frames"] == (FRAMES if row["scored"] else None)
        assert isinstance(row["auc_diff"], float)
    # Other random weights would differ by as much as the scores themselves; the same ones by rounding.
    assert 0 < rows[1]["max_abs_score_diff"] < 0.02
    complexity = read_json(project.root / RUN.folder / "complexity.json")
    assert complexity["input"] == [9, HEIGHT, WIDTH]
    assert "beside" not in complexity, "the reference is no other method"


def test_a_run_scored_in_fp32_is_its_own_reference(project: Project) -> None:
    exact = Project(project.root, (*project.overrides, f"methods.fast_aed.settings.score_precision={FP32}"))
    rows = rows_of(exact)
    assert [(row["scope"], row["precision"], row["scored"]) for row in rows] == [
        ("model", FP32, True),
        ("end_to_end", FP32, True),
    ]
    assert {(row["max_abs_score_diff"], row["auc_diff"]) for row in rows} == {(0, 0)}


def test_each_method_is_timed_and_counted_at_its_own_input_size(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("methods.aed_mae.settings.network={input_size: [32, 64], patch: 8}",)
    both = Project(project.root, (*project.overrides, *own))
    run, device = replace(RUN, method="aed_mae"), Machine("cpu", 1)
    scorer = part_of("aed_mae", "scoring").scorer(
        settings_of(both, run), frame_size=(HEIGHT, WIDTH), resolutions=(1,), weights=None, device="cpu"
    )
    path = both.root / run.folder / "model.safetensors"
    write_weights(path, scorer.network.network.state_dict(), {"method": "aed_mae"})
    benchmark.run(both, run, device)
    rows = read_json(both.root / run.folder / "speed.json")
    assert {(row["method"], row["height"], row["width"]) for row in rows} == {
        ("aed_mae", 32, 64), ("fast_aed", HEIGHT, WIDTH)
    }  # fmt: skip
    assert {(row["method"], row["scope"]) for row in rows if row["scored"]} == {
        (method, scope) for method in ("aed_mae", "fast_aed") for scope in ("model", "end_to_end")
    }
    complexity = read_json(both.root / run.folder / "complexity.json")
    assert complexity["input"] == [9, 32, 64]
    (beside,) = complexity["beside"]
    assert (beside["method"], beside["input"]) == ("fast_aed", [9, HEIGHT, WIDTH])
    told = capsys.readouterr().err.splitlines()[-4:]
    assert [line.partition(",")[0] for line in told] == ["  aed_mae/default"] * 2 + ["  fast_aed/default"] * 2
    assert "batch 1, frames of 32 x 64 pixels" in told[0]
    assert "batch 1, frames of 48 x 64 pixels" in told[3]


def test_labels_are_an_input(project: Project) -> None:
    (project.root / clips_folder("plaza") / "labels.parquet").unlink()
    with pytest.raises(LightvadError, match=r"labels\.parquet: missing"):
        rows_of(project)


@pytest.mark.parametrize("stage", [score, benchmark], ids=["score", "benchmark"])
def test_another_runs_weights_are_neither_scored_nor_timed(project: Project, stage: ModuleType) -> None:
    path = project.root / RUN.folder / "model.safetensors"
    state, header = read_weights(path)
    write_weights(path, state, header | {"variant": "no_adversarial"})
    with pytest.raises(LightvadError, match=r"model\.safetensors: weights of another run \(fast_aed/no_adversarial on"):
        stage.run(project, RUN, Machine("cpu", 1))
    assert {found.name for found in path.parent.iterdir() if not found.name.endswith(".lock")} == {"model.safetensors"}


def test_without_data_both_precisions_are_timed_and_nothing_is_compared(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.run_without_data(
        Project(repository, SMALL), method="fast_aed", variant="default", height=HEIGHT, width=WIDTH, budget="quick",
        machine=Machine("cpu", 1), out=tmp_path / "speed.json",
    )  # fmt: skip
    rows = read_json(tmp_path / "speed.json")["speed"]
    assert [(row["precision"], row["scored"], row["max_abs_score_diff"]) for row in rows] == [
        (FP32, False, 0),
        (BF16, True, None),
    ]
    assert capsys.readouterr().err.splitlines()[-3:] == told_last(rows, f"{tmp_path}/speed.json")


def test_the_rows_of_a_table_are_timed_in_one_process_without_data(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    project = Project(tmp_path, SMALL[:2])
    benchmark.run_table(
        project, paper="fast_aed", number="8", dataset="plaza", budget="quick", machine=Machine("cpu", 1), root=tmp_path
    )
    path = speeds_path("plaza", "quick", "fast_aed", "8")
    rows = read_json(tmp_path / path)
    assert capsys.readouterr().err.splitlines()[-3:] == told_last(rows, str(path))
    assert [row["variant"] for row in rows] == ["fully_connected", "t1_rec_kd"]
    assert {(row["scope"], row["batch"], row["height"], row["width"]) for row in rows} == {("model", 1, HEIGHT, WIDTH)}
    record = read_json(tmp_path / path.parent / "records" / "table8.json")
    assert record["command"].startswith("lightvad benchmark --paper fast_aed --table 8 --dataset plaza --budget quick")
    assert list(record["config"]["rows"]) == ["fast_aed/fully_connected", "fast_aed/t1_rec_kd"]


@pytest.mark.parametrize(("number", "told"), [("7", "tables.7 has no `speeds`"), ("99", "no table 99; it has 1, 2")])
def test_a_table_without_speeds_is_one_line(repository: Path, number: str, told: str) -> None:
    with pytest.raises(LightvadError, match=told):
        benchmark.run_table(
            Project(repository), paper="fast_aed", number=number, dataset="plaza", budget="quick",
            machine=Machine("cpu"), root=repository,
        )  # fmt: skip

"""A small project with made-up runs: every number here is synthetic and stands for nothing."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lightvad.artifacts.arrays import maps_writer, write_masks
from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import read_json, write_json, write_sealed
from lightvad.artifacts.tables import FRAME_SCORES, INDEX, UNKNOWN, read_table, write_table
from lightvad.config import Table
from lightvad.layout import Run, clips_folder, speeds_path
from lightvad.project import Project
from lightvad.reporting.selection import report_runs
from lightvad.video.clips import Clip, index_of, prepared_files, write_zip_clip

BUDGET = "quick"
HEIGHT, WIDTH, FRAMES = 120, 180, 60
CLIPS = {
    "plaza": ["test_01", "test_02", "test_03", "test_04", "test_05"],
    "ped2": ["Test001", "Test002", "Test004", "Test006", "Test012"],
    "avenue": ["Test01"],
}
RUNS = [
    ("fast_aed", "default"),
    ("fast_aed", "no_adversarial"),
    ("fast_aed", "pasted"),
    ("background_agnostic", "default"),
    ("ssmtl", "default"),
]
QUALITY = {"fast_aed": 0.85, "background_agnostic": 0.93, "ssmtl": 0.91}
FPS = {"fast_aed": {"model": 61.0, "end_to_end": 44.0}, "background_agnostic": {"model": 3.1, "end_to_end": 2.9}}
FPS["ssmtl"] = {"model": 4.4, "end_to_end": 4.0}
REFERENCE_FACTOR = 2
"""The student is scored in bf16; its fp32 reference is this much slower, and stands first in `speed.json`."""

DATASET = """
name: {name}
title: {title}
fps: {fps}
frame_size: [120, 180]
clips: {{train: 1, test: 5}}
frames: {{train: 60, test: 300}}
detection: {{backend: motion}}
map_resolutions: [4, 8, 16]
note: "{note}"
"""
NOTES = {"plaza": "synthetic: generated scene", "ped2": ""}
SOURCES = {"plaza": "generated, seed 0", "ped2": "re-encoded H.264 (compact: x264 CRF 17 of the JPEG frames)"}


def write_configuration(root: Path, repository: Path) -> None:
    """The repository's experiments and reported tables, and two small datasets."""
    for folder in ("experiments", "reported"):
        shutil.copytree(repository / "config" / folder, root / "config" / folder)
    for name, title, fps in (("plaza", "Plaza", 25), ("ped2", "UCSD Ped2", 10)):
        text = DATASET.format(name=name, title=title, fps=fps, note=NOTES[name])
        write_text(root / "config" / "datasets" / f"{name}.yaml", text)
    write_text(root / "config" / "budgets" / f"{BUDGET}.yaml", f"name: {BUDGET}\ntitle: made-up numbers\n")


def write_clips(root: Path, dataset: str) -> None:
    """Five clips in which a dark square crosses a textured ground in the middle third."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(90, 200, (HEIGHT, WIDTH, 3), np.uint8), (9, 9), 0)
    folder = root / clips_folder(dataset)
    clips = []
    for number, name in enumerate(CLIPS[dataset]):
        masks = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
        images = []
        for t in range(FRAMES):
            image = ground.copy()
            image[40:70, (2 * t) % 150 : (2 * t) % 150 + 12] = (40, 60, 160)
            if 20 <= t < 40:
                x, y = 6 * (t - 20) + 5, 20 + 12 * number
                image[y : y + 24, x : x + 24] = (150, 40, 30)
                masks[t, y : y + 24, x : x + 24] = True
            images.append((f"{t:04d}.png", cv2.imencode(".png", image)[1].tobytes()))
        write_zip_clip(folder / "test" / f"{name}.zip", images)
        write_masks(folder / "masks" / f"{name}.npz", masks)
        clips.append(Clip(name, "test", FRAMES, HEIGHT, WIDTH, 25.0, SOURCES[dataset]))
    write_table(folder / "index.parquet", index_of(clips), INDEX)
    files = prepared_files(folder)
    write_json(folder / "checksums.json", {file.as_posix(): sha256_of(folder / file) for file in files})


def write_run(root: Path, run: Run) -> None:
    """Scores, maps, metrics, record and speed of one run."""
    rng = np.random.default_rng([run.seed, len(run.method), len(run.variant)])
    folder = root / run.folder
    quality = QUALITY[run.method] + 0.01 * run.seed - 0.012 * (run.variant != "default")
    labels = np.zeros(FRAMES, np.int8)
    labels[20:40] = 1
    tables = []
    with maps_writer(folder / "maps.npz") as writer:
        for number, name in enumerate(CLIPS[run.dataset]):
            score = rng.gamma(2, 0.05, FRAMES) + labels * quality * 0.6
            tables.append(pd.DataFrame({"clip": name, "frame": range(FRAMES), "score": score, "label": labels}))
            grid = rng.gamma(1, 0.04, (FRAMES, 16, 16)).astype(np.float32)
            for t in range(20, 40):
                x, y = (6 * (t - 20) + 17) * 16 // WIDTH, (32 + 12 * number) * 16 // HEIGHT
                grid[t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] += quality
            writer.write(name, 16, grid.shape, [grid])
    write_numbers(root, run, quality)
    write_table(folder / "frame_scores.parquet", pd.concat(tables), FRAME_SCORES)
    if run.method == "fast_aed":
        write_json(folder / "speed.json", speed_of(run.variant))
        write_json(folder / "complexity.json", complexity_of())


def write_numbers(root: Path, run: Run, quality: float) -> None:
    """Metrics, record and frame scores of one run: all that most tables read."""
    folder = root / run.folder
    rng = np.random.default_rng([run.seed, *run.variant.encode()])
    labels = np.zeros(FRAMES, np.int8)
    labels[20:40] = 1
    scores = [
        pd.DataFrame({"clip": name, "frame": range(FRAMES), "label": labels}).assign(
            score=rng.gamma(2, 0.2, FRAMES) + labels * quality * 0.6
        )
        for name in CLIPS[run.dataset]
    ]
    write_table(folder / "frame_scores.parquet", pd.concat(scores), FRAME_SCORES)
    write_json(folder / "metrics.json", metrics_of(run, quality))
    stage = {
        "config_digest": "c" * 64,
        "code_digest": "d" * 64,
        "inputs": {"boxes.parquet": "e" * 64},
        "outputs": {f"{run.folder}/model.safetensors": "f" * 64},
        "packages": {"torch": "2.15"},
    }
    stage |= {"device": "Synthetic CPU (2 cores)", "precision": "32-true", "seconds": 12.5, "peak_memory_mb": 700}
    stage |= {"command": f"lightvad train --run {run.folder}", "started": "2026-01-02T03:04:05Z"}
    write_sealed(
        folder / "record.json", {"stages": {"train": stage, "score": stage, "evaluate": stage | {"device": "-"}}}
    )


def metrics_of(run: Run, quality: float) -> dict[str, object]:
    """`metrics.json`: each protocol differs by a known amount."""
    protocols = {}
    for shift, name in ((0.0, "plain"), (0.013, "fast_aed"), (0.007, "ssmtl"), (0.011, "aed_mae_avenue")):
        micro, macro = quality + shift, quality + shift + 0.02
        protocols[name] = {
            "micro_auc": micro,
            "macro_auc": macro,
            "micro_auc_ci95": [micro - 0.04, micro + 0.03],
            "macro_auc_ci95": [macro - 0.05, macro + 0.025],
            "n_clips": 5,
            "n_single_class": 0,
        }
    names = {
        "dataset": run.dataset,
        "method": run.method,
        "variant": run.variant,
        "seed": run.seed,
        "budget": run.budget,
    }
    return {**names, "checkpoint": "last", "protocols": protocols, "rbdc": 0.41, "tbdc": 0.72}


def complexity_of() -> dict[str, object]:
    """`complexity.json`: the student and one teacher."""
    teacher = {"method": "ssmtl", "variant": "default", "parameters": 3_141_592, "gflops": 2.7, "input": [3, 7, 64, 64]}
    teacher |= {"detector": "yolov3u", "detector_parameters": 103_000_000, "objects_per_frame": 14}
    return {"parameters": 4_997_747, "gflops": 14.1, "input": [9, 360, 640], "beside": [teacher]}


def speed_of(variant: str) -> list[dict[str, object]]:
    """`speed.json`: the student's fp32 reference, student, teachers; both scopes, batch 1 and the student's 32."""
    student = FPS["fast_aed"]
    slower = {scope: fps / REFERENCE_FACTOR for scope, fps in student.items()}
    rows = []
    for method, scopes in [("fast_aed", slower), *FPS.items()]:
        scored = scopes is not slower
        precision = "bf16-mixed" if method == "fast_aed" and scored else "32-true"
        for scope, fps in scopes.items():
            for batch in (1, 32) if method == "fast_aed" and scope == "model" else (1,):
                value = fps * (1.4 if batch == 32 else 1)
                row = {"method": method, "variant": variant if method == "fast_aed" else "default", "scope": scope}
                row |= {"engine": "eager", "precision": precision, "scored": scored, "batch": batch}
                row |= {"device": "Synthetic CPU (2 cores)"}
                row |= {"threads": 2, "height": 120, "width": 180, "fps_median": value, "latency_ms_p50": 1000 / value}
                row |= {"latency_ms_p95": 1100 / value, "iterations": 200, "compared_frames": None}
                differences = (0.0031, -0.0007) if precision == "bf16-mixed" else (0.0, 0.0)
                row |= dict(zip(("max_abs_score_diff", "auc_diff"), differences, strict=True))
                row |= {"detector": None if method == "fast_aed" else "yolov3u", "versions": {"torch": "2.15"}}
                rows.append(row | {"objects_per_frame": None if method == "fast_aed" else 14.2})
    return rows


def speeds_of_rows(table: Table) -> list[dict[str, object]]:
    """`tableN.json`: each row 10 frames a second faster than the one before."""
    variants = dict.fromkeys(row.variant for row in table.rows)
    same = {"method": "fast_aed", "scope": "model", "batch": 1, "precision": "bf16-mixed", "device": "Synthetic GPU"}
    same |= {"threads": 1, "engine": "eager", "height": HEIGHT, "width": WIDTH}
    return [{**same, "variant": name, "fps_median": 100.0 + 10 * k} for k, name in enumerate(variants)]


def write_project(
    root: Path, repository: Path, *, datasets: tuple[str, ...] = ("plaza", "ped2"), seeds: tuple[int, ...] = (0,)
) -> Project:
    """Everything that tables, figures and report read."""
    write_configuration(root, repository)
    for dataset in datasets:
        write_clips(root, dataset)
        for method, variant in RUNS:
            for seed in seeds:
                write_run(root, Run(dataset, BUDGET, method, variant, seed))
    project = Project(root)
    experiment = project.experiment("fast_aed")
    for number, table in experiment.tables.items():
        for dataset in datasets if table.speeds else ():
            write_json(root / speeds_path(dataset, BUDGET, "fast_aed", number), speeds_of_rows(table))
    shown = report_runs([project.experiment("fast_aed")], datasets=datasets, budget=BUDGET, seeds=seeds)
    for position, run in enumerate(run for run in shown if (run.method, run.variant) not in RUNS):
        write_numbers(root, run, 0.6 + 0.005 * (position % 40))
    return project


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    """A project with two seeds; tests do not change what lies in it, they only add results."""
    return write_project(tmp_path_factory.mktemp("made_up"), repository, seeds=(0, 1))


@pytest.fixture
def own_project(tmp_path: Path, repository: Path) -> Project:
    """Plaza from one seed, for a test to damage."""
    return write_project(tmp_path, repository, datasets=("plaza",))


@pytest.fixture
def unlabelled(own_project: Project) -> Project:
    """Plaza from one seed, as if nobody had said which frames are abnormal."""
    nothing = dict.fromkeys(("micro_auc", "macro_auc", "micro_auc_ci95", "macro_auc_ci95"))
    for path in (own_project.root / "results" / "runs" / "plaza").rglob("metrics.json"):
        metrics = {**read_json(path), "rbdc": None, "tbdc": None}
        metrics["protocols"] = {name: {**nothing, "n_clips": 0, "n_single_class": 0} for name in metrics["protocols"]}
        write_json(path, metrics)
        scores = path.with_name("frame_scores.parquet")
        write_table(scores, read_table(scores, FRAME_SCORES).assign(label=UNKNOWN), FRAME_SCORES)
    return own_project

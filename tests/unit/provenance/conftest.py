"""A made-up project whose stages do nothing but keep true records: a student and its teacher, raw file to table."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.documents import write_csv, write_sealed
from lightvad.artifacts.records import collect_records, recording
from lightvad.layout import Run, record_path

TEACHER = Run("plaza", "quick", "ssmtl", "default", 0)
STUDENT = Run("plaza", "quick", "fast_aed", "default", 0)
RAW, CLIPS = Path("data/raw/plaza"), Path("data/clips/plaza")
TABLES = Path("results/tables/plaza/quick/fast_aed")
REPORTED = Path("config/reported/fast_aed_table7.csv")
COMMAND = "lightvad {stage} --in {folder} --set 'a.b.c={{d: 1}}'"
LINE = {"method": "Ours", "label": "Student", "dataset": "plaza", "budget": "quick", "seeds": "0"}

STAGES: dict[tuple[Path, str], tuple[list[Path], list[str]]] = {
    (RAW, "fetch"): ([], ["fetched.json", "a.tar"]),
    (CLIPS, "prepare"): ([RAW / "fetched.json"], ["checksums.json", *(f"test/{k:02}.zip" for k in range(12))]),
    (TEACHER.folder, "train"): ([CLIPS / "checksums.json"], ["model.safetensors", "training.csv"]),
    (TEACHER.folder, "maps"): ([TEACHER.folder / "model.safetensors"], ["maps.npz"]),
    (STUDENT.folder, "train"): ([CLIPS / "checksums.json", TEACHER.folder / "maps.npz"], ["model.safetensors"]),
    (STUDENT.folder, "score"): ([STUDENT.folder / "model.safetensors"], ["frame_scores.parquet"]),
    (STUDENT.folder, "evaluate"): ([STUDENT.folder / "frame_scores.parquet"], ["metrics.json"]),
    (STUDENT.folder, "benchmark"): ([STUDENT.folder / "model.safetensors"], ["speed.json"]),
    (TABLES, "table7"): (
        [STUDENT.folder / name for name in ("metrics.json", "record.json", "speed.json")] + [REPORTED],
        ["table7.csv", "table7.md"],
    ),
}
Stage = Callable[..., None]


def do(root: Path, folder: Path, stage: str, *, salt: str = "") -> None:
    """Run one of STAGES: every output is a function of the inputs and `salt`."""
    inputs, names = STAGES[folder, stage]
    outputs = [folder / name for name in names]
    with recording(
        root / record_path(folder, stage),
        command=COMMAND.format(stage=stage, folder=folder),
        config={"stage": stage},
        config_digest="c" * 64,
        code_digest="d" * 64,
        inputs=inputs,
        outputs=lambda: outputs,
        root=root,
        device="cpu",
        precision="32-true",
        threads=2,
    ):
        read = "".join(sha256_of(root / path) for path in inputs)
        for output in outputs:
            write_text(root / output, hashlib.sha256(f"{output}{read}{salt}".encode()).hexdigest())
        if stage == "table7":
            ours = {**LINE, "rebuilt_as": "fast_aed/default"}
            measured = [
                {**ours, "metric": "micro_auc", "protocol": "plain", "checkpoint": "last", "measured": "61"},
                {**ours, "metric": "micro_auc", "protocol": "plain", "checkpoint": "best_on_test", "measured": "62"},
                {**ours, "metric": "rbdc", "protocol": "regions", "checkpoint": "last", "measured": "7.5"},
                {**LINE, "rebuilt_as": "", "metric": "micro_auc", "protocol": "", "checkpoint": "", "measured": ""},
            ]
            write_csv(root / outputs[0], measured)
    if stage == "evaluate":
        write_sealed(root / folder / "record.json", collect_records(root / folder, ("train", "score", "evaluate")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project after all stages, with a lock, a resume state and published results that no record names."""
    write_text(tmp_path / REPORTED, "method\nOurs\n")
    for folder, stage in STAGES:
        do(tmp_path, folder, stage)
    for ignored in (".lock", "_resume/training.pt"):
        write_text(tmp_path / STUDENT.folder / ignored, "")
    write_text(tmp_path / "results/published/tables/table7.csv", "")
    return tmp_path

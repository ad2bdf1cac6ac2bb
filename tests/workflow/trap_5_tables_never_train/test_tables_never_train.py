"""Trap 5: where only tables are wanted, a missing or an old score must not start a training.

Expected: the stage `tables` may run evaluation, tables, figures and the report alone. Scores that are older than their
code are left as they are; a missing score is an error that names it.
"""

import os
import time
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.slow

RULES = ("--allowed-rules", "tables", "evaluate", "table", "figure", "report")


def test_old_and_missing_scores_start_no_training(pulled: Checkout) -> None:
    training = "src/lightvad/methods/ssmtl/training.py"
    pulled.edit(training, '"""', '"""Edited by a test. ')
    later = time.time() + 60
    os.utime(pulled.root / training, (later, later))
    assert "train ssmtl/default" in pulled.planned()
    assert pulled.planned("tables", *RULES) == set()
    scores = pulled.root / "results/runs/plaza/smoke/ssmtl/default/seed0/frame_scores.parquet"
    scores.unlink()
    # DVC deletes a stage's outputs before it runs it.
    scores.with_name("metrics.json").unlink()
    (pulled.root / "results/tables/plaza/smoke/fast_aed/table1.csv").unlink()
    for ended in (
        pulled.snakemake("tables", *RULES),
        pulled.dvc("repro", "--single-item", "tables@plaza-smoke"),
    ):
        assert ended.returncode != 0
        assert "frame_scores.parquet" in ended.stdout + ended.stderr
        assert "rule train" not in ended.stdout + ended.stderr
    assert not scores.exists()


def test_every_stage_is_held_to_its_own_rules(repository: Path) -> None:
    pipeline = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    commands = {name: stage.get("do", stage)["cmd"] for name, stage in pipeline.items()}
    calls = {name: command if isinstance(command, str) else command[0] for name, command in commands.items()}
    allowed = {name: set(call.split("--allowed-rules ")[1].split(" --")[0].split()) for name, call in calls.items()}
    assert allowed["tables"] == set(RULES[1:])
    trains = {"train", "pretrain", "score", "score_frames", "detect", "benchmark"}
    assert not trains & (allowed["tables"] | allowed["data"])

"""What runs again after a change, and what does not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lightvad.artifacts.documents import read_sealed
from tests.workflow.conftest import SMALL, Checkout

pytestmark = pytest.mark.slow

STUDENTS = {"fast_aed/default", "fast_aed/no_adversarial", "fast_aed/pasted"}
RESULTS = {"table", "figure", "report"}


@contextmanager
def edited(checkout: Checkout, path: str, old: str, new: str) -> Iterator[None]:
    """Edit a file for the length of the block; afterwards its content and its time are as before."""
    file = checkout.root / path
    content, times = file.read_bytes(), file.stat()
    checkout.edit(path, old, new)
    later = time.time() + 60
    os.utime(file, (later, later))
    try:
        yield
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def stages(jobs: set[str]) -> set[str]:
    return {job.split()[0] for job in jobs}


def test_a_second_run_has_nothing_to_do(finished: Checkout) -> None:
    assert finished.planned() == set()
    ended = finished.snakemake()
    assert "Nothing to be done" in ended.stdout + ended.stderr


def lightvad(checkout: Checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a sub-command by hand in a checkout."""
    command = [sys.executable, "-m", "lightvad", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout.root / "src")}
    return subprocess.run(command, cwd=checkout.root, env=environment, capture_output=True, text=True, check=False)


def test_every_file_is_in_a_record_and_as_it_says(finished: Checkout) -> None:
    ended = lightvad(finished, "verify")
    assert ended.returncode == 0, ended.stdout
    assert "0 differ, 0 missing, 0 made from something else, 0 in no record" in ended.stdout
    told = lightvad(finished, "explain", "results/tables/plaza/smoke/fast_aed/table7.csv")
    assert told.returncode == 0, told.stderr
    for link in (
        "metrics.json",
        "frame_scores.parquet",
        "maps.npz",
        "motion.parquet",
        "checksums.json",
        "fetched.json",
    ):
        assert link in told.stdout


def test_preparing_the_same_pixels_by_hand_reruns_nothing(finished: Checkout) -> None:
    overrides = [part for item in SMALL for part in ("--set", item)]
    ended = lightvad(finished, "prepare", "--dataset", "plaza", *overrides)
    assert ended.returncode == 0, ended.stderr
    assert finished.planned() == set()
    assert lightvad(finished, "verify").returncode == 0


def test_a_changed_smoothing_value_reruns_evaluation_and_what_follows(finished: Checkout) -> None:
    jobs = finished.planned(small=(*SMALL, "datasets.plaza.smoothing.plain_seconds=0.7"))
    assert {job for job in jobs if job.startswith("evaluate")} == {
        f"evaluate {run}" for run in STUDENTS | {"background_agnostic/default", "ssmtl/default"}
    }
    assert stages(jobs) <= {"evaluate"} | RESULTS


def test_the_gathered_record_follows_a_stage_that_left_the_same_bytes(pulled: Checkout) -> None:
    run = "results/runs/plaza/smoke/ssmtl/default/seed0"
    other = (*SMALL, "datasets.plaza.object_maps.quantiles=[0.01, 0.99]")
    assert pulled.snakemake(f"{run}/metrics.json", small=other).returncode == 0
    evaluated = pulled.root / run / "metrics.json"
    scores = pulled.root / run / "frame_scores.parquet"
    before = (evaluated.read_bytes(), scores.read_bytes())
    # A run with the old settings that ends between the two stages.
    assert pulled.snakemake(f"{run}/frame_scores.parquet").returncode == 0
    assert (evaluated.read_bytes(), scores.read_bytes()) == before, "what evaluation reads of scores is the same"
    assert pulled.planned(f"{run}/metrics.json") == {"evaluate ssmtl/default"}
    assert pulled.snakemake(f"{run}/metrics.json").returncode == 0
    gathered = read_sealed(pulled.root / run / "record.json")["stages"]
    assert gathered["maps"] == read_sealed(pulled.root / run / "records/maps.json")


def test_a_changed_lambda_reruns_no_teacher(finished: Checkout) -> None:
    jobs = finished.planned(small=(*SMALL, "methods.fast_aed.settings.adversarial.weight=0.3"))
    assert "train fast_aed/default" in jobs
    assert not [job for job in jobs if "background_agnostic" in job or "ssmtl" in job]
    assert not stages(jobs) & {"fetch", "prepare", "detect", "pretrain", "maps"}


def test_another_detection_backend_detects_and_prepares_nothing_again(finished: Checkout) -> None:
    jobs = finished.planned(small=(*SMALL, "datasets.plaza.detection.backend=ultralytics"))
    assert "detect plaza" in jobs
    assert "prepare plaza" not in jobs


def test_an_edit_of_t2s_scoring_reruns_t2s_scores_and_not_t1(finished: Checkout) -> None:
    scoring = "src/lightvad/methods/ssmtl/scoring.py"
    with edited(finished, scoring, '"""', '"""Edited by a test. '):
        jobs = finished.planned()
    assert "score ssmtl/default" in jobs
    assert "train ssmtl/default" not in jobs
    assert {f"train {run}" for run in STUDENTS} <= jobs, "the students distil T2's maps"
    assert not [job for job in jobs if "background_agnostic" in job]
    assert finished.planned() == set()


def test_targets_of_single_tables_and_figures(finished: Checkout) -> None:
    assert finished.planned("fast_aed_table7", "fast_aed_figure4") == set()
    table = finished.root / "results/tables/plaza/smoke/fast_aed/table7.csv"
    content = table.read_bytes()
    table.unlink()
    assert finished.planned("fast_aed_table7") == {"table 7"}
    assert finished.snakemake("fast_aed_table7").returncode == 0
    assert table.read_bytes() == content, "the same runs give the same bytes"


def test_the_commands_work_without_snakemake(finished: Checkout) -> None:
    run = "results/runs/plaza/smoke/fast_aed/default/seed0"
    metrics = finished.root / run / "metrics.json"
    before = metrics.read_bytes()
    overrides = [part for item in SMALL for part in ("--set", item)]
    subprocess.run(
        [sys.executable, "-m", "lightvad", "evaluate", "--run", run, *overrides], cwd=finished.root, check=True
    )
    assert metrics.read_bytes() == before

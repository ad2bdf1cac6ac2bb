"""Trap 1: what `dvc pull` brings has new times, in no order, and Snakemake runs again what is up to date.

Expected: after `make pull` in a fresh clone nothing is to be done, and a later change of code or settings runs again
what it concerns. What dvc.lock has of other settings than those here is not pulled.
"""

import os

import pytest
from tests.workflow.conftest import SMALL, Checkout

pytestmark = pytest.mark.slow


def test_a_pulled_clone_has_nothing_to_do_and_still_sees_changes(clone: Checkout) -> None:
    fetched = clone.dvc("pull", "data@plaza", "boxes@plaza", "scores@plaza-smoke", "tables@plaza-smoke")
    assert fetched.returncode == 0, fetched.stderr
    # The order in which files arrive is chance; here the first link of the chain comes last.
    newest = clone.root / "data/raw/plaza/fetched.json"
    later = newest.stat().st_mtime + 100
    os.utime(newest, (later, later))
    assert "prepare plaza" in clone.planned(), "without `make pull` the trap is there"
    ended = clone.exchange("pull")
    assert ended.returncode == 0, ended.stderr
    assert clone.planned() == set()
    assert "up to date" in clone.dvc("status", "tables@plaza-smoke", "--with-deps").stdout
    jobs = clone.planned(small=(*SMALL, "datasets.plaza.smoothing.plain_seconds=0.7"))
    assert "evaluate ssmtl/default" in jobs
    assert not {job.split()[0] for job in jobs} & {"fetch", "prepare", "detect", "pretrain", "train", "score", "maps"}
    verified = clone.run("python", "-m", "lightvad", "verify")
    assert verified.returncode == 0, verified.stdout


def test_results_of_other_settings_are_not_pulled(clone: Checkout) -> None:
    clone.edit("config/datasets/plaza.yaml", "smoothing:\n", "smoothing:\n  plain_seconds: 0.7\n")
    ended = clone.exchange("pull")
    assert ended.returncode == 1
    told = " ".join(ended.stderr.split())
    assert "tables@plaza-smoke: dvc.lock is of something else than what is here: config/datasets/plaza.yaml" in told
    assert "make reproduce DATASET=plaza BUDGET=smoke" in told
    run = clone.root / "results/runs/plaza/smoke/ssmtl/default/seed0"
    assert (run / "maps.npz").is_file(), "the scores do not depend on the smoothing"
    assert not (run / "metrics.json").exists()
    assert {job.split()[0] for job in clone.planned()} == {"evaluate", "table", "figure", "report"}

"""Trap 4: Snakemake deletes what a failed job has declared as output, and what it had learnt with it.

Expected: the state of a killed training survives in `_resume/`, which no rule declares, no half-written weights are
left, and the next call goes on from there and ends with the bytes of a training that was never killed.
"""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.workflow.conftest import SMALL, Checkout

pytestmark = pytest.mark.slow

LONGER = (*SMALL, "budgets.smoke.methods.ssmtl.training.epochs=4")
RUN = "results/runs/plaza/smoke/ssmtl/default/seed0"
WEIGHTS = f"{RUN}/model.safetensors"


def states(checkout: Checkout) -> list[Path]:
    """What a training has left to go on from, without files that were being written."""
    return [path for path in (checkout.root / RUN / "_resume").glob("*.pt") if path.name[0] != "."]


def kill_training(checkout: Checkout) -> str:
    """Start the training through Snakemake and kill it after its first epoch; returns what was printed."""
    listed = ", ".join(f'"{item}"' for item in LONGER)
    config = ["datasets=[plaza]", "budget=smoke", f"set=[{listed}]", "device=cpu"]
    snakemake = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", WEIGHTS, "--config", *config],
        cwd=checkout.root,
        env=checkout.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while snakemake.poll() is None:
        if states(checkout):
            for process in psutil.Process(snakemake.pid).children(recursive=True):
                if "lightvad" in process.cmdline() and "train" in process.cmdline():
                    process.kill()
            break
        time.sleep(0.02)
    printed, _ = snakemake.communicate()
    assert snakemake.returncode != 0, printed[-6000:]
    return printed


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(pulled: Checkout) -> None:
    undisturbed = pulled.snakemake(WEIGHTS, small=LONGER)
    assert undisturbed.returncode == 0, undisturbed.stderr[-6000:]
    expected = (pulled.root / WEIGHTS).read_bytes()
    (pulled.root / WEIGHTS).unlink()
    kill_training(pulled)
    assert not (pulled.root / WEIGHTS).exists()
    assert states(pulled), "the state outlives the failed job"
    again = pulled.snakemake(WEIGHTS, small=LONGER)
    assert again.returncode == 0, again.stderr[-6000:]
    assert "epoch 1/4" not in again.stdout + again.stderr
    assert "epoch 4/4" in again.stdout + again.stderr
    assert (pulled.root / WEIGHTS).read_bytes() == expected

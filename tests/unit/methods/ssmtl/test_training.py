"""Joint training: labels, learning, the checkpoint, resuming, and what it refuses."""

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.killing import ended

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.weights import read_weights
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl.model import SSMTL
from lightvad.methods.ssmtl.samples import Batch
from lightvad.methods.ssmtl.settings import TASKS, Settings, Task
from lightvad.methods.ssmtl.training import BestSoFar, loss_weights, proxy_losses, train
from lightvad.stages.devices import on_devices
from lightvad.stages.machine import Machine
from lightvad.video.clips import ClipStore

JobMaker = Callable[..., Job]


def moving_bars(count: int, *, largest_step: int, seed: int) -> Batch:
    """Bars that brighten from left to right and move right one pixel a frame; the target tells the bar's height."""
    generator = np.random.default_rng(seed)
    consecutive = np.zeros((count, 7, 16, 16, 3), np.uint8)
    irregular, targets = consecutive.copy(), np.zeros((count, 1), np.float32)
    for k in range(count):
        row, start = int(generator.integers(0, 12)), int(generator.integers(3, 6))
        steps = generator.integers(2, largest_step + 1, 6)
        skipping = np.array([*(-np.cumsum(steps[:3]))[::-1], 0, *np.cumsum(steps[3:])])
        for crops, offsets in ((consecutive, np.arange(-3, 4)), (irregular, skipping)):
            for f, offset in enumerate(offsets):
                for column in range(4):
                    x = start + offset + column
                    if 0 <= x < 16:
                        crops[k, f, row : row + 4, x] = 60 * (column + 1)
        targets[k] = row / 12
    return Batch(torch.from_numpy(consecutive), torch.from_numpy(irregular), torch.from_numpy(targets))


@pytest.mark.parametrize(
    ("task", "solved"), [("arrow", 0.2), ("irregularity", 0.2), ("middle", 0.05), ("distillation", 0.09)]
)
def test_every_task_alone_is_learnable(task: Task, solved: float) -> None:
    torch.manual_seed(0)
    settings = Settings.model_validate(
        {"tasks": [task], "crop_size": 16, "trunk": {"depth": "shallow", "width": "narrow"}}
    )
    network = SSMTL(settings, classes=1, features=0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for k in range(60):
        optimizer.zero_grad()
        loss = proxy_losses(network, moving_bars(32, largest_step=4, seed=k), settings.tasks)[task]
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        unseen = proxy_losses(network.eval(), moving_bars(64, largest_step=4, seed=1000), settings.tasks)[task]
    assert float(unseen) < solved


def test_labels_call_reversed_and_irregular_abnormal() -> None:
    torch.manual_seed(1)
    settings = Settings.model_validate({"crop_size": 16, "trunk": {"depth": "shallow", "width": "narrow"}})
    network = SSMTL(settings, classes=1, features=0).eval()
    batch = moving_bars(8, largest_step=4, seed=0)

    def constant(head: torch.nn.Module, logits: list[float]) -> None:
        torch.nn.init.zeros_(head[-1].weight)
        head[-1].bias.data = torch.tensor(logits)

    constant(network.arrow, [0.0, 0.0])
    constant(network.irregularity, [9.0, 0.0])
    with torch.no_grad():
        losses = proxy_losses(network, batch, settings.tasks)
    assert set(losses) == set(TASKS)
    # Half of a task's samples are normal: an undecided head pays ln 2, a sure one half of its logit.
    assert float(losses["arrow"]) == pytest.approx(np.log(2), rel=1e-4)
    assert float(losses["irregularity"]) == pytest.approx(4.5, rel=1e-3)
    # The irregularity head calls regular what the arrow head calls forward: the same consecutive crops.
    only_regular = Batch(batch.consecutive, batch.consecutive, batch.targets)
    assert float(proxy_losses(network, only_regular, settings.tasks)["irregularity"]) == pytest.approx(4.5, rel=1e-3)


def test_only_distillation_is_weighted_by_lambda() -> None:
    weights = loss_weights(Settings())
    assert weights == {"arrow": 1, "irregularity": 1, "middle": 1, "distillation": 0.2}


def test_training_writes_weights_and_a_row_per_epoch(toy_job: JobMaker) -> None:
    job = toy_job()
    train(job)
    rows = read_csv(job.folder / "training.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {f"validation_{task}" for task in TASKS} < set(rows[0])
    state, metadata = read_weights(job.folder / "model.safetensors", "ssmtl")
    assert (metadata["classes"], metadata["features"]) == ("3", "0")
    assert (state["score_spread"] > 0).all()
    assert not (state["score_spread"] == 1).any()
    assert not (job.folder / "_resume").exists()


def test_best_checkpoint_is_kept_and_not_the_last() -> None:
    network = torch.nn.Linear(1, 1)
    best = BestSoFar(network)  # type: ignore[arg-type]
    for value, loss in ((1.0, 0.5), (2.0, 0.3), (3.0, 0.4)):
        network.weight.data.fill_(value)
        best.offer(network, loss)  # type: ignore[arg-type]
    assert float(best.network.weight) == 2.0
    assert float(best.loss) == pytest.approx(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", ["best_validation", "last"])
def test_a_killed_training_ends_with_the_bytes_of_an_undisturbed_one(
    toy_job: JobMaker, tmp_path: Path, checkpoint: str
) -> None:
    schedule = {"epochs": 3, "batch": 8, "validation_objects": 16, "checkpoint": checkpoint, "schedule": "cosine"}
    undisturbed, killed = (
        replace(job, clips=ClipStore(job.clips.root))
        for job in (toy_job(folder=name, training=schedule) for name in ("a", "b"))
    )
    tasks = [partial(train, job) for job in (undisturbed, killed)]
    # Four batches an epoch: in the middle of the second, then at the end of the third.
    assert ended(tasks, tmp_path, kill_at=6) == -signal.SIGKILL
    assert (killed.folder / "_resume/training.pt").is_file()
    assert ended(tasks[1:], tmp_path, kill_at=8) == -signal.SIGKILL
    assert not (killed.folder / "model.safetensors").exists()
    assert ended(tasks[1:], tmp_path) == 0
    assert (killed.folder / "model.safetensors").read_bytes() == (undisturbed.folder / "model.safetensors").read_bytes()
    assert not (killed.folder / "_resume").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(toy_job: JobMaker) -> None:
    # Skipped frames are drawn by each process for itself; so without them.
    one, two = (toy_job(folder=name, tasks=("arrow", "middle")) for name in ("one", "two"))
    train(one)
    on_devices(train, two, Machine("cpu", 2, devices=2))
    for alone, shared in zip(*(read_csv(job.folder / "training.csv") for job in (one, two)), strict=True):
        values = [{k: float(v) for k, v in row.items() if k != "seconds"} for row in (alone, shared)]
        assert values[1] == pytest.approx(values[0], rel=1e-3)
    assert not (two.folder / "_resume").exists()


def test_task_4_without_targets_names_the_keys(toy_job: JobMaker) -> None:
    with pytest.raises(LightvadError, match=r"detection.class_probabilities.source.*distillation.features") as caught:
        train(toy_job(classes=0))
    assert "\n" not in str(caught.value)
    job = toy_job(classes=0, tasks=("arrow", "middle"))
    train(job)
    assert (job.folder / "model.safetensors").is_file()


def test_no_held_out_clips_is_an_error_unless_the_last_checkpoint_is_kept(toy_job: JobMaker) -> None:
    with pytest.raises(LightvadError, match="checkpoint: last"):
        train(replace(toy_job(), heldout=frozenset()))
    job = replace(
        toy_job(training={"epochs": 1, "batch": 8, "checkpoint": "last"}, tasks=("middle",)), heldout=frozenset()
    )
    train(job)
    assert (job.folder / "model.safetensors").is_file()


def test_no_objects_is_one_line(toy_job: JobMaker) -> None:
    job = toy_job()
    empty = replace(job, boxes=job.boxes[:0], class_probabilities=job.class_probabilities[:0])
    with pytest.raises(LightvadError, match="no objects"):
        train(empty)

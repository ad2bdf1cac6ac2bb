"""Both stages: what they write, what stays frozen, and that a killed stage goes on as if nothing had happened."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch

from lightvad import training_loop
from lightvad.artifacts.weights import read_weights
from lightvad.errors import LightvadError
from lightvad.methods.aed_mae.settings import Schedule
from lightvad.methods.aed_mae.training import learning_rate_factor, optimizer_of, pretrain, train
from lightvad.methods.protocol import Job

ALONE: dict[str, Any] = {
    "synthetic": None,
    "class_head": False,
    "self_distillation": False,
    "scoring": {"discrepancy": 0.0, "class_probability": 0.0},
}
Make = Callable[..., Job]


def test_the_second_stage_leaves_the_teacher_as_it_is(make_job: Make) -> None:
    job = make_job()
    pretrain(job)
    train(job)
    teacher, _ = read_weights(job.folder / "pretrained.safetensors")
    both, metadata = read_weights(job.folder / "model.safetensors")
    assert metadata["method"] == "aed_mae"
    shared = {name.removeprefix("teacher."): value for name, value in both.items() if name.startswith("teacher.")}
    assert shared.keys() == teacher.keys()
    assert all(torch.equal(shared[name], teacher[name]) for name in teacher)
    assert any(name.startswith("student.") for name in both)
    first, second = (pd.read_csv(job.folder / f"{name}.csv") for name in ("pretraining", "training"))
    assert {"reconstruction", "class", "heldout_reconstruction", "heldout_class"} <= set(first)
    assert {"distillation", "heldout_distillation"} <= set(second)
    assert len(first) == len(second) == 2
    assert not (job.folder / "_resume").exists()


def test_the_teacher_learns(make_job: Make) -> None:
    scoring = ALONE["scoring"] | {"mask_ratio": 0.5}
    job = make_job(settings={**ALONE, "motion_weights": False, "scoring": scoring, "teacher_training": {"epochs": 12}})
    pretrain(job)
    told = pd.read_csv(job.folder / "pretraining.csv")["heldout_reconstruction"]
    assert told.iloc[-1] < 0.5 * told.iloc[0]


def test_without_self_distillation_the_teacher_alone_is_the_model(make_job: Make) -> None:
    job = make_job(settings=ALONE)
    pretrain(job)
    train(job)
    state, _ = read_weights(job.folder / "model.safetensors")
    assert all(name.startswith("teacher.") for name in state)
    assert pd.read_csv(job.folder / "training.csv")["epoch"].tolist() == [0]


@pytest.mark.parametrize("stage", [pretrain, train])
def test_a_killed_stage_goes_on_with_the_same_weights(
    make_job: Make, monkeypatch: pytest.MonkeyPatch, stage: Callable[[Job], None]
) -> None:
    whole, killed = make_job("whole"), make_job("killed")
    for job in (whole, killed):
        if stage is train:
            pretrain(job)
    stage(whole)
    saved = training_loop._save

    def dies(*given: Any) -> None:
        saved(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training_loop, "_save", dies)
        with pytest.raises(KeyboardInterrupt):
            stage(killed)
    stage(killed)
    name = "pretrained.safetensors" if stage is pretrain else "model.safetensors"
    expected, found = (read_weights(job.folder / name)[0] for job in (whole, killed))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"motion_weights": False, "scoring": {"mask_ratio": 0.5}}, {"gradients": "released_code"},
        {"anomaly_channel": "minus_one_one"},
        {"student_loss": "released_code"}, {"network": {"encoder_tokens": "shuffled"}},
        {"network": {"feed_forward": "fully_connected"}}, {"synthetic": {"maps": False}}, {"class_weight": 3.0},
        {"synthetic": {"share": 1.0}},
    ],
    ids=str,
)  # fmt: skip
def test_every_key_does_something(make_job: Make, settings: dict[str, Any]) -> None:
    plain, other = make_job("plain"), make_job("other", settings)
    for job in (plain, other):
        pretrain(job)
        train(job)
    first, second = (read_weights(job.folder / "model.safetensors")[0] for job in (plain, other))
    assert first.keys() != second.keys() or any(
        first[name].shape != second[name].shape or not torch.equal(first[name], second[name]) for name in first
    )


def test_a_frame_without_whole_patches_is_one_line(make_job: Make) -> None:
    with pytest.raises(LightvadError, match=r"40x56 pixels has no whole patches of 16; give another `network.patch`"):
        pretrain(make_job(settings={"network": {"patch": 16}}))


def test_learning_rates_and_decay() -> None:
    constant, cycle = Schedule(), Schedule(lr_decay="one_cycle")
    assert {learning_rate_factor(constant, one) for one in (0.1, 0.9)} == {1.0}
    rates = [learning_rate_factor(cycle, k / 100) for k in range(1, 100)]
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[0] < 0.1
    assert rates[-1] < 0.01
    matrices, vectors = optimizer_of(torch.nn.Linear(3, 2), Schedule(weight_decay=0.05)).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.05, 0.0)
    assert [one.dim() for one in matrices["params"] + vectors["params"]] == [2, 1]

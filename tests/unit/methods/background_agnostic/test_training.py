"""Both phases of the training of T1."""

import signal
from functools import partial

import numpy as np
import pytest
import torch
from tests.killing import ended

import lightvad.methods.background_agnostic.training as training
from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.weights import read_weights
from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.model import STREAMS, Decoder, Stream
from lightvad.methods.background_agnostic.settings import AutoEncoders
from lightvad.methods.background_agnostic.training import (
    adversarial_weight,
    autoencoder_losses,
    classifier_loss,
    train,
)
from lightvad.stages.devices import on_devices
from lightvad.stages.machine import Machine


@pytest.fixture
def stream() -> tuple[Stream, Decoder]:
    torch.manual_seed(0)
    return Stream(1, skips=True, skip_form="concat"), Decoder(1, skips=True, skip_form="concat")


def pair(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth shapes are normal, fine checks are not."""
    rng = torch.Generator().manual_seed(seed)
    axis = torch.linspace(0, 3, 64)
    phase = torch.rand(8, 1, 1, 1, generator=rng) * 6
    checks = ((torch.arange(64) // 2)[:, None] + (torch.arange(64) // 2)) % 2
    abnormal = checks * (0.5 + 0.5 * torch.rand(8, 1, 1, 1, generator=rng))
    return 0.5 + 0.3 * torch.sin(axis[:, None] + axis + phase), abnormal


def test_encoder_descends_on_normal_and_ascends_on_abnormal_objects(stream):
    def gradient(weight: float) -> torch.Tensor:
        parts[0].zero_grad()
        error, adversarial = autoencoder_losses(*parts, pair(), weight=weight)
        (error + adversarial).backward()
        return parts[0].encoder.conv1.weight.grad.clone()

    parts = stream
    normal_only, reversed_once, reversed_twice = gradient(0.0), gradient(1.0), gradient(2.0)
    assert torch.allclose(reversed_twice - normal_only, 2 * (reversed_once - normal_only), atol=1e-7)
    parts[0].zero_grad()
    plain = torch.nn.functional.mse_loss(parts[1](parts[0].encoder(pair()[1])), pair()[1])
    plain.backward()
    assert torch.allclose(parts[0].encoder.conv1.weight.grad, normal_only - reversed_once, atol=1e-7)
    assert plain.item() == pytest.approx(autoencoder_losses(*parts, pair(), weight=1.0)[1].item())


def test_adversarial_training_keeps_normal_reconstruction_and_spoils_the_other(stream):
    errors = {}
    for weight in (0.0, 5.0):
        torch.manual_seed(0)
        net, adversary = Stream(1, skips=True, skip_form="concat"), Decoder(1, skips=True, skip_form="concat")
        optimizer = torch.optim.Adam([*net.parameters(), *adversary.parameters()], lr=2e-3)
        for k in range(60):
            error, adversarial = autoencoder_losses(net, adversary, pair(k), weight=weight)
            optimizer.zero_grad()
            (error + adversarial).backward()
            torch.nn.utils.clip_grad_norm_([*net.parameters(), *adversary.parameters()], 1.0)
            optimizer.step()
        with torch.no_grad():
            errors[weight] = [float(x) for x in autoencoder_losses(net, adversary, pair(99), weight=0.0)]
    assert errors[5.0][1] > 1.5 * errors[0.0][1]
    assert errors[5.0][0] < 0.02


def test_classifier_learns_to_separate_and_leaves_the_auto_encoder_alone(stream):
    net, adversary = stream
    before = {name: p.clone() for name, p in net.named_parameters() if not name.startswith("classifier")}
    optimizer = torch.optim.Adam([*net.parameters(), *adversary.parameters()], lr=2e-3)
    for k in range(25):
        optimizer.zero_grad()
        classifier_loss(net, adversary, pair(k)).backward()
        optimizer.step()
    after = dict(net.named_parameters())
    assert all(torch.equal(p, after[name]) for name, p in before.items())
    with torch.inference_mode():
        normal, abnormal = (net(x) for x in pair(99))
    assert normal.max() < 0.3
    assert abnormal.min() > 0.7


def test_lambda_waits_then_rises():
    knobs = AutoEncoders(adversarial_weight=0.1, warmup_epochs=3, ramp_epochs=3)
    weights = [adversarial_weight(knobs, epoch) for epoch in range(8)]
    assert weights == pytest.approx([0, 0, 0, 0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1])


def test_training_writes_weights_and_rows(tiny_job):
    job = tiny_job()
    train(job)
    state, metadata = read_weights(job.folder / "model.safetensors", "background_agnostic")
    assert metadata == job.metadata
    assert not any("adversar" in name for name in state)
    first, second = read_csv(job.folder / "training.csv"), read_csv(job.folder / "training_classifiers.csv")
    assert [row["epoch"] for row in first] == [row["epoch"] for row in second] == ["1", "2"]
    for name in STREAMS:
        assert {f"{name}_mse", f"{name}_pseudo_mse", f"{name}_val_mse"} <= set(first[0])
        assert {f"{name}_bce", f"{name}_val_bce"} <= set(second[0])
        assert float(first[1][f"{name}_mse"]) < float(first[0][f"{name}_mse"])
    assert len(read_csv(job.folder / "pseudo_abnormal.csv")) == 32
    assert not (job.folder / "_resume").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tiny_job):
    one, two = tiny_job("one"), tiny_job("two")
    train(one)
    on_devices(train, two, Machine("cpu", 2, devices=2))
    for file in ("training.csv", "training_classifiers.csv"):
        rows = zip(read_csv(one.folder / file), read_csv(two.folder / file), strict=True)
        for alone, shared in rows:
            values = [{k: float(v) for k, v in row.items() if k != "seconds"} for row in (alone, shared)]
            assert values[1] == pytest.approx(values[0], rel=1e-3), file
    weights = [read_weights(job.folder / "model.safetensors", "background_agnostic")[0] for job in (one, two)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=2e-3, msg=name)
    assert not (two.folder / "_resume").exists()


@pytest.mark.slow
def test_a_training_killed_in_both_phases_ends_with_the_bytes_of_an_undisturbed_one(tiny_job, tmp_path):
    whole, killed = tiny_job("whole"), tiny_job("killed")
    tasks = [partial(train, job) for job in (whole, killed)]
    # Two batches an epoch and two epochs a phase: in the middle of the second epoch of each.
    assert ended(tasks, tmp_path, kill_at=3) == -signal.SIGKILL
    assert (killed.folder / "_resume/training.pt").is_file()
    assert ended(tasks[1:], tmp_path, kill_at=2 + 3) == -signal.SIGKILL
    assert (killed.folder / "_resume/training_classifiers.pt").is_file()
    assert not (killed.folder / "model.safetensors").exists()
    assert ended(tasks[1:], tmp_path) == 0
    for name in ("model.safetensors", "pseudo_abnormal.csv"):
        assert (killed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not (killed.folder / "_resume").exists()


def test_best_validation_keeps_the_epoch_with_the_lowest_loss(tiny_job):
    classifiers = torch.nn.ModuleDict({"a": torch.nn.Linear(1, 1, bias=False)})
    best = training._Best(classifiers)
    for value, loss in ((1.0, 0.5), (2.0, 0.3), (3.0, 0.4)):
        torch.nn.init.constant_(classifiers["a"].weight, value)
        best.offer(classifiers, loss)
    assert best.kept["a"].weight.item() == 2.0
    assert best.loss.item() == pytest.approx(0.3)


def test_without_heldout_clips_the_last_epoch_must_be_asked_for(tiny_job):
    with pytest.raises(LightvadError, match="checkpoint"):
        train(tiny_job(heldout=frozenset()))
    job = tiny_job(heldout=frozenset(), classifiers={"epochs": 1, "checkpoint": "last"}, autoencoders={"epochs": 1})
    train(job)
    columns = read_csv(job.folder / "training_classifiers.csv")[0]
    assert not [name for name in columns if "val" in name]
    assert np.isfinite([float(columns[f"{name}_bce"]) for name in STREAMS]).all()


def test_no_boxes_is_an_error(tiny_job):
    from dataclasses import replace

    job = tiny_job()
    with pytest.raises(LightvadError, match="no boxes on the clips train_01, train_02"):
        train(replace(job, boxes=job.boxes.iloc[:0]))

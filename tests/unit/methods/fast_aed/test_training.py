"""Both phases: what they write, that every loss and knob moves the weights, and that a killed training is continued."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.killing import ended, killed_in_the_second
from tests.unit.drawn_clips import boxes

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.weights import read_weights
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed import training
from lightvad.methods.fast_aed.model import Student
from lightvad.methods.fast_aed.settings import Network, Schedule
from lightvad.methods.protocol import Job
from lightvad.stages.devices import on_devices
from lightvad.stages.machine import Machine
from lightvad.video.clips import ClipStore

MakeJob = Callable[..., Job]


def trained(job: Job) -> dict[str, torch.Tensor]:
    training.train(job)
    return read_weights(job.folder / "model.safetensors", "fast_aed")[0]


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(a[name], b[name]) for name in a)


def test_pretraining_writes_the_auto_encoder_and_the_second_phase_starts_from_it(make_job: MakeJob) -> None:
    first = make_job("first", {"pretraining": {"epochs": 3}})
    training.pretrain(first)
    rows = read_csv(first.folder / "pretraining.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["reconstruction"]) < float(rows[0]["reconstruction"])
    assert float(rows[-1]["heldout_reconstruction"]) > 0
    assert not (first.folder / "_resume").exists()
    state, metadata = read_weights(first.folder / "pretrained.safetensors", "fast_aed")
    assert metadata["variant"] == "first"
    # At a learning rate of next to nothing the student's encoder stays what it was loaded as.
    still = {"pretrained_variant": "first", "training": {"lr": 1e-12, "epochs": 1, "weight_decay": 0}}
    job = make_job("second", still, pretrained=first.folder / "pretrained.safetensors")
    student = trained(job)
    name = "encoder.blocks.0.attention.output.weight"
    torch.testing.assert_close(student[name], state[name], atol=1e-9, rtol=0)
    assert differ(student, trained(make_job("scratch", {**still, "pretrained_variant": None})))


def test_distillation_learns_and_reports(make_job: MakeJob) -> None:
    job = make_job("run", {"training": {"epochs": 8, "lr": 2e-3}})
    weights = trained(job)
    assert set(weights) == set(Student(Network(blocks=1, heads=1), (1, 2, 4)).state_dict())
    rows = read_csv(job.folder / "training.csv")
    assert list(rows[0]) == [
        "epoch", "discriminator", "distillation", "adversarial", "zeros_1", "zeros_2", "zeros_4",
        "heldout_distillation", "lr", "seconds",
    ]  # fmt: skip
    assert float(rows[-1]["distillation"]) < float(rows[0]["distillation"])
    assert not (job.folder / "_resume").exists()
    assert not list(job.folder.glob(".maps_*"))


def test_dead_heads_show_in_the_report(make_job: MakeJob) -> None:
    job = make_job("run", {"network": {"output_activation": "relu"}, "training": {"epochs": 1}})
    phase = distillation(job)
    last = phase.student.branches[0].heads[2].second
    torch.nn.init.constant_(last.bias, -50.0)
    losses = phase.step(next(iter(phase.batches.epoch(0))))
    assert losses["zeros_4"] == 1.0
    assert losses["zeros_1"] < 1.0


def distillation(job: Job) -> training.Distillation:
    fabric = training.launch("cpu", "32-true")
    training.seed_everything(0)
    branches = len(job.teachers) if job.settings.network.branches == "per_teacher" else 1
    student = Student(job.settings.network, job.resolutions, branches)
    targets = training.Targets(
        job.teachers, job.clips.clips("train"), resolutions=job.resolutions, frame_size=job.frame_size,
        folder=job.folder,
    )  # fmt: skip
    return training.Distillation(job, fabric, student, training._batches(job, job.settings.training, targets))


def test_discriminators_and_student_both_move_in_one_step(make_job: MakeJob) -> None:
    phase = distillation(make_job("run"))
    before = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in phase.modules.items()}
    phase.step(next(iter(phase.batches.epoch(0))))
    for name, module in phase.modules.items():
        changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[name][k])}
        weights = {k for k, _ in module.named_parameters()}
        assert changed & weights, name
    assert len(phase.modules["discriminators"]) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"distillation": False},
        {"adversarial": {"discriminators": "none"}},
        {"adversarial": {"discriminators": "one"}},
        {"adversarial": {"weight": 0.5}},
        {"adversarial": {"sees_fakes": False}},
        {"adversarial": {"updates": 2}},
        {"adversarial": {"lr": 1e-2}},
        {"adversarial": {"weight_decay": 0.5}},
        {"teachers": [{"method": "first"}]},
        {"network": {"branches": "per_teacher"}},
        {"network": {"output_activation": "relu"}},
        {"network": {"resolutions": [1, 2]}},
        {"network": {"resolutions": [2, "full"]}},
        {"training": {"optimizer": "adamw", "weight_decay": 0.5}},
        {"training": {"weight_decay": 0.5}},
        {"training": {"lr_decay": "one_cycle"}},
        {"training": {"lr_decay": "one_cycle", "one_cycle_rise": 0.9}},
        {"training": {"lr_step_epochs": 1}},
        {"training": {"lr_step_epochs": 1, "lr_step_factor": 0.1}},
        {"training": {"gradient_clip": None}},
        {"training": {"windows_per_epoch": 12}},
        {"training": {"batch": 2}},
        {"horizontal_flip": True},
        {"average_decay": None},
        {"average_decay": 0.1},
        {"precision": "bf16-mixed"},
        {"recalibration_batches": 2},
    ],
    ids=str,
)
def test_every_knob_of_training_changes_the_outcome(make_job: MakeJob, settings: dict[str, Any]) -> None:
    steps = {"adversarial": {"lr": 1e-3}}
    default = trained(make_job("default", steps))
    changed = trained(make_job("changed", training_layers(steps, settings)))
    shared = {name: value for name, value in default.items() if name in changed}
    assert set(default) != set(changed) or differ(shared, changed)


def training_layers(*layers: dict[str, Any]) -> dict[str, Any]:
    from lightvad.project import merged

    return merged(*layers)


@pytest.mark.parametrize(
    "settings",
    [
        {"autoencoder": {"skips": True}},
        {"autoencoder": {"target": "half"}},
        {"pretraining": {"lr": 1e-2}},
        {"horizontal_flip": True},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_every_knob_of_pretraining_changes_the_outcome(make_job: MakeJob, settings: dict[str, Any]) -> None:
    states = []
    for name, layer in (("default", {}), ("changed", settings)):
        job = make_job(name, layer)
        training.pretrain(job)
        states.append(read_weights(job.folder / "pretrained.safetensors", "fast_aed")[0])
    assert set(states[0]) != set(states[1]) or differ(states[0], states[1])


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "pasting"), [("pretrain", None), ("train", None), ("train", {})])
def test_a_training_killed_at_any_step_ends_with_the_bytes_of_an_undisturbed_one(
    make_job: MakeJob, tmp_path: Path, phase: str, pasting: dict[str, Any] | None
) -> None:
    layers = {
        "pretraining": {"epochs": 4}, "training": {"epochs": 4, "lr_decay": "one_cycle"}, "horizontal_flip": True,
        "pasting": pasting,
    }  # fmt: skip
    file = {"pretrain": "pretrained.safetensors", "train": "model.safetensors"}[phase]
    clips = ClipStore(make_job().clips.root)
    undisturbed, killed = (make_job(name, layers, boxes=boxes(), clips=clips) for name in ("undisturbed", "killed"))
    killed = replace(killed, metadata=undisturbed.metadata)
    start = getattr(training, phase)
    tasks = [partial(start, job) for job in (undisturbed, killed)]
    # Two batches an epoch; a student's has a step of the discriminators too. First in the third epoch, then at the end
    # of the last one, whose state is not written yet.
    in_the_third, at_the_end = (5, 4) if phase == "pretrain" else (9, 8)
    assert ended(tasks, tmp_path, kill_at=in_the_third) == -signal.SIGKILL
    assert list((killed.folder / "_resume").glob("*.pt"))
    assert ended(tasks[1:], tmp_path, kill_at=at_the_end) == -signal.SIGKILL
    assert not (killed.folder / file).exists()
    assert ended(tasks[1:], tmp_path) == 0
    assert (killed.folder / file).read_bytes() == (undisturbed.folder / file).read_bytes()
    assert not (killed.folder / "_resume").exists()


def test_reconstruction_only_keeps_the_auto_encoder(make_job: MakeJob) -> None:
    only = {
        "teachers": [], "distillation": False, "adversarial": {"discriminators": "none"},
        "pretrained_variant": "run",
    }  # fmt: skip
    job = make_job("run", only)
    training.pretrain(job)
    training.train(make_job("run", only, pretrained=job.folder / "pretrained.safetensors"))
    states = [read_weights(job.folder / f"{name}.safetensors")[0] for name in ("pretrained", "model")]
    assert not differ(*states)
    assert read_csv(job.folder / "training.csv")[0]["epoch"] == "0"


def test_pretrained_weights_of_another_network_are_refused(make_job: MakeJob) -> None:
    first = make_job("first")
    training.pretrain(first)
    other = {"network": {"blocks": 2}, "pretrained_variant": "first"}
    with pytest.raises(LightvadError, match=r"pretrained\.safetensors: weights do not fit"):
        training.train(make_job("second", other, pretrained=first.folder / "pretrained.safetensors"))


def test_missing_teachers_maps_are_one_clear_line(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("run", {"network": {"resolutions": [7]}})
    with pytest.raises(LightvadError, match=r"maps\.npz: no array 'train_01/7'"):
        training.train(job)


def learning_rates(**keys: Any) -> list[float]:
    schedule = Schedule(lr=1.0, epochs=8, **keys)
    optimizer = training.optimizer_of(torch.nn.Linear(1, 1), schedule)
    found = []
    for step in range(40):
        training.set_learning_rate(optimizer, schedule, step=step, steps_per_epoch=5)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_learning_rate_schedules() -> None:
    assert learning_rates(lr_decay="constant") == [1.0] * 40
    assert learning_rates(lr_decay="step", lr_step_epochs=3) == [1.0] * 15 + [0.5] * 15 + [0.25] * 10
    cycle = learning_rates(lr_decay="one_cycle", one_cycle_rise=0.25)
    top = cycle.index(max(cycle))
    assert 8 <= top <= 11
    assert cycle[: top + 1] == sorted(cycle[: top + 1])
    assert cycle[top:] == sorted(cycle[top:], reverse=True)
    assert 0.95 < max(cycle) <= 1.0
    assert 0 < cycle[-1] < 0.01


def test_averaged_weights_follow_the_weights_and_lag_behind() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = training.averaged(network, 0.9)
    with torch.no_grad():
        for value in range(200):
            network.weight.fill_(value)
            average.update_parameters(network)
    # An exponential average with decay d of a ramp lags d / (1 - d) behind it.
    assert average.module.weight.item() == pytest.approx(199 - 9, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["pretrain", "train"])
def test_two_processes_learn_what_one_does(make_job: MakeJob, phase: str) -> None:
    settings = {"horizontal_flip": False, phase + "ing": {"epochs": 3}}
    work, file = getattr(training, phase), f"{phase}ing.csv"
    one, two = make_job("one", settings), make_job("two", settings)
    work(one)
    on_devices(work, two, Machine("cpu", 2, devices=2))
    for alone, shared in zip(read_csv(one.folder / file), read_csv(two.folder / file), strict=True):
        values = [{k: float(v) for k, v in row.items() if k != "seconds"} for row in (alone, shared)]
        # Sums in another order grow in six steps of four windows; statistics of half a batch would be off by half.
        assert values[1] == pytest.approx(values[0], rel=3e-2)


@pytest.mark.slow
def test_a_killed_training_of_two_processes_goes_on(make_job: MakeJob) -> None:
    whole, killed = (make_job(name, {"training": {"epochs": 3}}) for name in ("whole", "killed"))
    machine = Machine("cpu", 2, devices=2)
    on_devices(training.train, whole, machine)
    unread = replace(killed, clips=ClipStore(killed.clips.root))
    process = multiprocessing.get_context("spawn").Process(target=on_devices, args=(training.train, unread, machine))
    process.start()
    while not (killed.folder / "_resume/training.pt").is_file():
        time.sleep(0.01)
        assert process.is_alive()
    process.kill()
    process.join()
    time.sleep(1)  # its children see that it is gone
    on_devices(training.train, killed, machine)
    weights = [read_weights(job.folder / "model.safetensors", "fast_aed")[0] for job in (whole, killed)]
    assert not differ(*weights)


@pytest.mark.slow
def test_what_one_of_two_processes_says_is_one_line(make_job: MakeJob) -> None:
    machine = Machine("cpu", 2, devices=2)
    with pytest.raises(LightvadError, match="--devices 3: 2 CPU threads are too few; give --threads 3"):
        on_devices(training.train, make_job("narrow", {}), Machine("cpu", 2, devices=3))
    with pytest.raises(LightvadError, match=r"a batch of 5 cannot be divided among 2 devices .*; give other"):
        on_devices(training.train, make_job("odd", {"training": {"batch": 5}}), machine)
    with pytest.raises(LightvadError, match="became nan at batch"):
        on_devices(training.train, make_job("wild", {"training": {"lr": 1e30}}), machine)


@pytest.mark.slow
def test_a_process_that_is_killed_is_one_line(
    make_job: MakeJob, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(repository))  # for the processes: tests.killing
    with pytest.raises(LightvadError, match=r"process 1 of 2 was killed \(signal 9; .*; run again"):
        on_devices(killed_in_the_second, make_job("run", {}), Machine("cpu", 2, devices=2))

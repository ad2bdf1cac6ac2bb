"""One resumable epoch loop for every training: Fabric for device and precision, NaN guard, progress, training.csv.

A method gives the loop its modules and optimisers, the batches of an epoch and one `step`. After every epoch the state
of all of them and of the random generators is written to `_resume/` beside the outputs; a killed training goes on at
the epoch after the last whole one. A state whose config digest differs, or one of whose bytes does, is refused.

Several processes can train one network (see `shares`).
"""

import math
import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from lightvad.artifacts.atomic import remove_left
from lightvad.artifacts.documents import write_csv
from lightvad.artifacts.states import read_state, write_state
from lightvad.compute import device_of
from lightvad.errors import LightvadError
from lightvad.prefetch import read_ahead
from lightvad.progress import say, track
from lightvad.shares import average_numbers, share

Losses = Mapping[str, torch.Tensor | float]


def launch(device: str, precision: str) -> Fabric:
    """Fabric on one device; in one of several processes, on its own of as many devices.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precision: `32-true` or `bf16-mixed`.

    Raises:
        LightvadError: `cuda` is asked for and there is none.
        RuntimeError: the processes do not find each other.
    """
    kind, count = device_of(device).type, share().count
    if count == 1:
        return Fabric(accelerator=kind, devices=1, precision=precision)  # type: ignore[arg-type]
    fabric = Fabric(
        accelerator=kind,
        devices=count,
        strategy="ddp",
        precision=precision,  # type: ignore[arg-type]
        plugins=LightningEnvironment(),
    )
    fabric.launch()
    return fabric


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries underneath use the global generator
    torch.manual_seed(seed)


@dataclass(frozen=True)
class Training:
    """What one training owns.

    Attributes:
        what: its name in progress lines, e.g. `ped2 fast_aed/default train`.
        folder: the run's folder; `_resume/STEM.pt` lies below it, STEM being the stem of `csv`.
        csv: where the per-epoch rows go (`training.csv`).
        digest: of configuration, code and inputs; a resume state with another one is refused.
        seed: seeds the generators at the start.
        epochs: number of epochs.
        modules: networks (and weight averages) whose state is kept.
        optimizers: optimisers whose state is kept.
        schedulers: stepped once an epoch, after the last batch.
        unit: what a batch is counted in.
    """

    what: str
    folder: Path
    csv: Path
    digest: str
    seed: int
    epochs: int
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    schedulers: Sequence[LRScheduler] = field(default=())
    unit: str = "batches"

    @property
    def state_digest(self) -> str:
        """`digest`, and the number of processes where there are several: they draw otherwise than one."""
        return self.digest if share().count == 1 else f"{self.digest}, {share().count} devices"

    @property
    def state_path(self) -> Path:
        """The resume state."""
        return self.folder / "_resume" / f"{self.csv.stem}.pt"


def fit(
    training: Training,
    *,
    batches: Callable[[int], Sequence[Any] | Iterable[Any]],
    step: Callable[[Any], Losses],
    batches_per_epoch: int,
    after_epoch: Callable[[int], Losses] | None = None,
) -> list[dict[str, float]]:
    """Train for `training.epochs` epochs; returns the rows of training.csv (epoch, each loss, lr, seconds).

    Args:
        training: networks, optimisers and where to write.
        batches: the batches of an epoch, a function of the epoch number alone (draw from a generator seeded by
            (seed, epoch)), so that a resumed run sees what an undisturbed one would have seen. They are read ahead by
            one thread, which must not touch the global generators.
        step: does forward, backward and the optimisers' steps on one batch; returns its losses, averaged over an epoch.
        batches_per_epoch: for the progress estimate.
        after_epoch: called in eval mode with the epoch number; returns further columns (validation losses).

    Raises:
        LightvadError: a loss is NaN or infinite, an epoch has no batch, or the resume state is damaged or of another
            configuration.
    """
    rows = _resume(training)
    if not rows:
        seed_everything(training.seed)
    for epoch in range(len(rows), training.epochs):
        started = time.monotonic()
        sums: dict[str, float] = {}
        count = 0
        for module in training.modules.values():
            module.train()
        what = f"{training.what} epoch {epoch + 1}/{training.epochs}"
        for batch in track(read_ahead(batches(epoch)), total=batches_per_epoch, what=what, unit=training.unit):
            for name, value in step(batch).items():
                sums[name] = sums.get(name, 0.0) + _finite(_number(value), name, count, what)
            count += 1
        lr = next(iter(training.optimizers.values())).param_groups[0]["lr"]
        for scheduler in training.schedulers:
            scheduler.step()
        if not count:
            message = f"{what}: not a single batch; give more clips, smaller batches or fewer --devices"
            raise LightvadError(message)
        device = next(iter(training.optimizers.values())).param_groups[0]["params"][0].device
        sums = average_numbers(sums, device)
        row = {"epoch": float(epoch + 1), **{name: value / count for name, value in sums.items()}}
        if after_epoch is not None:
            for module in training.modules.values():
                module.eval()
            with torch.no_grad():
                row |= {name: _finite(_number(value), name, count, what) for name, value in after_epoch(epoch).items()}
        rows.append({**row, "lr": lr, "seconds": round(time.monotonic() - started, 2)})
        if share().rank == 0:
            _save(training, rows)
        say(f"{what}: " + ", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items() if name != "epoch"))
    for module in training.modules.values():
        module.eval()
    write_csv(training.csv, [{**row, "epoch": int(row["epoch"])} for row in rows])
    return rows


def finish(training: Training) -> None:
    """Remove the resume state, once the outputs of the training are written."""
    training.state_path.unlink(missing_ok=True)
    remove_left([training.state_path])
    if training.state_path.parent.is_dir() and not any(training.state_path.parent.iterdir()):
        shutil.rmtree(training.state_path.parent)


def write_no_epoch(path: Path) -> None:
    """A training.csv that says that no epoch was run, where weights are taken as they are."""
    write_csv(path, [{"epoch": 0, "lr": 0.0, "seconds": 0.0}])


def _number(value: torch.Tensor | float) -> float:
    return float(value.detach()) if isinstance(value, torch.Tensor) else float(value)


def _finite(value: float, name: str, batch: int, what: str) -> float:
    if not math.isfinite(value):
        message = (
            f"{what}: {name} became {value} at batch {batch}; lower the learning rate or clip gradients, then run again"
        )
        raise LightvadError(message)
    return value


def _save(training: Training, rows: list[dict[str, float]]) -> None:
    state = {
        "digest": training.state_digest,
        "rows": rows,
        "modules": {name: module.state_dict() for name, module in training.modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in training.optimizers.items()},
        "schedulers": [scheduler.state_dict() for scheduler in training.schedulers],
        "random": {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "python": list(random.getstate()[1]),
            "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
        },
    }
    write_state(training.state_path, state)


def _resume(training: Training) -> list[dict[str, float]]:
    path = training.state_path
    if not path.is_file():
        return []
    state = read_state(path)
    if state["digest"] != training.state_digest:
        message = (
            f"{path}: resume state of another configuration, code, data or number of devices; delete it to train from"
            " the start"
        )
        raise LightvadError(message)
    for name, module in training.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimizer in training.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    for scheduler, saved in zip(training.schedulers, state["schedulers"], strict=True):
        scheduler.load_state_dict(saved)
    torch.set_rng_state(state["random"]["torch"])
    if torch.cuda.is_available() and state["random"]["cuda"]:
        torch.cuda.set_rng_state_all(state["random"]["cuda"][: torch.cuda.device_count()])
    random.setstate((3, tuple(state["random"]["python"]), None))
    np.random.set_state(tuple(state["random"]["numpy"]))  # noqa: NPY002
    say(f"{training.what}: resuming after epoch {len(state['rows'])} of {training.epochs}")
    return list(state["rows"])

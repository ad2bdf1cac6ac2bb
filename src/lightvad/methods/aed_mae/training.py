"""The two stages of AED-MAE: the teacher, a masked auto-encoder; then the student's branch, on the frozen teacher."""

import math
from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.utils import clip_grad_norm_

from lightvad.artifacts.pictures import PICTURE_SIDE, write_shown
from lightvad.artifacts.weights import load_state, read_weights, write_weights
from lightvad.config import PASTED_NAME
from lightvad.errors import LightvadError
from lightvad.methods.aed_mae.losses import class_loss, masked_error, motion_gradients, token_weights, weighted_error
from lightvad.methods.aed_mae.model import (
    Head,
    MaskedAutoEncoder,
    Teacher,
    check_grid,
    grid_of,
    kept_places,
    patches_of,
)
from lightvad.methods.aed_mae.settings import AedMaeSettings, Schedule
from lightvad.methods.aed_mae.synthetic import anomalies_of
from lightvad.methods.aed_mae.windows import Batch, Batches, normalized, offsets_read, pasted_frames
from lightvad.methods.protocol import Job
from lightvad.shares import average_gradients, check_divisible, share, with_shared_norms
from lightvad.training_loop import Training, finish, fit, launch, seed_everything, write_no_epoch
from lightvad.video.readers import WindowReader, places_of, spread

METHOD = "aed_mae"


def pretrain(job: Job) -> None:
    """First stage: the teacher (Eqs. 1-3 and 5). Writes `pretrained.safetensors` and `pretraining.csv`.

    Where anomalies are pasted also `pasted.npz`: some frames before and after (`shown_windows`).

    Raises:
        LightvadError: a loss is not finite, a clip is damaged, or no object can be pasted.
    """
    settings: AedMaeSettings = job.settings
    schedule = settings.teacher_training
    fabric = launch(job.device, settings.precision)
    seed_everything(job.seed)
    teacher = with_shared_norms(_teacher(settings)).to(fabric.device)
    task = Task(job, fabric)
    batches, heldout = task.batches(schedule)
    optimizer = optimizer_of(teacher, schedule)
    training = Training(
        what=job.what,
        folder=job.folder,
        csv=job.folder / "pretraining.csv",
        digest=job.digest,
        seed=job.seed,
        epochs=schedule.epochs,
        modules={"teacher": teacher},
        optimizers={"teacher": optimizer},
    )
    steps = Steps(teacher, optimizer, schedule, len(batches))

    def losses_of(batch: Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The terms of the loss, and the patches that the teacher draws."""
        kept = task.kept(batch)
        with fabric.autocast():
            patches, shared = teacher(task.windows(batch), kept)
        drawn = patches.float()
        losses = {"reconstruction": task.reconstruction(task.target(batch), drawn, kept, batch)}
        if shared.logits is not None:
            losses["class"] = class_loss(shared.logits, batch.abnormal.to(fabric.device))
        return losses, drawn

    def step(batch: Batch) -> dict[str, float]:
        losses, _ = losses_of(batch)
        steps.descend(losses["reconstruction"] + settings.class_weight * losses.get("class", 0.0))
        return {name: loss.item() for name, loss in losses.items()}

    def validate(epoch: int) -> dict[str, float]:
        """Losses on held-out frames, and how well the error of drawing them as normal ones tells pasted anomalies."""
        del epoch
        rows, scores, abnormal = [], [], []
        for batch in heldout.ordered() if heldout else ():
            losses, drawn = losses_of(batch)
            rows.append(({f"heldout_{name}": loss.item() for name, loss in losses.items()}, len(batch.windows)))
            scores.append((task.target(batch, normal=True) - drawn).square().mean(2).amax(1).cpu())
            abnormal.append(batch.abnormal)
        measured = _mean(rows)
        if abnormal and 0 < torch.cat(abnormal).float().mean() < 1:
            from sklearn.metrics import roc_auc_score  # takes as long to import as torch

            measured["heldout_pasted_auc"] = float(roc_auc_score(torch.cat(abnormal), torch.cat(scores)))
        return measured

    if settings.pretraining_documents:
        shown = pasted_frames(batches, settings.shown_windows)
        write_shown(job.folder / PASTED_NAME, shown, map_side=PICTURE_SIDE)
    fit(training, batches=batches.epoch, step=step, batches_per_epoch=len(batches), after_epoch=validate)
    write_weights(job.folder / "pretrained.safetensors", teacher.state_dict(), job.metadata)
    finish(training)


def train(job: Job) -> None:
    """Second stage: the student's branch learns what the frozen teacher draws (Eq. 4).

    Writes `model.safetensors`, teacher and student, and `training.csv`. Without `self_distillation` the teacher alone
    becomes the model, and training.csv says that no epoch was run.

    The frozen part stays in evaluation mode: its batch norms and dropout do not move (the code's do).

    Raises:
        LightvadError: a loss is not finite, a clip is damaged, or the teacher's weights do not fit.
    """
    settings: AedMaeSettings = job.settings
    schedule = settings.student_training
    assert job.pretrained is not None  # noqa: S101 - the settings ask for it
    state, _ = read_weights(job.pretrained, METHOD)
    network = MaskedAutoEncoder(
        settings.network,
        channels=settings.channels,
        class_head=settings.class_head,
        student=settings.self_distillation,
    )
    load_state(network.teacher, state, job.pretrained)
    if network.student is None:
        write_weights(job.folder / "model.safetensors", network.state_dict(), job.metadata)
        write_no_epoch(job.folder / "training.csv")
        return
    fabric = launch(job.device, settings.precision)
    seed_everything(job.seed)
    student = with_shared_norms(Head(1, settings.network.patch**2 * settings.channels, settings.network))
    student.to(fabric.device)
    teacher = network.teacher.to(fabric.device).eval().requires_grad_(False)
    task = Task(job, fabric)
    batches, heldout = task.batches(schedule)
    optimizer = optimizer_of(student, schedule)
    training = Training(
        what=job.what,
        folder=job.folder,
        csv=job.folder / "training.csv",
        digest=job.digest,
        seed=job.seed,
        epochs=schedule.epochs,
        modules={"student": student},
        optimizers={"student": optimizer},
    )
    steps = Steps(student, optimizer, schedule, len(batches))

    def loss_of(batch: Batch) -> torch.Tensor:
        kept = task.kept(batch)
        with fabric.autocast():
            with torch.no_grad():
                patches, shared = teacher(task.windows(batch), kept)
            copied = student(shared)
        if settings.student_loss == "released_code":
            return masked_error(patches.float(), copied.float(), kept)
        return task.reconstruction(patches.float(), copied.float(), kept, batch)

    def step(batch: Batch) -> dict[str, float]:
        loss = loss_of(batch)
        steps.descend(loss)
        return {"distillation": loss.item()}

    def validate(epoch: int) -> dict[str, float]:
        del epoch
        if heldout is None:
            return {}
        return _mean([({"heldout_distillation": loss_of(b).item()}, len(b.windows)) for b in heldout.ordered()])

    fit(training, batches=batches.epoch, step=step, batches_per_epoch=len(batches), after_epoch=validate)
    load_state(network.student, student.state_dict(), job.folder / "model.safetensors")
    write_weights(job.folder / "model.safetensors", network.state_dict(), job.metadata)
    finish(training)


class Task:
    """What both stages learn from: batches, hidden tokens, targets and their weights.

    Args:
        job: the run.
        fabric: the device.
    """

    def __init__(self, job: Job, fabric: Fabric) -> None:
        self.job = job
        self.settings: AedMaeSettings = job.settings
        self.device = fabric.device
        self.patch = self.settings.network.patch
        self.input_size = self.settings.input_size(job.frame_size)
        check_grid(self.input_size, self.patch)
        self.grid = grid_of(self.input_size, self.patch)

    def batches(self, schedule: Schedule) -> tuple[Batches, Batches | None]:
        """Those of the training clips, and those of the held-out ones, if there are any."""
        job, settings = self.job, self.settings
        training, heldout = job.training_clips(), sorted(job.heldout)
        check_divisible(schedule.batch, job.what)
        places = places_of([job.clips[name] for name in training])
        if not places:
            message = f"{job.clips.root}: no training clips are left; lower `heldout_fraction` of the dataset"
            raise LightvadError(message)
        reader = WindowReader(job.clips, offsets=offsets_read(settings), frame_size=self.input_size)

        own = Batches(
            reader, places, schedule.batch, schedule.frames_per_epoch, settings, self.grid, job.seed,
            anomalies_of(job, reader, heldout=False), share(),
        )  # fmt: skip
        if not heldout:
            return own, None
        validated = spread(places_of([job.clips[name] for name in heldout]), settings.validation_frames)
        anomalies = anomalies_of(job, reader, heldout=True)
        return own, Batches(reader, validated, schedule.batch, None, settings, self.grid, job.seed, anomalies)

    def windows(self, batch: Batch) -> torch.Tensor:
        """The network's input: float32 (B, 3F, H, W) in [-1, 1]."""
        return normalized(batch.windows.to(self.device))

    def kept(self, batch: Batch) -> torch.Tensor:
        """The places whose tokens the encoder sees: int64 (B, K)."""
        return kept_places(batch.noise.to(self.device), self.grid, self.settings.network)

    def target(self, batch: Batch, *, normal: bool = False) -> torch.Tensor:
        """The patches to be drawn (B, N, p * p * c): clean frame and map of anomalies; `normal`: an empty map."""
        planes = normalized(batch.targets.to(self.device))
        if self.settings.channels == 4:
            maps = torch.zeros_like(batch.maps) if normal else batch.maps
            planes = torch.cat([planes, anomaly_channel(maps.to(self.device), self.settings)], dim=1)
        return patches_of(planes, self.patch)

    def reconstruction(
        self, target: torch.Tensor, drawn: torch.Tensor, kept: torch.Tensor, batch: Batch
    ) -> torch.Tensor:
        """Eqs. 3 and 4; without motion weights the mean over hidden patches."""
        if not self.settings.motion_weights:
            return masked_error(target, drawn, kept)
        released = self.settings.gradients == "released_code"
        first, second = (one.to(self.device).float() for one in batch.gradients)
        maps = batch.maps.to(self.device) if self.settings.channels == 4 else None
        weights = token_weights(
            motion_gradients(first, second, filtered=not released), maps, self.patch,
            map_scale="released_code" if released else "paper",
        )  # fmt: skip
        return weighted_error(target, drawn, weights)


class Steps:
    """The optimiser's steps of one stage."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule, per_epoch: int
    ) -> None:
        self.network, self.optimizer, self.schedule = network, optimizer, schedule
        self.total = schedule.epochs * per_epoch

    def descend(self, loss: torch.Tensor) -> None:
        """One step; how many were done before stands in the optimiser's state, which a resumed training has again."""
        done = max((int(own["step"]) for own in self.optimizer.state.values()), default=0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.lr * learning_rate_factor(self.schedule, (done + 1) / (self.total + 1))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.network.parameters())
        if self.schedule.gradient_clip is not None:
            clip_grad_norm_(self.network.parameters(), self.schedule.gradient_clip)
        self.optimizer.step()


RISE = 0.15
"""Share of all steps in which the learning rate of `one_cycle` rises; project choice."""


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """Of the learning rate, after a share of all steps in (0, 1): one, or a linear rise and a cosine to zero."""
    if schedule.lr_decay == "constant":
        return 1.0
    return progress / RISE if progress < RISE else (1 + math.cos(math.pi * (progress - RISE) / (1 - RISE))) / 2


def optimizer_of(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Adam or AdamW; weight decay is for matrices and kernels alone, as in the code."""
    kind = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
    matrices = [one for one in network.parameters() if one.dim() > 1]
    vectors = [one for one in network.parameters() if one.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": schedule.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return kind(groups, lr=schedule.lr, betas=schedule.betas)


def anomaly_channel(maps: torch.Tensor, settings: AedMaeSettings) -> torch.Tensor:
    """Maps of 0 and 1 in the values of `anomaly_channel`."""
    return maps if settings.anomaly_channel == "zero_one" else 2 * maps - 1


def _teacher(settings: AedMaeSettings) -> Teacher:
    return Teacher(settings.network, channels=settings.channels, class_head=settings.class_head)


def _mean(rows: Sequence[tuple[dict[str, float], int]]) -> dict[str, float]:
    """Mean of losses over batches of given sizes; empty without batches."""
    total = sum(size for _, size in rows)
    names = rows[0][0] if rows else {}
    return {name: sum(row[name] * size for row, size in rows) / total for name in names}

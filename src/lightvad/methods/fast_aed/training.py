"""The two phases of Fast-AED: pre-training as an auto-encoder, then standard plus adversarial distillation."""

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, update_bn

from lightvad.artifacts.documents import write_csv
from lightvad.artifacts.weights import load_state, read_weights, write_weights
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed.batches import Batch, Batches
from lightvad.methods.fast_aed.discriminator import Discriminator
from lightvad.methods.fast_aed.losses import OneForAll, PerTeacher, distillation_loss
from lightvad.methods.fast_aed.model import AutoEncoder, Student, joined, scores_of
from lightvad.methods.fast_aed.settings import Adversarial, FastAedSettings, Schedule
from lightvad.methods.fast_aed.windows import Targets, normalized
from lightvad.methods.protocol import Job
from lightvad.objects.pasting import Paster
from lightvad.shares import average_gradients, check_divisible, share, with_shared_norms
from lightvad.training_loop import Training, finish, fit, launch, seed_everything
from lightvad.video.readers import Place, WindowReader, places_of, spread

METHOD = "fast_aed"
Network = TypeVar("Network", bound=nn.Module)


def pretrain(job: Job) -> None:
    """First phase: reconstruct the middle frame (Eq. 2). Writes `pretrained.safetensors` and `pretraining.csv`.

    Raises:
        LightvadError: a loss is not finite, or a clip is damaged.
    """
    settings: FastAedSettings = job.settings
    fabric = launch(job.device, settings.precision)
    seed_everything(job.seed)
    network = _on_device(AutoEncoder(settings.network, settings.autoencoder), fabric)
    optimizer = optimizer_of(network, settings.pretraining)
    batches = _batches(job, settings.pretraining, None)
    training = Training(
        what=job.what,
        folder=job.folder,
        csv=job.folder / "pretraining.csv",
        digest=job.digest,
        seed=job.seed,
        epochs=settings.pretraining.epochs,
        modules={"autoencoder": network},
        optimizers={"autoencoder": optimizer},
    )

    def loss_of(batch: Batch) -> torch.Tensor:
        frames = normalized(batch.frames.to(fabric.device))
        with fabric.autocast():
            rebuilt = network(frames)
        return nn.functional.mse_loss(rebuilt, network.target(frames))

    def step(batch: Batch) -> dict[str, float]:
        set_learning_rate(optimizer, settings.pretraining, step=batch.step, steps_per_epoch=len(batches))
        loss = loss_of(batch)
        descend(loss, network, optimizer, settings.pretraining.gradient_clip)
        return {"reconstruction": loss.item()}

    def validate(epoch: int) -> dict[str, float]:
        del epoch
        return _mean([({"heldout_reconstruction": loss_of(b).item()}, len(b.frames)) for b in _heldout(job, batches)])

    fit(training, batches=batches.epoch, step=step, batches_per_epoch=len(batches), after_epoch=validate)
    write_weights(job.folder / "pretrained.safetensors", network.state_dict(), job.metadata)
    finish(training)


def train(job: Job) -> None:
    """Second phase: distil the teachers' maps. Writes `model.safetensors` and `training.csv`.

    With `checkpoints_on_test` also the weights of earlier epochs, under `epochs/`.

    With `distillation` off and no discriminators, the pre-trained auto-encoder itself becomes the model.

    Raises:
        LightvadError: a loss is not finite, teachers' maps are missing, or the pre-trained weights do not fit.
    """
    settings: FastAedSettings = job.settings
    if not settings.distils:
        _keep_autoencoder(job)
        return
    phase = distillation_of(job, launch(job.device, settings.precision))
    batches = phase.batches
    training = Training(
        what=job.what,
        folder=job.folder,
        csv=job.folder / "training.csv",
        digest=job.digest,
        seed=job.seed,
        epochs=settings.training.epochs,
        modules=phase.modules,
        optimizers=phase.optimizers,
    )
    kept = dict(zip(settings.kept_epochs, settings.epoch_weights, strict=True))

    def after_epoch(epoch: int) -> dict[str, float]:
        measured = phase.validate(epoch)
        if epoch + 1 in kept:
            write_weights(job.folder / kept[epoch + 1], phase.kept.state_dict(), job.metadata)
        return measured

    fit(training, batches=batches.epoch, step=phase.step, batches_per_epoch=len(batches), after_epoch=after_epoch)
    for left in set((job.folder / "epochs").glob("*.safetensors")) - {job.folder / name for name in kept.values()}:
        left.unlink()  # of a training that kept others
    write_weights(job.folder / "model.safetensors", phase.kept.state_dict(), job.metadata)
    finish(training)


def distillation_of(job: Job, fabric: Fabric) -> "Distillation":
    """The second phase at its start: a student with the pre-trained encoder, and its batches.

    Raises:
        LightvadError: teachers' maps are missing, or the pre-trained weights do not fit.
    """
    settings: FastAedSettings = job.settings
    seed_everything(job.seed)
    resolutions = settings.map_resolutions(job.resolutions)
    branches = len(job.teachers) if settings.network.branches == "per_teacher" else 1
    student = _on_device(Student(settings.network, resolutions, branches), fabric)
    if job.pretrained is not None:
        load_state(student.encoder, _encoder_state(job), job.pretrained)
    targets = Targets(
        job.teachers,
        job.clips.clips("train"),
        resolutions=resolutions,
        frame_size=job.frame_size,
        folder=job.folder,
    )
    return Distillation(job, fabric, student, _batches(job, settings.training, targets))


class Distillation:
    """The second phase's step and validation: student, discriminators and the student's averaged weights.

    Attributes:
        modules: networks whose state is kept for resuming.
        optimizers: optimisers whose state is kept, the student's first.
    """

    def __init__(self, job: Job, fabric: Fabric, student: Student, batches: Batches) -> None:
        self.job = job
        self.fabric = fabric
        self.settings: FastAedSettings = job.settings
        self.student = student
        self.batches = batches
        self.weights = [teacher.weight for teacher in job.teachers]
        self.optimizer = optimizer_of(student, self.settings.training)
        self.modules: dict[str, nn.Module] = {"student": student}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"student": self.optimizer}
        self.adversary = self._adversary(self.settings.adversarial)
        self.average = None if self.settings.average_decay is None else averaged(student, self.settings.average_decay)
        if self.average is not None:
            self.modules["average"] = self.average

    @property
    def kept(self) -> Student:
        """The network that is validated and written: the averaged one, where there is one."""
        return self.student if self.average is None else cast(Student, self.average.module)

    def step(self, batch: Batch) -> dict[str, float]:
        """One discriminator step, then one student step (sheet, section 3: the order of the released code)."""
        settings = self.settings
        set_learning_rate(self.optimizer, settings.training, step=batch.step, steps_per_epoch=len(self.batches))
        branches = self._maps(self.student, batch)
        targets = self._targets(batch)
        losses = self._discriminator_step(branches, targets)
        distillation = distillation_loss(branches, targets, self.weights)
        losses["distillation"] = distillation.item()
        terms = [distillation] if settings.distillation else []
        if self.adversary is not None:
            fooling = self.adversary.student_loss(branches)
            losses["adversarial"] = fooling.item()
            terms.append(settings.adversarial.weight * fooling)
        descend(torch.stack(terms).sum(), self.student, self.optimizer, settings.training.gradient_clip)
        if self.average is not None:
            self.average.update_parameters(self.student)
        if settings.adversarial.updates == 2:
            self._discriminator_step(branches, targets)
        return losses | self._zeros(branches)

    def validate(self, epoch: int) -> dict[str, float]:
        """Re-estimate the kept network's batch norms, then measure it on the held-out clips.

        `heldout_distillation` is the map loss; with pasting, `heldout_pasted_auc` tells windows with pasted abnormal
        objects from those without (plain AUC, nothing smoothed; left out where the draw gave one kind only).
        """
        if self.average is not None:
            batches = self.batches.recalibration(epoch, self.settings.recalibration_batches)
            with self.fabric.autocast():
                update_bn((normalized(batch.frames.to(self.fabric.device)) for batch in batches), self.kept)
            self.kept.eval()
        losses, scores, abnormal = [], [], []
        for batch in _heldout(self.job, self.batches):
            branches = self._maps(self.kept, batch)
            loss = distillation_loss(branches, self._targets(batch), self.weights)
            losses.append(({"heldout_distillation": loss.item()}, len(batch.frames)))
            scores.append(scores_of(joined(branches)).cpu())
            abnormal.append(batch.abnormal)
        measured = _mean(losses)
        if abnormal and 0 < torch.cat(abnormal).float().mean() < 1:
            from sklearn.metrics import roc_auc_score  # takes as long to import as torch, and only pasting needs it

            measured["heldout_pasted_auc"] = float(roc_auc_score(torch.cat(abnormal), torch.cat(scores)))
        return measured

    def _maps(self, network: Student, batch: Batch) -> list[list[torch.Tensor]]:
        with self.fabric.autocast():
            branches: list[list[torch.Tensor]] = network(normalized(batch.frames.to(self.fabric.device)))
        return branches

    def _targets(self, batch: Batch) -> list[list[torch.Tensor]]:
        return [[maps.to(self.fabric.device) for maps in teacher] for teacher in batch.targets]

    def _discriminator_step(
        self, branches: list[list[torch.Tensor]], targets: list[list[torch.Tensor]]
    ) -> dict[str, float]:
        if self.adversary is None:
            return {}
        loss = self.adversary.discriminator_loss(branches, targets)
        descend(loss, self.modules["discriminators"], self.optimizers["discriminators"], None)
        return {"discriminator": loss.item()}

    def _adversary(self, settings: Adversarial) -> PerTeacher | OneForAll | None:
        if settings.discriminators == "none":
            return None
        count, outputs = (
            (len(self.weights), 1) if settings.discriminators == "per_teacher" else (1, 1 + len(self.weights))
        )
        networks = nn.ModuleList(Discriminator(self.student.resolutions, outputs) for _ in range(count))
        networks.to(self.fabric.device)
        self.modules["discriminators"] = networks
        self.optimizers["discriminators"] = torch.optim.Adam(
            networks.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        if settings.discriminators == "per_teacher":
            return PerTeacher(list(networks), sees_fakes=settings.sees_fakes)
        return OneForAll(networks[0], sees_fakes=settings.sees_fakes)

    def _zeros(self, branches: list[list[torch.Tensor]]) -> dict[str, float]:
        """Share of outputs that are exactly zero, per resolution: near 1, the head is dead (sheet, section 8)."""
        return {
            f"zeros_{side}": torch.stack([(branch[k] == 0).float().mean() for branch in branches]).mean().item()
            for k, side in enumerate(self.student.resolutions)
        }


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential average of the weights; its decay grows to `decay` over the first steps. Buffers are copies."""

    def average(old: torch.Tensor, new: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
        return torch.lerp(old, new, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return AveragedModel(network, avg_fn=average)


def optimizer_of(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Adam (weight decay as an L2 term) or AdamW over all parameters."""
    kind = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, schedule: Schedule, *, step: int, steps_per_epoch: int) -> None:
    """Set the learning rate of a step: a function of its number alone, so resuming needs no further state."""
    factor = 1.0
    if schedule.lr_decay == "step":
        factor = schedule.lr_step_factor ** (step // steps_per_epoch // schedule.lr_step_epochs)
    elif schedule.lr_decay == "one_cycle":
        progress = (step + 1) / (schedule.epochs * steps_per_epoch + 1)
        rise = schedule.one_cycle_rise
        factor = progress / rise if progress < rise else (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2
    for group in optimizer.param_groups:
        group["lr"] = schedule.lr * factor


def descend(loss: torch.Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, clip: float | None) -> None:
    """One step of the optimiser; gradients left in other networks are dropped at their own next step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(network.parameters())
    if clip is not None:
        clip_grad_norm_(network.parameters(), clip)
    optimizer.step()


def _on_device(network: Network, fabric: Fabric) -> Network:
    return with_shared_norms(network).to(fabric.device).to(memory_format=torch.channels_last)


def _batches(job: Job, schedule: Schedule, targets: Targets | None) -> Batches:
    settings: FastAedSettings = job.settings
    places = places_of([job.clips[name] for name in job.training_clips()])
    if not places:
        message = f"{job.clips.root}: no training clips are left; lower `heldout_fraction` of the dataset"
        raise LightvadError(message)
    check_divisible(schedule.batch, job.what)
    reader = WindowReader(job.clips, offsets=settings.offsets, frame_size=job.frame_size)
    paster = heldout_paster = None
    if settings.pasting is not None and targets is not None:
        paster = Paster(reader, job.boxes, job.training_clips(), settings.pasting)
        heldout_paster = Paster(reader, job.boxes, sorted(job.heldout), settings.pasting) if job.heldout else None
    return Batches(
        reader=reader,
        targets=targets,
        places=places,
        batch=schedule.batch,
        windows=schedule.windows_per_epoch,
        flip=settings.horizontal_flip,
        seed=job.seed,
        paster=paster,
        heldout_paster=heldout_paster,
        pasting=settings.pasting,
        share=share(),
    )


def _heldout(job: Job, batches: Batches) -> Iterator[Batch]:
    places: list[Place] = places_of([job.clips[name] for name in sorted(job.heldout)])
    return batches.ordered(spread(places, job.settings.validation_windows)) if places else iter(())


def _mean(rows: Sequence[tuple[dict[str, float], int]]) -> dict[str, float]:
    """Mean of losses over batches of given sizes; empty without batches."""
    total = sum(size for _, size in rows)
    names = rows[0][0] if rows else {}
    return {name: sum(row[name] * size for row, size in rows) / total for name in names}


def _encoder_state(job: Job) -> dict[str, torch.Tensor]:
    """The encoder's part of the pre-trained auto-encoder."""
    assert job.pretrained is not None  # noqa: S101 - the caller has checked
    state, _ = read_weights(job.pretrained, METHOD)
    return {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}


def _keep_autoencoder(job: Job) -> None:
    """Reconstruction only (Table 5): the model is the auto-encoder; training.csv says that no epoch was run."""
    if job.pretrained is None:
        message = f"{job.what}: reconstruction only needs a `pretrained_variant`"
        raise LightvadError(message)
    state, _ = read_weights(job.pretrained, METHOD)
    load_state(AutoEncoder(job.settings.network, job.settings.autoencoder), state, job.pretrained)
    write_weights(job.folder / "model.safetensors", state, job.metadata)
    write_csv(job.folder / "training.csv", [{"epoch": 0, "lr": 0.0, "seconds": 0.0}])

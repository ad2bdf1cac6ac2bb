"""Joint training of the proxy tasks of SSMTL on normal objects (sheet, sections 2 and 4)."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from lightvad.artifacts.weights import write_weights
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl.model import SSMTL, as_input, middle_of
from lightvad.methods.ssmtl.samples import Batch, Objects, Sampler, objects_of, rows_of
from lightvad.methods.ssmtl.settings import TASKS, Settings, Task
from lightvad.methods.ssmtl.targets import Targets, forget_features, targets_of
from lightvad.methods.ssmtl.task_scores import task_scores
from lightvad.shares import average_gradients, check_divisible, share
from lightvad.training_loop import Training, finish, fit, launch, seed_everything

SMALLEST_SPREAD = 1e-6
HELDOUT_STREAM, VALIDATION_STREAM = 2**32, 2**32 + 1


class BestSoFar(nn.Module):
    """A copy of the network at its lowest validation loss; a module, so that it survives a resume."""

    loss: torch.Tensor

    def __init__(self, network: SSMTL) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("loss", torch.tensor(math.inf, dtype=torch.float64))

    def offer(self, network: SSMTL, loss: float) -> None:
        """Keep the state of `network` if its `loss` is the lowest so far."""
        if loss < float(self.loss):
            self.network.load_state_dict(network.state_dict())
            self.loss.fill_(loss)


def train(job: Job) -> None:
    """Train on the objects of the training clips; writes `model.safetensors` and `training.csv` into the run's folder.

    Raises:
        LightvadError: no objects, no held-out objects for `checkpoint: best_validation`, task 4 without targets, or a
            loss that is not finite.
    """
    settings: Settings = job.settings
    schedule = settings.training
    check_divisible(schedule.batch, job.what, least=2)
    fabric = launch(job.device, settings.precision)
    rows, heldout_rows = _rows(job)
    targets = targets_of(job, np.concatenate([rows, heldout_rows]), trained=len(rows), device=fabric.device)
    trained = objects_of(job.boxes.iloc[rows], targets.values[: len(rows)])
    heldout = objects_of(job.boxes.iloc[heldout_rows], targets.values[len(rows) :])

    seed_everything(job.seed)
    network = _network(settings, targets).to(fabric.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.epochs)
    joint = JointTraining(
        settings=settings, seed=job.seed, fabric=fabric, network=network, best=BestSoFar(network), optimizer=optimizer,
        sampler=Sampler(job.clips, settings.crop_size, largest_step=largest_step(settings)),
        trained=trained, heldout=heldout,
    )  # fmt: skip
    training = Training(
        what=job.what, folder=job.folder, csv=job.folder / "training.csv", digest=job.digest, seed=job.seed,
        epochs=schedule.epochs, modules={"network": network, "best": joint.best}, optimizers={"network": optimizer},
        schedulers=[cosine] if schedule.schedule == "cosine" else [],
    )  # fmt: skip
    batches_per_epoch = math.ceil(joint.objects_per_epoch / schedule.batch)
    fit(
        training, batches=joint.batches, step=joint.step, batches_per_epoch=batches_per_epoch,
        after_epoch=joint.validate,
    )  # fmt: skip
    chosen = joint.best.network if schedule.checkpoint == "best_validation" else network
    with fabric.autocast():
        measure_spread(chosen, joint.sampler, heldout if len(heldout) else trained, settings)
    sizes = {"classes": str(chosen.classes), "features": str(chosen.features)}
    write_weights(job.folder / "model.safetensors", chosen.state_dict(), job.metadata | sizes)
    forget_features(job)
    finish(training)


@dataclass(frozen=True)
class JointTraining:
    """What one epoch of the joint training does: its batches, a step, and the validation after it."""

    settings: Settings
    seed: int
    fabric: Fabric
    network: SSMTL
    best: BestSoFar
    optimizer: torch.optim.Optimizer
    sampler: Sampler
    trained: Objects
    heldout: Objects

    @property
    def objects_per_epoch(self) -> int:
        """Objects that an epoch draws from the training objects."""
        return min(self.settings.training.objects_per_epoch or len(self.trained), len(self.trained))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, a function of seed and epoch."""
        generator = np.random.default_rng((self.seed, epoch))
        chosen = np.sort(generator.choice(len(self.trained), self.objects_per_epoch, replace=False))
        own = share()
        skipping = generator if own.count == 1 else np.random.default_rng((self.seed, epoch, own.rank + 1))
        return self.sampler.shuffled(
            self.trained[chosen], size=self.settings.training.batch, generator=generator, skipping=skipping, share=own
        )

    def step(self, batch: Batch) -> dict[str, torch.Tensor]:
        """One step on the joint loss."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._losses(batch)
        self.fabric.backward(losses["total"])
        average_gradients(self.network.parameters())
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self, _: int) -> dict[str, float]:
        """Losses on the held-out objects, the same ones after every epoch; keeps the best network so far."""
        if not len(self.heldout):
            return {}
        sums: dict[str, float] = {}
        generator = np.random.default_rng((self.seed, VALIDATION_STREAM))
        for batch in self.sampler.in_order(self.heldout, size=self.settings.training.batch, generator=generator):
            for name, loss in self._losses(batch).items():
                sums[name] = sums.get(name, 0.0) + float(loss) * len(batch.targets) / len(self.heldout)
        self.best.offer(self.network, sums["total"])
        return {f"validation_{name}": value for name, value in sums.items()}

    def _losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        with self.fabric.autocast():
            losses = proxy_losses(self.network, batch.to(self.fabric.device), self.settings.tasks)
        weights = loss_weights(self.settings)
        total = torch.stack([weights[task] * loss for task, loss in losses.items()]).sum()
        return dict(losses, total=total)  # type: ignore[arg-type]


def proxy_losses(network: SSMTL, batch: Batch, tasks: tuple[Task, ...]) -> dict[Task, torch.Tensor]:
    """The loss of each task on one batch of objects, before weighting (sheet, section 2).

    Forward in time and regular are the same seven crops, so one pass through the trunk serves both: it takes the
    consecutive, the reversed and the irregular sequences together.
    """
    consecutive = as_input(batch.consecutive)
    losses: dict[Task, torch.Tensor] = {}
    motion = [batch.consecutive]
    if "arrow" in tasks:
        motion.append(batch.consecutive.flip(1))
    if "irregularity" in tasks:
        motion.append(batch.irregular)
    if len(motion) > 1:
        features = network.sequence_features(as_input(torch.cat(motion))).split(len(consecutive))
        normal = torch.zeros(len(consecutive), dtype=torch.long, device=consecutive.device)
        labels = torch.cat([normal, normal + 1])
        if "arrow" in tasks:
            losses["arrow"] = F.cross_entropy(network.arrow(torch.cat(features[:2])).float(), labels)
        if "irregularity" in tasks:
            pair = torch.cat([features[0], features[-1]])
            losses["irregularity"] = F.cross_entropy(network.irregularity(pair).float(), labels)
    if "middle" in tasks:
        losses["middle"] = F.l1_loss(network.predicted_middle(consecutive).float(), middle_of(consecutive))
    if "distillation" in tasks:
        losses["distillation"] = F.l1_loss(network.predicted_targets(consecutive).float(), batch.targets)
    return losses


def loss_weights(settings: Settings) -> dict[Task, float]:
    """Weights of the joint loss L1 + L2 + L3 + lambda L4 (sheet, section 4)."""
    return {task: settings.distillation.weight if task == "distillation" else 1.0 for task in settings.tasks}


def largest_step(settings: Settings) -> int:
    """Largest step of the sequences with skipped frames; 0 where task 2 is off."""
    return settings.irregularity.largest_step if "irregularity" in settings.tasks else 0


@torch.no_grad()
def measure_spread(network: SSMTL, sampler: Sampler, objects: Objects, settings: Settings) -> None:
    """Store the standard deviation of every raw task score on normal `objects`, for `scoring.standardise: training`."""
    network.eval()
    consecutive_only = Sampler(sampler.clips, sampler.crop_size, largest_step=0)
    device = network.score_spread.device
    found: list[torch.Tensor] = []
    for batch in consecutive_only.in_order(objects, size=settings.training.batch, generator=np.random.default_rng()):
        crops, targets = batch.consecutive.to(device), batch.targets.to(device)
        found.append(task_scores(network, crops, targets, settings.tasks, settings.distillation.kd_score))
    spread = torch.cat(found).std(0).clamp_min(SMALLEST_SPREAD)
    network.score_spread[[TASKS.index(task) for task in settings.tasks]] = spread


def _network(settings: Settings, targets: Targets) -> SSMTL:
    network = SSMTL(settings, classes=targets.classes, features=targets.features)
    network.feature_mean.copy_(torch.from_numpy(targets.feature_mean))
    network.feature_spread.copy_(torch.from_numpy(targets.feature_spread))
    return network


def _rows(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `job.boxes` to train on, and of held-out clips."""
    schedule = job.settings.training
    rows = rows_of(job.boxes, job.clips, job.training_clips(), frame_stride=schedule.frame_stride)
    heldout = rows_of(job.boxes, job.clips, sorted(job.heldout))
    if len(rows) < 2:
        message = f"{job.what}: no objects in the training clips; lower detection.confidence or use another backend"
        raise LightvadError(message)
    if not len(heldout) and schedule.checkpoint == "best_validation":
        message = (
            f"{job.what}: training.checkpoint: best_validation needs objects in held-out training clips and there are"
            " none; raise heldout_fraction or set training.checkpoint: last"
        )
        raise LightvadError(message)
    generator = np.random.default_rng((job.seed, HELDOUT_STREAM))
    count = min(schedule.validation_objects, len(heldout))
    return rows, np.sort(generator.choice(heldout, count, replace=False))

"""Joint training of the proxy tasks of SSMTL on normal objects (sheet, sections 2 and 4)."""

import copy
import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lightvad.artifacts.weights import write_weights
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl.model import SSMTL, as_input, middle_of
from lightvad.methods.ssmtl.samples import Batch, Objects, Sampler, objects_of, rows_of
from lightvad.methods.ssmtl.scoring import task_scores
from lightvad.methods.ssmtl.settings import TASKS, Settings, Task
from lightvad.methods.ssmtl.targets import Targets, forget_features, targets_of
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
    fabric = launch(job.device, settings.precision)
    rows, heldout_rows = _rows(job)
    targets = targets_of(job, np.concatenate([rows, heldout_rows]), trained=len(rows), device=fabric.device)
    trained = objects_of(job.boxes.iloc[rows], targets.values[: len(rows)])
    heldout = objects_of(job.boxes.iloc[heldout_rows], targets.values[len(rows) :])

    seed_everything(job.seed)
    network = _network(settings, targets).to(fabric.device)
    best = BestSoFar(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.epochs)
    training = Training(
        what=job.what, folder=job.folder, csv=job.folder / "training.csv", digest=job.digest, seed=job.seed,
        epochs=schedule.epochs, modules={"network": network, "best": best}, optimizers={"network": optimizer},
        schedulers=[cosine] if schedule.schedule == "cosine" else [],
    )  # fmt: skip
    sampler = Sampler(job.clips, settings.crop_size, largest_step=largest_step(settings))
    weights = loss_weights(settings)
    per_epoch = min(schedule.objects_per_epoch or len(trained), len(trained))

    def losses_of(batch: Batch) -> tuple[torch.Tensor, dict[Task, torch.Tensor]]:
        with fabric.autocast():
            losses = proxy_losses(network, batch.to(fabric.device), settings.tasks)
        return torch.stack([weights[task] * loss for task, loss in losses.items()]).sum(), losses

    def batches(epoch: int) -> Iterator[Batch]:
        generator = np.random.default_rng((job.seed, epoch))
        chosen = np.sort(generator.choice(len(trained), per_epoch, replace=False))
        return sampler.shuffled(trained[chosen], size=schedule.batch, generator=generator)

    def step(batch: Batch) -> dict[str, torch.Tensor]:
        optimizer.zero_grad(set_to_none=True)
        total, losses = losses_of(batch)
        fabric.backward(total)
        optimizer.step()
        return {"total": total.detach(), **{task: loss.detach() for task, loss in losses.items()}}

    def validate(_: int) -> dict[str, float]:
        sums: dict[str, float] = dict.fromkeys(("total", *settings.tasks), 0.0)
        generator = np.random.default_rng((job.seed, VALIDATION_STREAM))
        for batch in sampler.in_order(heldout, size=schedule.batch, generator=generator):
            total, losses = losses_of(batch)
            named: Mapping[str, torch.Tensor] = {"total": total, **losses}
            for name, loss in named.items():
                sums[name] += float(loss) * len(batch.targets) / len(heldout)
        if len(heldout):
            best.offer(network, sums["total"])
        return {f"validation_{name}": value for name, value in sums.items()} if len(heldout) else {}

    batches_per_epoch = math.ceil(per_epoch / schedule.batch)
    fit(training, batches=batches, step=step, batches_per_epoch=batches_per_epoch, after_epoch=validate)
    chosen = best.network if schedule.checkpoint == "best_validation" else network
    with fabric.autocast():
        measure_scores(chosen, sampler, heldout if len(heldout) else trained, settings)
    sizes = {"classes": str(chosen.classes), "features": str(chosen.features)}
    write_weights(job.folder / "model.safetensors", chosen.state_dict(), job.metadata | sizes)
    forget_features(job)
    finish(training)


def proxy_losses(network: SSMTL, batch: Batch, tasks: tuple[Task, ...]) -> dict[Task, torch.Tensor]:
    """The loss of each task on one batch of objects, before weighting (sheet, section 2).

    Forward in time and regular are the same seven crops, so one pass through the trunk serves both: it takes the
    consecutive, the reversed and the irregular sequences together.
    """
    consecutive = as_input(batch.consecutive)
    losses: dict[Task, torch.Tensor] = {}
    motion = [consecutive]
    if "arrow" in tasks:
        motion.append(consecutive.flip(2))
    if "irregularity" in tasks:
        motion.append(as_input(batch.irregular))
    if len(motion) > 1:
        together = torch.cat(motion).contiguous(memory_format=torch.channels_last_3d)
        features = network.sequence_features(together).split(len(consecutive))
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
def measure_scores(network: SSMTL, sampler: Sampler, objects: Objects, settings: Settings) -> None:
    """Store mean and spread of every raw task score on normal `objects` in the network, for `scoring.standardise`."""
    network.eval()
    consecutive_only = Sampler(sampler.clips, sampler.crop_size, largest_step=0)
    device = network.score_mean.device
    found: list[torch.Tensor] = []
    for batch in consecutive_only.in_order(objects, size=settings.training.batch, generator=np.random.default_rng()):
        batch = batch.to(device)
        found.append(
            task_scores(network, batch.consecutive, batch.targets, settings.tasks, settings.distillation.kd_score)
        )
    spread, mean = torch.std_mean(torch.cat(found), dim=0)
    for column, task in enumerate(settings.tasks):
        network.score_mean[TASKS.index(task)] = mean[column]
        network.score_spread[TASKS.index(task)] = spread[column].clamp_min(SMALLEST_SPREAD)


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

"""Training of T1: first the auto-encoders against their adversarial decoders, then the classifiers on frozen ones."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from lightvad.artifacts.weights import write_weights
from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.inputs import ObjectCrops, as_inputs
from lightvad.methods.background_agnostic.model import (
    STREAMS,
    BackgroundAgnostic,
    Decoder,
    Stream,
    network_of,
    reversed_gradient,
)
from lightvad.methods.background_agnostic.samples import Batch, Samples, collected
from lightvad.methods.background_agnostic.settings import AutoEncoders, Settings
from lightvad.methods.protocol import Job
from lightvad.objects.pseudo_abnormal import pseudo_abnormal_pool
from lightvad.shares import average_gradients, check_divisible, share
from lightvad.training_loop import Training, finish, fit, launch, seed_everything

Pair = tuple[torch.Tensor, torch.Tensor]
"""Normal and pseudo-abnormal inputs of one stream, each float32 (K, C, 64, 64)."""

VALIDATION = 2**31
"""Stands for the epoch in the seed of the validation batches: every epoch is validated on the same ones."""


def train(job: Job) -> None:
    """Train T1: writes `model.safetensors` (what runs at test time), `training.csv` and `training_classifiers.csv`
    (a row per epoch of each phase) and `pseudo_abnormal.csv` (the images seen, with sha256).

    A killed training goes on where it stopped and ends as an undisturbed one would have.

    Raises:
        LightvadError: no boxes, no pseudo-abnormal images, nothing held out for `best_validation`, a loss that is NaN,
            or a resume state of another configuration.
    """  # noqa: D205 - one sentence
    settings: Settings = job.settings
    if settings.classifiers.checkpoint == "best_validation" and not job.heldout:
        message = (
            f"{job.what}: classifiers.checkpoint is best_validation but no training clip is held out; "
            "set heldout_fraction above 0 in the dataset's file, or the checkpoint to last"
        )
        raise LightvadError(message)
    check_divisible(settings.batch, job.what)
    fabric = launch(job.device, settings.precision)
    seed_everything(job.seed)
    network = network_of(settings)
    adversaries = nn.ModuleDict(
        {
            name: Decoder(channels, skips=settings.skips, skip_form=settings.skip_form)
            for name, channels in zip(STREAMS, network.channels, strict=True)
        }
    )
    for module in (network, adversaries):
        module.to(fabric.device).to(memory_format=torch.channels_last)
    with _samples(job) as (samples, heldout):
        phases = [
            _train_autoencoders(job, fabric, network, adversaries, samples, heldout),
            _train_classifiers(job, fabric, network, adversaries, samples, heldout),
        ]
    write_weights(job.folder / "model.safetensors", network.state_dict(), job.metadata)
    for phase in phases:
        finish(phase)


def autoencoder_losses(
    stream: Stream, adversary: Decoder, pair: Pair, *, weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean squared errors of the first phase (sheet, section 4.1); minimise their sum.

    Args:
        stream: its encoder learns to reconstruct normal objects through the standard decoder, and not to reconstruct
            pseudo-abnormal ones through the adversarial decoder.
        adversary: learns to reconstruct pseudo-abnormal objects all the same.
        pair: normal and pseudo-abnormal inputs.
        weight: lambda_adv, factor of the reversed gradient on latent and skips.

    Returns:
        The error of normal objects (standard decoder) and of pseudo-abnormal ones (adversarial decoder).
    """
    normal, abnormal = pair
    error = F.mse_loss(stream.decoder(stream.encoder(normal)).float(), normal)
    adversarial = adversary(reversed_gradient(stream.encoder(abnormal), weight))
    return error, F.mse_loss(adversarial.float(), abnormal)


def classifier_loss(stream: Stream, adversary: Decoder, pair: Pair) -> torch.Tensor:
    """Binary cross-entropy of the second phase (sheet, section 4.2); the auto-encoder gets no gradient.

    Normal objects (label 1) come through the standard decoder, pseudo-abnormal ones (label 0) through the adversarial
    one.
    """
    logits = []
    for x, decoder in zip(pair, (stream.decoder, adversary), strict=True):
        with torch.no_grad():
            encoded = stream.encoder(x)
            reconstruction = decoder(encoded)
        logits.append(stream.judged(x, encoded, reconstruction).float())
    labels = torch.cat([torch.ones_like(logits[0]), torch.zeros_like(logits[1])])
    return F.binary_cross_entropy_with_logits(torch.cat(logits), labels)


def adversarial_weight(knobs: AutoEncoders, epoch: int) -> float:
    """lambda_adv in `epoch` (from 0): 0 while warming up, then a linear rise over `ramp_epochs`."""
    risen = min(max(epoch - knobs.warmup_epochs + 1, 0) / knobs.ramp_epochs, 1.0)
    return knobs.adversarial_weight * risen


def _train_autoencoders(
    job: Job,
    fabric: Fabric,
    network: BackgroundAgnostic,
    adversaries: nn.ModuleDict,
    samples: Samples,
    heldout: Samples | None,
) -> Training:
    knobs: AutoEncoders = job.settings.autoencoders
    streams = _streams(network, adversaries)
    owned = {name: [*s.encoder.parameters(), *s.decoder.parameters(), *a.parameters()] for name, s, a in streams}
    optimizer = torch.optim.Adam([p for parameters in owned.values() for p in parameters], lr=knobs.lr)
    phase = Training(
        what=f"{job.what} auto-encoders",
        folder=job.folder,
        csv=job.folder / "training.csv",
        digest=job.digest,
        seed=job.seed,
        epochs=knobs.epochs,
        modules={"network": network, "adversaries": adversaries},
        optimizers={"adam": optimizer},
        schedulers=[torch.optim.lr_scheduler.MultiStepLR(optimizer, [knobs.lr_drop_epoch], gamma=0.1)],
    )

    def step(batch: tuple[Batch, int]) -> dict[str, float]:
        losses: dict[str, float] = {}
        optimizer.zero_grad(set_to_none=True)
        weight = adversarial_weight(knobs, batch[1])
        for (name, stream, adversary), pair in zip(streams, _pairs(batch[0], fabric.device), strict=True):
            with fabric.autocast():
                error, adversarial = autoencoder_losses(stream, adversary, pair, weight=weight)
            fabric.backward(error + adversarial)
            average_gradients(owned[name])
            nn.utils.clip_grad_norm_(owned[name], knobs.gradient_clip)
            losses |= {f"{name}_mse": float(error.detach()), f"{name}_pseudo_mse": float(adversarial.detach())}
        optimizer.step()
        return losses

    def errors(batch: Batch) -> dict[str, float]:
        result: dict[str, float] = {}
        for (name, stream, adversary), pair in zip(streams, _pairs(batch, fabric.device), strict=True):
            with fabric.autocast():
                error, adversarial = autoencoder_losses(stream, adversary, pair, weight=0.0)
            result |= {f"{name}_val_mse": float(error), f"{name}_val_pseudo_mse": float(adversarial)}
        return result

    _fit(phase, job.settings, samples, step=step, after_epoch=lambda _: _validated(job, heldout, errors))
    return phase


def _train_classifiers(
    job: Job,
    fabric: Fabric,
    network: BackgroundAgnostic,
    adversaries: nn.ModuleDict,
    samples: Samples,
    heldout: Samples | None,
) -> Training:
    knobs = job.settings.classifiers
    streams = _streams(network, adversaries)
    classifiers = nn.ModuleDict({name: stream.classifier for name, stream, _ in streams})
    best = _Best(classifiers)
    optimizer = torch.optim.Adam(classifiers.parameters(), lr=knobs.lr)
    phase = Training(
        what=f"{job.what} classifiers",
        folder=job.folder,
        csv=job.folder / "training_classifiers.csv",
        digest=job.digest,
        seed=job.seed,
        epochs=knobs.epochs,
        modules={"classifiers": classifiers, "best": best},
        optimizers={"adam": optimizer},
    )

    def step(batch: tuple[Batch, int]) -> dict[str, float]:
        losses: dict[str, float] = {}
        optimizer.zero_grad(set_to_none=True)
        for (name, stream, adversary), pair in zip(streams, _pairs(batch[0], fabric.device), strict=True):
            with fabric.autocast():
                loss = classifier_loss(stream, adversary, pair)
            fabric.backward(loss)
            average_gradients(stream.classifier.parameters())
            losses[f"{name}_bce"] = float(loss.detach())
        optimizer.step()
        return losses

    def errors(batch: Batch) -> dict[str, float]:
        result: dict[str, float] = {}
        for (name, stream, adversary), pair in zip(streams, _pairs(batch, fabric.device), strict=True):
            with fabric.autocast():
                result[f"{name}_val_bce"] = float(classifier_loss(stream, adversary, pair))
        return result

    def after_epoch(epoch: int) -> dict[str, float]:
        del epoch
        means = _validated(job, heldout, errors)
        if means:
            best.offer(classifiers, sum(means.values()))
        return means

    _fit(phase, job.settings, samples, step=step, after_epoch=after_epoch)
    if knobs.checkpoint == "best_validation":
        classifiers.load_state_dict(best.kept.state_dict())
    return phase


def _fit(
    phase: Training,
    settings: Settings,
    samples: Samples,
    *,
    step: Callable[[tuple[Batch, int]], dict[str, float]],
    after_epoch: Callable[[int], dict[str, float]],
) -> None:
    """Run one phase on batches that depend on (seed, epoch) alone."""

    def batches(epoch: int) -> Iterator[tuple[Batch, int]]:
        rng = np.random.default_rng((phase.seed, epoch))
        for batch in samples.batches(rng, objects=settings.objects_per_epoch, batch=settings.batch):
            own = Batch(*(ObjectCrops(*(share().of(part) for part in crops)) for crops in batch))
            if len(own.normal.appearance):
                yield own, epoch

    objects = min(len(samples.normal.appearance), settings.objects_per_epoch or len(samples.normal.appearance))
    fit(
        phase,
        batches=batches,
        step=step,
        batches_per_epoch=math.ceil(objects / settings.batch),
        after_epoch=after_epoch,
    )


def _validated(job: Job, heldout: Samples | None, errors: Callable[[Batch], dict[str, float]]) -> dict[str, float]:
    """Mean errors over the held-out objects; the same batches in every epoch, no columns if nothing is held out."""
    if heldout is None:
        return {}
    settings: Settings = job.settings
    rng = np.random.default_rng((job.seed, VALIDATION))
    sums: dict[str, float] = {}
    count = 0
    for batch in heldout.batches(rng, objects=settings.validation_objects, batch=settings.batch):
        size = len(batch.normal.appearance)
        count += size
        for name, value in errors(batch).items():
            sums[name] = sums.get(name, 0.0) + value * size
    return {name: value / count for name, value in sums.items()}


def _streams(network: BackgroundAgnostic, adversaries: nn.ModuleDict) -> list[tuple[str, Stream, Decoder]]:
    """Name, stream and adversarial decoder of the three streams."""
    return [(name, cast(Stream, network.streams[name]), cast(Decoder, adversaries[name])) for name in STREAMS]


def _pairs(batch: Batch, device: torch.device) -> list[Pair]:
    """The batch as inputs, stream by stream."""
    return list(zip(as_inputs(batch.normal, device), as_inputs(batch.abnormal, device), strict=True))


@contextlib.contextmanager
def _samples(job: Job) -> Iterator[tuple[Samples, Samples | None]]:
    """Crops of the clips that are trained on, and of those held out (None: there are none)."""
    settings: Settings = job.settings
    pool = pseudo_abnormal_pool(
        settings.pseudo.source,
        count=settings.pseudo.images,
        seed=job.seed,
        folder=job.clips.root.parents[1] / "raw" / "pseudo_abnormal",
    )
    pool.write_manifest(job.folder / "pseudo_abnormal.csv")
    # A tenth of the images is seen in validation only.
    kept = max(1, round(0.9 * len(pool.images)))

    def crops(names: list[str], images: np.ndarray, what: str) -> contextlib.AbstractContextManager[Samples]:
        return collected(
            job.clips, names, job.boxes, settings=settings, images=images, seed=job.seed, folder=job.folder, what=what
        )

    with crops(job.training_clips(), pool.images[:kept], job.what) as training:
        if not job.heldout:
            yield training, None
            return
        with crops(sorted(job.heldout), pool.images[kept:], f"{job.what}: held out") as heldout:
            yield training, heldout


class _Best(nn.Module):
    """A copy of the classifiers at their lowest validation loss, kept with the resume state."""

    def __init__(self, classifiers: nn.ModuleDict) -> None:
        super().__init__()
        self.kept = copy.deepcopy(classifiers).requires_grad_(False)
        self.loss: torch.Tensor
        self.register_buffer("loss", torch.tensor(math.inf))

    def offer(self, classifiers: nn.ModuleDict, loss: float) -> None:
        """Keep `classifiers` if `loss` is the lowest so far."""
        if loss < float(self.loss):
            self.kept.load_state_dict(classifiers.state_dict())
            self.loss.fill_(loss)

"""Targets of task 4: the detector's class probabilities and the feature network's outputs, object by object."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl.features import cached_features, feature_network
from lightvad.methods.ssmtl.model import MIDDLE
from lightvad.methods.ssmtl.samples import Sampler, objects_of
from lightvad.methods.ssmtl.settings import Settings

SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True)
class Targets:
    """Targets of N objects.

    Attributes:
        values: float32 (N, classes + features): probabilities in [0, 1], then features.
        classes: number of classes, 0 if that half is off.
        features: number of features, 0 if that half is off.
        feature_mean: float32 (features,), what was subtracted.
        feature_spread: float32 (features,), what was divided by.
    """

    values: np.ndarray
    classes: int
    features: int
    feature_mean: np.ndarray
    feature_spread: np.ndarray


def targets_of(job: Job, rows: np.ndarray, *, trained: int, device: torch.device) -> Targets:
    """Targets of the objects `rows` of `job.boxes`; features are standardised over the first `trained` of them.

    Raises:
        LightvadError: task 4 is on and there is nothing to distil, or the feature network cannot be had.
    """
    settings: Settings = job.settings
    nothing = np.zeros(0, np.float32)
    if "distillation" not in settings.tasks:
        return Targets(np.zeros((len(rows), 0), np.float32), 0, 0, nothing, nothing)
    classes = job.class_probabilities.shape[1]
    probabilities = job.class_probabilities[rows] if classes else np.zeros((len(rows), 0), np.float32)
    network = feature_network(settings.distillation, device)
    if network is None:
        if not classes:
            message = (
                f"{job.what}: task `distillation` has no target: set detection.class_probabilities.source (backend or"
                " onnx) or distillation.features (resnet50 or onnx), or leave distillation out of `tasks`"
            )
            raise LightvadError(message)
        return Targets(probabilities.astype(np.float32), classes, 0, nothing, nothing)

    def crops() -> Iterator[torch.Tensor]:
        objects = objects_of(job.boxes.iloc[rows], np.zeros((len(rows), 0), np.float32))
        sampler = Sampler(job.clips, settings.crop_size, largest_step=0)
        for batch in sampler.in_order(objects, size=settings.training.batch, generator=np.random.default_rng()):
            yield batch.consecutive[:, MIDDLE]

    features = cached_features(
        _cache(job),
        network,
        crops(),
        count=len(rows),
        digest=job.digest,
        what=job.what,
        batch=settings.training.batch,
    )
    mean, spread = np.zeros(features.shape[1], np.float32), np.ones(features.shape[1], np.float32)
    if settings.distillation.standardise_features:
        mean = features[:trained].mean(0)
        spread = np.maximum(features[:trained].std(0), SMALLEST_SPREAD)
    values = np.concatenate([probabilities, (features - mean) / spread], axis=1).astype(np.float32)
    return Targets(values, classes, features.shape[1], mean, spread)


def forget_features(job: Job) -> None:
    """Remove the cached features, once the training that needed them has ended."""
    _cache(job).unlink(missing_ok=True)


def _cache(job: Job) -> Path:
    return job.folder / "_resume" / "features.pt"

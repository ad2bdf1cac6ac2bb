"""Object scores of SSMTL: the mean of what each proxy task finds odd (sheet, section 5)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lightvad.artifacts.arrays import Resolution
from lightvad.artifacts.tables import OBJECT_SCORES, write_table
from lightvad.artifacts.weights import load_state, read_weights
from lightvad.compute import Compute
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Job
from lightvad.methods.ssmtl.features import FeatureNetwork, feature_network
from lightvad.methods.ssmtl.model import MIDDLE, SSMTL
from lightvad.methods.ssmtl.samples import OFFSETS, Sampler, objects_of
from lightvad.methods.ssmtl.settings import TASKS, Settings
from lightvad.methods.ssmtl.task_scores import task_scores
from lightvad.objects.crops import crop_sequence
from lightvad.prefetch import read_ahead
from lightvad.progress import track

COCO_CLASSES, IMAGENET_CLASSES = 80, 1000


def combined(scores: torch.Tensor, network: SSMTL, settings: Settings) -> torch.Tensor:
    """One score per object, (B, tasks) -> (B,): the weighted mean of the task scores, at least 0.

    With `standardise: training` every task score is first divided by its standard deviation on normal objects, so that
    a task counts by how far it strays from the usual and not by its scale (project choice).
    """
    tasks = settings.scored_tasks()
    if settings.scoring.standardise == "training":
        scores = scores / network.score_spread[[TASKS.index(task) for task in tasks]]
    weights = scores.new_tensor([settings.scoring.task_weights[task] for task in tasks])
    return scores @ (weights / weights.sum())


class SSMTLScorer:
    """From frames and boxes to scores, the same path when scores are made and when they are timed.

    Implements `methods.protocol.Scorer`, but for `inputs`, which also needs the detector's class probabilities where
    task 4 is scored (`needs_class_probabilities`).

    Args:
        network: trained or, for timing alone, fresh.
        settings: of the run.
        compute: device and precision.
        features: the feature network, where `kd_score: both` compares its outputs.
    """

    offsets: Sequence[int] = OFFSETS
    needs_boxes = True

    def __init__(self, network: SSMTL, settings: Settings, compute: Compute, features: FeatureNetwork | None) -> None:
        self.network = network.eval().requires_grad_(False).to(compute.device)
        self.settings = settings
        self.precision = settings.precision
        self.tasks = settings.scored_tasks()
        self.needs_class_probabilities = "distillation" in self.tasks and network.classes > 0
        self._compute = compute
        self._features = features

    def inputs(
        self, window: np.ndarray, boxes: np.ndarray, class_probabilities: np.ndarray | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Crops and targets of the objects of one frame.

        Args:
            window: uint8 (7, H, W, 3) RGB, frames t-3..t+3.
            boxes: float32 (K, 4) of frame t.
            class_probabilities: float32 (K, classes) of these boxes.

        Returns:
            uint8 (K, 7, S, S, 3) and float32 (K, classes + features), on the network's device.

        Raises:
            LightvadError: task 4 is scored and class probabilities are missing or of another size.
        """
        size = self.settings.crop_size
        crops = np.empty((len(boxes), len(OFFSETS), size, size, 3), np.uint8)
        for k, box in enumerate(boxes):
            crops[k] = crop_sequence(window, box, size=size)
        return self.prepared(torch.from_numpy(crops), class_probabilities)

    def prepared(
        self, crops: torch.Tensor, class_probabilities: np.ndarray | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `inputs` returns, from crops uint8 (K, 7, S, S, 3) that are already cut."""
        classes, features = self.network.classes, self.network.features
        targets = torch.zeros(len(crops), classes + features)
        if self.needs_class_probabilities:
            shape = None if class_probabilities is None else class_probabilities.shape
            if class_probabilities is None or shape != (len(crops), classes):
                message = (
                    f"ssmtl: task 4 was trained on {classes} class probabilities a box and is scored with {shape};"
                    " run `lightvad detect` with the same detector, or set scoring.task_weights.distillation to 0"
                )
                raise LightvadError(message)
            targets[:, :classes] = torch.from_numpy(class_probabilities)
        if self._features is not None:
            found = self._features(crops[:, MIDDLE])
            mean, spread = self.network.feature_mean.cpu(), self.network.feature_spread.cpu()
            targets[:, classes:] = (found - mean) / spread
        return crops.to(self._compute.device), targets.to(self._compute.device)

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Crops uint8 (K, 7, S, S, 3), targets (K, classes + features) -> float32 (K,), higher = more anomalous."""
        return self.combined(self.scores_by_task(*inputs))

    def scores_by_task(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The raw score of every task in `tasks`: float32 (K, tasks)."""
        crops, targets = inputs
        with torch.inference_mode(), self._compute.autocast():
            return task_scores(self.network, crops, targets, self.tasks, self.settings.distillation.kd_score)

    def combined(self, scores: torch.Tensor) -> torch.Tensor:
        """`combined` with this scorer's network and settings."""
        return combined(scores, self.network, self.settings)

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random crops and targets of `batch` frames with `objects` each; the frame's size does not matter to crops."""
        del height, width
        count, size = batch * objects, self.settings.crop_size
        crops = torch.randint(0, 256, (count, len(OFFSETS), size, size, 3), dtype=torch.uint8)
        targets = torch.rand(count, self.network.classes + self.network.features)
        return crops.to(self._compute.device), targets.to(self._compute.device)


def scorer(
    settings: Settings,
    *,
    frame_size: tuple[int, int],
    resolutions: Sequence[Resolution],
    weights: Path | None,
    device: str,
) -> SSMTLScorer:
    """The path that is scored and timed; without `weights` a fresh network with the paper's targets (80 and 1000).

    Raises:
        LightvadError: the weights are missing or do not fit the settings.
    """
    del frame_size, resolutions  # an object method sees crops, at the frame's own size
    compute = Compute.on(device, settings.precision)
    distils = "distillation" in settings.tasks
    if weights is None:
        features = IMAGENET_CLASSES if distils and settings.distillation.features != "none" else 0
        network = SSMTL(settings, classes=COCO_CLASSES if distils else 0, features=features)
    else:
        state, metadata = read_weights(weights, "ssmtl")
        sizes = {name: _size(metadata, name, weights) for name in ("classes", "features")}
        network = SSMTL(settings, **sizes)
        load_state(network, state, weights)
    compares_features = "distillation" in settings.scored_tasks() and network.features > 0
    compares_features &= settings.distillation.kd_score == "both" or not network.classes
    found = feature_network(settings.distillation, compute.device) if compares_features else None
    return SSMTLScorer(network, settings, compute, found)


def _size(metadata: Mapping[str, str], name: str, weights: Path) -> int:
    """How many `classes` or `features` the header of weights tells of."""
    told = metadata.get(name, "0")
    if not told.isdecimal():
        message = f"{weights}: its header says {name} {told!r}, which is no number; run `lightvad train` again"
        raise LightvadError(message)
    return int(told)


def score(job: Job) -> None:
    """Score every box of the training and test clips; writes `object_scores.parquet` into the run's folder.

    Columns: those of OBJECT_SCORES, with one per scored task (arrow, irregularity, middle, distillation; raw) before
    `score`.

    Raises:
        LightvadError: weights or class probabilities are missing or do not fit.
    """
    settings: Settings = job.settings
    path = scorer(
        settings, frame_size=job.frame_size, resolutions=job.resolutions, weights=job.folder / "model.safetensors",
        device=job.device,
    )  # fmt: skip
    # Clip by clip and frame by frame, so that every frame is decoded once.
    order = np.lexsort((job.boxes["frame"].to_numpy(), job.boxes["clip"].to_numpy(str)))
    probabilities = job.class_probabilities
    targets = probabilities[order] if len(probabilities) else np.zeros((len(order), 0), np.float32)
    objects = objects_of(job.boxes.iloc[order], targets)
    sampler = Sampler(job.clips, settings.crop_size, largest_step=0)
    by_task = np.empty((len(order), len(path.tasks)), np.float32)
    total = np.empty(len(order), np.float32)
    size, done = settings.scoring.batch, 0
    batches = sampler.in_order(objects, size=size, generator=np.random.default_rng())
    for batch in track(read_ahead(batches), total=math.ceil(len(order) / size), what=job.what, unit="batches"):
        found = path.scores_by_task(*path.prepared(batch.consecutive, batch.targets.numpy()))
        rows = order[done : done + len(found)]
        by_task[rows], total[rows] = found.cpu().numpy(), path.combined(found).cpu().numpy()
        done += len(found)
    columns = {task: by_task[:, k] for k, task in enumerate(path.tasks)}
    table = job.boxes[[name for name in OBJECT_SCORES if name != "score"]].assign(**columns, score=total)
    write_table(job.folder / "object_scores.parquet", table, OBJECT_SCORES)

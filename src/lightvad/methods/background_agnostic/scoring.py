"""Scores of T1: every box of every training and test clip, a column per stream and their mean."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lightvad.artifacts.arrays import Resolution
from lightvad.artifacts.tables import BOX, OBJECT_SCORES, write_table
from lightvad.artifacts.weights import load_state, read_weights
from lightvad.compute import Compute
from lightvad.methods.background_agnostic.inputs import (
    as_inputs,
    counts,
    frames_with_objects,
    motion_of,
    object_crops,
)
from lightvad.methods.background_agnostic.model import SIZE, STREAMS, BackgroundAgnostic, network_of
from lightvad.methods.background_agnostic.settings import Settings
from lightvad.methods.protocol import Job
from lightvad.prefetch import read_ahead
from lightvad.progress import track

METHOD = "background_agnostic"


class ObjectScorer:
    """From three frames and boxes to anomaly scores: the path that is scored and timed (`protocol.Scorer`).

    Args:
        settings: of the method.
        network: the streams, trained or not.
        device: `auto`, `cpu` or `cuda`.
    """

    needs_boxes = True

    def __init__(self, settings: Settings, network: BackgroundAgnostic, device: str) -> None:
        self.offsets: Sequence[int] = (-settings.gap, 0, settings.gap)
        self.precision: str = settings.precision
        self._compute = Compute.on(device, settings.precision)
        # Channels-last convolutions are three times faster on a CPU with so few channels.
        self.network: torch.nn.Module = network.eval().to(self._compute.device).to(memory_format=torch.channels_last)
        self._channels = network.channels
        self._motion = motion_of(settings)
        self._batch = settings.score_batch

    def inputs(
        self,
        window: np.ndarray,
        boxes: np.ndarray,
        class_probabilities: np.ndarray | None = None,
        *,
        where: str = "window",
    ) -> tuple[torch.Tensor, ...]:
        """Gray and motion crops of the objects of one frame.

        Args:
            window: uint8 (3, H, W, 3) RGB, the frames at `offsets`.
            boxes: float32 (K, 4) of the middle frame, pixels.
            class_probabilities: unused.
            where: names the clip and the frame in errors.

        Returns:
            float32 (K, 1, 64, 64) in [0, 1] and twice (K, C, 64, 64) in [-1, 1], on the network's device.
        """
        del class_probabilities
        return as_inputs(object_crops(window, boxes, self._motion, where), self._compute.device)

    @torch.inference_mode()
    def task_scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Anomaly scores float32 (K, 3) in [0, 1], a column per stream, in passes of `score_batch` objects."""
        with self._compute.autocast():
            passes = [self.network(*part) for part in zip(*(x.split(self._batch) for x in inputs), strict=True)]
        return torch.cat(passes).float()

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Anomaly scores float32 (K,) in [0, 1]: the mean over the streams."""
        return self.task_scores(*inputs).mean(dim=1)

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random crops of `objects` objects in each of `batch` frames; the size of the frame does not matter here."""
        del height, width
        return tuple(
            torch.rand(batch * objects, channels, SIZE, SIZE, device=self._compute.device)
            for channels in self._channels
        )


def scorer(
    settings: Settings,
    *,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
    device: str,
) -> ObjectScorer:
    """The path from frames and boxes to scores.

    Args:
        settings: of the method.
        frame_size: unused, objects are cut at native size.
        resolutions: unused, an object has one score.
        weights: `model.safetensors`; None: random weights, for timing without data.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        LightvadError: the weights are missing, damaged, of another method or of another architecture.
    """
    del frame_size, resolutions
    network = network_of(settings)
    if weights is not None:
        state, _ = read_weights(weights, METHOD)
        load_state(network, state, weights)
    return ObjectScorer(settings, network, device)


def score(job: Job) -> None:
    """Score every box of all training and test clips: `object_scores.parquet` (see artifacts.tables.OBJECT_SCORES).

    Rows stand in the order of `job.boxes`; the columns are appearance, motion_previous, motion_next and `score`, their
    mean. Memory does not grow with the length of a clip.

    Raises:
        LightvadError: weights or clips are missing or damaged, or a box lies outside its frame.
    """
    path = scorer(
        job.settings,
        frame_size=job.frame_size,
        resolutions=job.resolutions,
        weights=job.folder / "model.safetensors",
        device=job.device,
    )
    names = [clip.name for clip in job.clips.clips() if clip.split in ("train", "test")]
    result = np.full((len(job.boxes), len(STREAMS)), np.nan, np.float32)
    rows: list[int] = []
    waiting: list[tuple[torch.Tensor, ...]] = []

    def flush() -> None:
        if waiting:
            inputs = (torch.cat(parts) for parts in zip(*waiting, strict=True))
            result[rows] = path.task_scores(*inputs).cpu().numpy()
            rows.clear()
            waiting.clear()

    frames = (
        (objects.rows, path.inputs(objects.window, objects.boxes, where=objects.where))
        for objects in frames_with_objects(job.clips, names, job.boxes, gap=job.settings.gap)
    )
    for here, inputs in track(read_ahead(frames), total=counts(names, job.boxes)[0], what=job.what, unit="frames"):
        rows.extend(here)
        waiting.append(inputs)
        if len(rows) >= job.settings.score_batch:
            flush()
    flush()
    table = job.boxes[["clip", "frame", *BOX]].copy()
    table[list(STREAMS)] = result
    table["score"] = result.mean(axis=1)
    write_table(job.folder / "object_scores.parquet", table, OBJECT_SCORES)

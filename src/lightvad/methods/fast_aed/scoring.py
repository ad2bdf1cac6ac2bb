"""Scores and anomaly maps of the test clips, through the same path that is timed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from lightvad.artifacts.arrays import MapsWriter, Resolution, maps_writer
from lightvad.artifacts.scratch import scratch_array, scratch_folder
from lightvad.artifacts.tables import EPOCH_SCORES, FRAME_SCORES, write_table
from lightvad.artifacts.weights import load_state, read_weights
from lightvad.compute import Compute
from lightvad.config import EPOCH_SCORES_NAME
from lightvad.methods.fast_aed.model import AutoEncoder, ReconstructionError, Student
from lightvad.methods.fast_aed.settings import FastAedSettings
from lightvad.methods.fast_aed.windows import normalized, to_frames
from lightvad.methods.protocol import Job
from lightvad.progress import track
from lightvad.video.clips import Clip, ClipStore, read_labels
from lightvad.video.readers import WindowReader
from lightvad.video.windows import stacked

METHOD = "fast_aed"


class FastAedScorer:
    """From decoded frames to anomaly maps and scores (see `methods.protocol.Scorer`).

    Attributes:
        offsets: frames of the window, relative to the current one.
        needs_boxes: False: whole frames are all it takes.
        network: student, or auto-encoder where nothing was distilled.
        precision: of the network.
    """

    needs_boxes = False

    def __init__(
        self,
        settings: FastAedSettings,
        network: Student | ReconstructionError,
        frame_size: tuple[int, int],
        device: str,
    ) -> None:
        self._compute = Compute.on(device, settings.score_precision)
        self._frame_size = frame_size
        self._device = self._compute.device
        self._model = network.to(self._device).to(memory_format=torch.channels_last).eval()
        self.offsets: Sequence[int] = settings.offsets
        self.network: nn.Module = self._model
        self.precision: str = settings.score_precision

    def inputs(
        self, window: np.ndarray, boxes: np.ndarray, class_probabilities: np.ndarray | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Frames uint8 (F, H, W, 3) RGB -> one tensor uint8 (1, 3F, h, w) on the network's device; boxes: unused."""
        del boxes, class_probabilities
        return (to_frames([stacked(window, self._frame_size)]).to(self._device),)

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Windows uint8 (B, 3F, h, w) -> anomaly scores (B,)."""
        return self.scores_and_maps(*inputs)[0]

    def scores_and_maps(self, frames: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Windows uint8 (B, 3F, h, w) -> scores (B,) and maps (B, r, r), one per resolution."""
        with torch.inference_mode(), self._compute.autocast():
            scores, maps = self._model.scored(normalized(frames))
        return scores.float(), [one.float() for one in maps]

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random windows uint8 (batch, 3F, height, width) on the network's device."""
        del objects
        shape = (batch, height, width, 3 * len(self.offsets))
        frames = torch.randint(0, 256, shape, dtype=torch.uint8).permute(0, 3, 1, 2)
        return (frames.to(self._device),)


def scorer(
    settings: FastAedSettings,
    *,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
    device: str,
) -> FastAedScorer:
    """The path from decoded frames to scores.

    Args:
        settings: of the run.
        frame_size: (height, width) at which the network sees a frame.
        resolutions: the dataset's; the settings' own go first.
        weights: `model.safetensors`; None: random weights, for timing.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        LightvadError: the weights are missing or do not fit the settings.
    """
    network = network_of(settings, resolutions=resolutions, weights=weights)
    return FastAedScorer(settings, network, frame_size, device)


def network_of(
    settings: FastAedSettings, *, resolutions: tuple[Resolution, ...], weights: Path | None
) -> Student | ReconstructionError:
    """The network of a run, see `scorer`; it knows the resolutions of its maps.

    Raises:
        LightvadError: the weights are missing or do not fit the settings.
    """
    resolutions = settings.map_resolutions(resolutions)
    network: Student | ReconstructionError
    loaded: nn.Module
    if settings.distils:
        branches = len(settings.teachers) if settings.network.branches == "per_teacher" else 1
        loaded = network = Student(settings.network, resolutions, branches)
    else:
        loaded = AutoEncoder(settings.network, settings.autoencoder)
        network = ReconstructionError(loaded, resolutions)
    if weights is not None:
        state, _ = read_weights(weights, METHOD)
        load_state(loaded, state, weights)
    return network


def score(job: Job) -> None:
    """Score the test clips: writes `maps.npz`, the maps at each resolution, and `frame_scores.parquet`.

    Where weights of earlier epochs were kept, also `epoch_scores.parquet`, their scores.

    Raises:
        LightvadError: the weights are missing or do not fit, or labels do not match the frames.
    """
    settings: FastAedSettings = job.settings
    path = _scorer_of(job, "model.safetensors")
    resolutions = settings.map_resolutions(job.resolutions)
    clips, labels = job.clips.clips("test"), read_labels(job.clips)
    scores = []
    with maps_writer(job.folder / "maps.npz") as writer:
        for clip in track(clips, total=len(clips), what=job.what, unit="clips"):
            found = _score_clip(path, job.clips, clip, writer, resolutions, settings.score_batch, job.folder)
            scores.append(found)
    labelled = _table(clips, scores).merge(labels, on=["clip", "frame"], how="left", validate="one_to_one")
    write_table(job.folder / "frame_scores.parquet", labelled, FRAME_SCORES)
    (job.folder / EPOCH_SCORES_NAME).unlink(missing_ok=True)
    if settings.kept_epochs:
        kept = [_epoch_scores(job, *epoch) for epoch in zip(settings.kept_epochs, settings.epoch_weights, strict=True)]
        write_table(job.folder / EPOCH_SCORES_NAME, pd.concat(kept, ignore_index=True), EPOCH_SCORES)


def _scorer_of(job: Job, weights: str) -> FastAedScorer:
    return scorer(
        job.settings,
        frame_size=job.frame_size,
        resolutions=job.resolutions,
        weights=job.folder / weights,
        device=job.device,
    )


def _table(clips: Sequence[Clip], scores: Sequence[np.ndarray]) -> pd.DataFrame:
    """Columns clip, frame, score, from the scores (T,) of each clip."""
    return pd.DataFrame(
        {
            "clip": np.repeat([clip.name for clip in clips], [clip.frames for clip in clips]),
            "frame": np.concatenate([np.arange(clip.frames) for clip in clips]),
            "score": np.concatenate(scores).astype(np.float64),
        }
    )


def _epoch_scores(job: Job, epoch: int, weights: str) -> pd.DataFrame:
    """Table EPOCH_SCORES of one epoch."""
    path, clips, batch = _scorer_of(job, weights), job.clips.clips("test"), job.settings.score_batch
    scores = [
        np.concatenate([found.cpu().numpy() for _, found, _ in _scored(path, job.clips, clip, batch)])
        for clip in track(clips, total=len(clips), what=f"{job.what} epoch {epoch}", unit="clips")
    ]
    return _table(clips, scores).assign(epoch=epoch)


def _scored(
    path: FastAedScorer, clips: ClipStore, clip: Clip, batch: int
) -> Iterator[tuple[int, torch.Tensor, list[torch.Tensor]]]:
    """For each batch of the clip's frames: its first frame, scores (B,) and maps (B, r, r) of each resolution."""
    no_boxes = np.zeros((0, 4), np.float32)
    reader = WindowReader(clips, offsets=path.offsets, frame_size=(clip.height, clip.width))
    for start in range(0, clip.frames, batch):
        places = [(clip.name, t) for t in range(start, min(start + batch, clip.frames))]
        frames = torch.cat([path.inputs(reader.frames(place), no_boxes)[0] for place in places])
        yield start, *path.scores_and_maps(frames)


def _score_clip(
    path: FastAedScorer,
    clips: ClipStore,
    clip: Clip,
    writer: MapsWriter,
    resolutions: Sequence[Resolution],
    batch: int,
    folder: Path,
) -> np.ndarray:
    """Write the maps of one clip; returns its scores (T,). Maps wait in a scratch file: `full` ones may be large."""
    scores = []
    with scratch_folder(folder) as scratch:
        waiting: list[np.ndarray] = []
        for start, found, maps in _scored(path, clips, clip, batch):
            scores.append(found.cpu().numpy())
            if not waiting:
                waiting = [
                    scratch_array(Path(scratch, str(k)), np.float32, (clip.frames, *one.shape[1:]))
                    for k, one in enumerate(maps)
                ]
            for store, one in zip(waiting, maps, strict=True):
                store[start : start + len(one)] = one.cpu().numpy()
        for resolution, store in zip(resolutions, waiting, strict=True):
            writer.write(clip.name, resolution, store.shape, _blocks(store, batch))
    return np.concatenate(scores)


def _blocks(maps: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(maps), size):
        yield maps[start : start + size]

"""Scores and anomaly maps of the test clips (AED-MAE, Eq. 6), through the same path that is timed."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from lightvad.artifacts.arrays import Resolution, maps_writer
from lightvad.artifacts.pictures import ShownFrame, write_shown
from lightvad.artifacts.tables import FRAME_SCORES, write_table
from lightvad.artifacts.weights import load_state, read_weights
from lightvad.compute import Compute
from lightvad.config import RECONSTRUCTIONS_NAME
from lightvad.methods.aed_mae.model import MaskedAutoEncoder, check_grid, grid_of, kept_places, patches_of, planes_of
from lightvad.methods.aed_mae.settings import AedMaeSettings, Scoring
from lightvad.methods.aed_mae.windows import COLOURS, gray_levels, normalized
from lightvad.methods.protocol import Job
from lightvad.progress import track
from lightvad.video.clips import Clip, ClipStore, read_labels
from lightvad.video.readers import WindowReader
from lightvad.video.windows import stacked

METHOD = "aed_mae"
MASK_SEED = 0
"""Of the tokens that are hidden at test time: the same for every frame, so that a score depends on its window alone."""


class AnomalyMaps(nn.Module):
    """Windows to anomaly maps: the network, and the weighted sum of Eq. 6, averaged over neighbouring pixels.

    Args:
        settings: of the run.
        input_size: (height, width) of the network's input, pixels.
    """

    kept: torch.Tensor

    def __init__(self, settings: AedMaeSettings, input_size: tuple[int, int]) -> None:
        super().__init__()
        self.scoring: Scoring = settings.scoring
        self.patch = settings.network.patch
        check_grid(input_size, self.patch)
        self.grid = grid_of(input_size, self.patch)
        self.channels = settings.channels
        self.normal = 0.0 if settings.anomaly_channel == "zero_one" else -1.0
        self.middle = settings.offsets.index(0)
        self.network = MaskedAutoEncoder(
            settings.network,
            channels=settings.channels,
            class_head=settings.class_head,
            student=settings.self_distillation,
        )
        noise = torch.rand(1, self.grid[0] * self.grid[1], generator=torch.Generator().manual_seed(MASK_SEED))
        tested = settings.network.model_copy(update={"mask_ratio": settings.tested_mask_ratio})
        self.register_buffer("kept", kept_places(noise, self.grid, tested), persistent=False)

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows (B, 3F, H, W) in [-1, 1] -> maps (B, H', W') of whole patches, and their means (B, h, w)."""
        rebuilt = self.network(windows, self.kept)
        target, teacher = self._target(windows), rebuilt.teacher.float()
        own = self.scoring
        total = own.teacher_error * self._squares(target, teacher)
        if rebuilt.student is not None:
            student = rebuilt.student.float()
            if own.discrepancy:
                total = total + own.discrepancy * self._squares(teacher, student)
            if own.student_error:
                total = total + own.student_error * self._squares(target, student)
        if rebuilt.logits is not None and own.class_probability:
            total = total + own.class_probability * torch.sigmoid(rebuilt.logits.float())[:, None, None]
        maps = planes_of(total, self.grid, self.patch)[:, 0]
        cells = total.mean(2).unflatten(1, self.grid)
        if own.filter_size is not None:
            # As the spatial part of a 3D mean filter: zeros outside the frame.
            size, before = own.filter_size, own.filter_size // 2
            padded = F.pad(maps[:, None], (before, size - 1 - before, before, size - 1 - before))
            maps = F.avg_pool2d(padded, size, stride=1)[:, 0]
        return maps, cells

    def drawn(self, windows: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """What teacher and student draw, and the terms of Eq. 6 without their weights and without the class head.

        Windows (B, 3F, H, W) in [-1, 1] -> name -> colours (B, 3, H', W') in about [-1, 1]; name -> (B, H', W').
        """
        rebuilt, target = self.network(windows, self.kept), self._target(windows)
        teacher = rebuilt.teacher.float()
        drawn, terms = {"teacher": teacher}, {"teacher_error": self._squares(target, teacher)}
        if rebuilt.student is not None:
            student = rebuilt.student.float()
            drawn["student"] = student
            terms |= {
                "student_error": self._squares(target, student),
                "discrepancy": self._squares(teacher, student),
            }
        return (
            {name: planes_of(patches, self.grid, self.patch)[:, :COLOURS] for name, patches in drawn.items()},
            {name: planes_of(term, self.grid, self.patch)[:, 0] for name, term in terms.items()},
        )

    def _target(self, windows: torch.Tensor) -> torch.Tensor:
        """The patches of the frame as a normal one: (B, 3F, H, W) -> (B, N, p * p * c)."""
        frame = windows[:, COLOURS * self.middle : COLOURS * (self.middle + 1)].float()
        if self.channels > COLOURS:
            frame = torch.cat([frame, torch.full_like(frame[:, :1], self.normal)], dim=1)
        return patches_of(frame, self.patch)

    def _squares(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Of every pixel the mean over channels of the squared difference: (B, N, p * p * c) -> (B, N, p * p)."""
        return (first - second).square().unflatten(2, (-1, self.channels)).mean(3)

    def frame_scores(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, H', W') -> (B,)."""
        return maps.amax((1, 2)) if self.scoring.frame_score == "maximum" else maps.mean((1, 2))


class AedMaeScorer:
    """From decoded frames to anomaly maps and scores (see `methods.protocol.Scorer`).

    A score of this path is of its window alone; `score` also averages maps over neighbouring frames.

    Attributes:
        offsets: frames of the window, relative to the current one.
        needs_boxes: False: whole frames are all it takes.
        network: the masked auto-encoder and the sum of Eq. 6.
        precision: of the network.
    """

    needs_boxes = False

    def __init__(
        self, settings: AedMaeSettings, network: AnomalyMaps, input_size: tuple[int, int], device: str
    ) -> None:
        self._compute = Compute.on(device, settings.score_precision)
        self._input_size = input_size
        self._model = network.to(self._compute.device).eval()
        self.offsets: Sequence[int] = settings.offsets
        self.network: nn.Module = self._model
        self.precision: str = settings.score_precision

    def inputs(
        self, window: np.ndarray, boxes: np.ndarray, class_probabilities: np.ndarray | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Frames uint8 (F, H, W, 3) RGB -> one tensor uint8 (1, 3F, h, w) on the network's device; boxes: unused."""
        del boxes, class_probabilities
        image = torch.from_numpy(stacked(window, self._input_size))
        return (image.permute(2, 0, 1)[None].to(self._compute.device),)

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Windows uint8 (B, 3F, h, w) -> anomaly scores (B,)."""
        with torch.inference_mode():
            return self.frame_scores(self.maps(*inputs)[0])

    def frame_scores(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (B, h, w) -> scores (B,)."""
        return self._model.frame_scores(maps)

    def maps(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows uint8 (B, 3F, h, w) -> maps (B, h, w) and their means over patches."""
        with torch.inference_mode(), self._compute.autocast():
            found: tuple[torch.Tensor, torch.Tensor] = self._model(normalized(frames))
        return found

    def drawn(self, frames: torch.Tensor) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """One window uint8 (1, 3F, h, w) -> pictures uint8 (h, w, 3) RGB, and terms of Eq. 6 float32 (h, w)."""
        with torch.inference_mode(), self._compute.autocast():
            drawn, terms = self._model.drawn(normalized(frames))
        return (
            {name: gray_levels(one[0]).permute(1, 2, 0).cpu().numpy() for name, one in drawn.items()},
            {name: one[0].float().cpu().numpy() for name, one in terms.items()},
        )

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random windows uint8 (batch, 3F, h, w) on the network's device, in the size at which it sees frames."""
        del objects, height, width
        shape = (batch, COLOURS * len(self.offsets), *self._input_size)
        return (torch.randint(0, 256, shape, dtype=torch.uint8).to(self._compute.device),)


def scorer(
    settings: AedMaeSettings,
    *,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
    device: str,
) -> AedMaeScorer:
    """The path from decoded frames to scores.

    Args:
        settings: of the run.
        frame_size: (height, width) of the dataset; the settings' own input size goes first.
        resolutions: the dataset's; the map has a cell for each patch, whatever they are.
        weights: `model.safetensors`; None: random weights, for timing.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        LightvadError: the weights are missing or do not fit the settings.
    """
    del resolutions
    input_size = settings.input_size(frame_size)
    network = AnomalyMaps(settings, input_size)
    if weights is not None:
        state, _ = read_weights(weights, METHOD)
        load_state(network.network, state, weights)
    return AedMaeScorer(settings, network, input_size, device)


def score(job: Job) -> None:
    """Score the test clips: writes `maps.npz`, a value for each patch, and `frame_scores.parquet`.

    With `shown_frames` also `reconstructions.npz`: some frames as teacher and student draw them. Maps are averaged over
    `filter_size` frames before a frame's score is taken (the 3D filter of section 3.5).

    Raises:
        LightvadError: the weights are missing or do not fit, or labels do not match the frames.
    """
    settings: AedMaeSettings = job.settings
    path = scorer(
        settings, frame_size=job.frame_size, resolutions=job.resolutions, weights=job.folder / "model.safetensors",
        device=job.device,
    )  # fmt: skip
    clips, labels = job.clips.clips("test"), read_labels(job.clips)
    tables = []
    with maps_writer(job.folder / "maps.npz") as writer:
        for clip in track(clips, total=len(clips), what=job.what, unit="clips"):
            cells: list[np.ndarray] = []
            planes = _planes(path, job.clips, clip, settings.score_batch, cells)
            smoothed = averaged(planes, settings.scoring.filter_size or 1)
            scores = np.array([float(path.frame_scores(one[None])) for one in smoothed])
            maps = np.concatenate(cells)
            writer.write(clip.name, "patches", maps.shape, [maps])
            tables.append(pd.DataFrame({"clip": clip.name, "frame": np.arange(clip.frames), "score": scores}))
    found = pd.concat(tables, ignore_index=True)
    write_table(
        job.folder / "frame_scores.parquet",
        found.merge(labels, on=["clip", "frame"], how="left", validate="one_to_one"),
        FRAME_SCORES,
    )
    if settings.shown_frames:
        write_shown(job.folder / RECONSTRUCTIONS_NAME, _shown(path, job.clips, labels, settings.shown_frames))


def _shown(path: AedMaeScorer, clips: ClipStore, labels: pd.DataFrame, count: int) -> Iterator[ShownFrame]:
    """What teacher and student draw of `count` frames of every label of every test clip."""
    no_boxes = np.zeros((0, 4), np.float32)
    for clip in clips.clips("test"):
        reader = WindowReader(clips, offsets=path.offsets, frame_size=(clip.height, clip.width))
        own = labels[labels["clip"] == clip.name].sort_values("frame")
        for t in shown_frames(own["label"].to_numpy(), count):
            yield ShownFrame(clip.name, t, *path.drawn(*path.inputs(reader.frames((clip.name, t)), no_boxes)))


def shown_frames(labels: np.ndarray, count: int) -> list[int]:
    """Frames of a clip that are shown, in order: `count` of every label that it has, evenly spread over those.

    Args:
        labels: (T,), of its frames.
        count: of each label; all where there are fewer.
    """
    found: set[int] = set()
    for label in np.unique(labels):
        frames = np.flatnonzero(labels == label)
        places = (np.arange(count) + 0.5) * len(frames) / count
        found |= {int(t) for t in frames[places.astype(int)]}
    return sorted(found)


def _planes(
    path: AedMaeScorer, clips: ClipStore, clip: Clip, batch: int, cells: list[np.ndarray]
) -> Iterator[torch.Tensor]:
    """Maps (H, W) of a clip, frame by frame; their means over patches go to `cells`."""
    no_boxes = np.zeros((0, 4), np.float32)
    reader = WindowReader(clips, offsets=path.offsets, frame_size=(clip.height, clip.width))
    for start in range(0, clip.frames, batch):
        places = [(clip.name, t) for t in range(start, min(start + batch, clip.frames))]
        maps, means = path.maps(torch.cat([path.inputs(reader.frames(place), no_boxes)[0] for place in places]))
        cells.append(means.float().cpu().numpy())
        yield from maps.float().cpu()


def averaged(planes: Iterable[torch.Tensor], frames: int) -> Iterator[torch.Tensor]:
    """Means of maps over `frames` frames around each, of those that there are: the temporal part of the 3D filter.

    Args:
        planes: (H, W), one for each frame of a clip.
        frames: of the filter; an even number reaches one further back than forth.
    """
    ahead = frames - 1 - frames // 2
    held: deque[torch.Tensor] = deque(maxlen=frames)
    seen = 0
    for seen, plane in enumerate(planes, start=1):
        held.append(plane)
        if seen > ahead:
            yield torch.stack(list(held)).mean(0)
    for late in range(min(ahead, seen)):
        if seen + late + 1 > frames:
            held.popleft()
        yield torch.stack(list(held)).mean(0)

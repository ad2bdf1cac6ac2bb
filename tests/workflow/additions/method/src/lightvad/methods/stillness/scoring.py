"""Its scores and maps; one path is scored and timed."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lightvad.artifacts.arrays import Resolution, maps_writer
from lightvad.artifacts.tables import FRAME_SCORES, LABELS, read_table, write_table
from lightvad.artifacts.weights import load_state, read_weights
from lightvad.methods.protocol import Job
from lightvad.methods.stillness.model import Stillness
from lightvad.methods.stillness.settings import Settings
from lightvad.video.windows import window_indices


class StillnessScorer:
    """From decoded frames to scores (see `methods.protocol.Scorer`)."""

    needs_boxes = False
    precision = "32-true"

    def __init__(self, gap: int, network: Stillness) -> None:
        self.offsets = (-gap, 0)
        self.network = network.eval()

    def inputs(
        self, window: np.ndarray, boxes: np.ndarray, class_probabilities: np.ndarray | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Frames uint8 (2, H, W, 3) -> float (1, 2, 3, H, W)."""
        return (torch.as_tensor(window)[None].permute(0, 1, 4, 2, 3).float(),)

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Scores (B,)."""
        with torch.inference_mode():
            return self.network(*inputs)

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random frames float (batch, 2, 3, height, width)."""
        return (torch.rand(batch, 2, 3, height, width),)


def scorer(
    settings: Settings,
    *,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
    device: str,
) -> StillnessScorer:
    """The path from decoded frames to scores."""
    network = Stillness()
    if weights is not None:
        state, _ = read_weights(weights, "stillness")
        load_state(network, state, weights)
    return StillnessScorer(settings.gap, network)


def score(job: Job) -> None:
    """Write `maps.npz` and `frame_scores.parquet` of the test clips."""
    weights = job.folder / "model.safetensors"
    path = scorer(
        job.settings, frame_size=job.frame_size, resolutions=job.resolutions, weights=weights, device=job.device
    )
    no_boxes = np.zeros((0, 4), np.float32)
    tables = []
    with maps_writer(job.folder / "maps.npz") as writer:
        for clip in job.clips.clips("test"):
            places = [window_indices(t, path.offsets, clip.frames, "clamp") for t in range(clip.frames)]
            windows = [job.clips.window(clip.name, place) for place in places]
            found = np.array([float(path.scores(*path.inputs(window, no_boxes))) for window in windows])
            tables.append(pd.DataFrame({"clip": clip.name, "frame": np.arange(clip.frames), "score": found}))
            for side in job.resolutions:
                maps = np.repeat(found, int(side) ** 2).reshape(clip.frames, int(side), int(side))
                writer.write(clip.name, side, maps.shape, [maps])
    labels = read_table(job.clips.root / "labels.parquet", LABELS)
    scores = pd.concat(tables).merge(labels, on=["clip", "frame"], validate="one_to_one")
    write_table(job.folder / "frame_scores.parquet", scores, FRAME_SCORES)

"""Anomaly maps of student and teachers on a few abnormal frames (Fast-AED, Figure 10)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.tables import FRAME_SCORES, read_table
from lightvad.config import Dataset, Figure
from lightvad.errors import LightvadError
from lightvad.reporting import picture_rows
from lightvad.reporting.picture_rows import PictureBlock, PictureRow, overlay
from lightvad.reporting.selection import Shown
from lightvad.reporting.shown_frames import FrameStrip
from lightvad.reporting.style import colour_of

COLUMNS = ["dataset", "clip", "frame", "method", "row", "column", "value"]
FRAMES = 5


def frames_shown(shown: Shown, figure: Figure, dataset: str, clips: Sequence[str]) -> list[tuple[str, int]]:
    """Five (clip, frame) of `clips`: evenly spread over each clip's abnormal frames, over all frames if it has none."""
    path = shown.root / shown.runs(figure.rows[0], dataset)[0].folder / "frame_scores.parquet"
    labels = read_table(path, FRAME_SCORES)
    shares = np.bincount(np.arange(FRAMES) % len(clips), minlength=len(clips))
    chosen = []
    for clip, share in zip(clips, shares, strict=True):
        own = labels[labels["clip"] == clip]
        frames = own[own["label"] == 1]["frame"].to_numpy()
        frames = frames if len(frames) else own["frame"].to_numpy()
        chosen += [(clip, int(frames[int((k + 0.5) * len(frames) / share)])) for k in range(share)]
    return chosen


def finest(dataset: Dataset) -> int:
    """The finest square resolution that the student and all teachers store.

    Raises:
        LightvadError: the dataset has no square resolution.
    """
    sides = [side for side in dataset.map_resolutions if isinstance(side, int)]
    if not sides:
        message = f"config/datasets/{dataset.name}.yaml: map_resolutions: no number among them; add 16 to draw maps"
        raise LightvadError(message)
    return max(sides)


def maps_of(shown: Shown, figure: Figure, frames: Mapping[str, Sequence[tuple[str, int]]]) -> pd.DataFrame:
    """The values of all maps drawn: columns COLUMNS, one line for each cell."""
    tables = []
    for name, chosen in frames.items():
        side = finest(shown.project.dataset(name))
        for row in figure.rows:
            with Maps(shown.root / shown.runs(row, name)[0].folder / "maps.npz") as maps:
                for clip, t in chosen:
                    grid = maps.read(clip, side)[t]
                    cells = np.indices(grid.shape).reshape(2, -1)
                    table = pd.DataFrame({"row": cells[0], "column": cells[1], "value": grid.ravel()})
                    tables.append(table.assign(dataset=name, clip=clip, frame=t, method=row.label)[COLUMNS])
    return pd.concat(tables, ignore_index=True)


def draw(
    values: pd.DataFrame,
    strips: Mapping[str, Sequence[FrameStrip]],
    titles: Mapping[str, str],
    notes: Mapping[str, str],
) -> Canvas:
    """Draw frames, and below them each method's maps, for each dataset.

    Args:
        values: as `maps_of` gives them.
        strips: dataset -> the frames drawn, one strip of one frame each.
        titles: dataset -> title.
        notes: dataset -> what must be said of its data.
    """
    methods = list(dict.fromkeys(values["method"]))
    blocks = []
    for dataset, title in titles.items():
        own = strips[dataset]
        rows = [PictureRow("frame", [strip.images[0] for strip in own])]
        for number, method in enumerate(methods):
            chosen = values[(values["dataset"] == dataset) & (values["method"] == method)]
            rows.append(PictureRow(method, _overlays(chosen, own), colour_of(number)))
        names = [f"{strip.clip}, frame {strip.frames[0]}" for strip in own]
        blocks.append(PictureBlock(title, notes[dataset], names, rows))
    return picture_rows.draw(blocks, FRAMES)


def _overlays(own: pd.DataFrame, strips: Sequence[FrameStrip]) -> list[np.ndarray]:
    """The method's maps over the frames, brightest where its value is largest."""
    images = []
    for strip in strips:
        cells = own[(own["clip"] == strip.clip) & (own["frame"] == strip.frames[0])]
        grid = cells.pivot_table(index="row", columns="column", values="value").to_numpy(np.float32)
        images.append(overlay(grid, strip.images[0], float(own["value"].max())))
    return images

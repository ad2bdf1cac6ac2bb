"""Anomaly maps of student and teachers on a few abnormal frames (Fast-AED, Figure 10)."""

import textwrap
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure as Canvas

from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.tables import FRAME_SCORES, read_table
from lightvad.config import Dataset, Figure
from lightvad.errors import LightvadError
from lightvad.reporting.selection import Shown
from lightvad.reporting.shown_frames import FrameStrip
from lightvad.reporting.style import colour_of, titled

COLUMNS = ["dataset", "clip", "frame", "method", "row", "column", "value"]
WIDTH_INCHES, FRAMES = 7.0, 5
LEFT, RIGHT, GAP = 0.045, 0.995, 0.006
COLOURS = "inferno"
NAME_CHARACTERS = 14


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
    cell = (RIGHT - LEFT) / FRAMES
    heights = {d: cell * WIDTH_INCHES * s[0].height / s[0].width + 0.05 for d, s in strips.items()}
    above = 0.5
    total = sum(height * (1 + len(methods)) + above for height in heights.values())
    canvas = Canvas(figsize=(WIDTH_INCHES, total))
    top = total
    for dataset, title in titles.items():
        height = heights[dataset]
        titled(canvas, title, notes[dataset], x=LEFT, y=(top - 0.05) / total)
        top -= above
        _draw_row(canvas, "frame", "#333333", [s.images[0] for s in strips[dataset]], top / total, height / total)
        for position, strip in enumerate(strips[dataset]):
            middle = LEFT + (position + 0.5) * cell
            name = f"{strip.clip}, frame {strip.frames[0]}"
            canvas.text(middle, (top + 0.03) / total, name, ha="center", va="bottom", fontsize=7)
        top -= height
        for number, method in enumerate(methods):
            own = values[(values["dataset"] == dataset) & (values["method"] == method)]
            images = _overlays(own, strips[dataset])
            _draw_row(canvas, method, colour_of(number), images, top / total, height / total)
            top -= height
    return canvas


def _draw_row(canvas: Canvas, name: str, colour: str, images: Sequence[np.ndarray], top: float, height: float) -> None:
    cell = (RIGHT - LEFT) / FRAMES
    for position, image in enumerate(images):
        axes = canvas.add_axes((LEFT + position * cell, top - height, cell - GAP, height * 0.97))
        axes.imshow(image, aspect="auto")
        axes.set_axis_off()
    name = textwrap.fill(name, NAME_CHARACTERS)
    x, y = LEFT - 0.008, top - height / 2
    canvas.text(x, y, name, rotation=90, ha="right", va="center", multialignment="center", color=colour, fontsize=6.5)


def _overlays(own: pd.DataFrame, strips: Sequence[FrameStrip]) -> list[np.ndarray]:
    """The method's maps in colour over the dimmed gray frames: uint8 RGB, brightest where its value is largest."""
    largest = max(float(own["value"].max()), 1e-12)
    images = []
    for strip in strips:
        cells = own[(own["clip"] == strip.clip) & (own["frame"] == strip.frames[0])]
        grid = cells.pivot_table(index="row", columns="column", values="value").to_numpy(np.float32)
        smooth = cv2.resize(grid, (strip.width, strip.height), interpolation=cv2.INTER_LINEAR)
        strength = np.clip(smooth / largest, 0, 1)
        gray = cv2.cvtColor(strip.images[0], cv2.COLOR_RGB2GRAY)[..., None] / 255
        colours = colormaps[COLOURS](strength)[..., :3]
        opacity = 0.25 + 0.75 * strength[..., None]
        images.append((255 * ((1 - opacity) * gray * 0.8 + opacity * colours)).astype(np.uint8))
    return images

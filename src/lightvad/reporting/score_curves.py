"""Frame scores of student and teachers over a clip, with its ground truth and some of its frames (Figures 4 to 6)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from lightvad.artifacts.tables import FRAME_SCORES, UNKNOWN, read_table
from lightvad.config import Dataset, Figure
from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.reporting.selection import Shown
from lightvad.reporting.shown_frames import FrameStrip
from lightvad.reporting.style import ABNORMAL_COLOUR, COLUMN_INCHES, METHOD_LINES, colour_of, titled
from lightvad.smoothing import smooth_plain

COLUMNS = ["dataset", "clip", "frame", "label", "method", "score", "smoothed", "drawn"]
CURVE_INCHES, STRIP_FRAMES = 1.75, 5
LEGEND_COLUMNS, LEGEND_ROW_INCHES = 2, 0.165
LEFT, RIGHT = 0.1, 0.985


def curves_of(shown: Shown, figure: Figure, clips: Mapping[str, str]) -> pd.DataFrame:
    """The curves of one clip of each dataset: columns COLUMNS, one line for each frame and method.

    `smoothed` is under the plain protocol, `drawn` is `smoothed` stretched to [0, 1] over the clip (project choice:
    scores of different methods have no common unit).

    Raises:
        LightvadError: scores are missing, or do not hold the clip.
    """
    tables = []
    for name, clip in clips.items():
        dataset = shown.project.dataset(name)
        for row in figure.rows:
            own = _scores(shown, shown.runs(row, name)[0], clip)
            smoothed = smoothed_plain(own["score"].to_numpy(), dataset)
            span = float(smoothed.max() - smoothed.min()) or 1.0
            drawn = (smoothed - smoothed.min()) / span
            own = own.assign(dataset=name, method=row.label, smoothed=smoothed, drawn=drawn)
            tables.append(own[COLUMNS])
    return pd.concat(tables, ignore_index=True)


def smoothed_plain(scores: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Frame scores (T,) of one clip, smoothed by the plain protocol."""
    return smooth_plain(scores, sigma=dataset.smoothing.plain_seconds * dataset.fps)


def _scores(shown: Shown, run: Run, clip: str) -> pd.DataFrame:
    path = run.folder / "frame_scores.parquet"
    table = read_table(shown.root / path, FRAME_SCORES)
    own = table[table["clip"] == clip].sort_values("frame")
    if own.empty:
        message = f"{path}: no scores of clip {clip}; it has {', '.join(sorted(table['clip'].unique())[:8])}, ..."
        raise LightvadError(message)
    return own


def draw(
    curves: pd.DataFrame, strips: Mapping[str, FrameStrip], titles: Mapping[str, str], notes: Mapping[str, str]
) -> Canvas:
    """Draw frames above curves, one pair for each dataset.

    Args:
        curves: as `curves_of` gives them.
        strips: dataset -> the frames above its curves.
        titles: dataset -> title.
        notes: dataset -> what must be said of its data.
    """
    # A strip of n frames side by side is as high as one frame of the n-th part of the width.
    heights = []
    for strip in strips.values():
        side = COLUMN_INCHES * (RIGHT - LEFT) / len(strip.frames)
        heights += [side * strip.height / strip.width, CURVE_INCHES]
    entries = curves["method"].nunique() + int((curves["label"] != UNKNOWN).any())
    legend_rows = math.ceil(entries / LEGEND_COLUMNS)
    above, below = 0.48, 0.53 + LEGEND_ROW_INCHES * legend_rows
    total = sum(heights) + len(titles) * (above + below)
    canvas = Canvas(figsize=(COLUMN_INCHES, total))
    top = total
    for number, (dataset, title) in enumerate(titles.items()):
        strip_height, curve_height = heights[2 * number : 2 * number + 2]
        strip = strips[dataset]
        bottom = top - above - strip_height
        titled(canvas, f"{title}, clip {strip.clip}", notes[dataset], x=LEFT, y=(top - 0.05) / total)
        _draw_strip(canvas, strip, bottom=bottom / total, height=strip_height / total)
        box = (LEFT, (bottom - 0.12 - curve_height) / total, RIGHT - LEFT, curve_height / total)
        _draw_curves(canvas.add_axes(box), curves[curves["dataset"] == dataset], strip)
        top = bottom - 0.12 - curve_height - below + 0.12
    return canvas


def _draw_strip(canvas: Canvas, strip: FrameStrip, *, bottom: float, height: float) -> None:
    width = (RIGHT - LEFT) / len(strip.frames)
    for position, (t, image, abnormal) in enumerate(zip(strip.frames, strip.images, strip.abnormal, strict=True)):
        axes = canvas.add_axes((LEFT + position * width + 0.004, bottom, width - 0.008, height))
        axes.imshow(image, aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(visible=True, color="#C0392B" if abnormal else "#888888", linewidth=1.4 if abnormal else 0.6)
        axes.set_title(f"frame {t}", fontsize=6.5, pad=2)


def _draw_curves(axes: Axes, curves: pd.DataFrame, strip: FrameStrip) -> None:
    first = curves[curves["method"] == curves["method"].iloc[0]]
    frames, labels = first["frame"].to_numpy(), first["label"].to_numpy()
    for start, stop in _abnormal_spans(labels):
        axes.axvspan(frames[start] - 0.5, frames[stop - 1] + 0.5, color=ABNORMAL_COLOUR, lw=0, zorder=0)
    handles: list[Artist] = []
    for position, (method, own) in enumerate(curves.groupby("method", sort=False)):
        line, colour = METHOD_LINES[position % len(METHOD_LINES)], colour_of(position)
        handles += axes.plot(own["frame"], own["drawn"], ls=line, color=colour, label=f"{method}{_auc(own)}")
    if (labels != UNKNOWN).any():
        handles.append(Patch(color=ABNORMAL_COLOUR, label="abnormal (ground truth)"))
    place = blended_transform_factory(axes.transData, axes.transAxes)
    axes.plot(strip.frames, [1.035] * len(strip.frames), "v", ms=3, color="#444444", transform=place, clip_on=False)
    axes.set_xlim(frames[0] - 0.5, frames[-1] + 0.5)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlabel("frame", labelpad=1)
    axes.set_ylabel("score, stretched")
    # Below the axis label, whatever the height of the axes.
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.47, -0.34 / CURVE_INCHES), borderaxespad=0,
        ncols=LEGEND_COLUMNS, frameon=False, columnspacing=1.5,
    )  # fmt: skip


def _abnormal_spans(labels: np.ndarray) -> list[tuple[int, int]]:
    """Runs of abnormal frames as (start, stop), stop exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels == 1, [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _auc(own: pd.DataFrame) -> str:
    """The clip's AUC in percent, to stand behind a name; `no AUC` where all its frames are normal, or all abnormal.

    Nothing where labels are unknown.
    """
    labels = own["label"].to_numpy()
    if (labels == UNKNOWN).any():
        return ""
    if len(np.unique(labels)) < 2:
        return ", no AUC"
    from sklearn.metrics import roc_auc_score  # takes longer to import than a figure to draw, and few figures need it

    return f", AUC {100 * roc_auc_score(labels, own['smoothed'].to_numpy()):.1f}"


def spread_frames(length: int, count: int = STRIP_FRAMES) -> Sequence[int]:
    """The middle frames of `count` equal parts of a clip, so that each picture stands above its own frame."""
    return [int((k + 0.5) * length / count) for k in range(count)]

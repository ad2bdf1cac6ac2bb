"""How figures look: sizes, type, colours that colour-blind readers can tell apart, and files without dates in them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightvad.artifacts.atomic import atomic_path

# Okabe and Ito's palette: student, first and second teacher, further ones.
METHOD_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
METHOD_LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), "-.", "-", "--")
REPORTED_COLOUR = "#555555"
ABNORMAL_COLOUR = "#F3D9D2"
OUTLINE_COLOUR = (255, 225, 0)
COLUMN_INCHES = 4.8
DOTS_PER_INCH = 220
NOTE_LETTERS = 96

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "svg.hashsalt": "lightvad",
}


def styled() -> AbstractContextManager[None]:
    """A block in which matplotlib draws in this style, whatever the user's own settings are."""
    settings: Any = dict(mpl.rcParamsDefault) | SETTINGS | {"backend": "agg"}
    return mpl.rc_context(settings)


def colour_of(position: int) -> str:
    """The colour of the method at this position of a figure's rows."""
    return METHOD_COLOURS[position % len(METHOD_COLOURS)]


def titled(canvas: Canvas, title: str, note: str, *, x: float, y: float) -> None:
    """Write a title with its top left corner at (x, y) of the figure, and what must be said of the data below it."""
    canvas.text(x, y, title, va="top", fontsize=8, fontweight="bold")
    step = 0.155 / canvas.get_figheight()
    canvas.text(x, y - step, shorten(note, NOTE_LETTERS), va="top", fontsize=6.5, color="#444444")


def without_auc(axes: Axes) -> None:
    """Say in place of a plot that there is no accuracy to show."""
    axes.set_axis_off()
    words = "no AUC: the test clips have no labels, or all their frames the same"
    axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=7.5, transform=axes.transAxes)


def write_figure(canvas: Canvas, paths: Sequence[Path]) -> None:
    """Write a figure to PNG and PDF files, atomically and the same bytes every time."""
    for path in paths:
        metadata = {"Software": None} if path.suffix == ".png" else {"CreationDate": None, "Producer": None}
        with atomic_path(path) as temporary:
            canvas.savefig(temporary, dpi=DOTS_PER_INCH, metadata=metadata)

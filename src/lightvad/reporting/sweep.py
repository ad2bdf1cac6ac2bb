"""Micro AUC against a swept setting: one line (Fast-AED, Figure 8), or one for each of several (AED-MAE, Figure 12)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightvad.config import Figure
from lightvad.errors import LightvadError
from lightvad.reporting.results import measurement
from lightvad.reporting.selection import Shown
from lightvad.reporting.style import COLUMN_INCHES, REPORTED_COLOUR, colour_of, titled, without_auc

METRIC = "micro_auc"
PANEL_INCHES, BELOW_INCHES, DRAWN_INCHES = 2.6, 0.442, 1.612
"""Of a panel: its height, that of the axis' name, and that of the plot; the rest is its title."""
LEGEND_INCHES = 0.25
"""Above the plot, where there are several lines: no corner of it is free."""
PLAIN = "plain"


@dataclass(frozen=True)
class SweepPoint:
    """A measured point: the setting's value, and the micro AUC in percent; `low` and `high` are those over seeds.

    `line` is empty where there is one line.
    """

    dataset: str
    rebuilt_as: str
    line: str
    value: float
    protocol: str
    micro_auc: float
    low: float
    high: float
    seeds: str


COLUMNS = tuple(field.name for field in fields(SweepPoint))


def points_of(shown: Shown, figure: Figure) -> list[SweepPoint]:
    """The points of every dataset, under the paper's protocol and under `plain`, in the order of the rows.

    A dataset without labels, or whose frames all have the same, has none.

    Raises:
        LightvadError: a row's label is no number, or a run's document is missing.
    """
    points = []
    for dataset in shown.datasets:
        for row in figure.rows:
            runs = shown.runs(row, dataset)
            for protocol in dict.fromkeys((figure.protocol, PLAIN)):
                found = measurement(shown.root, runs, metric=METRIC, protocol=protocol)
                if found is None:
                    continue
                seeds = " ".join(str(run.seed) for run in runs)
                name = f"{row.method}/{row.variant}"
                value = _number(row.label, shown)
                measured = (protocol, found.mean, found.low, found.high, seeds)
                points.append(SweepPoint(dataset, name, row.line, value, *measured))
    return points


def _number(label: str, shown: Shown) -> float:
    try:
        return float(label)
    except ValueError as error:
        message = f"config/experiments/{shown.experiment.name}.yaml: label {label!r} of a sweep's row is no number"
        raise LightvadError(message) from error


def rows_of(points: Sequence[SweepPoint]) -> list[dict[str, Any]]:
    """The lines of the figure's CSV."""
    return [
        {name: f"{value:.10g}" if isinstance(value, float) else value for name, value in asdict(point).items()}
        for point in points
    ]


def draw(points: Sequence[SweepPoint], figure: Figure, titles: Mapping[str, str], notes: Mapping[str, str]) -> Canvas:
    """One panel for each dataset."""
    panel = PANEL_INCHES + (LEGEND_INCHES if any(row.line for row in figure.rows) else 0)
    height = panel * len(titles)
    canvas = Canvas(figsize=(COLUMN_INCHES, height))
    for position, (dataset, title) in enumerate(titles.items()):
        below = (len(titles) - 1 - position) / len(titles)
        axes = canvas.add_axes((0.13, below + BELOW_INCHES / height, 0.84, DRAWN_INCHES / height))
        own = [point for point in points if point.dataset == dataset]
        if not own:
            without_auc(axes)
        elif any(point.line for point in own):
            _draw_lines(axes, own, figure)
        else:
            _draw_line(axes, own, figure)
        titled(canvas, title, notes[dataset], x=0.02, y=below + 0.98 / len(titles))
    return canvas


def _draw_line(axes: Axes, points: Sequence[SweepPoint], figure: Figure) -> None:
    """One line under each protocol, in colours of their own."""
    for position, protocol in enumerate(dict.fromkeys(point.protocol for point in points)):
        own = [point for point in points if point.protocol == protocol]
        colour = colour_of(position) if protocol != PLAIN else REPORTED_COLOUR
        _plot(axes, own, colour, protocol)
        axes.axhline(own[0].micro_auc, color=colour, lw=0.7, ls=":")
    first = points[0]
    axes.set_xlabel(f"{figure.axis} (dotted: {first.value:g})")
    axes.set_ylabel("micro AUC, %")
    axes.legend(loc="best", frameon=False)


def _draw_lines(axes: Axes, points: Sequence[SweepPoint], figure: Figure) -> None:
    """Several lines, each in its colour, dashed under `plain`."""
    lines = dict.fromkeys(point.line for point in points)
    for position, line in enumerate(lines):
        for protocol in dict.fromkeys(point.protocol for point in points):
            own = [point for point in points if (point.line, point.protocol) == (line, protocol)]
            _plot(axes, own, colour_of(position), f"{line}, {PLAIN}" if protocol == PLAIN else line)
    axes.set_xlabel(f"{figure.axis} (solid: {figure.protocol})")
    axes.set_ylabel("micro AUC, %")
    above = 1 + 0.04 / DRAWN_INCHES
    axes.legend(loc="lower left", bbox_to_anchor=(0, above), ncols=len(lines), frameon=False, fontsize=6.5)


def _plot(axes: Axes, points: Sequence[SweepPoint], colour: str, label: str) -> None:
    """A line through the points, and the band between the smallest and the largest of several seeds."""
    values = [point.value for point in points]
    style = "o-" if points[0].protocol != PLAIN else "s--"
    axes.plot(values, [point.micro_auc for point in points], style, ms=3, color=colour, label=label)
    if any(point.low != point.high for point in points):
        lows, highs = [point.low for point in points], [point.high for point in points]
        axes.fill_between(values, lows, highs, color=colour, alpha=0.15, lw=0)

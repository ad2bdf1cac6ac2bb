"""Micro AUC against a swept setting, with the line of its first value (Fast-AED, Figure 8)."""

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
PANEL_INCHES = 2.6
PLAIN = "plain"


@dataclass(frozen=True)
class SweepPoint:
    """A measured point: the setting's value, and the micro AUC in percent; `low` and `high` are those over seeds."""

    dataset: str
    rebuilt_as: str
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
                points.append(SweepPoint(dataset, name, value, protocol, found.mean, found.low, found.high, seeds))
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
    height = PANEL_INCHES * len(titles)
    canvas = Canvas(figsize=(COLUMN_INCHES, height))
    for position, (dataset, title) in enumerate(titles.items()):
        below = (len(titles) - 1 - position) / len(titles)
        axes = canvas.add_axes((0.13, below + 0.17 / len(titles), 0.84, 0.62 / len(titles)))
        _draw_panel(axes, [point for point in points if point.dataset == dataset], figure)
        titled(canvas, title, notes[dataset], x=0.02, y=below + 0.98 / len(titles))
    return canvas


def _draw_panel(axes: Axes, points: Sequence[SweepPoint], figure: Figure) -> None:
    if not points:
        without_auc(axes)
        return
    for position, protocol in enumerate(dict.fromkeys(point.protocol for point in points)):
        own = [point for point in points if point.protocol == protocol]
        colour = colour_of(position) if protocol != PLAIN else REPORTED_COLOUR
        values, means = [point.value for point in own], [point.micro_auc for point in own]
        axes.plot(values, means, "o-" if protocol != PLAIN else "s--", ms=3, color=colour, label=protocol)
        if any(point.low != point.high for point in own):
            lows, highs = [point.low for point in own], [point.high for point in own]
            axes.fill_between(values, lows, highs, color=colour, alpha=0.15, lw=0)
        axes.axhline(means[0], color=colour, lw=0.7, ls=":")
    first = points[0]
    axes.set_xlabel(f"{figure.axis} (dotted: {first.value:g})")
    axes.set_ylabel("micro AUC, %")
    axes.legend(loc="best", frameon=False)

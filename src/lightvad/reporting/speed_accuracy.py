"""Speed against accuracy: the papers' points and the ones measured here (Fast-AED, Figures 2 and 7)."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from lightvad.config import Figure
from lightvad.reporting.label_placement import Label, place_labels
from lightvad.reporting.reported import reported_points
from lightvad.reporting.results import measurement
from lightvad.reporting.selection import Shown
from lightvad.reporting.speed_factors import timings
from lightvad.reporting.style import COLUMN_INCHES, REPORTED_COLOUR, colour_of, titled, without_auc

MARKERS = {"model": "o", "end_to_end": "s"}
PANEL_INCHES = 3.2
LEGEND_INCHES = 0.72
NAME_SHARE = 0.45
BESIDE = 0.011
"""Distance of two bars, in widths of the panel."""
REPORTED, MEASURED = "reported", "measured"


@dataclass(frozen=True)
class SpeedPoint:
    """A drawn point; AUC in percent, `plain`, `ci95_low`, `ci95_high` only where it was measured here."""

    dataset: str
    source: str
    label: str
    scope: str
    fps: float
    micro_auc: float
    protocol: str
    plain: float | str
    ci95_low: float | str
    ci95_high: float | str
    device: str
    threads: int | str
    engine: str
    precision: str
    batch: int | str


def points_of(shown: Shown, figure: Figure) -> list[SpeedPoint]:
    """All points of the figure: the papers' (if they have the dataset), then those measured here, model and end to end.

    A dataset without labels, or whose frames all have the same, has no AUC and so no measured points.

    Raises:
        LightvadError: a run's document is missing.
    """
    points: list[SpeedPoint] = []
    for dataset in shown.datasets:
        if figure.reported is not None:
            paper_name = shown.experiment.reported_datasets.get(dataset)
            rest = ("", "", "", figure.reported.device, "", "", "", "")
            for point in reported_points(shown.root, figure.reported, paper_name):
                named = (dataset, REPORTED, point.label, "", point.fps, point.micro_auc, "")
                points.append(SpeedPoint(*named, *rest))
        found = timings(shown.root, figure.rows, dataset=dataset, budget=shown.budget, seed=shown.seeds[0])
        for row in figure.rows:
            runs = shown.runs(row, dataset)
            protocol = row.protocol_on(dataset)
            own = measurement(shown.root, runs, metric="micro_auc", protocol=protocol)
            plain = measurement(shown.root, runs, metric="micro_auc", protocol="plain")
            if own is None or plain is None:
                continue
            low, high = plain.interval or ("", "")
            for timing in found:
                if timing.label == row.label:
                    named = (dataset, MEASURED, row.label, timing.scope, timing.fps, own.mean, protocol)
                    line = timing.row
                    where = (str(line["device"]), int(line["threads"]), str(line["engine"]), str(line["precision"]))
                    points.append(SpeedPoint(*named, plain.mean, low, high, *where, int(line["batch"])))
    return points


def rows_of(points: Sequence[SpeedPoint]) -> list[dict[str, object]]:
    """The lines of the figure's CSV; numbers with ten significant digits."""
    return [
        {name: f"{value:.10g}" if isinstance(value, float) else value for name, value in asdict(point).items()}
        for point in points
    ]


COLUMNS = [field.name for field in fields(SpeedPoint)]
TIMED_COLUMNS = ("fps", "threads")
"""What the clock says, and with how many threads; the other columns are the same again from the same seed."""


def draw(points: Sequence[SpeedPoint], titles: Mapping[str, str], notes: Mapping[str, str]) -> Canvas:
    """Draw one panel for each dataset.

    Args:
        points: as in the CSV.
        titles: dataset -> title.
        notes: dataset -> what must be said of its data.
    """
    height = PANEL_INCHES * len(titles) + LEGEND_INCHES
    canvas = Canvas(figsize=(COLUMN_INCHES, height))
    grid = canvas.subplots(len(titles), 1, squeeze=False)
    bottom = (LEGEND_INCHES + 0.42) / height
    canvas.subplots_adjust(left=0.115, right=0.975, top=1 - 0.42 / height, bottom=bottom, hspace=0.4)
    for axes, (dataset, title) in zip(grid[:, 0], titles.items(), strict=True):
        _panel(axes, [point for point in points if point.dataset == dataset])
        box = axes.get_position()
        titled(canvas, title, notes[dataset], x=box.x0, y=box.y1 + 0.36 / height)
    if any(point.source == MEASURED for point in points):
        _legend(canvas, points, height)
    return canvas


def _panel(axes: Axes, points: Sequence[SpeedPoint]) -> None:
    reported = [point for point in points if point.source == REPORTED]
    measured = [point for point in points if point.source == MEASURED]
    if not measured:
        without_auc(axes)
        return
    colours = {label: colour_of(i) for i, label in enumerate(dict.fromkeys(point.label for point in measured))}
    axes.set_xscale("log")
    _limits(axes, points)
    bars = _bar_places(axes, measured)
    axes.scatter(
        [p.fps for p in reported], [p.micro_auc for p in reported],
        s=26, facecolors="white", edgecolors=REPORTED_COLOUR, linewidths=1.1, zorder=2,
    )  # fmt: skip
    for label, colour in colours.items():
        own = [point for point in measured if point.label == label]
        axes.plot([p.fps for p in own], [p.micro_auc for p in own], color=colour, lw=0.9, alpha=0.6, zorder=1)
        axes.plot([bars[label]] * 3, _bar(own[0]), color=colour, lw=1.1, alpha=0.55, zorder=1)
        axes.plot(bars[label], own[0].plain, marker="_", ms=8, mew=1.6, color=colour, alpha=0.8, zorder=2)
        for point in own:
            marker = MARKERS[point.scope]
            axes.plot(point.fps, point.micro_auc, marker=marker, ms=6.2, mec="white", mew=0.6, color=colour, zorder=3)
    axes.set_xlabel("frames per second (log scale)")
    axes.set_ylabel("micro AUC, %")
    axes.grid(True, which="major", lw=0.4, color="#dddddd")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    names = []
    for label, colour in colours.items():
        fastest = max((point for point in measured if point.label == label), key=lambda point: point.fps)
        names.append(Label(fastest.fps, fastest.micro_auc, label, colour, "bold"))
    names += [Label(point.fps, point.micro_auc, point.label, REPORTED_COLOUR) for point in reported]
    place_labels(axes, names, _obstacles(axes, measured))


def _bar_places(axes: Axes, measured: Sequence[SpeedPoint]) -> dict[str, float]:
    """Where each method's bar stands: between its speeds, for both have the same AUC; beside a bar already there."""
    low, high = axes.get_xlim()
    beside = BESIDE * np.log(high / low)
    places: dict[str, float] = {}
    for label in dict.fromkeys(point.label for point in measured):
        place = float(np.exp(np.mean(np.log([point.fps for point in measured if point.label == label]))))
        while any(abs(np.log(place / other)) < beside for other in places.values()):
            place *= np.exp(beside)
        places[label] = place
    return places


def _bar(point: SpeedPoint) -> list[float]:
    """Lower bound, value and upper bound under plain; the value alone where no interval was computed."""
    bounds = [value for value in (point.ci95_low, point.plain, point.ci95_high) if not isinstance(value, str)]
    return [min(bounds), float(point.plain), max(bounds)]


def _limits(axes: Axes, points: Sequence[SpeedPoint]) -> None:
    """Room for names: left of all points, right of the fastest measured one (its name is long), above and below."""
    speeds = [point.fps for point in points]
    low, high = min(speeds) / 2.2, max(speeds) * 3
    fastest = max(point.fps for point in points if point.source == MEASURED)
    axes.set_xlim(low, max(high, fastest * (fastest / low) ** NAME_SHARE))
    heights = [v for p in points for v in (p.micro_auc, p.plain, p.ci95_low, p.ci95_high) if not isinstance(v, str)]
    room = max(0.12 * (max(heights) - min(heights)), 1.0)
    axes.set_ylim(min(heights) - room, max(heights) + room)


def _obstacles(axes: Axes, measured: Sequence[SpeedPoint]) -> list[Bbox]:
    """The markers, the bars and the lines between the two points of a method, in display units."""
    reach = 3.5 * axes.figure.dpi / 72
    boxes = []
    bars = _bar_places(axes, measured)
    for label in dict.fromkeys(point.label for point in measured):
        own = [point for point in measured if point.label == label]
        marks = axes.transData.transform([(point.fps, point.micro_auc) for point in own])
        boxes.append(Bbox.from_extents(*(marks.min(0) - reach), *(marks.max(0) + reach)))
        bar = axes.transData.transform([(bars[label], value) for value in _bar(own[0])])
        boxes.append(Bbox.from_extents(*(bar.min(0) - reach), *(bar.max(0) + reach)))
    return boxes


def _legend(canvas: Canvas, points: Sequence[SpeedPoint], height: float) -> None:
    """What the shapes mean, and below it what was timed on what."""
    measured = [point for point in points if point.source == MEASURED]
    reported = [point for point in points if point.source == REPORTED]
    handles = [
        Line2D([], [], marker="o", ms=6, label="measured: model only", ls="", color="#333333"),
        Line2D([], [], marker="s", ms=6, label="measured: end to end", ls="", color="#333333"),
        Line2D([], [], marker="|", ms=10, mew=1.2, label="plain protocol, 95% interval", ls="", color="#333333"),
    ]
    if reported:
        text = f"reported ({reported[0].device})"
        handles.append(Line2D([], [], marker="o", ms=5.5, mfc="white", mec=REPORTED_COLOUR, ls="", label=text))
    canvas.legend(
        handles=handles, loc="lower center", ncols=2, frameon=False, columnspacing=2.5, handletextpad=0.4,
        bbox_to_anchor=(0.53, 0.3 / height), borderaxespad=0,
    )  # fmt: skip
    how = dict.fromkeys(f"{p.device}, {p.threads} threads, {p.engine} {p.precision}, batch {p.batch}" for p in measured)
    lines = textwrap.wrap(f"measured on {'; '.join(how)}", 88)
    canvas.text(0.53, 0.07 / height, "\n".join(lines), ha="center", va="bottom", fontsize=6.5, color="#333333")

"""Names beside the points of a scatter plot, where they cover neither points nor each other (project choice)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

ANGLES = tuple(np.deg2rad((0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240)))
DISTANCES = (6.0, 10.0, 15.0, 21.0, 28.0, 37.0, 48.0)
LEADER_FROM = 12.0
MARKER_POINTS = 4.5


@dataclass(frozen=True)
class Label:
    """A name, the point that it belongs to in data units, and its colour and weight."""

    x: float
    y: float
    text: str
    colour: str
    weight: str = "normal"


def place_labels(axes: Axes, labels: Sequence[Label], obstacles: Sequence[Bbox]) -> None:
    """Write every label at the nearest spot that is free; call it when limits and size of `axes` are final.

    Args:
        axes: the plot.
        labels: placed in this order, so the important ones first.
        obstacles: boxes in display units that no label should cover, beyond the labels' own points.
    """
    scale = axes.figure.dpi / 72
    points = axes.transData.transform([(label.x, label.y) for label in labels])
    reach = MARKER_POINTS * scale
    taken = [*obstacles, *(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in points)]
    for label in labels:
        spots = [
            (distance, distance * np.cos(angle), distance * np.sin(angle)) for distance in DISTANCES for angle in ANGLES
        ]
        costs = []
        for distance, right, up in spots:
            written = _write(axes, label, right, up)
            costs.append(_cost(_extent(written), taken, axes.bbox) + distance * scale)
            written.remove()
        _, right, up = spots[int(np.argmin(costs))]
        chosen = _write(axes, label, right, up)
        taken.append(_extent(chosen))


def _write(axes: Axes, label: Label, right: float, up: float) -> Annotation:
    beside = abs(right) > 0.3 * float(np.hypot(right, up))
    near = (0.0 if right > 0 else 1.0, 0.5) if beside else (0.5, 0.0 if up > 0 else 1.0)
    leader = {"relpos": near, "arrowstyle": "-", "lw": 0.5, "color": label.colour, "shrinkA": 0, "shrinkB": 2}
    return axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(right, up),
        textcoords="offset points",
        ha=("left" if right > 0 else "right") if beside else "center",
        va="center" if beside else ("bottom" if up > 0 else "top"),
        color=label.colour,
        fontsize=7,
        fontweight=label.weight,
        arrowprops=leader if np.hypot(right, up) >= LEADER_FROM else None,
    )


def _extent(written: Annotation) -> Bbox:
    """The box of the words alone, without the line that leads to the point."""
    written.get_window_extent()  # moves the words to their place
    return Text.get_window_extent(written)


def _cost(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Six times the square pixels that `box` covers of what is taken, ten times those that stick out of the frame."""
    covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
    return 6 * covered + 10 * (_area(box) - _area(Bbox.intersection(box, frame)))


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else float(box.width * box.height)

"""Names beside the points of a scatter plot, where they cover neither points nor each other (project choice)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

Side = Literal["left", "center", "right"]
Level = Literal["bottom", "center", "top"]

ANGLES = tuple(np.deg2rad((0, 30, 330, 180, 150, 210, 90, 270, 60, 300, 120, 240)))
DISTANCES = (6.0, 10.0, 15.0, 21.0, 28.0, 37.0, 48.0)
LEADER_FROM = 12.0
MARKER_POINTS = 4.5
LETTER_POINTS = 7
TOWARDS = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}


@dataclass(frozen=True)
class Label:
    """A name, the point that it belongs to in data units, and its colour and weight."""

    x: float
    y: float
    text: str
    colour: str
    weight: str = "normal"


def place_labels(axes: Axes, labels: Sequence[Label], obstacles: Sequence[Bbox]) -> list[Bbox]:
    """Write every label at the nearest spot that is free; call it when limits and size of `axes` are final.

    Args:
        axes: the plot.
        labels: placed in this order, so the important ones first.
        obstacles: boxes in display units that no label should cover, beyond the labels' own points.

    Returns:
        The boxes of the words, in display units.
    """
    scale = axes.figure.dpi / 72
    points = axes.transData.transform([(label.x, label.y) for label in labels])
    reach = MARKER_POINTS * scale
    taken = [*obstacles, *(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in points)]
    spots = [(r * np.cos(angle), r * np.sin(angle)) for r in DISTANCES for angle in ANGLES]
    written = []
    for label, (x, y) in zip(labels, points, strict=True):
        size = _size(axes, label)
        boxes = [_box(size, x + right * scale, y + up * scale, *_alignment(right, up)) for right, up in spots]
        costs = [_cost(box, taken, axes.bbox) + scale * np.hypot(*spot) for box, spot in zip(boxes, spots, strict=True)]
        best = int(np.argmin(costs))
        _write(axes, label, *spots[best])
        taken.append(boxes[best])
        written.append(boxes[best])
    return written


def _alignment(right: float, up: float) -> tuple[Side, Level]:
    """Which side of the words lies towards the point."""
    if abs(right) > 0.3 * float(np.hypot(right, up)):
        return ("left" if right > 0 else "right"), "center"
    return "center", ("bottom" if up > 0 else "top")


def _size(axes: Axes, label: Label) -> tuple[float, float]:
    """Width and height of the words, in display units."""
    text = axes.text(0, 0, label.text, fontsize=LETTER_POINTS, fontweight=label.weight)
    box = text.get_window_extent()
    text.remove()
    return float(box.width), float(box.height)


def _box(size: tuple[float, float], x: float, y: float, horizontal: str, vertical: str) -> Bbox:
    width, height = size
    left = x - TOWARDS[horizontal] * width
    bottom = y - TOWARDS[vertical] * height
    return Bbox.from_bounds(left, bottom, width, height)


def _write(axes: Axes, label: Label, right: float, up: float) -> None:
    horizontal, vertical = _alignment(right, up)
    near = (TOWARDS[horizontal], TOWARDS[vertical])
    leader = {"relpos": near, "arrowstyle": "-", "lw": 0.5, "color": label.colour, "shrinkA": 0, "shrinkB": 2}
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(right, up),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        color=label.colour,
        fontsize=LETTER_POINTS,
        fontweight=label.weight,
        arrowprops=leader if np.hypot(right, up) >= LEADER_FROM else None,
    )


def _cost(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Six times the square pixels that `box` covers of what is taken, ten times those that stick out of the frame."""
    covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
    return 6 * covered + 10 * (_area(box) - _area(Bbox.intersection(box, frame)))


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else float(box.width * box.height)

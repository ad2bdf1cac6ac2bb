"""RBDC and TBDC as their definition is read out: region after region, track after track, plain Python.

It is what the vectorised `lightvad.evaluation.localization` is compared with, in value and in time, and shares no code
with it. Sheet fast_aed, section 5.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence

Box = tuple[float, float, float, float]
Labelled = tuple[int, str, int, Box]
"""Track, clip, frame, box (x2/y2 exclusive)."""
Region = tuple[str, int, Box, float]
"""Clip, frame, box (x2/y2 exclusive), score."""


def rbdc_tbdc(
    labelled: Sequence[Labelled],
    regions: Sequence[Region],
    *,
    frames: int,
    alpha: float = 0.1,
    beta: float = 0.1,
    anew: bool = True,
) -> tuple[float, float]:
    """RBDC and TBDC.

    Args:
        labelled: the labelled boxes, at least one.
        regions: the scored boxes. Among equal scores, clips come by name and regions of a clip in their order.
        frames: number of test frames.
        alpha: share of a track's boxes that must be found.
        beta: intersection over union from which a region finds a labelled box.
        anew: every region's score is a threshold, and at every threshold the found boxes of every track are counted
            anew, as the definition says; False: numbers of found boxes are kept, as the reference script does.
    """
    boxes: dict[int, dict[tuple[str, int], list[tuple[int, Box]]]] = defaultdict(lambda: defaultdict(list))
    rows: dict[int, list[int]] = defaultdict(list)
    for row, (track, clip, frame, box) in enumerate(labelled):
        boxes[track][clip, frame].append((row, box))
        rows[track].append(row)
    found: set[int] = set()
    kept = dict.fromkeys(rows, 0)
    misses, points = 0, [(0.0, 0.0, 0.0)]
    by_clip = sorted(regions, key=lambda region: region[0])
    for clip, frame, box, _ in sorted(by_clip, key=lambda region: region[3], reverse=True):
        miss = True
        for track, own in boxes.items():
            for row, other in own.get((clip, frame), ()):
                if overlap(box, other) >= beta:
                    miss = False
                    kept[track] += row not in found
                    found.add(row)
        misses += miss
        counts = {track: sum(row in found for row in own) for track, own in rows.items()} if anew else kept
        tracks = sum(count / len(rows[track]) >= alpha for track, count in counts.items())
        points.append((misses / frames, sum(counts.values()) / len(labelled), tracks / len(rows)))
    points = [point for point in points if point[0] <= 1]
    if points[-1][0] != 1:
        points.append((1.0, *points[-1][1:]))
    return area(points, 1), area(points, 2)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (first, second)]
    return both / (areas[0] + areas[1] - both)


def area(points: Sequence[tuple[float, float, float]], column: int) -> float:
    """Trapezoid area under a column of the points over their first one."""
    return sum(
        (after[0] - before[0]) * (after[column] + before[column]) / 2 for before, after in itertools.pairwise(points)
    )

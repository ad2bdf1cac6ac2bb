"""Tracks of abnormal objects from pixel masks: the components of a mask, linked through time (project choice).

Ped2 publishes masks but no tracks, which TBDC needs. A component (pixels of one frame that touch, corners included)
continues the track whose last component it overlaps most; a track may pause for a few frames, because an object that
is hidden for a moment has no mask. Where two objects touch, their masks form one component: it continues the track
that it overlaps most, and the other one may resume when they part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from lightvad.artifacts.tables import TRACKS

LARGEST_GAP = 5
"""Frames without a mask over which a track continues (half a second on Ped2; project choice)."""


@dataclass(frozen=True)
class Component:
    """Connected pixels of one frame: their slices (rows, columns) and the bool mask inside them."""

    place: tuple[slice, slice]
    pixels: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in pixels, x2/y2 exclusive."""
        rows, columns = self.place
        return columns.start, rows.start, columns.stop, rows.stop

    def iou(self, other: "Component") -> float:
        """Intersection over union of the pixels of two components, in [0, 1]."""
        x1, y1, x2, y2 = self.box
        a1, b1, a2, b2 = other.box
        left, top, right, bottom = max(x1, a1), max(y1, b1), min(x2, a2), min(y2, b2)
        if left >= right or top >= bottom:
            return 0.0
        mine = self.pixels[top - y1 : bottom - y1, left - x1 : right - x1]
        theirs = other.pixels[top - b1 : bottom - b1, left - a1 : right - a1]
        shared = int((mine & theirs).sum())
        return shared / (int(self.pixels.sum()) + int(other.pixels.sum()) - shared)


def components(mask: np.ndarray) -> list[Component]:
    """The 8-connected components of a mask bool (H, W), in the order of their first pixel."""
    numbered, _ = ndimage.label(mask, np.ones((3, 3)))
    places = ndimage.find_objects(numbered)
    return [Component(place, numbered[place] == number) for number, place in enumerate(places, start=1)]


def link(masks: np.ndarray, *, largest_gap: int = LARGEST_GAP) -> pd.DataFrame:
    """Tracks of one clip.

    Args:
        masks: bool (T, H, W).
        largest_gap: frames without a component over which a track continues.

    Returns:
        A row per component: track (from 0, by first appearance), frame, x1, y1, x2, y2 (pixels, x2/y2 exclusive).
    """
    rows: list[tuple[int, ...]] = []
    seen: dict[int, tuple[int, Component]] = {}
    begun = 0
    for t, mask in enumerate(masks):
        found = components(mask)
        alive = {track: last for track, (frame, last) in seen.items() if t - frame <= largest_gap + 1}
        for number, track in enumerate(_matches(found, alive)):
            if track is None:
                track, begun = begun, begun + 1
            seen[track] = (t, found[number])
            rows.append((track, t, *found[number].box))
    return pd.DataFrame(rows, columns=["track", "frame", "x1", "y1", "x2", "y2"])


def _matches(found: list[Component], alive: Mapping[int, Component]) -> list[int | None]:
    """For every component the track that it continues: pairs are taken by falling overlap, each track once."""
    pairs = [
        (overlap, track, number)
        for number, component in enumerate(found)
        for track, last in alive.items()
        if (overlap := component.iou(last)) > 0
    ]
    result: list[int | None] = [None] * len(found)
    taken: set[int] = set()
    for _, track, number in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if result[number] is None and track not in taken:
            result[number] = track
            taken.add(track)
    return result


def tracks_table(masks: Mapping[str, np.ndarray], *, largest_gap: int = LARGEST_GAP) -> pd.DataFrame:
    """The table TRACKS of clips with masks bool (T, H, W), by name; track numbers are unique in the dataset."""
    return numbered({clip: link(stack, largest_gap=largest_gap) for clip, stack in masks.items()})


def numbered(parts: Mapping[str, pd.DataFrame], schema: Mapping[str, str] = TRACKS) -> pd.DataFrame:
    """The table TRACKS (or another with these columns) of clips by name: track numbers go on from clip to clip.

    Args:
        parts: by the clip's name a table with the columns of `schema` but `clip`, tracks numbered from 0.
        schema: of the table.
    """
    found = []
    begun = 0
    for clip, part in sorted(parts.items()):
        if len(part):
            found.append(part.assign(clip=clip, track=part["track"] + begun))
            begun += int(part["track"].max()) + 1
    return pd.concat(found, ignore_index=True)[list(schema)] if found else pd.DataFrame(columns=list(schema))

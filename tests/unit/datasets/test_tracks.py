"""Linking mask components through time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lightvad.artifacts.tables import TRACKS, checked
from lightvad.datasets.tracks import LARGEST_GAP, components, link, tracks_table


def scene(frames: int, *objects: dict[int, tuple[int, int, int, int]]) -> np.ndarray:
    """Masks (T, 40, 60) with rectangles x1, y1, x2, y2 by frame."""
    masks = np.zeros((frames, 40, 60), bool)
    for boxes in objects:
        for t, (x1, y1, x2, y2) in boxes.items():
            masks[t, y1:y2, x1:x2] = True
    return masks


def moving(first: int, last: int, x: int, y: int, step: int, size: int = 6) -> dict[int, tuple[int, int, int, int]]:
    return {t: (x + step * (t - first), y, x + step * (t - first) + size, y + size) for t in range(first, last)}


def test_two_walkers_are_two_tracks_with_exclusive_boxes() -> None:
    right, left = moving(0, 10, 2, 3, 3), moving(2, 10, 50, 20, -3)
    table = link(scene(10, right, left))
    assert table["track"].nunique() == 2
    for track, boxes in enumerate([right, left]):
        rows = table[table["track"] == track]
        assert {row.frame: (row.x1, row.y1, row.x2, row.y2) for row in rows.itertuples()} == boxes


def test_a_track_continues_over_a_short_gap_and_ends_at_a_long_one() -> None:
    boxes = moving(0, 20, 10, 10, 0)
    for gap, tracks in [(LARGEST_GAP, 1), (LARGEST_GAP + 1, 2)]:
        seen = {t: box for t, box in boxes.items() if not 6 <= t < 6 + gap}
        assert link(scene(20, seen))["track"].nunique() == tracks


def test_an_object_elsewhere_is_another_track() -> None:
    assert link(scene(4, {0: (0, 0, 5, 5), 1: (30, 30, 35, 35)}))["track"].tolist() == [0, 1]


def test_the_larger_overlap_wins_and_each_track_continues_once() -> None:
    masks = scene(2, {0: (10, 10, 20, 20)})
    masks[1, 10:20, 8:12] = masks[1, 10:20, 14:24] = True
    table = link(masks)
    assert table[table["frame"] == 1].sort_values("x1")["track"].tolist() == [1, 0]


def test_masks_that_touch_continue_the_larger_track_and_part_again() -> None:
    big, small = {t: (10, 10, 20, 30) for t in range(6)}, {t: (21, 10, 25, 14) for t in range(6)}
    masks = scene(6, big, small)
    masks[2:4, 10:14, 20] = True
    table = link(masks)
    assert [len(rows) for _, rows in table.groupby("track")] == [6, 4]
    assert table[table["frame"] == 2][["x1", "x2"]].to_numpy().tolist() == [[10, 25]]


def test_overlap_is_that_of_pixels_not_of_boxes() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, :8] = mask[:8, 0] = True
    inside = np.zeros_like(mask)
    inside[3:8, 3:8] = True
    (hook,), (block,) = components(mask), components(inside)
    assert hook.iou(block) == block.iou(hook) == 0
    assert hook.iou(hook) == 1
    shifted = np.zeros_like(mask)
    shifted[3:8, 4:9] = True
    assert block.iou(components(shifted)[0]) == 20 / 30


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=12))
def test_every_abnormal_pixel_lies_in_a_box_and_no_track_has_two_boxes_in_a_frame(frames: list[int]) -> None:
    masks = np.array([[(bits >> i) & 1 for i in range(16)] for bits in frames], bool).reshape(-1, 4, 4)
    table = link(masks)
    assert not table.duplicated(["track", "frame"]).any()
    assert set(table["frame"]) == set(np.flatnonzero(masks.any((1, 2))))
    covered = np.zeros_like(masks)
    for row in table.itertuples():
        covered[row.frame, row.y1 : row.y2, row.x1 : row.x2] = True
    assert (covered | ~masks).all()
    assert sorted(table["track"].unique()) == list(range(table["track"].nunique()))


def test_track_numbers_are_unique_in_the_dataset() -> None:
    masks = {"Test002": scene(3, moving(0, 3, 2, 2, 1)), "Test001": scene(3, {0: (0, 0, 5, 5)}, {2: (30, 0, 35, 5)})}
    table = checked(tracks_table({**masks, "Test003": scene(2)}), TRACKS, "tracks")
    assert table.groupby("clip")["track"].unique().map(list).to_dict() == {"Test001": [0, 1], "Test002": [2]}
    assert len(tracks_table({})) == 0

"""Pasted objects: what lies in the window, and where it comes from."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.drawn_clips import HEIGHT, WIDTH, boxes

from lightvad.config import ObjectChanges
from lightvad.errors import LightvadError
from lightvad.objects.pasting import BORDER, Pasted, Paster
from lightvad.video.clips import ClipStore
from lightvad.video.readers import WindowReader

CLIPS = ["train_01", "train_02", "train_03"]


def paster(
    store: ClipStore, changes: ObjectChanges, clips: list[str] = CLIPS, table: pd.DataFrame | None = None
) -> Paster:
    reader = WindowReader(store, offsets=(-3, 0, 3), frame_size=(HEIGHT, WIDTH))
    return Paster(reader, boxes() if table is None else table, clips, changes)


def pasted_windows(own: Paster, count: int = 40, *, abnormal: bool = True) -> list[tuple[np.ndarray, Pasted]]:
    """Black windows of `train_01` with one object each."""
    draw = np.random.default_rng(0)
    result = []
    for _ in range(count):
        window = np.zeros((HEIGHT, WIDTH, 9), np.uint8)
        (item,) = own.paste(window, "train_01", draw, unchanged=int(not abnormal), abnormal=int(abnormal))
        result.append((window, item))
    return result


def test_a_normal_object_is_pasted_as_it_is_from_another_clip(drawn_clips: ClipStore) -> None:
    own = paster(drawn_clips, ObjectChanges())
    for window, item in pasted_windows(own, abnormal=False):
        assert item.source[0] != "train_01"
        assert not item.abnormal
        (x1, y1, x2, y2), (a1, b1, a2, b2) = item.bounds, item.source_bounds
        source = own.reader.read(item.source)
        np.testing.assert_array_equal(window[y1:y2, x1:x2], source[b1:b2, a1:a2])
        assert not window[: max(0, y1 - 4)].any()
        assert not window[:, x2 + 4 :].any()


def only(kind: str, **changes: Any) -> ObjectChanges:
    return ObjectChanges(anomalies=(kind,), **changes)


def test_stretched_objects_are_wider_and_keep_their_height(drawn_clips: ClipStore) -> None:
    for _, item in pasted_windows(paster(drawn_clips, only("stretched"))):
        assert item.abnormal
        assert 1.6 * 8 - 1 <= item.bounds[2] - item.bounds[0] <= 3 * 8 + 1
        assert item.bounds[3] - item.bounds[1] == 12


def test_turned_objects_lie_on_their_side(drawn_clips: ClipStore) -> None:
    own = paster(drawn_clips, only("turned"))
    for window, item in pasted_windows(own):
        (x1, y1, x2, y2), (a1, b1, a2, b2) = item.bounds, item.source_bounds
        source = own.reader.read(item.source)[b1:b2, a1:a2]
        found = window[y1:y2, x1:x2]
        assert found.shape == (8, 12, 9)
        assert any(np.array_equal(found, np.rot90(source, k)) for k in (1, -1))


def test_objects_move_by_the_given_speed(drawn_clips: ClipStore) -> None:
    own = paster(drawn_clips, only("moved", speed=(0.1, 0.1)))
    seen = 0
    for window, item in pasted_windows(own, 80):
        x1, y1, x2, y2 = item.bounds
        whole = x1 > 8 and x2 < WIDTH - 8 and y1 > 8 and y2 < HEIGHT - 8
        if not whole:
            continue
        centres = [np.argwhere(window[..., 3 * k].astype(bool)).mean(0) for k in range(3)]
        distance = np.linalg.norm(centres[2] - centres[0])
        assert distance == pytest.approx(2 * 3 * 0.1 * 12, abs=1.5)
        seen += 1
    assert seen > 3


def test_the_same_draw_gives_the_same_windows(drawn_clips: ClipStore) -> None:
    first, second = (pasted_windows(paster(drawn_clips, ObjectChanges()), 5) for _ in "ab")
    for (one, item), (other, same) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert item == same


def test_a_single_clip_pastes_its_own_objects(drawn_clips: ClipStore) -> None:
    assert {item.source[0] for _, item in pasted_windows(paster(drawn_clips, ObjectChanges(), ["train_01"]))} == {
        "train_01"
    }


def test_boxes_that_are_cut_off_or_tiny_are_not_pasted(drawn_clips: ClipStore) -> None:
    table = boxes()
    table.loc[:, "x2"] = WIDTH - BORDER + 1
    with pytest.raises(LightvadError, match=r"none of the \d+ boxes of train_01, train_02, train_03 can be pasted"):
        paster(drawn_clips, ObjectChanges(), table=table)


def test_small_objects_are_pasted_where_the_smallest_side_allows(drawn_clips: ClipStore) -> None:
    reader = WindowReader(drawn_clips, offsets=(0,), frame_size=(HEIGHT // 2, WIDTH // 2))
    with pytest.raises(LightvadError, match="sides of 6 pixels"):
        Paster(reader, boxes(), CLIPS, ObjectChanges())  # the squares are 4 by 6 pixels here
    window = np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8)
    own = Paster(reader, boxes(), CLIPS, ObjectChanges(), smallest=4)
    (item,) = own.paste(window, "train_01", np.random.default_rng(0), unchanged=1)
    assert (item.bounds[2] - item.bounds[0], item.bounds[3] - item.bounds[1]) == (4, 6)

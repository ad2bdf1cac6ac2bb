"""Boxes from maps: they lie where the map is high, in pixels of the frame, scored by the filtered map."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter1d
from torchvision.ops import nms

from lightvad.artifacts.tables import REGIONS, TRACKS, checked
from lightvad.errors import LightvadError
from lightvad.evaluation import regions
from lightvad.evaluation.localization import rbdc_tbdc
from lightvad.evaluation.regions import regions_from_maps

FRAME = (96, 144)
BUMP = np.array([32, 24, 64, 72])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    sides = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None)
    areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
    return float(sides.prod() / (sum(areas) - sides.prod()))


def map_with_bump(frames: int = 20, noise: float = 0.02) -> np.ndarray:
    """Maps of a bin per 8 pixels with a bump of height 0.9 on the pixels x 32..64, y 24..72."""
    maps = np.random.default_rng(0).uniform(0, noise, (frames, FRAME[0] // 8, FRAME[1] // 8)).astype(np.float32)
    y, x = np.mgrid[: FRAME[0] // 8, : FRAME[1] // 8]
    maps += 0.9 * np.exp(-(((x - 5.5) / 2.5) ** 2 + ((y - 5.5) / 3.5) ** 2)).astype(np.float32)
    return maps


def test_a_bump_is_boxed_with_its_score() -> None:
    table = checked(regions_from_maps(map_with_bump(), clip="a", frame_size=FRAME), REGIONS, "test")
    assert list(table) == list(REGIONS)
    for _, own in table.groupby("frame"):
        assert max(overlap(box, BUMP) for box in own[["x1", "y1", "x2", "y2"]].to_numpy()) > 0.6
    assert table.groupby("frame")["score"].max().between(0.8, 0.92).all()


def test_against_tracks_they_find_everything() -> None:
    table = regions_from_maps(map_with_bump(), clip="a", frame_size=FRAME)
    rows = [(0, "a", t, *BUMP) for t in range(20)]
    tracks = checked(pd.DataFrame(rows, columns=list(TRACKS)), TRACKS, "test")
    rbdc, tbdc = rbdc_tbdc(tracks, table, frames=20)
    assert rbdc is not None
    assert rbdc > 0.9
    assert tbdc == 1.0


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(17, 70), st.integers(17, 70), st.integers(0, 99))
def test_boxes_lie_in_the_frame_and_do_not_repeat(rows: int, columns: int, height: int, width: int, seed: int) -> None:
    maps = np.random.default_rng(seed).random((3, rows, columns)).astype(np.float32)
    table = regions_from_maps(maps, clip="a", frame_size=(height, width), thresholds=6)
    checked(table, REGIONS, "test")
    assert (table["x2"] <= width).all()
    assert (table["y2"] <= height).all()
    assert (table["score"] <= maps.max() + 1e-6).all()
    for _, own in table.groupby("frame"):
        boxes = own[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
        for k, box in enumerate(boxes):
            assert all(overlap(box, other) <= 0.5 + 1e-6 for other in boxes[:k])


def test_blocks_with_a_margin_are_the_clip_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(3).random((40, 6, 8)).astype(np.float32)
    whole = regions_from_maps(maps, clip="a", frame_size=FRAME)
    monkeypatch.setattr(regions, "BLOCK_BYTES", 4 * 24 * 36 * 7)
    pd.testing.assert_frame_equal(regions_from_maps(maps, clip="a", frame_size=FRAME), whole)


def test_a_frame_is_averaged_with_its_neighbours() -> None:
    maps = np.zeros((30, 12, 18), np.float32)
    maps[12, 5:8, 6:9] = 1
    table = regions_from_maps(maps, clip="a", frame_size=FRAME)
    assert set(table["frame"]) == set(range(8, 17))
    # Four cells on a side of a plateau: its middle keeps the full height, a ninth of it after the mean over time.
    assert table["score"].max() == pytest.approx(uniform_filter1d(maps.max((1, 2)), 9).max(), abs=1e-6)


def test_flat_maps_have_no_regions_and_a_table_all_the_same() -> None:
    table = regions_from_maps(np.full((5, 4, 4), 0.3, np.float32), clip="a", frame_size=FRAME)
    assert table.empty
    checked(table, REGIONS, "test")


def test_a_map_of_the_frames_size_is_shrunk() -> None:
    maps = np.zeros((12, *FRAME), np.float32)
    maps[:, 24:72, 32:64] = 1
    table = regions_from_maps(maps, clip="a", frame_size=FRAME)
    best = table.loc[table["score"].idxmax(), ["x1", "y1", "x2", "y2"]].to_numpy(float)
    assert overlap(best, BUMP) > 0.6


def test_nan_is_refused_by_clip_and_frame() -> None:
    maps = map_with_bump()
    maps[7, 0, 0] = np.nan
    with pytest.raises(LightvadError, match="clip Test003, frame 7"):
        regions_from_maps(maps, clip="Test003", frame_size=FRAME)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 999))
def test_of_overlapping_boxes_the_best_stays_as_torchvision_says(count: int, seed: int) -> None:
    noise = np.random.default_rng(seed)
    corner, size = noise.integers(0, 60, (count, 2)), noise.integers(1, 30, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32) * 4
    # Some scores are equal, some negative.
    scores = (noise.integers(-5, 15, count) / 10).astype(np.float32)
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), regions.SUPPRESSION).numpy()
    assert regions.best_of_overlapping(boxes, scores).tolist() == expected.tolist()

"""Anomaly maps: pyramids equal torch's pooling of the full map, filtered frame scores equal scipy's filter."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from lightvad import maps
from lightvad.artifacts.arrays import Maps
from lightvad.artifacts.tables import FRAME_SCORES, LABELS, OBJECT_SCORES, checked
from lightvad.config import ObjectMaps
from lightvad.errors import LightvadError
from lightvad.maps import (
    bins_touched,
    covered_pixels,
    frame_scores_from_objects,
    grid_cells,
    mean_filtered,
    rasterised,
    training_quantiles,
    write_maps,
)
from lightvad.video.clips import Clip

RESOLUTIONS = (1, 4, 16, "full")


def clip(name: str = "Test001", frames: int = 6, height: int = 24, width: int = 36, split: str = "test") -> Clip:
    return Clip(name, split, frames, height, width, 10.0, "generated")


def objects(rows: list[tuple], name: str = "Test001") -> pd.DataFrame:
    """Rows (frame, x1, y1, x2, y2, score)."""
    table = pd.DataFrame(rows, columns=["frame", "x1", "y1", "x2", "y2", "score"]).assign(clip=name)
    return checked(table, OBJECT_SCORES, "test")


def random_objects(of: Clip, count: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, [of.width - 1, of.height - 1], (count, 2))
    size = generator.uniform(0.3, [of.width / 2, of.height / 2], (count, 2))
    end = np.minimum(corner + size, [of.width, of.height])
    table = pd.DataFrame(np.hstack([corner, end]), columns=["x1", "y1", "x2", "y2"])
    return checked(
        table.assign(clip=of.name, frame=generator.integers(0, of.frames, count), score=generator.random(count)),
        OBJECT_SCORES,
        "test",
    )


def labels_of(of: Clip) -> pd.DataFrame:
    return checked(pd.DataFrame({"clip": of.name, "frame": range(of.frames), "label": 0}), LABELS, "test")


def full_map(table: pd.DataFrame, of: Clip) -> np.ndarray:
    """The map by its definition: every pixel into which a box reaches holds at least its score."""
    result = np.zeros((of.frames, of.height, of.width), np.float32)
    y, x = np.mgrid[: of.height, : of.width]
    for row in table.to_dict("records"):
        inside = (x + 1 > row["x1"]) & (x < row["x2"]) & (y + 1 > row["y1"]) & (y < row["y2"])
        plane = result[row["frame"]]
        plane[inside] = np.maximum(plane[inside], np.float32(row["score"]))
    return result


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 90), st.integers(1, 24), st.integers(0, 9999))
def test_a_pyramid_is_torch_adaptive_max_pooling_of_the_full_map(height: int, width: int, side: int, seed: int) -> None:
    of = clip(frames=3, height=height + 1, width=width + 1)
    table = random_objects(of, 8, seed)
    bins = bins_touched(covered_pixels(table, of), of.height, of.width, side)
    columns = table["score"].to_numpy(), table["frame"].to_numpy()
    pooled = np.concatenate(list(rasterised(bins, *columns, length=3, size=(side, side))))
    expected = torch.nn.functional.adaptive_max_pool2d(torch.from_numpy(full_map(table, of)), side)
    np.testing.assert_array_equal(pooled, expected.numpy())


@given(st.integers(1, 40), st.integers(1, 60), st.sampled_from([1, 4, 16]))
def test_a_box_over_the_whole_frame_fills_every_bin(height: int, width: int, side: int) -> None:
    bins = bins_touched(np.array([[0, 0, width, height]]), height, width, side)
    assert bins.tolist() == [[0, 0, side, side]]


def written(path: Path, of: list[Clip], table: pd.DataFrame, **changes: object) -> Maps:
    arguments = {"train_clips": {"Train001"}, "resolutions": RESOLUTIONS, "settings": ObjectMaps(quantiles=(0, 1))}
    write_maps(path, clips=of, object_scores=table, **(arguments | changes))  # type: ignore[arg-type]
    return Maps(path)


def test_maps_of_a_file(tmp_path: Path) -> None:
    train, test = clip("Train001", split="train"), clip()
    table = pd.concat([random_objects(train, 30, 1), random_objects(test, 30, 2)], ignore_index=True)
    with written(tmp_path / "maps.npz", [train, test], table) as found:
        low, high = found.note("quantiles")
        own = table[table["clip"] == "Train001"]["score"]
        assert (low, high) == (own.min(), own.max())
        scaled = table.assign(score=((table["score"].astype(float) - low) / (high - low)).clip(0, 1))
        full = full_map(scaled[scaled["clip"] == test.name], test)
        np.testing.assert_allclose(found.read("Test001", "full"), full, atol=1e-7)
        for side in (1, 4, 16):
            pooled = found.read("Test001", side)
            assert (pooled.dtype, pooled.shape) == (np.float32, (6, side, side))
            expected = torch.nn.functional.adaptive_max_pool2d(torch.from_numpy(full), side)
            np.testing.assert_allclose(pooled, expected.numpy(), atol=1e-7)


def test_a_clip_without_boxes_has_maps_of_zeros(tmp_path: Path) -> None:
    train, empty = clip("Train001", split="train"), clip("Test002")
    with written(tmp_path / "maps.npz", [train, empty], random_objects(train, 9, 0)) as found:
        assert not found.read("Test002", 16).any()
        assert found.read("Test002", "full").shape == (6, 24, 36)


def test_memory_is_that_of_a_block_whatever_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "BLOCK_BYTES", 4 * 24 * 36 * 5)
    of = clip(frames=23)
    table = random_objects(of, 60, 3)
    columns = table["score"].to_numpy(), table["frame"].to_numpy()
    blocks = list(rasterised(covered_pixels(table, of), *columns, length=23, size=(24, 36)))
    assert [len(block) for block in blocks] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate(blocks), full_map(table, of))


def test_training_scores_without_spread_are_refused() -> None:
    table = objects([(0, 1, 1, 5, 5, 0.5)] * 3, "Train001")
    with pytest.raises(LightvadError, match=r"3 boxes in the training clips.*nothing to scale"):
        training_quantiles(table, {"Train001"}, (0.001, 0.999))
    with pytest.raises(LightvadError, match="0 boxes in the training clips"):
        training_quantiles(table, {"Train002"}, (0.001, 0.999))


def test_boxes_are_cut_at_the_frame_and_refused_outside_it() -> None:
    assert covered_pixels(objects([(0, 30.2, 20.9, 50, 60, 1)]), clip()).tolist() == [[30, 20, 36, 24]]
    with pytest.raises(LightvadError, match=r"clip Test001, frame 2: box \(36, 3, 40, 9\) lies outside"):
        covered_pixels(objects([(2, 36, 3, 40, 9, 1)]), clip())
    with pytest.raises(LightvadError, match="clip Test001, frame 6"):
        covered_pixels(objects([(6, 1, 1, 4, 4, 1)]), clip())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 11), st.integers(1, 9), st.sampled_from([3, 4, 5, 9]))
def test_the_streamed_mean_filter_is_scipys(frames: int, height: int, width: int, size: int) -> None:
    volume = np.random.default_rng(frames).random((frames, height, width)).astype(np.float32)
    found = np.stack(list(mean_filtered(iter(volume), size)))
    expected = uniform_filter(volume.astype(np.float64), size, mode="constant")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_frames_no_filtered_frames() -> None:
    assert list(mean_filtered([], 5)) == []


@pytest.mark.parametrize("block_scale", [1, 4])
def test_a_frame_score_is_the_maximum_of_the_filtered_map(block_scale: int) -> None:
    of = clip(frames=9, height=40, width=60)
    table = random_objects(of, 12, 5)
    chosen = ObjectMaps(block_scale=block_scale, filter_size=3)
    found = frame_scores_from_objects(table, clips=[of], labels=labels_of(of), settings=chosen)
    cells, size = grid_cells(table, of, block_scale)
    coarse = np.zeros((9, *size))
    for (x1, y1, x2, y2), t, score in zip(cells, table["frame"], table["score"], strict=True):
        coarse[t, y1:y2, x1:x2] = np.maximum(coarse[t, y1:y2, x1:x2], score)
    expected = uniform_filter(coarse, 3, mode="constant").max((1, 2))
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)
    assert list(checked(found, FRAME_SCORES, "test")) == list(FRAME_SCORES)


def test_without_a_filter_the_frame_score_is_the_best_box_and_zero_without_boxes() -> None:
    of = clip(frames=3)
    table = objects([(0, 1, 1, 5, 5, 0.25), (0, 2, 2, 9, 9, 0.75), (2, 1, 1, 3, 3, 0.5)])
    found = frame_scores_from_objects(table, clips=[of], labels=labels_of(of), settings=ObjectMaps())
    assert found["score"].tolist() == [0.75, 0.0, 0.5]


def test_the_coarse_grid_rounds_and_includes_the_last_cell() -> None:
    cells, size = grid_cells(objects([(0, 0, 0, 640, 360, 1), (0, 29, 31, 51, 52, 1)]), clip(height=360, width=640), 20)
    assert size == (18, 32)
    assert cells.tolist() == [[0, 0, 32, 18], [1, 2, 4, 4]]
    cells, _ = grid_cells(objects([(0, 10, 10, 20, 15, 1)]), clip(), 1)
    assert cells.tolist() == [[10, 10, 20, 15]]


def test_labels_of_another_length_and_negative_scores_are_refused() -> None:
    of = clip()
    with pytest.raises(LightvadError, match="clip Test001 has 6 frames and 5 labels"):
        frame_scores_from_objects(objects([]), clips=[of], labels=labels_of(of)[:5], settings=ObjectMaps())
    with pytest.raises(LightvadError, match=r"frame 1: score -0\.5 < 0"):
        table = objects([(1, 1, 1, 3, 3, -0.5)])
        frame_scores_from_objects(table, clips=[of], labels=labels_of(of), settings=ObjectMaps())

"""Crops through time: which pixels they show, at the frame's edge too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.errors import LightvadError
from lightvad.objects.crops import crop_sequence, pixel_bounds


def test_a_whole_box_of_the_target_size_is_copied() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    crops = crop_sequence(frames, np.array([5, 7, 21, 23], np.float32), size=16)
    assert crops.dtype == np.uint8
    np.testing.assert_array_equal(crops, frames[:, 7:23, 5:21])


def test_fractions_are_rounded_outwards() -> None:
    assert pixel_bounds(np.array([4.9, 7.2, 20.1, 22.5], np.float32), height=40, width=50) == (4, 7, 21, 23)


def test_each_crop_comes_from_its_own_frame() -> None:
    frames = np.repeat(np.arange(7, dtype=np.uint8)[:, None, None, None] * 30, 3, axis=3)
    frames = np.broadcast_to(frames, (7, 30, 30, 3)).copy()
    crops = crop_sequence(frames, np.array([3, 3, 20, 12], np.float32))
    assert crops.shape == (7, 64, 64, 3)
    np.testing.assert_array_equal(crops[:, 10, 10, 1], np.arange(7) * 30)


@given(
    x=st.floats(-30, 59, allow_nan=False), y=st.floats(-30, 39, allow_nan=False),
    w=st.floats(0.01, 100), h=st.floats(0.01, 100),
)  # fmt: skip
def test_bounds_stay_in_the_frame_and_cover_the_visible_part(x: float, y: float, w: float, h: float) -> None:
    box = np.array([x, y, x + w, y + h], np.float64)
    if box[2] <= 0 or box[3] <= 0:
        with pytest.raises(LightvadError, match="outside a frame"):
            pixel_bounds(box, height=40, width=60)
        return
    x1, y1, x2, y2 = pixel_bounds(box, height=40, width=60)
    assert 0 <= x1 < x2 <= 60
    assert 0 <= y1 < y2 <= 40
    assert x1 <= max(x, 0)
    assert y1 <= max(y, 0)
    assert x2 >= min(x + w, 60)
    assert y2 >= min(y + h, 40)


@pytest.mark.parametrize("box", [(60, 1, 70, 9), (1, 40, 9, 50), (-9, 1, -1, 9), (1, 1, np.nan, 9), (9, 1, 5, 9)])
def test_a_box_outside_the_frame_is_one_clear_line(box: tuple[float, ...]) -> None:
    with pytest.raises(LightvadError, match="60x40") as caught:
        crop_sequence(np.zeros((1, 40, 60, 3), np.uint8), np.array(box, np.float32))
    assert "\n" not in str(caught.value)

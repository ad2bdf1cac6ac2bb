"""Moving regions: where the object is now, nothing where nothing moves."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.config import MotionRegions
from lightvad.detection.class_probabilities import iou
from lightvad.detection.motion import motion_boxes

SETTINGS = MotionRegions(threshold=15, minimal_area=40, gap=2)


def window(frame: Callable[[int], np.ndarray], t: int, gap: int = 2) -> list[np.ndarray]:
    return [frame(t - gap), frame(t), frame(t + gap)]


def test_a_moving_rectangle_is_boxed_where_it_is_now(moving_frame: Callable[[int], np.ndarray]) -> None:
    boxes = motion_boxes(window(moving_frame, 6), SETTINGS)
    assert boxes.dtype == np.float32
    assert boxes.shape == (1, 4)
    truth = np.array([[6 + 3 * 6, 20, 6 + 3 * 6 + 12, 40]], np.float32)
    assert iou(truth, boxes)[0, 0] > 0.7


def test_nothing_moves_in_a_still_clip(moving_frame: Callable[[int], np.ndarray]) -> None:
    noise = np.random.default_rng(0)
    frames = [moving_frame(5).astype(int) + noise.integers(-3, 4, moving_frame(5).shape) for _ in range(3)]
    assert motion_boxes([frame.astype(np.uint8) for frame in frames], SETTINGS).shape == (0, 4)


@pytest.mark.parametrize("missing", [0, 2])
def test_at_the_border_of_a_clip_the_other_side_decides(
    missing: int, moving_frame: Callable[[int], np.ndarray]
) -> None:
    frames: list[np.ndarray | None] = list(window(moving_frame, 6))
    frames[missing] = None
    truth = np.array([[24, 20, 36, 40]], np.float32)
    assert iou(truth, motion_boxes(frames, SETTINGS)).max() > 0.4


def test_a_clip_of_one_frame_has_no_motion(moving_frame: Callable[[int], np.ndarray]) -> None:
    assert motion_boxes([None, moving_frame(3), None], SETTINGS).shape == (0, 4)


@given(area=st.integers(1, 2000), threshold=st.floats(1, 100))
def test_boxes_lie_in_the_frame_and_are_as_large_as_asked(area: int, threshold: float) -> None:
    generator = np.random.default_rng(area)
    frames = [generator.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(3)]
    boxes = motion_boxes(frames, MotionRegions(threshold=threshold, minimal_area=area, gap=1))
    sizes = boxes[:, 2:] - boxes[:, :2]
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= 50).all()
    assert (boxes[:, [1, 3]] <= 40).all()
    assert (sizes.prod(1) >= area).all()

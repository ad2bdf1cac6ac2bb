"""Windows of a stream against windows of the whole clip in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightvad.deploy.streams import Windows, offsets_at
from lightvad.video.windows import window_indices


@given(
    st.integers(1, 20),
    st.sampled_from([(0,), (-3, 0, 3), (-6, -3, 0, 3, 6), (-2, 0), (0, 4)]),
)
def test_every_frame_has_the_window_of_the_whole_clip(count: int, offsets: tuple[int, ...]) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), np.uint8)
    windows = Windows(offsets, frame_size=(4, 6), device=torch.device("cpu"))
    found = [window for frame in clip for window in windows.push(frame)] + windows.rest()
    assert len(found) == count
    for t, window in enumerate(found):
        expected = np.concatenate(list(clip[window_indices(t, offsets, count, "current")]), axis=-1)
        np.testing.assert_array_equal(window.numpy(), expected)


def test_a_window_is_ready_when_its_last_frame_has_come() -> None:
    windows = Windows((-3, 0, 3), frame_size=(2, 2), device=torch.device("cpu"))
    ready = [len(windows.push(np.zeros((2, 2, 3), np.uint8))) for _ in range(6)]
    assert ready == [0, 0, 0, 1, 1, 1]
    assert len(windows.rest()) == 3


def test_frames_are_resized() -> None:
    windows = Windows((0,), frame_size=(4, 6), device=torch.device("cpu"))
    (window,) = windows.push(np.full((40, 60, 3), 77, np.uint8))
    assert window.shape == (4, 6, 3)
    assert (window == 77).all()


@pytest.mark.parametrize(
    ("fps", "expected"), [(25, (-3, 0, 3)), (50, (-6, 0, 6)), (30, (-4, 0, 4)), (5, (-1, 0, 1)), (1, (-1, 0, 1))]
)
def test_offsets_reach_as_far_in_time(fps: float, expected: tuple[int, ...]) -> None:
    assert offsets_at((-3, 0, 3), trained_fps=25, fps=fps) == expected

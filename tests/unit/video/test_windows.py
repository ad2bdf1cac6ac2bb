"""Windows of frames at the borders of a clip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.video.windows import window_indices


def test_border_rules() -> None:
    assert window_indices(1, (-3, 0, 3), 10, "current") == [1, 1, 4]
    assert window_indices(1, (-3, 0, 3), 10, "clamp") == [0, 1, 4]
    assert window_indices(8, (-3, 0, 3), 10, "current") == [5, 8, 8]


@given(st.integers(1, 30), st.data(), st.lists(st.integers(-9, 9), min_size=1), st.sampled_from(["current", "clamp"]))
def test_every_index_is_in_the_clip_and_inner_frames_are_exact(
    frames: int, data: st.DataObject, offsets: list, border
) -> None:
    t = data.draw(st.integers(0, frames - 1))
    found = window_indices(t, offsets, frames, border)
    assert all(0 <= index < frames for index in found)
    assert all(i == t + o for i, o in zip(found, offsets, strict=True) if 0 <= t + o < frames)


def test_outside_the_clip() -> None:
    with pytest.raises(ValueError, match="outside a clip of 5 frames"):
        window_indices(5, (0,), 5, "clamp")

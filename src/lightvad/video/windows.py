"""Windows of frames around a frame, and what happens at the borders of a clip."""

from collections.abc import Sequence
from typing import Literal

Border = Literal["current", "clamp"]


def window_indices(t: int, offsets: Sequence[int], frames: int, border: Border) -> list[int]:
    """Indices of the frames t + offset of a clip with `frames` frames.

    Args:
        t: the current frame, 0 <= t < frames.
        offsets: e.g. (-3, 0, 3).
        frames: length of the clip.
        border: what stands in for a frame outside the clip: the `current` frame (Fast-AED, sheet section 1) or the
            nearest frame of the clip (`clamp`).

    Raises:
        ValueError: `t` is outside the clip.
    """
    if not 0 <= t < frames:
        message = f"frame {t} is outside a clip of {frames} frames"
        raise ValueError(message)
    if border == "current":
        return [t + offset if 0 <= t + offset < frames else t for offset in offsets]
    return [min(max(t + offset, 0), frames - 1) for offset in offsets]

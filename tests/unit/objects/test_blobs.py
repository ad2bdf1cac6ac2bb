"""Blobs: where they lie, how they move, and that they have the colours of the frame."""

from typing import Any

import cv2
import numpy as np
import pytest

from lightvad.objects.blobs import BlobPaster, outline

SIZE, OFFSETS = (48, 64), (-3, 0, 3)
WANTED: dict[str, Any] = {"height": (0.2, 0.4), "aspect": (0.5, 1.5), "standing": 0.0, "speed": (0.1, 0.1)}


def pasted(seed: int, *, ground: int = 120, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """A gray window with one blob, and the pixels that the blob covers."""
    window = np.full((*SIZE, 3 * len(OFFSETS)), ground, np.uint8)
    covered = BlobPaster(SIZE, OFFSETS, **{**WANTED, **changes}).paste(window, np.random.default_rng(seed))
    return window, covered


@pytest.mark.parametrize("seed", range(8))
def test_pixels_change_where_the_blob_lies(seed: int) -> None:
    window, covered = pasted(seed, ground=0)
    changed = (window[..., 3:6] != 0).any(2)
    assert covered.sum() > 20
    assert (covered & ~changed).sum() <= 0.05 * covered.sum()  # dark spots of a texture
    around = cv2.dilate(covered.astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert not (changed & ~around).any()
    rows, columns = (np.flatnonzero(covered.any(axis)) for axis in (1, 0))
    assert 0.2 * SIZE[0] - 3 <= np.ptp(rows) + 1 <= 0.4 * SIZE[0] + 1
    assert covered.sum() < 0.95 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "its outline, not its box"


def test_a_blob_moves_by_its_velocity_and_keeps_its_look() -> None:
    seen = 0
    for seed in range(40):
        window, covered = pasted(seed, ground=0)
        ys, xs = np.nonzero(covered)
        height = np.ptp(ys) + 1
        if ys.min() < 12 or ys.max() > SIZE[0] - 12 or xs.min() < 12 or xs.max() > SIZE[1] - 12:
            continue
        frames = [window[..., 3 * k : 3 * k + 3] for k in range(3)]
        before, now, after = (np.argwhere(frame.any(2)).min(0) for frame in frames)
        assert np.abs((after - now) - (now - before)).max() <= 1
        assert np.linalg.norm(after - before) == pytest.approx(6 * 0.1 * height, abs=2.5)
        for frame, corner in ((frames[0], before), (frames[2], after)):
            moved = np.roll(frame, tuple(now - corner), axis=(0, 1))
            np.testing.assert_array_equal(moved, frames[1])
        seen += 1
    assert seen > 5


def test_standing_blobs_stay_where_they_are() -> None:
    window, _ = pasted(1, standing=1.0)
    np.testing.assert_array_equal(window[..., :3], window[..., 3:6])
    np.testing.assert_array_equal(window[..., :3], window[..., 6:])


def test_a_gray_frame_gets_gray_blobs_that_differ_from_it() -> None:
    for seed in range(20):
        window, covered = pasted(seed)
        blob = window[..., 3:6][covered].astype(int)
        assert (blob == blob[:, :1]).all()
        assert abs(blob.mean() - 120) > 20


def test_the_same_draw_gives_the_same_blobs() -> None:
    (first, mask), (again, same), (other, _) = pasted(3), pasted(3), pasted(4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(mask, same)
    assert (first != other).any()


def test_an_outline_fills_its_box_and_fades_at_its_edge() -> None:
    alpha = outline(30, 20, np.random.default_rng(0))
    assert alpha.shape == (30, 20)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    covered = alpha >= 0.5
    assert covered[:2].any()
    assert covered[-2:].any()
    assert 0.3 < covered.mean() < 0.95
    assert ((alpha > 0.02) & (alpha < 0.98)).any()

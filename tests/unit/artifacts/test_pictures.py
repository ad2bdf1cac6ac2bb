"""Pictures and maps for figures: what is written is read back, small, the same bytes, and nothing else is taken."""

from pathlib import Path

import numpy as np
import pytest

from lightvad.artifacts.pictures import MAP_SIDE, PICTURE_SIDE, ShownFrame, read_shown, reduced, write_shown
from lightvad.errors import LightvadError


def shown(clip: str, frame: int, height: int = 12, width: int = 20) -> ShownFrame:
    rng = np.random.default_rng(frame)
    pictures = {name: rng.integers(0, 256, (height, width, 3), np.uint8) for name in ("teacher", "student")}
    return ShownFrame(clip, frame, pictures, {"error": rng.random((height, width), np.float32)})


def test_frames_are_read_back_in_order_and_the_bytes_repeat(tmp_path: Path) -> None:
    frames = [shown("b", 3), shown("b", 11), shown("a", 3)]
    for name in ("one.npz", "two.npz"):
        write_shown(tmp_path / name, iter(frames))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    found = read_shown(tmp_path / "one.npz", remedy="again")
    assert [(one.clip, one.frame) for one in found] == [("b", 3), ("b", 11), ("a", 3)]
    for own, one in zip(frames, found, strict=True):
        assert list(one.pictures) == ["teacher", "student"]
        assert all(np.array_equal(one.pictures[name], own.pictures[name]) for name in own.pictures)
        assert np.array_equal(one.maps["error"], own.maps["error"])
    chosen = read_shown(tmp_path / "one.npz", ["a", "c"], remedy="again")
    assert [(one.clip, one.frame) for one in chosen] == [("a", 3)]


def test_large_frames_become_small(tmp_path: Path) -> None:
    write_shown(tmp_path / "shown.npz", [shown("a", 0, 1080, 1920)])
    (found,) = read_shown(tmp_path / "shown.npz", remedy="again")
    assert found.pictures["teacher"].shape == (135, PICTURE_SIDE, 3)
    assert found.maps["error"].shape == (45, MAP_SIDE)
    assert (tmp_path / "shown.npz").stat().st_size < 2 * 135 * 240 * 3 + 4 * 45 * 80 + 2000


def test_a_smaller_image_keeps_its_mean() -> None:
    values = np.random.default_rng(0).random((64, 160), np.float32)
    assert reduced(values, 40).shape == (16, 40)
    assert reduced(values, 40).mean() == pytest.approx(values.mean(), abs=1e-6)
    assert reduced(values, 160) is values


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (np.zeros((2, 2), np.float64), "a/0/error"),
        (np.zeros((2, 2), np.uint8), "a/0/teacher"),
        (np.zeros((2, 2), np.float32), "a/first/error"),
        (np.zeros((2, 2), np.float32), "quantiles"),
    ],
)
def test_what_is_neither_picture_nor_map_is_told(tmp_path: Path, array: np.ndarray, name: str) -> None:
    np.savez(tmp_path / "shown.npz", **{name: array})
    with pytest.raises(LightvadError, match=rf"shown.npz: '{name}' is neither a picture nor a map of a frame; again"):
        read_shown(tmp_path / "shown.npz", remedy="again")


def test_missing_damaged_and_infinite_ones_are_told(tmp_path: Path) -> None:
    path = tmp_path / "shown.npz"
    with pytest.raises(LightvadError, match="missing or damaged pictures"):
        read_shown(path, remedy="again")
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(LightvadError, match="missing or damaged pictures"):
        read_shown(path, remedy="again")
    endless = ShownFrame("a", 7, {}, {"error": np.array([[0, np.inf]], np.float32)})
    with pytest.raises(LightvadError, match="error of a, frame 7, holds NaN or infinity"):
        write_shown(path, [endless])

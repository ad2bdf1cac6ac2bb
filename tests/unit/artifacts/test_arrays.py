"""Maps are written block by block and read back whole; masks are packed to bits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightvad.artifacts.arrays import Maps, maps_writer, read_masks, write_masks
from lightvad.errors import LightvadError


def test_blocks_add_up_and_numpy_reads_them(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).random((7, 4, 4), np.float32)
    with maps_writer(tmp_path / "maps.npz") as writer:
        writer.write("clip a/b", 4, whole.shape, [whole[:3], whole[3:]])
        writer.note("quantiles", np.array([0.1, 0.9]))
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as plain:
        assert plain["clip a/b/4"].dtype == np.float32
    with Maps(tmp_path / "maps.npz") as maps:
        assert np.array_equal(maps.read("clip a/b", 4), whole)
        assert maps.note("quantiles").tolist() == [0.1, 0.9]
        with pytest.raises(LightvadError, match="no array 'clip a/b/16'"):
            maps.read("clip a/b", 16)


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ([np.zeros((3, 4, 4))], "3 frames written, 5 expected"),
        ([np.zeros((5, 4, 3))], "wrong size or NaN"),
        ([np.full((5, 4, 4), np.nan)], "wrong size or NaN"),
    ],
)
def test_wrong_blocks_leave_no_file(tmp_path: Path, blocks: list, complaint: str) -> None:
    with pytest.raises(LightvadError, match=complaint), maps_writer(tmp_path / "maps.npz") as writer:
        writer.write("c", 4, (5, 4, 4), blocks)
    assert not list(tmp_path.iterdir())


def test_damaged_maps_are_refused(tmp_path: Path) -> None:
    with maps_writer(tmp_path / "maps.npz") as writer:
        writer.write("c", 2, (50, 2, 2), [np.random.default_rng(0).random((50, 2, 2), np.float32)])
    content = bytearray((tmp_path / "maps.npz").read_bytes())
    content[200] ^= 0xFF
    (tmp_path / "maps.npz").write_bytes(content)
    with Maps(tmp_path / "maps.npz") as maps, pytest.raises(LightvadError, match="run `lightvad maps` again"):
        maps.read("c", 2)
    (tmp_path / "maps.npz").write_bytes(content[:100])
    with pytest.raises(LightvadError, match="missing or damaged"):
        Maps(tmp_path / "maps.npz")


@given(masks=arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))))
def test_masks_round_trip(tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("masks") / "c.npz"
    write_masks(path, masks)
    assert np.array_equal(read_masks(path), masks)

"""Scratch arrays: zeros, room that is taken at once, and nothing left."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lightvad.artifacts.scratch import clear_scratch, scratch_array, scratch_folder
from lightvad.errors import LightvadError


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 4096 bytes: what a full disk is to whoever writes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_an_array_holds_what_is_written_and_goes_with_its_folder(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "run") as name:
        array = scratch_array(Path(name, "0"), np.float16, (5, 3))
        assert not array.any()
        array[2] = 1
        assert array.sum() == 3
        assert Path(name, "0").stat().st_size == 30
    assert list((tmp_path / "run").iterdir()) == []


def test_no_room_is_one_line_before_anything_is_written(tmp_path: Path, small_files: None) -> None:
    with scratch_folder(tmp_path) as name:
        assert scratch_array(Path(name, "0"), np.uint8, (4096,)).shape == (4096,)
        with pytest.raises(LightvadError, match=r"/1: no room for 4100 bytes \(File too large\); free disk space"):
            scratch_array(Path(name, "1"), np.float32, (1025,))


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    for name in (".scratch.abc/0", "model.safetensors", "_resume/training.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    clear_scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "_resume"}

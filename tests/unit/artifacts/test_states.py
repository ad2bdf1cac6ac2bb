"""A state of unfinished work is read back as it was written, or not at all."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightvad.artifacts.states import read_state, write_state
from lightvad.errors import LightvadError

STATE = {"digest": "d", "rows": [{"epoch": 1.0}], "weights": {"w": torch.arange(12.0)}, "numbers": [3, 2**31]}


def test_a_state_round_trips(tmp_path: Path) -> None:
    write_state(tmp_path / "a.pt", STATE)
    found = read_state(tmp_path / "a.pt")
    assert torch.equal(found["weights"]["w"], STATE["weights"]["w"])
    assert {**found, "weights": 0} == {**STATE, "weights": 0}


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_passes(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    path = tmp_path_factory.mktemp("states") / "a.pt"
    write_state(path, STATE)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(LightvadError, match=r"a\.pt: damaged resume state; delete it to begin from the start"):
        read_state(path)


def test_a_state_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match=r"a\.pt: cannot be read \(No such file"):
        read_state(tmp_path / "a.pt")

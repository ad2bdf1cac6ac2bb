"""Weights: safetensors only, of the right method and shape."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lightvad.artifacts.weights import load_state, read_weights, write_weights
from lightvad.errors import LightvadError


def test_round_trip(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    write_weights(tmp_path / "m.safetensors", module.state_dict(), {"method": "fast_aed"})
    state, metadata = read_weights(tmp_path / "m.safetensors", "fast_aed")
    other = nn.Linear(3, 2)
    load_state(other, state, tmp_path / "m.safetensors")
    assert metadata == {"method": "fast_aed"}
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_the_same_weights_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, torch\n"
        "from lightvad.artifacts.weights import write_weights\n"
        "metadata = {name: name + ' \\u00e9 \\x22quoted\\x22' for name in 'abcdefgh'}\n"
        "write_weights(pathlib.Path(sys.argv[1]), {'w': torch.arange(5.0), 'b': torch.ones(2, 3)}, metadata)\n"
    )
    paths = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for path in paths:
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert len({path.read_bytes() for path in paths}) == 1
    state, metadata = read_weights(paths[0])
    assert torch.equal(state["w"], torch.arange(5.0))
    assert torch.equal(state["b"], torch.ones(2, 3))
    assert sorted(metadata) == list("abcdefgh")
    assert all(value == f'{name} \u00e9 "quoted"' for name, value in metadata.items())


def test_weights_without_metadata_can_be_written(tmp_path: Path) -> None:
    write_weights(tmp_path / "m.safetensors", {"w": torch.ones(1)}, {})
    assert read_weights(tmp_path / "m.safetensors") == ({"w": torch.ones(1)}, {})


def test_another_method_is_refused(tmp_path: Path) -> None:
    write_weights(tmp_path / "m.safetensors", {"w": torch.ones(1)}, {"method": "ssmtl"})
    with pytest.raises(LightvadError, match="weights of method 'ssmtl', not 'fast_aed'"):
        read_weights(tmp_path / "m.safetensors", "fast_aed")


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match="weights do not fit the model") as raised:
        load_state(nn.Linear(3, 2), nn.Linear(4, 2).state_dict(), tmp_path / "m.safetensors")
    assert "\n" not in str(raised.value)


def test_a_pickle_is_refused_unexecuted(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple:
            return Path.touch, (ran,)

    (tmp_path / "m.safetensors").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(LightvadError, match="not a safetensors file"):
        read_weights(tmp_path / "m.safetensors")
    assert not ran.exists()

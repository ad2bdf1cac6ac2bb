"""Every engine gives the scores and maps of the network itself."""

import shutil

import numpy as np
import pytest
import torch

from lightvad.deploy.engines import EagerEngine, open_engine
from lightvad.deploy.programs import Program, onnx_program, openvino_program
from lightvad.errors import LightvadError
from lightvad.methods.fast_aed.deployment import Deployed

from .conftest import FRAME_SIZE

WINDOWS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, *FRAME_SIZE, 9), np.uint8))


@pytest.fixture(scope="module")
def example() -> torch.Tensor:
    return torch.zeros((2, *FRAME_SIZE, 9), dtype=torch.uint8)


@pytest.fixture(scope="module")
def programs(network: Deployed, example: torch.Tensor) -> dict[str, Program]:
    calibration = [window[None].numpy() for window in WINDOWS]
    return {
        "eager": Program("torch", "32-true", {}, network),
        "onnxruntime": onnx_program(network, example),
        "openvino": openvino_program(network, example, precision="32-true"),
        "int8": openvino_program(network, example, precision="int8", calibration=calibration),
    }


@pytest.mark.parametrize("name", ["eager", "onnxruntime", "openvino"])
def test_the_same_scores_and_maps(name: str, programs: dict[str, Program], network: Deployed) -> None:
    engine = open_engine(programs[name], device="cpu", threads=1)
    assert (engine.name, engine.precision) == (name, "32-true")
    with torch.inference_mode():
        expected, *maps = network(WINDOWS)
    for batch in (3, 1):
        scores, found = engine.run(WINDOWS[:batch])
        torch.testing.assert_close(scores, expected[:batch], rtol=1e-4, atol=1e-6)
        for own, other in zip(found, maps, strict=True):
            torch.testing.assert_close(own, other[:batch], rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_is_eager(network: Deployed) -> None:
    engine = open_engine(Program("torch", "32-true", {}, network), engine="compiled", device="cpu", threads=1)
    expected, _ = EagerEngine(network, "32-true", torch.device("cpu")).run(WINDOWS)
    torch.testing.assert_close(engine.run(WINDOWS)[0], expected, rtol=1e-4, atol=1e-6)


def test_int8_is_near(programs: dict[str, Program], network: Deployed) -> None:
    scores, maps = open_engine(programs["int8"], device="cpu", threads=1).run(WINDOWS)
    with torch.inference_mode():
        expected, *_, finest = network(WINDOWS)
    assert 0 < (scores - expected).abs().max() < 0.1 * expected.abs().max()
    assert torch.corrcoef(torch.stack([maps[-1].flatten(), finest.flatten()]))[0, 1] > 0.98


@pytest.mark.parametrize("windows", [1, 2, 3, 4])
def test_windows_shared_out_among_requests_keep_their_order(programs: dict[str, Program], windows: int) -> None:
    several = torch.cat([WINDOWS, WINDOWS.flip(1), WINDOWS.flip(2)])[:windows]
    alone = open_engine(programs["openvino"], device="cpu", threads=1)
    together = open_engine(programs["openvino"], device="cpu", threads=2)
    scores, maps = together.run(several)
    for k, window in enumerate(several):
        own, (*expected,) = alone.run(window[None])
        torch.testing.assert_close(scores[k : k + 1], own)
        for one, other in zip(maps, expected, strict=True):
            torch.testing.assert_close(one[k : k + 1], other)


def test_results_are_not_overwritten_by_the_next_call(programs: dict[str, Program]) -> None:
    engine = open_engine(programs["openvino"], device="cpu", threads=1)
    scores, maps = engine.run(WINDOWS[:1])
    kept = scores.clone(), maps[-1].clone()
    engine.run(WINDOWS[1:2])
    assert torch.equal(scores, kept[0])
    assert torch.equal(maps[-1], kept[1])


@pytest.mark.parametrize(
    ("name", "precision", "options", "message"),
    [
        ("openvino", "32-true", {"engine": "eager"}, "engine eager: this export is written as openvino"),
        ("onnxruntime", "32-true", {"device": "cuda"}, "runs on the CPU here"),
        ("eager", "16-mixed", {"device": "cpu"}, "16-mixed: is for GPUs"),
    ],
)
def test_what_does_not_fit_is_one_line(
    programs: dict[str, Program], name: str, precision: str, options: dict[str, str], message: str
) -> None:
    program = Program(programs[name].form, precision, programs[name].files, programs[name].network)
    with pytest.raises(LightvadError, match=message):
        open_engine(program, threads=1, **options)

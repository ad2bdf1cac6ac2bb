"""Complexity: the numbers of the Fast-AED sheet, and that a multiply-add counts twice."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from lightvad.evaluation.complexity import complexity
from lightvad.methods.fast_aed.scoring import scorer
from lightvad.methods.fast_aed.settings import FastAedSettings


def fast_aed(height: int, width: int, **network: object) -> dict:
    settings = FastAedSettings.model_validate(
        {
            "teachers": [{"method": "ssmtl"}],
            "network": {"output_heads": "released_code", "output_activation": "relu", **network},
        }
    )
    path = scorer(settings, frame_size=(height, width), resolutions=(1, 4, 16), weights=None, device="cpu")
    return complexity(path, path.example_inputs(batch=1, height=height, width=width, objects=0))


def test_fast_aed_with_the_released_heads_at_360x640() -> None:
    found = fast_aed(360, 640)
    assert found["parameters"] == 4_997_747
    assert round(found["gflops"], 2) == 14.10
    assert found["input"] == [9, 360, 640]


def test_fast_aed_at_the_size_of_ped2() -> None:
    assert round(fast_aed(240, 360)["gflops"], 2) == 4.98


@pytest.mark.parametrize(("blocks", "gflops"), [(3, 10.83), (7, 17.36)])
@pytest.mark.slow
def test_depth_sweep_of_the_sheet(blocks: int, gflops: float) -> None:
    assert fast_aed(360, 640, blocks=blocks)["gflops"] == pytest.approx(gflops, abs=0.006)


class OneConvolution:
    """The smallest scorer: a 3x3 convolution from 3 to 4 channels without bias."""

    offsets: Sequence[int] = (0,)
    needs_boxes = False
    precision = "32-true"

    def __init__(self) -> None:
        self.network: nn.Module = nn.Conv2d(3, 4, 3, padding=1, bias=False).eval()

    def inputs(self, window: np.ndarray, boxes: np.ndarray) -> tuple[torch.Tensor, ...]:
        del boxes
        return (torch.from_numpy(window.copy()).permute(0, 3, 1, 2).float(),)

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.network(*inputs).amax((1, 2, 3))

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        del objects
        return (torch.rand(batch, 3, height, width),)


def test_a_multiply_add_counts_twice() -> None:
    path = OneConvolution()
    found = complexity(path, path.example_inputs(batch=1, height=10, width=20, objects=0))
    assert found == {"parameters": 108, "gflops": 2 * 108 * 200 / 1e9, "input": [3, 10, 20]}

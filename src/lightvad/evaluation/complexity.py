"""Parameters and floating-point operations of the path that is scored."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lightvad.methods.protocol import Scorer


def complexity(scorer: Scorer, inputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """Size and cost of scoring once.

    Args:
        scorer: the path that is scored.
        inputs: of one frame, e.g. its `example_inputs` at batch 1.

    Returns:
        `parameters` of its network; `gflops`; `input`, the shape of the first input without its batch dimension.
    """
    return {
        "parameters": sum(parameter.numel() for parameter in scorer.network.parameters()),
        "gflops": gflops(scorer.scores, *inputs),
        "input": list(inputs[0].shape[1:]),
    }


def gflops(call: Callable[..., object], *inputs: Any) -> float:
    """10^9 operations of one call, 2 per multiply-add, counted by torch's FlopCounterMode; what is no network: none."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        call(*inputs)
    return counter.get_total_flops() / 1e9

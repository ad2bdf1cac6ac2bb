"""Parameters and floating-point operations of the path that is scored."""

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
        `parameters` of its network; `gflops`, 10^9 operations, 2 per multiply-add, counted by torch's FlopCounterMode;
        `input`, the shape of the first input without its batch dimension.
    """
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        scorer.scores(*inputs)
    return {
        "parameters": sum(parameter.numel() for parameter in scorer.network.parameters()),
        "gflops": counter.get_total_flops() / 1e9,
        "input": list(inputs[0].shape[1:]),
    }

"""Parameters and floating-point operations of a network."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def complexity(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """Size and cost of one forward pass.

    Args:
        network: in the state in which it scores.
        inputs: of one frame (batch 1), e.g. (1, 9, 360, 640).

    Returns:
        `parameters`; `gflops`, 10^9 operations, 2 per multiply-add, counted by torch's FlopCounterMode; `input`, the
        shape of the first input without its batch dimension.
    """
    network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "gflops": counter.get_total_flops() / 1e9,
        "input": list(inputs[0].shape[1:]),
    }

"""The network."""

import torch
from torch import nn


class Stillness(nn.Module):
    """Frames float (B, 2, 3, H, W) -> mean absolute difference (B,), in units of the training clips' own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usual", torch.ones(()))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return (frames[:, 1] - frames[:, 0]).abs().mean((1, 2, 3)) / self.usual

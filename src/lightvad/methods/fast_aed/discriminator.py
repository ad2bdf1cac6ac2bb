"""Discriminators of adversarial distillation: whose anomaly maps are these? (Eqs. 5-6; sheet, section 2.3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lightvad.artifacts.arrays import Resolution

FIRST_WIDTH = 4
HIDDEN = 50


class Discriminator(nn.Module):
    """From the maps of all resolutions to logits; 959 parameters with maps of 1, 4 and 16 and one output.

    The finest map passes a 3x3 convolution, ReLU and an adaptive max-pool to the size of the next map, which joins it
    as a further channel, and so on; what is left at 1x1 passes two linear layers. The released code knows 16, 4 and 1
    only; the general rule, with the number of channels doubled at each level, is a project choice.

    Args:
        resolutions: sides of the maps in the order in which they come, or `full`.
        outputs: 1 (genuine or not), or 1 + teachers (softmax, class 0: the student).
    """

    def __init__(self, resolutions: Sequence[Resolution], outputs: int = 1) -> None:
        super().__init__()
        # `full` first, then 16 before 4: from fine to coarse.
        self.order = sorted(range(len(resolutions)), key=lambda k: (resolutions[k] != "full", -_side(resolutions[k])))
        sides = [resolutions[k] for k in self.order]
        self.has_value = sides[-1] == 1
        levels = len(sides) - self.has_value
        self.targets = [_side(side) for side in sides[1:levels]] + [1]
        widths = [FIRST_WIDTH * 2**level for level in range(levels)]
        inputs = [1, *(width + 1 for width in widths[:-1])][:levels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in zip(inputs, widths, strict=True)
        )
        features = (widths[-1] if widths else 0) + self.has_value
        self.hidden = nn.Linear(features, HIDDEN)
        self.output = nn.Linear(HIDDEN, outputs)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Maps (B, r, r), one per resolution -> logits (B, outputs); the sigmoid or softmax is part of the loss."""
        ordered = [maps[k][:, None] for k in self.order]
        x = ordered[0][:, :0]
        for level, (convolution, target) in enumerate(zip(self.convolutions, self.targets, strict=False)):
            x = torch.cat([x, ordered[level]], dim=1)
            x = F.adaptive_max_pool2d(F.relu(convolution(x)), target)
        if self.has_value:
            x = torch.cat([x, ordered[-1]], dim=1) if len(self.convolutions) else ordered[-1]
        return self.output(F.leaky_relu(self.hidden(x.flatten(1)), 0.01))


def _side(resolution: Resolution) -> int:
    return 0 if isinstance(resolution, str) else resolution

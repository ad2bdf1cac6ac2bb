"""The network as it is deployed: windows as they are decoded in, scores and maps out; normalisation is its first step.

A score is of its window alone, as in `scoring.AedMaeScorer`: maps are averaged over neighbouring pixels, and frames are
smoothed by whoever runs it. Batch norms are folded into the depthwise convolutions before them, and which tokens are
hidden is fixed, so that gathering them takes constant indices.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightvad.artifacts.arrays import Resolution
from lightvad.artifacts.weights import load_state, read_weights
from lightvad.methods.aed_mae.model import Attention
from lightvad.methods.aed_mae.scoring import METHOD, AnomalyMaps
from lightvad.methods.aed_mae.settings import AedMaeSettings
from lightvad.methods.aed_mae.windows import normalized


class Deployed(nn.Module):
    """Windows uint8 (B, H, W, 3F) RGB, previous to next -> scores float32 (B,) and maps float32 (B, h, w) of patches.

    Args:
        maps: the network with its weights; its batch norms are folded in place.
    """

    def __init__(self, maps: AnomalyMaps) -> None:
        super().__init__()
        self.maps = maps.eval().requires_grad_(False)
        for module in self.maps.modules():
            if isinstance(module, Attention):
                module.convolutions = nn.ModuleList(_folded(one) for one in module.convolutions)

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Windows uint8 (B, H, W, 3F) -> (scores, map)."""
        maps, cells = self.maps(normalized(windows.permute(0, 3, 1, 2)))
        return self.maps.frame_scores(maps).float(), cells.float()


def deployed(
    settings: AedMaeSettings,
    *,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
) -> Deployed:
    """The network of a run as it is deployed, on the CPU, in evaluation mode.

    Args:
        settings: of the run.
        frame_size: (height, width) at which the network sees a frame, if the settings do not say.
        resolutions: the dataset's; the map has a cell for each patch, whatever they are.
        weights: `model.safetensors`; None: random weights, for timing.

    Raises:
        LightvadError: the weights are missing or do not fit the settings.
    """
    del resolutions
    maps = AnomalyMaps(settings, settings.input_size(frame_size))
    if weights is not None:
        state, _ = read_weights(weights, METHOD)
        load_state(maps.network, state, weights)
    return Deployed(maps).eval()


def _folded(parts: nn.Module) -> nn.Module:
    """A depthwise convolution and its batch norm as one convolution."""
    convolution, norm = parts.children()
    assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - for mypy
    assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - for mypy
    return fuse_conv_bn_eval(convolution.eval(), norm.eval())

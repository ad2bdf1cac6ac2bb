"""The network that is deployed: the scorer's function, written so that engines run it fast.

Nothing is approximated; in exact arithmetic the scores are the same (`test_deployment.py`):

- every batch norm goes into the convolution before it, the normalisation (x - 127) / 128 of the frames into the first
  one (reflection padding commutes with it), so that this convolution works on the gray levels themselves;
- layer norms over channels are written with means over the channel dimension, so that no transposition is left between
  convolutions;
- adaptive max pooling, whose bins overlap, becomes a gather and a maximum along rows, then columns: ONNX has none.
"""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lightvad.artifacts.arrays import Resolution
from lightvad.methods.fast_aed.model import (
    Block,
    ChannelNorm,
    MapHead,
    ReconstructionError,
    ScalarHead,
    Stem,
    Student,
)
from lightvad.methods.fast_aed.scoring import network_of
from lightvad.methods.fast_aed.settings import FastAedSettings

GRAY_MEAN, GRAY_SCALE = 127.0, 128.0
"""A frame is normalised as (x - 127) / 128 (sheet, section 1)."""
STRIDE = 16
"""Pixels of the frame for each position of the feature grid."""


class Deployed(nn.Module):
    """Windows uint8 (B, H, W, 3F) RGB, previous to next -> scores float32 (B,) and maps float32 (B, r, r).

    Args:
        network: student, or auto-encoder where nothing was distilled; it is copied.
        frame_size: (H, W); other sizes are refused, the pools are made for this one.
    """

    def __init__(self, network: Student | ReconstructionError, frame_size: tuple[int, int]) -> None:
        super().__init__()
        self.frame_size = frame_size
        self.normalises = isinstance(network, ReconstructionError)
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        if isinstance(self.network, Student):
            rewrite(self.network, frame_size)

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Windows uint8 (B, H, W, 3F) -> (scores, map, ...)."""
        frames = windows.permute(0, 3, 1, 2).float()
        if self.normalises:
            frames = (frames - GRAY_MEAN) / GRAY_SCALE
        scores, maps = self.network.scored(frames)
        return (scores.float(), *(one.float() for one in maps))


def deployed(
    settings: FastAedSettings,
    *,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
) -> Deployed:
    """The network of a run as it is deployed, on the CPU, in evaluation mode.

    Args:
        settings: of the run.
        frame_size: (height, width) at which the network sees a frame.
        resolutions: the dataset's; the settings' own go first.
        weights: `model.safetensors`; None: random weights, for timing.

    Raises:
        LightvadError: the weights are missing or do not fit the settings.
    """
    network = network_of(settings, resolutions=resolutions, weights=weights)
    return Deployed(network, frame_size).eval().requires_grad_(False)


def rewrite(student: Student, frame_size: tuple[int, int]) -> None:
    """Rewrite a student in place, see the module's docstring."""
    grid = (-(-frame_size[0] // STRIDE), -(-frame_size[1] // STRIDE))
    student.encoder.stem = FoldedStem(student.encoder.stem)  # type: ignore[assignment]
    for block in student.encoder.blocks:
        assert isinstance(block, Block)  # noqa: S101 - for mypy
        _rewrite_block(block)
    for branch in student.branches:
        assert isinstance(branch.heads, nn.ModuleList)  # noqa: S101 - for mypy
        for k, head in enumerate(branch.heads):
            branch.heads[k] = DeployedScalarHead(head, grid) if isinstance(head, ScalarHead) else _map_head(head, grid)


class FoldedStem(nn.Module):
    """The stem without batch norms, on gray levels: (B, 3F, H, W) in [0, 255] -> (B, 256, h, w) and no levels."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.pad = stem.pad
        convolutions = [folded(conv, norm) for conv, norm in zip(stem.convolutions, stem.norms, strict=True)]
        first = convolutions[0]
        assert first.bias is not None  # noqa: S101 - for mypy
        first.bias = nn.Parameter(first.bias - first.weight.sum((1, 2, 3)) * GRAY_MEAN / GRAY_SCALE)
        first.weight = nn.Parameter(first.weight / GRAY_SCALE)
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, 3F, H, W) -> (B, 256, h, w) and an empty list."""
        x = self.pad(x)
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        return x, []


class CentredNorm(nn.Module):
    """`ChannelNorm` by means over the channels of (B, C, h, w)."""

    def __init__(self, norm: ChannelNorm) -> None:
        super().__init__()
        self.epsilon = norm.eps
        self.scale = nn.Parameter(norm.weight[None, :, None, None].clone())
        self.shift = nn.Parameter(norm.bias[None, :, None, None].clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> the same."""
        centred = x - x.mean(1, keepdim=True)
        variance = (centred * centred).mean(1, keepdim=True)
        return centred * torch.rsqrt(variance + self.epsilon) * self.scale + self.shift


class MaxPool(nn.Module):
    """Adaptive max pooling of (B, C, h, w) to (B, C, r, s) by gathering each bin's rows, then its columns.

    A shorter bin holds its last row once more, which no maximum minds.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, size: tuple[int, int], target: tuple[int, int]) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("rows", _bins(size[0], target[0]))
        self.register_buffer("columns", _bins(size[1], target[1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C, r, s)."""
        x = x.index_select(2, self.rows).unflatten(2, (self.target[0], -1)).amax(3)
        return x.index_select(3, self.columns).unflatten(3, (self.target[1], -1)).amax(4)


class DeployedMapHead(nn.Module):
    """`MapHead` with its pool made for one feature grid."""

    def __init__(self, head: MapHead, grid: tuple[int, int]) -> None:
        super().__init__()
        self.resolution = head.resolution
        self.first, self.second, self.activation = head.first, head.second, head.activation
        assert not isinstance(head.resolution, str)  # noqa: S101 - `full` heads stay as they are
        side = head.resolution
        self.finer = (max(grid[0], side), max(grid[1], side))
        self.upsamples = self.finer != grid
        self.pool = MaxPool(self.finer, (side, side))

    def forward(self, features: torch.Tensor, frame_size: tuple[int, int]) -> torch.Tensor:
        """Features (B, 256, h, w) -> map (B, r, r)."""
        del frame_size
        x = self.activation(self.second(F.relu(self.first(features))))
        if self.upsamples:
            x = F.interpolate(x, size=self.finer, mode="bilinear", align_corners=False)
        return self.pool(x)[:, 0]


class DeployedScalarHead(nn.Module):
    """`ScalarHead` with its pool made for one feature grid."""

    def __init__(self, head: ScalarHead, grid: tuple[int, int]) -> None:
        super().__init__()
        self.linear = head.linear
        self.pool = MaxPool(grid, (2, 2))

    def forward(self, features: torch.Tensor, frame_size: tuple[int, int]) -> torch.Tensor:
        """Features (B, 256, h, w) -> map (B, 1, 1)."""
        del frame_size
        return torch.sigmoid(self.linear(F.relu(self.pool(features).flatten(1))))[:, :, None]


def folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """A convolution and the batch norm behind it, in evaluation mode, as one convolution."""
    assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - for mypy
    assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - for mypy
    assert norm.running_mean is not None  # noqa: S101 - for mypy
    assert norm.running_var is not None  # noqa: S101 - for mypy
    one = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        kernel_size=(convolution.kernel_size[0], convolution.kernel_size[1]),
        stride=(convolution.stride[0], convolution.stride[1]),
        padding=convolution.padding,  # type: ignore[arg-type]
        groups=convolution.groups,
    )
    one.weight, one.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return one.eval().requires_grad_(False)


def _rewrite_block(block: Block) -> None:
    for name in ("norm_attention", "norm_feed_forward"):
        norm = getattr(block, name)
        if isinstance(norm, ChannelNorm):
            setattr(block, name, CentredNorm(norm))
    attention = block.attention
    attention.query = _folded_projection(attention.query)
    attention.key_value = nn.ModuleList(_folded_projection(one) for one in attention.key_value)
    if isinstance(block.norm_attended, nn.BatchNorm2d):
        attention.output = folded(attention.output, block.norm_attended)
        block.norm_attended = nn.Identity()


def _folded_projection(projection: nn.Module) -> nn.Sequential:
    """Depthwise convolution, batch norm, pointwise convolution -> the two convolutions."""
    depthwise, norm, pointwise = projection.children()
    return nn.Sequential(folded(depthwise, norm), pointwise)


def _map_head(head: nn.Module, grid: tuple[int, int]) -> nn.Module:
    """A head with its own pool; one of the frame's size needs none."""
    assert isinstance(head, MapHead)  # noqa: S101 - for mypy
    return head if isinstance(head.resolution, str) else DeployedMapHead(head, grid)


def _bins(size: int, count: int) -> torch.Tensor:
    """Indices int64 (count * longest,) of the members of each bin of torch's adaptive pooling, bin by bin."""
    first = [k * size // count for k in range(count)]
    last = [-(-(k + 1) * size // count) - 1 for k in range(count)]
    longest = max(end - begin for begin, end in zip(first, last, strict=True)) + 1
    return torch.tensor([min(begin + j, end) for begin, end in zip(first, last, strict=True) for j in range(longest)])

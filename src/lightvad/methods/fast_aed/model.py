"""The student and the auto-encoder that it starts from (Fast-AED, section 3; sheet, section 2).

A window of F frames, concatenated over channels, passes the stem (five convolutions), a few convolutional transformer
blocks at a sixteenth of the frame's size, and one head per output resolution.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from lightvad.artifacts.arrays import Resolution
from lightvad.methods.fast_aed.settings import AutoEncoder as AutoEncoderSettings
from lightvad.methods.fast_aed.settings import Network

WIDTHS = (16, 32, 64, 128, 256)
"""Channels after each convolution of the stem."""
HEAD_WIDTH = 64
FEED_FORWARD_FACTOR = 4


class Stem(nn.Module):
    """7x7 convolution at full size behind a reflection pad (the pad is the code's), then four 3x3 ones of stride 2.

    (B, 3F, H, W) -> (B, 256, ceil(H/16), ceil(W/16)) and the five convolutions' outputs before their batch norms.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(3)
        first = nn.Conv2d(channels, WIDTHS[0], 7, bias=False)
        others = [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False) for before, after in pairwise(WIDTHS)]
        self.convolutions = nn.ModuleList([first, *others])
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, 3F, H, W) -> (B, 256, h, w) and the levels."""
        x = self.pad(x)
        levels = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            levels.append(convolution(x))
            x = F.relu(norm(levels[-1]))
        return x, levels


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every position of (B, C, h, w)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Depthwise(nn.Conv2d):
    """3x3 convolution of every channel by itself, in float32 under autocast too.

    oneDNN's bfloat16 gradient of a strided depthwise convolution takes 15 times as long as the float32 one (measured on
    AVX-512), a tenth of a training step.
    """

    def __init__(self, width: int, stride: int) -> None:
        super().__init__(width, width, 3, stride=stride, padding=1, groups=width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C, h / stride, w / stride), rounded up."""
        if x.device.type == "meta":  # counting operations: autocast does not know this device
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / 8) V per head: (B, heads, n, 64), (B, heads, m, 64), (B, heads, m, 64) -> (B, heads, n, 64).

    torch's fused kernel, except in training on a CPU: there its backward pass takes three times as long (measured).
    """
    if query.requires_grad and query.device.type == "cpu":
        scale = HEAD_WIDTH**-0.5
        return ((query * scale) @ key.transpose(-1, -2)).softmax(-1) @ value
    return F.scaled_dot_product_attention(query, key, value)


class Attention(nn.Module):
    """Multi-head attention whose projections are convolutions: queries at full, keys and values at half the size.

    (B, 256, h, w) -> (B, 256, h, w). Two designs, see `Network.attention`; their difference is which depthwise
    convolutions are shared.
    """

    def __init__(self, width: int, heads: int, *, separate: bool) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * HEAD_WIDTH
        self.query = self._projection(width, inner, stride=1)
        projections = [inner, inner] if separate else [2 * inner]
        self.key_value = nn.ModuleList(self._projection(width, outputs, stride=2) for outputs in projections)
        self.output = nn.Conv2d(inner, width, 1)

    @staticmethod
    def _projection(width: int, outputs: int, *, stride: int) -> nn.Sequential:
        return nn.Sequential(Depthwise(width, stride), nn.BatchNorm2d(width), nn.Conv2d(width, outputs, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 256, h, w) -> the same."""
        height, width = x.shape[-2:]
        query = self._tokens(self.query(x))
        key, value = torch.cat([projection(x) for projection in self.key_value], dim=1).chunk(2, dim=1)
        attended = attend(query, self._tokens(key), self._tokens(value))
        attended = attended.transpose(1, 2).flatten(2).unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return self.output(attended)

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(B, heads * 64, h, w) -> (B, heads, h * w, 64)."""
        return x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (self.heads, HEAD_WIDTH)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two layers on every token, as 1x1 convolutions or as linear layers (Table 8). (B, 256, h, w) -> the same."""

    def __init__(self, width: int, *, pointwise: bool) -> None:
        super().__init__()
        inner = FEED_FORWARD_FACTOR * width
        self.pointwise = pointwise
        self.expand: nn.Module = nn.Conv2d(width, inner, 1) if pointwise else nn.Linear(width, inner)
        self.contract: nn.Module = nn.Conv2d(inner, width, 1) if pointwise else nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 256, h, w) -> the same."""
        if self.pointwise:
            return self.contract(F.gelu(self.expand(x)))
        tokens = x.flatten(2).transpose(1, 2)
        return self.contract(F.gelu(self.expand(tokens))).transpose(1, 2).unflatten(2, x.shape[-2:])


class Block(nn.Module):
    """One transformer block: attention and feed-forward, each residual. (B, 256, h, w) -> the same."""

    def __init__(self, settings: Network, width: int = WIDTHS[-1]) -> None:
        super().__init__()
        released = settings.attention == "released_code"
        self.norm_attention: nn.Module = ChannelNorm(width) if released else nn.Identity()
        self.attention = Attention(width, settings.heads, separate=not released)
        self.norm_attended: nn.Module = nn.Identity() if released else nn.BatchNorm2d(width)
        self.norm_feed_forward: nn.Module = ChannelNorm(width) if released else nn.Identity()
        self.feed_forward = FeedForward(width, pointwise=settings.feed_forward == "pointwise")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 256, h, w) -> the same."""
        x = x + self.norm_attended(self.attention(self.norm_attention(x)))
        return x + self.feed_forward(self.norm_feed_forward(x))


class Encoder(nn.Module):
    """Stem and transformer blocks: what the auto-encoder hands on to the student.

    (B, 3F, H, W) -> (B, 256, ceil(H/16), ceil(W/16)) and the stem's levels.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        self.stem = Stem(3 * settings.input_frames)
        self.blocks = nn.Sequential(*(Block(settings) for _ in range(settings.blocks)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, 3F, H, W) -> (B, 256, h, w) and the levels."""
        x, levels = self.stem(x)
        return self.blocks(x), levels


class MapHead(nn.Module):
    """3x3 convolution to 64 channels, ReLU, 3x3 convolution to one map, last activation, max-pool to the resolution.

    (B, 256, h, w) -> (B, r, r), or (B, H, W) for `full`. A resolution finer than the feature grid is reached by
    bilinear upsampling before the pool (project choice; the paper's 64x64 and full heads of Table 3).
    """

    def __init__(self, resolution: Resolution, activation: str, width: int = WIDTHS[-1]) -> None:
        super().__init__()
        self.resolution = resolution
        self.first = nn.Conv2d(width, HEAD_WIDTH, 3, padding=1)
        self.second = nn.Conv2d(HEAD_WIDTH, 1, 3, padding=1)
        activations = {"none": nn.Identity(), "relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.01)}
        self.activation = activations[activation]

    def forward(self, features: torch.Tensor, frame_size: tuple[int, int]) -> torch.Tensor:
        """Features (B, 256, h, w) -> map (B, r, r)."""
        x = self.activation(self.second(F.relu(self.first(features))))
        target = frame_size if isinstance(self.resolution, str) else (self.resolution, self.resolution)
        finer = (max(x.shape[-2], target[0]), max(x.shape[-1], target[1]))
        if finer != tuple(x.shape[-2:]):
            x = F.interpolate(x, size=finer, mode="bilinear", align_corners=False)
        return F.adaptive_max_pool2d(x, target)[:, 0]


class ScalarHead(nn.Module):
    """The released code's 1x1 head: max-pool to 2x2, linear layer, sigmoid. (B, 256, h, w) -> (B, 1, 1) in (0, 1)."""

    def __init__(self, width: int = WIDTHS[-1]) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * width, 1)

    def forward(self, features: torch.Tensor, frame_size: tuple[int, int]) -> torch.Tensor:
        """Features (B, 256, h, w) -> map (B, 1, 1)."""
        del frame_size
        pooled = F.relu(F.adaptive_max_pool2d(features, 2).flatten(1))
        return torch.sigmoid(self.linear(pooled))[:, :, None]


class Branch(nn.Module):
    """One head per output resolution."""

    def __init__(self, settings: Network, resolutions: Sequence[Resolution]) -> None:
        super().__init__()
        released = settings.output_heads == "released_code"
        self.heads = nn.ModuleList(
            ScalarHead() if side == 1 and released else MapHead(side, settings.output_activation)
            for side in resolutions
        )

    def forward(self, features: torch.Tensor, frame_size: tuple[int, int]) -> list[torch.Tensor]:
        """Features (B, 256, h, w) -> maps (B, r, r), one per resolution, float32."""
        return [head(features, frame_size).float() for head in self.heads]


class Student(nn.Module):
    """The student: windows to anomaly maps.

    Args:
        settings: the network's settings.
        resolutions: sides of the output maps, or `full`.
        branches: sets of heads, one or as many as there are teachers.
    """

    def __init__(self, settings: Network, resolutions: Sequence[Resolution], branches: int = 1) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions)
        self.encoder = Encoder(settings)
        self.branches = nn.ModuleList(Branch(settings, resolutions) for _ in range(branches))

    def forward(self, x: torch.Tensor) -> list[list[torch.Tensor]]:
        """Normalised windows (B, 3F, H, W) -> branches x resolutions of maps (B, r, r), float32."""
        features, _ = self.encoder(x)
        return [branch(features, (x.shape[-2], x.shape[-1])) for branch in self.branches]

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The maps that are scored, one (B, r, r) per resolution: the element-wise maximum of the branches."""
        return joined(self(x))

    def scored(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Windows -> scores (B,), the mean over resolutions of the maps' maxima (section 3), and the maps."""
        maps = self.maps(x)
        return scores_of(maps), maps


def joined(branches: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
    """Branches x resolutions of maps (B, r, r) -> one per resolution, the element-wise maximum (Table 6)."""
    return [torch.stack(list(maps)).amax(0) for maps in zip(*branches, strict=True)]


def scores_of(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps (B, r, r), one per resolution -> scores (B,): the mean of their maxima (section 3)."""
    return torch.stack([one.amax((1, 2)) for one in maps]).mean(0)


class AutoEncoder(nn.Module):
    """The encoder and a decoder that mirrors the stem: reconstructs the middle frame (Eq. 2)."""

    def __init__(self, settings: Network, decoder: AutoEncoderSettings) -> None:
        super().__init__()
        self.encoder = Encoder(settings)
        self.skips = decoder.skips
        self.halved = decoder.target == "half"
        widths = WIDTHS[::-1][: -1 if self.halved else None]
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, bias=False) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.output: nn.Module = (
            nn.Conv2d(widths[-1], 3, 1)
            if self.halved
            else nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(widths[-1], 3, 7))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised windows (B, 3F, H, W) -> middle frame (B, 3, H, W), or (B, 3, ceil(H/2), ceil(W/2)); float32."""
        x, levels = self.encoder(x)
        for convolution, norm, skip, below in zip(
            self.convolutions, self.norms, levels[::-1], levels[-2::-1], strict=False
        ):
            # The output's size comes from the encoder, so that any frame size works.
            x = convolution(x + skip if self.skips else x, output_size=list(below.shape[-2:]))
            x = F.relu(norm(x))
        if self.skips:
            x = x + levels[1 if self.halved else 0]
        return self.output(x).float()

    def target(self, x: torch.Tensor) -> torch.Tensor:
        """What `forward` is to give: the middle frame of the windows, at its size."""
        middle = x.shape[1] // 2
        frame = x[:, middle - 1 : middle + 2]
        if not self.halved:
            return frame
        size = ((x.shape[-2] + 1) // 2, (x.shape[-1] + 1) // 2)
        return F.interpolate(frame, size=size, mode="bicubic", align_corners=False)


class ReconstructionError(nn.Module):
    """The auto-encoder alone as a detector (Table 5, first row): high where the middle frame is rebuilt badly.

    Args:
        autoencoder: the pre-trained network.
        resolutions: sides of the maps, or `full`.
    """

    def __init__(self, autoencoder: AutoEncoder, resolutions: Sequence[Resolution]) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.resolutions = tuple(resolutions)

    def scored(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Windows -> scores (B,), the mean squared error, and maps (B, r, r), its means over cells (project choice)."""
        error = (self.autoencoder(x) - self.autoencoder.target(x)).square().mean(1)
        size = (x.shape[-2], x.shape[-1])
        maps = [
            F.interpolate(error[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
            if isinstance(side, str)
            else F.adaptive_avg_pool2d(error[:, None], side)[:, 0]
            for side in self.resolutions
        ]
        return error.mean((1, 2)), maps

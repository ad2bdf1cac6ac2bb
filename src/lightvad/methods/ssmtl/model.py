"""The network of SSMTL: one 3D CNN over an object's crops through time, and one head per proxy task.

Sizes are those of the teacher_ssmtl sheet, section 3. S is the side of a crop (64 in the paper), C the trunk's channels
(32 narrow, 64 wide).
"""

from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import nn

from lightvad.methods.ssmtl.settings import TASKS, Heads, Settings, Trunk
from lightvad.shares import batch_norm

CHANNELS = {"narrow": (16, 32, 32), "wide": (32, 64, 64)}
CONVOLUTIONS = {"shallow": 1, "deep": 2}
HALF_WINDOW = 3
MIDDLE = HALF_WINDOW
"""Position of the current frame among the 2 * HALF_WINDOW + 1 of a window."""


class Kind(IntEnum):
    """What the trunk looks at."""

    SEQUENCE = 0
    """Seven crops (tasks 1 and 2)."""
    GAP = 1
    """The crops around the middle one, without it (task 3)."""
    CROP = 2
    """The middle crop alone (task 4)."""


class BatchNormPerKind(nn.Module):
    """Batch normalisation over images with shared scale and shift, but running statistics for each `Kind` of input.

    A training batch holds one kind at a time, and with zero padding in time a single frame excites the trunk otherwise
    than seven do: statistics averaged over the kinds would fit none at test time (project choice; the paper is silent).
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(len(Kind), channels))
        self.register_buffer("variance", torch.ones(len(Kind), channels))
        self.momentum = 0.1
        self.epsilon = 1e-5

    def forward(self, x: torch.Tensor, kind: Kind) -> torch.Tensor:
        """(N, channels, h, w), any float -> the same shape."""
        return batch_norm(
            x, self.mean[kind], self.variance[kind], self.weight, self.bias,
            training=self.training, momentum=self.momentum, epsilon=self.epsilon,
        )  # fmt: skip

    def folded(self, convolution: nn.Conv3d, kind: Kind) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the one convolution that equals `convolution` followed by this in eval mode."""
        scale = self.weight * (self.variance[kind] + self.epsilon).rsqrt()
        assert convolution.bias is not None  # noqa: S101 - `Convolution` makes it with one
        bias = (convolution.bias - self.mean[kind]) * scale + self.bias
        return convolution.weight * scale[:, None, None, None, None], bias


class Convolution(nn.Module):
    """3x3x3 convolution, normalisation, max-pooling (1, side, side), ReLU.

    The paper's order is ReLU, then pooling; both orders give the same numbers and this one has fewer to rectify.
    """

    def __init__(self, before: int, after: int, *, normalisation: str, side: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(before, after, 3, padding=1)
        self.batch_norm = BatchNormPerKind(after) if normalisation == "batch" else None
        self.instance_norm = nn.InstanceNorm3d(after, affine=True) if normalisation == "instance" else None
        self.side = side

    def forward(self, x: torch.Tensor, kind: Kind) -> torch.Tensor:
        """(B, before, T, h, w) -> (B, after, T, h / side, w / side), channels last in memory."""
        weight, bias = self.convolution.weight, self.convolution.bias
        if self.batch_norm is not None and not self.training:
            weight, bias = self.batch_norm.folded(self.convolution, kind)
        x = F.conv3d(x, weight, bias, padding=1)
        if self.instance_norm is not None:
            x = self.instance_norm(x)
        # What follows knows no time: as images (a view of channels-last memory) it runs a third faster on a CPU.
        batch, channels, frames, height, width = x.shape
        images = x.permute(0, 2, 1, 3, 4).reshape(batch * frames, channels, height, width)
        if self.batch_norm is not None and self.training:
            images = self.batch_norm(images, kind)
        if self.side > 1:
            images = F.max_pool2d(images, self.side)
        images = F.relu(images, inplace=True)
        return images.view(batch, frames, channels, *images.shape[2:]).permute(0, 2, 1, 3, 4)


class SharedTrunk(nn.Module):
    """The 3D CNN that all tasks share: three blocks that halve the sides, then the maximum over time."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        convolutions: list[Convolution] = []
        before = 3
        for after in CHANNELS[trunk.width]:
            count = CONVOLUTIONS[trunk.depth]
            for k in range(count):
                side = 2 if k == count - 1 else 1
                convolutions.append(Convolution(before, after, normalisation=trunk.normalisation, side=side))
                before = after
        self.convolutions = nn.ModuleList(convolutions)
        self.channels = before

    def forward(self, crops: torch.Tensor, kind: Kind) -> torch.Tensor:
        """(B, 3, T, S, S) RGB in [0, 1] -> (B, C, S/8, S/8)."""
        crops = crops.contiguous(memory_format=torch.channels_last_3d)
        for convolution in self.convolutions:
            crops = convolution(crops, kind)
        return crops.amax(2)


def fully_connected_head(before: int, outputs: int, heads: Heads, *, crop_size: int) -> nn.Sequential:
    """Head of tasks 1, 2 and 4: convolution, ReLU, max-pooling 2, fully connected layer.

    (B, before, S/8, S/8) -> (B, outputs), no activation.
    """
    side = crop_size // 16
    return nn.Sequential(
        nn.Conv2d(before, heads.channels, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(heads.channels * side * side, outputs),
    )  # fmt: skip


def middle_decoder(before: int, heads: Heads) -> nn.Sequential:
    """Head of task 3: three times nearest upsampling by 2 and a convolution; the last one ends in a sigmoid.

    (B, before, S/8, S/8) -> (B, 3, S, S) RGB in [0, 1].
    """
    first, second = heads.decoder_channels
    return nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(before, first, 3, padding=1), nn.ReLU(inplace=True),
        nn.Upsample(scale_factor=2), nn.Conv2d(first, second, 3, padding=1), nn.ReLU(inplace=True),
        nn.Upsample(scale_factor=2), nn.Conv2d(second, 3, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


class SSMTL(nn.Module):
    """The shared trunk and the heads of the tasks in `settings.tasks`.

    Args:
        settings: sizes and tasks.
        classes: classes of the detector whose probabilities task 4 predicts (0: that half is off).
        features: outputs of the feature network that task 4 predicts (0: that half is off).
    """

    score_spread: torch.Tensor
    feature_mean: torch.Tensor
    feature_spread: torch.Tensor

    def __init__(self, settings: Settings, *, classes: int, features: int) -> None:
        super().__init__()
        self.classes, self.features = classes, features
        self.gap = settings.middle.gap
        self.trunk = SharedTrunk(settings.trunk)
        channels, heads, size = self.trunk.channels, settings.heads, settings.crop_size
        if "arrow" in settings.tasks:
            self.arrow = fully_connected_head(channels, 2, heads, crop_size=size)
        if "irregularity" in settings.tasks:
            self.irregularity = fully_connected_head(channels, 2, heads, crop_size=size)
        if "middle" in settings.tasks:
            self.middle = middle_decoder(channels, heads)
        if "distillation" in settings.tasks:
            self.distillation = fully_connected_head(channels, classes + features, heads, crop_size=size)
        # Spread of each raw task score on normal objects, in the order of TASKS; measured when training ends.
        self.register_buffer("score_spread", torch.ones(len(TASKS)))
        # Mean and spread of each feature of task 4 over the training crops (0 and 1: not standardised).
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_spread", torch.ones(features))

    def sequence_features(self, crops: torch.Tensor) -> torch.Tensor:
        """Tasks 1 and 2 see the whole sequence: (B, 3, 7, S, S) -> (B, C, S/8, S/8)."""
        return self.trunk(crops, Kind.SEQUENCE)

    def predicted_middle(self, crops: torch.Tensor) -> torch.Tensor:
        """Task 3: consecutive crops (B, 3, 7, S, S), of which the middle one is not seen -> that one, (B, 3, S, S)."""
        before, after = crops[:, :, :MIDDLE], crops[:, :, MIDDLE + 1 :]
        hidden = [torch.zeros_like(crops[:, :, :1])] if self.gap == "zero" else []
        return self.middle(self.trunk(torch.cat([before, *hidden, after], dim=2), Kind.GAP))

    def predicted_targets(self, crops: torch.Tensor) -> torch.Tensor:
        """Task 4: of the crops (B, 3, 7, S, S) only the middle one -> (B, classes + features)."""
        return self.distillation(self.trunk(crops[:, :, MIDDLE : MIDDLE + 1], Kind.CROP))


def middle_of(crops: torch.Tensor) -> torch.Tensor:
    """The current frame's crop: (B, 3, 7, S, S) -> (B, 3, S, S)."""
    return crops[:, :, MIDDLE]


def as_input(crops: torch.Tensor) -> torch.Tensor:
    """Crops uint8 (B, T, S, S, 3) RGB -> float32 (B, 3, T, S, S) in [0, 1], channels last in memory."""
    return crops.permute(0, 4, 1, 2, 3).float().div_(255)

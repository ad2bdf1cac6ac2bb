"""The networks of T1: per stream an auto-encoder with two decoders, and a classifier of what it fails to reconstruct.

An object is seen by three streams: its gray appearance and its motion to the previous and to the next frame, each
64x64. Layer plan: teacher_background_agnostic sheet, section 2.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from lightvad.methods.background_agnostic.settings import Settings

SIZE = 64
"""Side of every crop, pixels."""

STREAMS = ("appearance", "motion_previous", "motion_next")
"""The three streams, in the order of all inputs and of the columns of scores."""


class Encoded(NamedTuple):
    """What an encoder gives: `latent` (K, 16, 8, 8), skips `level2` (K, 32, 16, 16), `level1` (K, 32, 32, 32)."""

    latent: torch.Tensor
    level2: torch.Tensor
    level1: torch.Tensor


class _ReversedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: float) -> torch.Tensor:  # type: ignore[no-untyped-def]
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[no-untyped-def]
        return -ctx.weight * gradient, None


def reversed_gradient(encoded: Encoded, weight: float) -> Encoded:
    """Identity whose gradient is multiplied by -`weight`: what lies behind it ascends the loss that lies before it.

    The paper trains the encoder by gradient ascent on pseudo-abnormal data; reversal on the latent and on the skips is
    the sheet's reading (section 4.1).
    """
    return Encoded(*(_ReversedGradient.apply(part, weight) for part in encoded))


class Encoder(nn.Module):
    """Three times conv 3x3, ReLU, max-pool 2: (K, C, 64, 64) -> latent (K, 16, 8, 8) and two skips.

    Args:
        channels: of the input: 1 (gray, gradients) or 2 (flow).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 16, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Encoded:
        """Encode (K, C, 64, 64)."""
        level1 = F.max_pool2d(F.relu(self.conv1(x)), 2)
        level2 = F.max_pool2d(F.relu(self.conv2(level1)), 2)
        return Encoded(F.max_pool2d(F.relu(self.conv3(level2)), 2), level2, level1)


class Decoder(nn.Module):
    """Three times conv 3x3, ReLU, nearest upsampling by 2, and a last conv 3x3: latent and skips -> (K, C, 64, 64).

    Args:
        channels: of the reconstruction.
        skips: whether the encoder's levels join in.
        skip_form: `concat` (34.9k parameters, the sheet's choice) or `add` (the first convolution is then 32 wide).
    """

    def __init__(self, channels: int, *, skips: bool, skip_form: Literal["concat", "add"]) -> None:
        super().__init__()
        self.skips, self.skip_form = skips, skip_form
        first = 32 if skips and skip_form == "add" else 16
        joined = 32 if skips and skip_form == "concat" else 0
        self.conv1 = nn.Conv2d(16, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first + joined, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32 + joined, 32, 3, padding=1)
        self.last = nn.Conv2d(32, channels, 3, padding=1)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Decode to (K, C, 64, 64), linear output."""
        x = _doubled(F.relu(self.conv1(encoded.latent)))
        x = _doubled(F.relu(self.conv2(self._joined(x, encoded.level2))))
        x = _doubled(F.relu(self.conv3(self._joined(x, encoded.level1))))
        return self.last(x)

    def _joined(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        if not self.skips:
            return x
        return torch.cat([x, skip], dim=1) if self.skip_form == "concat" else x + skip


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Classifier(nn.Module):
    """Tells normal from pseudo-abnormal by |input - reconstruction|, with the latent joining at the third block.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 16, 3, padding=1)
        self.joint = nn.Conv2d(16 + 16, 16, 3, padding=1)
        self.hidden = nn.Linear(16 * 8 * 8, 64)
        self.output = nn.Linear(64, 1)

    def forward(self, difference: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """From (K, C, 64, 64) and (K, 16, 8, 8) to logits (K,) of being NORMAL."""
        x = F.max_pool2d(F.relu(self.conv1(difference)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.max_pool2d(F.relu(self.conv3(x)), 2)
        x = F.relu(self.joint(torch.cat([x, latent], dim=1)))
        return self.output(F.relu(self.hidden(x.flatten(1)))).squeeze(1)


class Stream(nn.Module):
    """One stream as it runs at test time: encoder, standard decoder and classifier.

    Args:
        channels: of the input.
        skips: see `Decoder`.
        skip_form: see `Decoder`.
    """

    def __init__(self, channels: int, *, skips: bool, skip_form: Literal["concat", "add"]) -> None:
        super().__init__()
        self.encoder = Encoder(channels)
        self.decoder = Decoder(channels, skips=skips, skip_form=skip_form)
        self.classifier = Classifier(channels)

    def judged(self, x: torch.Tensor, encoded: Encoded, reconstruction: torch.Tensor) -> torch.Tensor:
        """Logits (K,) of being normal, from an input, its code and its reconstruction by either decoder."""
        return self.classifier((x - reconstruction).abs(), encoded.latent)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (K, C, 64, 64) to anomaly scores (K,) in [0, 1]: 1 - sigmoid(logit of being normal)."""
        encoded = self.encoder(x)
        return torch.sigmoid(-self.judged(x, encoded, self.decoder(encoded)).float())


class BackgroundAgnostic(nn.Module):
    """The three streams, as they run at test time.

    Args:
        motion_channels: 2 for flow, 1 for gradients.
        skips: see `Decoder`.
        skip_form: see `Decoder`.
    """

    def __init__(self, motion_channels: int, *, skips: bool, skip_form: Literal["concat", "add"]) -> None:
        super().__init__()
        self.channels = (1, motion_channels, motion_channels)
        self.streams = nn.ModuleDict(
            {
                name: Stream(channels, skips=skips, skip_form=skip_form)
                for name, channels in zip(STREAMS, self.channels, strict=True)
            }
        )

    def __iter__(self) -> Iterator[Stream]:
        return iter(self.streams.values())  # type: ignore[arg-type]

    def forward(self, appearance: torch.Tensor, previous: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        """Anomaly scores (K, 3) in [0, 1], a column per stream.

        The score of an object is their mean, i.e. 1 - the mean of the classifiers' outputs (sheet, section 5).
        """
        inputs = (appearance, previous, following)
        return torch.stack([stream(x) for stream, x in zip(self, inputs, strict=True)], dim=1)


def network_of(settings: Settings) -> BackgroundAgnostic:
    """Untrained networks by the settings."""
    return BackgroundAgnostic(2 if settings.motion == "flow" else 1, skips=settings.skips, skip_form=settings.skip_form)

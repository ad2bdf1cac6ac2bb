"""Motion gradients, the weights of patches, and the losses of both stages (AED-MAE, Eqs. 1-5)."""

from typing import Literal

import torch
import torch.nn.functional as F

LARGEST = 255.0
"""Gray levels: the unit of motion gradients."""
RELEASED_MAP = 128.0
"""The least that the released code adds to the gradient where a synthetic anomaly lies, gray levels."""


def median_filtered(frames: torch.Tensor) -> torch.Tensor:
    """3x3 median of every channel, borders repeated: float (B, C, H, W) -> the same; as OpenCV's `medianBlur`."""
    height, width = frames.shape[2:]
    padded = F.pad(frames, (1, 1, 1, 1), mode="replicate")
    rows = [padded[:, :, k : k + height] for k in range(3)]
    low, middle, high = _sorted(*rows)
    lows, middles, highs = ([part[..., k : k + width] for k in range(3)] for part in (low, middle, high))
    # The median of nine: that of the largest low, the median middle and the least high of three sorted columns.
    return _sorted(
        torch.maximum(torch.maximum(*lows[:2]), lows[2]),
        _sorted(*middles)[1],
        torch.minimum(torch.minimum(*highs[:2]), highs[2]),
    )[1]


def _sorted(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(low, c), torch.maximum(low, torch.minimum(high, c)), torch.maximum(high, c)


def motion_gradients(first: torch.Tensor, second: torch.Tensor, *, filtered: bool) -> torch.Tensor:
    """Eq. 1: |first - second| in gray levels, of median-filtered frames.

    Args:
        first: float (B, 3, H, W), gray levels.
        second: the same.
        filtered: False: of the frames as they are, as in the released code.

    Returns:
        float (B, 3, H, W) in [0, 255].
    """
    if filtered:
        first, second = median_filtered(first), median_filtered(second)
    return (first - second).abs()


def token_weights(
    gradients: torch.Tensor, maps: torch.Tensor | None, patch: int, *, map_scale: Literal["paper", "released_code"]
) -> torch.Tensor:
    """Eq. 2: of every patch the mean over channels of the largest gradient, divided by their sum over the frame.

    Args:
        gradients: float (B, 3, H, W), gray levels.
        maps: float (B, 1, H, W), 1 where a synthetic anomaly lies, which is added to the gradient; None: nothing is.
        patch: side, pixels.
        map_scale: what 1 adds: the largest gray level (the paper adds it to gradients in [0, 1]), or, as in the
            released code, the frame's largest gradient, at least 128.

    Returns:
        float (B, N), of sum 1; all equal where nothing moves.
    """
    if maps is not None:
        added = torch.full_like(gradients[:, :1, :1, :1], LARGEST)
        if map_scale == "released_code":
            added = gradients.amax((1, 2, 3), keepdim=True).clamp(min=RELEASED_MAP)
        gradients = gradients + added * maps
    largest = F.max_pool2d(gradients, patch).mean(1).flatten(1)
    total = largest.sum(1, keepdim=True)
    even = torch.full_like(largest, 1 / largest.shape[1])
    return torch.where(total > 0, largest / total.clamp(min=1e-12), even)


def weighted_error(target: torch.Tensor, rebuilt: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Eqs. 3 and 4: (1/n) sum_i w_i ||p_i - q_i||^2 over all n patches, mean over the batch.

    Args:
        target: (B, N, D) patches.
        rebuilt: the same.
        weights: (B, N).
    """
    squared = (target - rebuilt).square().sum(2)
    return (weights * squared).mean(1).mean()


def masked_error(target: torch.Tensor, rebuilt: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the patches that were hidden: no motion weights (Table 2), and the code's second stage.

    Args:
        target: (B, N, D) patches.
        rebuilt: the same.
        kept: int64 (B, K), the places that the encoder saw.
    """
    hidden = torch.ones(target.shape[:2], device=target.device).scatter(1, kept, 0.0)
    return ((target - rebuilt).square().mean(2) * hidden).sum() / hidden.sum().clamp(min=1)


def class_loss(logits: torch.Tensor, abnormal: torch.Tensor) -> torch.Tensor:
    """Eq. 5: binary cross-entropy of the class head; logits (B,), abnormal bool (B,)."""
    return F.binary_cross_entropy_with_logits(logits.float(), abnormal.float())

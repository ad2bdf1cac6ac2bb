"""Temporal filters of the named protocols: one clip's frame scores in, as many smoothed scores out.

The released codes share one kernel: a Gaussian sampled on `taps` points whose mean lies one tap before the centre, not
renormalised, over a signal padded with zeros. So their output is delayed by one frame and damped towards both ends of
a clip (sheet fast_aed, section 5; AED-MAE differs in taps and sigma only).
"""

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter1d

from lightvad.config import Kernel

AED_MAE_AVENUE = Kernel(taps=37, sigma=11)
AED_MAE_SHANGHAI = Kernel(taps=899, sigma=282)
"""Longer than most clips (sheet aed_mae, section 5)."""


def smooth_plain(scores: np.ndarray, *, sigma: float) -> np.ndarray:
    """Smooth by a centred, normalised Gaussian; beyond the ends of the clip its end scores go on (project choice).

    Args:
        scores: (T,) frame scores of one clip.
        sigma: in frames; the kernel ends at 4 sigma.

    Returns:
        float64 (T,).
    """
    return gaussian_filter1d(np.asarray(scores, np.float64), sigma, mode="nearest", truncate=4.0)


def smooth_released(scores: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Smooth as the released code of Fast-AED and AED-MAE does (sheet fast_aed, section 5).

    y_t = sum_i k_i x_(t+i-h) with k_i = Normal(i; h-1, sigma), h = floor(taps/2), x = 0 outside the clip.

    Args:
        scores: (T,) frame scores of one clip.
        kernel: taps and sigma, in frames.

    Returns:
        float64 (T,).
    """
    return _correlated(scores, _normal(kernel, mean=kernel.taps // 2 - 1))


def smooth_centred(scores: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Smooth by a centred kernel of unit sum over zeros outside the clip (SSMTL; sheet teacher_ssmtl, section 6).

    Args:
        scores: (T,) frame scores of one clip.
        kernel: taps and sigma, in frames.

    Returns:
        float64 (T,).
    """
    weights = _normal(kernel, mean=kernel.taps // 2)
    return _correlated(scores, weights / weights.sum())


def _normal(kernel: Kernel, *, mean: int) -> np.ndarray:
    """The normal density at 0..taps-1."""
    taps = np.arange(kernel.taps)
    return np.exp(-0.5 * ((taps - mean) / kernel.sigma) ** 2) / (kernel.sigma * np.sqrt(2 * np.pi))


def _correlated(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_i weights_i x_(t+i-h), h = floor(taps/2), zeros outside."""
    return correlate1d(np.asarray(scores, np.float64), weights, mode="constant", cval=0.0)

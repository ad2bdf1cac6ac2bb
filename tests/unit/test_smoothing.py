"""Temporal filters: golden values of the released code, and what each filter promises."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.config import Kernel
from lightvad.smoothing import AED_MAE_AVENUE, AED_MAE_SHANGHAI, smooth_centred, smooth_plain, smooth_released

GOLDEN = {
    "fast_aed_sigma21_taps301": Kernel(taps=301, sigma=21),
    "aed_mae_sigma11_taps37": AED_MAE_AVENUE,
    "aed_mae_sigma282_taps899": AED_MAE_SHANGHAI,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_released_kernels_give_the_golden_values(name: str, golden_folder: Path) -> None:
    golden = json.loads((golden_folder / "auc_protocols.json").read_text())
    smoothed = smooth_released(np.array(golden["videos"][0]["scores"]), GOLDEN[name])
    np.testing.assert_allclose(smoothed[:5], golden["smoothed_first5_video01"][name], rtol=0, atol=1e-12)


def impulse(length: int = 2001, at: int = 1000) -> np.ndarray:
    signal = np.zeros(length)
    signal[at] = 1
    return signal


def test_the_released_kernel_delays_by_one_frame_and_the_centred_one_does_not() -> None:
    kernel = Kernel(taps=301, sigma=21)
    assert np.argmax(smooth_released(impulse(), kernel)) == 1001
    assert np.argmax(smooth_centred(impulse(), kernel)) == 1000
    assert np.argmax(smooth_plain(impulse(), sigma=21)) == 1000


def test_sums_of_the_kernels_are_those_of_the_sheets() -> None:
    assert smooth_released(impulse(), AED_MAE_AVENUE).sum() == pytest.approx(0.906, abs=5e-4)
    assert smooth_released(impulse(), AED_MAE_SHANGHAI).sum() == pytest.approx(0.889, abs=5e-4)
    assert smooth_centred(impulse(), AED_MAE_AVENUE).sum() == pytest.approx(1)
    assert smooth_plain(impulse(), sigma=5).sum() == pytest.approx(1)


def test_zeros_outside_damp_the_ends_of_a_clip_to_a_half() -> None:
    smoothed = smooth_centred(np.ones(2000), Kernel(taps=301, sigma=21))
    assert smoothed[1000] == pytest.approx(1)
    assert smoothed[0] == pytest.approx(0.5, abs=0.02)


@given(st.floats(-5, 5), st.integers(1, 60), st.floats(0.5, 40))
def test_plain_leaves_constant_scores_alone_whatever_the_clip(value: float, length: int, sigma: float) -> None:
    np.testing.assert_allclose(smooth_plain(np.full(length, value), sigma=sigma), value, atol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(1, 120), st.floats(0.5, 300))
def test_the_released_filter_is_its_formula(scores: list[float], taps: int, sigma: float) -> None:
    half, length = taps // 2, len(scores)
    expected = np.zeros(length)
    for t in range(length):
        for i in range(taps):
            if 0 <= t + i - half < length:
                density = np.exp(-(((i - half + 1) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))
                expected[t] += density * scores[t + i - half]
    np.testing.assert_allclose(smooth_released(np.array(scores), Kernel(taps=taps, sigma=sigma)), expected, atol=1e-12)


def test_a_single_tap_changes_nothing() -> None:
    scores = np.array([0.3, 0.1, 0.9])
    np.testing.assert_allclose(smooth_centred(scores, Kernel(taps=1, sigma=3)), scores)

"""Motion gradients, weights and losses against their definitions."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightvad.methods.aed_mae.losses import (
    class_loss,
    masked_error,
    median_filtered,
    motion_gradients,
    token_weights,
    weighted_error,
)


@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 1000))
def test_the_median_is_opencvs(height: int, width: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    own = median_filtered(torch.from_numpy(frames).permute(0, 3, 1, 2).float())
    for k in range(2):
        expected = cv2.medianBlur(frames[k], 3).reshape(height, width, 3)
        np.testing.assert_array_equal(own[k].permute(1, 2, 0).numpy(), expected)


def test_gradients_are_of_filtered_frames_or_not() -> None:
    first, second = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    second[..., 3, 3] = 200  # a single pixel: noise
    second[..., 5:8, 5:8] = 90
    filtered = motion_gradients(first, second, filtered=True)
    assert filtered[0, 0, 3, 3] == 0
    assert filtered[0, 0, 6, 6] == 90
    torch.testing.assert_close(motion_gradients(first, second, filtered=False), second)


@pytest.mark.parametrize("scale", ["paper", "released_code"])
@pytest.mark.parametrize("with_maps", [False, True])
def test_weights_are_the_definitions(scale: str, with_maps: bool) -> None:
    gradients = torch.rand(3, 3, 8, 12) * torch.tensor([40.0, 200.0, 255.0])[:, None, None, None]
    maps = torch.zeros(3, 1, 8, 12)
    maps[1, 0, 2:6, 5:9] = 1
    found = token_weights(gradients, maps if with_maps else None, 4, map_scale=scale)  # type: ignore[arg-type]
    for k in range(3):
        added = 255.0 if scale == "paper" else max(128.0, float(gradients[k].max()))
        whole = gradients[k] + (added * maps[k] if with_maps else 0)
        means = [
            np.mean([float(whole[c, 4 * r : 4 * r + 4, 4 * s : 4 * s + 4].max()) for c in range(3)])
            for r in range(2)
            for s in range(3)
        ]
        np.testing.assert_allclose(found[k].numpy(), np.array(means) / np.sum(means), rtol=1e-5)


def test_a_still_frame_weighs_all_patches_alike() -> None:
    torch.testing.assert_close(
        token_weights(torch.zeros(1, 3, 8, 8), None, 4, map_scale="paper"), torch.full((1, 4), 0.25)
    )


def test_the_weighted_error_is_equation_3() -> None:
    target, drawn, weights = torch.rand(2, 5, 7), torch.rand(2, 5, 7), torch.rand(2, 5)
    expected = np.mean(
        [sum(float(weights[b, i]) * float(((target - drawn)[b, i] ** 2).sum()) for i in range(5)) / 5 for b in range(2)]
    )
    assert float(weighted_error(target, drawn, weights)) == pytest.approx(expected, rel=1e-5)


def test_the_masked_error_is_of_hidden_patches_alone() -> None:
    target, drawn = torch.zeros(1, 4, 3), torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None].expand(1, 4, 3)
    assert float(masked_error(target, drawn, torch.tensor([[0, 2]]))) == pytest.approx((4 + 16) / 2)


def test_the_class_loss_is_binary_cross_entropy() -> None:
    logits, abnormal = torch.tensor([0.3, -1.2]), torch.tensor([True, False])
    chance = torch.sigmoid(logits)
    expected = -(torch.log(chance[0]) + torch.log(1 - chance[1])) / 2
    torch.testing.assert_close(class_loss(logits, abnormal), expected)

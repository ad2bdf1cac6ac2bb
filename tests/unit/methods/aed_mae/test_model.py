"""The network: the sheet's sizes and costs, where tokens lie, and what the decoders share."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightvad.methods.aed_mae.model import (
    Attention,
    FeedForward,
    MaskedAutoEncoder,
    Places,
    Shared,
    grid_of,
    kept_places,
    laid_out,
    patches_of,
    planes_of,
    taken,
)
from lightvad.methods.aed_mae.settings import Network

HELPER = 130
"""Constants of the released checkpoints' erosion and dilation, which nothing calls."""


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def whole(patch: int = 16, *, class_head: bool = False, student: bool = True, **keys: Any) -> MaskedAutoEncoder:
    return MaskedAutoEncoder(Network(patch=patch, **keys), channels=4, class_head=class_head, student=student)


def gflops(network: MaskedAutoEncoder, settings: Network, height: int, width: int) -> float:
    grid = grid_of((height, width), settings.patch)
    kept = kept_places(torch.rand(1, grid[0] * grid[1]), grid, settings).to("meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval().to("meta")(torch.empty(1, 9, height, width, device="meta"), kept)
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize(("patch", "released"), [(16, 3_042_690), (8, 2_402_178), (4, 2_242_050)])
def test_the_released_layout_has_the_sheets_size(patch: int, released: int) -> None:
    assert parameters(whole(patch)) == released - HELPER


def test_the_parts_have_the_sheets_sizes() -> None:
    network = whole(16, class_head=True)
    teacher, student = network.teacher, network.student
    assert student is not None
    assert teacher.class_head is not None
    assert parameters(teacher.embed) + parameters(teacher.norm_embedded) == 590_592
    assert [parameters(block) for block in teacher.encoder] == [535_552] * 3
    assert [parameters(block) for block in (teacher.first_block, *teacher.head.blocks)] == [136_704] * 3
    assert parameters(teacher.head.output) == 132_096
    assert parameters(student) == 269_056
    assert parameters(teacher.class_head) == 257


@pytest.mark.parametrize(
    ("size", "patch", "ratio", "expected"),
    [
        ((320, 640), 16, 0.5, 5.34), ((320, 640), 16, 0.0, 8.11), ((320, 640), 16, 0.25, 6.60),
        ((320, 640), 16, 0.75, 4.32), ((160, 320), 8, 0.5, 4.31), ((80, 160), 4, 0.5, 4.06),
    ],
)  # fmt: skip
def test_cost_is_the_sheets(size: tuple[int, int], patch: int, ratio: float, expected: float) -> None:
    # As in the code: kept tokens are convolved as a smaller grid.
    settings = Network(patch=patch, mask_ratio=ratio, encoder_tokens="shuffled")
    network = MaskedAutoEncoder(settings, channels=4, class_head=False, student=True)
    assert gflops(network, settings, *size) == pytest.approx(expected, abs=0.02)


def test_patches_are_cut_row_by_row_with_a_pixels_channels_together() -> None:
    planes = torch.arange(2 * 3 * 8 * 12).float().reshape(2, 3, 8, 12)
    patches = patches_of(planes, 4)
    assert patches.shape == (2, 6, 48)
    torch.testing.assert_close(patches[1, 4, 5 * 3 + 2], planes[1, 2, 4 + 1, 4 + 1])
    torch.testing.assert_close(planes_of(patches, (2, 3), 4), planes)


@pytest.mark.parametrize("order", ["in_place", "shuffled"])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.75])
def test_kept_places_are_those_of_the_least_noise(order: str, ratio: float) -> None:
    settings, grid = Network.model_validate({"mask_ratio": ratio, "encoder_tokens": order}), (3, 8)
    noise = torch.rand(5, 24)
    kept = kept_places(noise, grid, settings)
    assert kept.shape == (5, 3 * int(8 * (1 - ratio)))
    for own, chosen in zip(noise, kept, strict=True):
        assert set(chosen.tolist()) == set(own.argsort()[: len(chosen)].tolist())
    if order == "in_place":
        assert torch.all(kept.diff(dim=1) > 0)


def test_in_place_tokens_are_convolved_on_their_own_places_among_zeros() -> None:
    kept = torch.tensor([[1, 2, 7, 11]])
    places = Places((3, 4), kept)
    tokens = torch.randn(1, 4, 5)
    planes = places.fold(tokens)
    assert planes.shape == (1, 5, 3, 4)
    for k, place in enumerate(kept[0].tolist()):
        torch.testing.assert_close(planes[0, :, place // 4, place % 4], tokens[0, k])
    assert planes.abs().sum() == pytest.approx(float(tokens.abs().sum()), rel=1e-6)
    torch.testing.assert_close(places.unfold(planes), tokens)


def test_attention_is_scaled_by_the_full_width() -> None:
    attention = Attention(8).eval()
    x = torch.randn(2, 1 + 6, 8)
    places = Places((2, 3))
    parts = []
    for convolution, projection in zip(attention.convolutions, attention.projections, strict=True):
        folded = x[:, 1:].transpose(1, 2).reshape(2, 8, 2, 3)
        tokens = convolution(folded).reshape(2, 8, 6).transpose(1, 2)
        parts.append(projection(torch.cat([x[:, :1], tokens], 1)).reshape(2, 7, 4, 2).transpose(1, 2))
    weights = (parts[0] @ parts[1].transpose(2, 3) / 8**0.5).softmax(-1)
    expected = attention.output((weights @ parts[2]).transpose(1, 2).reshape(2, 7, 8))
    torch.testing.assert_close(attention(x, places), expected)


def test_cls_passes_no_pointwise_convolution_but_a_perceptron() -> None:
    x = torch.randn(2, 5, 8)
    pointwise = FeedForward(8, Network()).eval()
    perceptron = FeedForward(8, Network(feed_forward="fully_connected")).eval()
    torch.testing.assert_close(pointwise(x)[:, 0], x[:, 0])
    assert not torch.allclose(perceptron(x)[:, 0], x[:, 0])
    perceptron.load_state_dict(pointwise.state_dict())
    torch.testing.assert_close(perceptron(x)[:, 1:], pointwise(x)[:, 1:])


def test_hidden_patches_are_not_seen() -> None:
    network = whole(8).eval()
    windows = torch.randn(1, 9, 16, 32)
    kept = torch.tensor([[0, 3, 5, 6]])
    changed = windows.clone()
    changed[:, :, :8, 8:16] += 1  # place 1
    with torch.inference_mode():
        torch.testing.assert_close(network(windows, kept).teacher, network(changed, kept).teacher)
        changed[:, :, :8, :8] += 1  # place 0
        assert not torch.allclose(network(windows, kept).teacher, network(changed, kept).teacher)


def test_with_no_token_hidden_all_are_encoded_in_their_order() -> None:
    network = whole(8).eval()
    windows, every = torch.randn(1, 9, 16, 32), torch.arange(8)[None]
    teacher = network.teacher
    with torch.inference_mode():
        found = network(windows, every).teacher
        # The same through the gathering and laying out that hidden tokens need.
        tokens = teacher.norm_embedded(teacher.embed(windows).flatten(2).transpose(1, 2))
        x = torch.cat([teacher.cls, taken(tokens, every)], dim=1)
        for block in teacher.encoder:
            x = block(x, Places((2, 4), every))
        narrow = teacher.narrow(teacher.norm_encoded(x))
        shown = torch.cat([narrow[:, :1], laid_out(narrow[:, 1:], every, teacher.hidden, 8)], dim=1)
        places = Places((2, 4))
        expected = teacher.head(Shared(teacher.first_block(shown, places), places, None))
    torch.testing.assert_close(found, expected)


def test_the_student_starts_from_the_teachers_first_decoder_block_alone() -> None:
    network = whole(8).eval()
    windows, kept = torch.randn(1, 9, 16, 32), torch.tensor([[0, 3, 5, 6]])
    with torch.no_grad():
        before = network(windows, kept)
        network.teacher.head.blocks[0].feed_forward.contract.bias.add_(torch.randn(128))
        after = network(windows, kept)
        torch.testing.assert_close(before.student, after.student)
        assert not torch.allclose(before.teacher, after.teacher, atol=1e-3)
        network.teacher.first_block.feed_forward.contract.bias.add_(torch.randn(128))
        last = network(windows, kept)
    assert not torch.allclose(after.student, last.student, atol=1e-3)


def test_attention_in_training_is_the_fused_kernels() -> None:
    attention = Attention(8).eval()
    x = torch.randn(2, 1 + 6, 8)
    with torch.no_grad():
        fused = attention(x, Places((2, 3)))
    torch.testing.assert_close(attention(x, Places((2, 3))), fused)


def test_one_mask_for_all_is_the_same_mask_for_each() -> None:
    network = whole(8).eval()
    windows, kept = torch.randn(3, 9, 16, 32), torch.tensor([[0, 3, 5, 6]])
    with torch.inference_mode():
        together, each = network(windows, kept), network(windows, kept.expand(3, -1))
    torch.testing.assert_close(together.teacher, each.teacher)
    torch.testing.assert_close(together.student, each.student)

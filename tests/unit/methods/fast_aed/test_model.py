"""The networks: golden sizes and costs, any frame size, and that every knob of the architecture does something."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightvad.methods.fast_aed.model import AutoEncoder, ReconstructionError, Student, attend
from lightvad.methods.fast_aed.settings import AutoEncoder as AutoEncoderSettings
from lightvad.methods.fast_aed.settings import Network

RELEASED = Network(output_heads="released_code")
TINY = {"blocks": 1, "heads": 1}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def gflops(network: nn.Module, channels: int, height: int, width: int) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval().to("meta")(torch.empty(1, channels, height, width, device="meta"))
    return counter.get_total_flops() / 1e9


def test_the_released_heads_have_the_papers_size_and_cost() -> None:
    student = Student(RELEASED, (1, 4, 16))
    assert parameters(student) == 4_997_747
    assert parameters(student.encoder.stem) == 399_728
    assert [parameters(block) for block in student.encoder.blocks] == [860_160] * 5
    assert gflops(student, 9, 360, 640) == pytest.approx(14.10, abs=0.005)


@pytest.mark.parametrize(("height", "width", "expected"), [(240, 360, 4.98), (480, 640, 18.96), (480, 856, 26.61)])
def test_cost_at_other_sizes(height: int, width: int, expected: float) -> None:
    assert gflops(Student(RELEASED, (1, 4, 16)), 9, height, width) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"blocks": 3}, 10.83), ({"blocks": 4}, 12.46), ({"blocks": 6}, 15.73), ({"blocks": 7}, 17.36),
        ({"heads": 3}, 12.77), ({"heads": 4}, 13.43), ({"heads": 6}, 14.76), ({"heads": 7}, 15.42),
    ],
)  # fmt: skip
def test_cost_of_the_depth_and_heads_sweeps(keys: dict[str, int], expected: float) -> None:
    network = Student(Network(output_heads="released_code", **keys), (1, 4, 16))
    assert gflops(network, 9, 360, 640) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("frames", "expected"), [(1, 4_993_142 - 99), (5, 5_002_550 - 99)])
def test_size_of_the_input_frames_sweep(frames: int, expected: int) -> None:
    # The sheet's numbers count the code's unused 1x1 convolution, 99 parameters.
    network = Network(output_heads="released_code", input_frames=frames)
    # The unused convolution goes with three frames; with another number its size differs.
    assert parameters(Student(network, (1, 4, 16))) == expected


def test_cost_of_the_released_auto_encoder() -> None:
    network = AutoEncoder(RELEASED, AutoEncoderSettings(skips=True, target="half"))
    assert gflops(network, 9, 360, 640) == pytest.approx(15.17, abs=0.005)


@pytest.mark.parametrize("size", [(33, 47), (64, 96), (71, 50)])
@pytest.mark.parametrize("resolutions", [(1, 4, 16), (4, 8, 16), (1,), ("full", 2)])
def test_maps_have_their_resolution_at_any_frame_size(size: tuple[int, int], resolutions: tuple) -> None:
    student = Student(Network(**TINY), resolutions, branches=2)
    branches = student(torch.randn(2, 9, *size))
    assert len(branches) == 2
    for maps in (*branches, student.maps(torch.randn(2, 9, *size))):
        shapes = [tuple(one.shape) for one in maps]
        assert shapes == [(2, *(size if side == "full" else (side, side))) for side in resolutions]


@pytest.mark.parametrize("size", [(33, 47), (64, 96), (71, 50)])
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize(("target", "expected"), [("full", (33, 47)), ("half", (17, 24))])
def test_the_auto_encoder_gives_its_targets_shape_at_any_frame_size(
    size: tuple[int, int], skips: bool, target: str, expected: tuple[int, int]
) -> None:
    network = AutoEncoder(Network(**TINY), AutoEncoderSettings(skips=skips, target=target))
    x = torch.randn(2, 9, *size)
    assert network(x).shape == network.target(x).shape
    if size == (33, 47):
        assert tuple(network.target(x).shape[-2:]) == expected


def test_the_auto_encoders_target_is_the_middle_frame() -> None:
    network = AutoEncoder(Network(**TINY), AutoEncoderSettings())
    x = torch.randn(2, 9, 40, 56)
    assert torch.equal(network.target(x), x[:, 3:6])


def test_frame_scores_are_the_mean_of_the_maps_maxima() -> None:
    scores, maps = Student(Network(**TINY), (1, 4, 16)).scored(torch.randn(3, 9, 40, 56))
    expected = (maps[0][:, 0, 0] + maps[1].flatten(1).max(1).values + maps[2].flatten(1).max(1).values) / 3
    torch.testing.assert_close(scores, expected)


def test_branches_are_joined_by_their_element_wise_maximum() -> None:
    student = Student(Network(**TINY), (1, 4), branches=2)
    x = torch.randn(2, 9, 40, 56)
    first, second = student(x)
    for joined, a, b in zip(student.maps(x), first, second, strict=True):
        assert not torch.equal(a, b)
        assert torch.equal(joined, torch.maximum(a, b))


def test_reconstruction_error_is_zero_only_for_a_perfect_copy() -> None:
    network = ReconstructionError(AutoEncoder(Network(**TINY), AutoEncoderSettings()), (1, 4, "full"))
    x = torch.randn(2, 9, 40, 56)
    scores, maps = network.scored(x)
    expected = (network.autoencoder(x) - x[:, 3:6]).square().mean((1, 2, 3))
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(maps[0][:, 0, 0], scores)
    assert [tuple(one.shape[1:]) for one in maps] == [(1, 1), (4, 4), (40, 56)]


def output(seed: int = 0, **keys: Any) -> torch.Tensor:
    torch.manual_seed(seed)
    network = Network(**{**TINY, **keys})
    student = Student(network, (1, 4, 16))
    x = torch.randn(2, 3 * network.input_frames, 40, 56, generator=torch.Generator().manual_seed(0))
    return torch.cat([one.flatten() for one in student.maps(x)])


@pytest.mark.parametrize(
    "keys",
    [
        {"blocks": 2}, {"heads": 2}, {"input_frames": 1}, {"input_frames": 5}, {"feed_forward": "fully_connected"},
        {"attention": "paper"}, {"output_heads": "released_code"}, {"output_activation": "relu"},
        {"output_activation": "leaky_relu"},
    ],
    ids=str,
)  # fmt: skip
def test_every_knob_of_the_network_changes_its_output(keys: dict[str, Any]) -> None:
    assert torch.equal(output(), output())
    assert not torch.equal(output(), output(**keys))


def test_fully_connected_and_pointwise_layers_have_the_same_weights_count_and_meaning() -> None:
    pointwise = Student(Network(**TINY), (4,)).eval()
    linear = Student(Network(**TINY, feed_forward="fully_connected"), (4,)).eval()
    state = {
        name: value[:, :, 0, 0] if "feed_forward" in name and value.dim() == 4 else value
        for name, value in pointwise.state_dict().items()
    }
    linear.load_state_dict(state)
    x = torch.randn(2, 9, 40, 56)
    torch.testing.assert_close(pointwise.maps(x)[0], linear.maps(x)[0])


def test_the_papers_attention_has_a_projection_for_keys_and_one_for_values() -> None:
    def count(design: str) -> int:
        return parameters(Student(Network(attention=design), (4,)).encoder.blocks[0].attention)

    # One more depthwise 3x3 convolution with its batch norm over 256 channels.
    assert count("paper") - count("released_code") == 256 * 9 + 512


def test_an_activation_of_relu_cannot_be_negative_and_none_can() -> None:
    assert output(output_activation="relu").min() >= 0
    assert min(output(seed, output_activation="none").min() for seed in range(5)) < 0


def test_attention_is_the_same_in_training_and_at_test_time() -> None:
    query, key, value = torch.randn(3, 2, 2, 30, 64)
    training = attend(query.requires_grad_(), key, value)
    torch.testing.assert_close(training, attend(query.detach(), key, value))

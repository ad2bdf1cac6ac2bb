"""The network that is deployed against the one that is scored: rewritten, and the same function."""

import pytest
import torch
from torch import nn

from lightvad.methods.fast_aed.deployment import Deployed, MaxPool
from lightvad.methods.fast_aed.model import AutoEncoder, ReconstructionError, Student
from lightvad.methods.fast_aed.settings import AutoEncoder as Decoder
from lightvad.methods.fast_aed.settings import Network
from lightvad.methods.fast_aed.windows import normalized

SIZES = [(48, 80), (53, 71)]
"""A multiple of the stride, and odd sides, whose bins overlap."""


def trained(network: nn.Module, channels: int, frame_size: tuple[int, int]) -> None:
    """Give batch norms statistics and every norm an affine part that are not those of a new network."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
    network.train()
    frames = torch.randint(0, 256, (4, channels, *frame_size), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        network.scored(normalized(frames))  # type: ignore[operator]
    network.eval()


def compared(network: Student | ReconstructionError, channels: int, frame_size: tuple[int, int]) -> None:
    trained(network, channels, frame_size)
    windows = torch.randint(0, 256, (2, channels, *frame_size), dtype=torch.uint8)
    with torch.inference_mode():
        scores, maps = network.scored(normalized(windows))
        found = Deployed(network, frame_size)(windows.permute(0, 2, 3, 1).contiguous())
    assert len(found) == 1 + len(maps)
    for own, other in zip([scores, *maps], found, strict=True):
        assert own.shape == other.shape
        torch.testing.assert_close(own.float(), other, rtol=1e-4, atol=1e-5)
    assert scores.std() > 0


@pytest.mark.parametrize("frame_size", SIZES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attention": "paper"},
        {"output_heads": "released_code", "output_activation": "relu"},
        {"feed_forward": "fully_connected", "input_frames": 1, "heads": 2},
        {"output_activation": "leaky_relu", "input_frames": 5, "blocks": 1},
    ],
)
def test_every_network_of_the_ablations(settings: dict[str, object], frame_size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = Network.model_validate({"blocks": 2} | settings)
    compared(Student(network, (1, 4, 16), 1), 3 * network.input_frames, frame_size)


def test_two_branches_and_a_map_of_the_frames_size() -> None:
    torch.manual_seed(0)
    compared(Student(Network(blocks=1, branches="per_teacher"), (2, "full"), 2), 9, SIZES[1])


def test_the_autoencoder_alone() -> None:
    torch.manual_seed(0)
    settings = Network(blocks=1)
    compared(ReconstructionError(AutoEncoder(settings, Decoder(skips=True)), (1, 4)), 9, SIZES[1])


def test_no_batch_norm_is_left() -> None:
    deployed = Deployed(Student(Network(blocks=1, attention="paper"), (1, 4), 1).eval(), SIZES[0])
    assert not [module for module in deployed.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("size", "target"), [((23, 40), (16, 16)), ((3, 5), (4, 4)), ((7, 7), (1, 1)), ((2, 9), (2, 2))]
)
def test_max_pool_is_torchs(size: tuple[int, int], target: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    assert torch.equal(MaxPool(size, target)(x), nn.functional.adaptive_max_pool2d(x, target))

"""Discriminators: golden size, any pyramid, and that every map reaches the output."""

import pytest
import torch

from lightvad.methods.fast_aed.discriminator import Discriminator


def test_size_on_the_papers_pyramid() -> None:
    assert sum(parameter.numel() for parameter in Discriminator((1, 4, 16)).parameters()) == 959


@pytest.mark.parametrize(
    "resolutions", [(1, 4, 16), (16, 1, 4), (4, 8, 16), (1,), (4,), ("full",), (4, "full"), (2, 1)]
)
@pytest.mark.parametrize("outputs", [1, 3])
def test_every_map_of_any_pyramid_reaches_the_output(resolutions: tuple, outputs: int) -> None:
    torch.manual_seed(0)
    network = Discriminator(resolutions, outputs)
    maps = [torch.rand(5, *((21, 30) if side == "full" else (side, side)), requires_grad=True) for side in resolutions]
    logits = network(maps)
    assert logits.shape == (5, outputs)
    gradients = torch.autograd.grad(logits.square().sum(), maps)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_the_order_of_the_resolutions_is_that_of_the_maps() -> None:
    torch.manual_seed(0)
    network = Discriminator((1, 4, 16))
    other = Discriminator((16, 1, 4))
    other.load_state_dict(network.state_dict())
    one, four, sixteen = (torch.rand(2, side, side) for side in (1, 4, 16))
    assert torch.equal(network([one, four, sixteen]), other([sixteen, one, four]))

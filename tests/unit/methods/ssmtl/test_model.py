"""The network's sizes against the sheet, and what each path through it sees."""

import pytest
import torch

from lightvad.methods.ssmtl.model import SSMTL, Kind, SharedTrunk, as_input, middle_of
from lightvad.methods.ssmtl.settings import Settings, Trunk


@pytest.mark.parametrize(
    ("depth", "width", "thousands"),
    [("shallow", "narrow", 43.0), ("shallow", "wide", 169.0), ("deep", "narrow", 105.5), ("deep", "wide", 418.3)],
)
def test_trunk_has_the_published_size(depth: str, width: str, thousands: float) -> None:
    trunk = SharedTrunk(Trunk.model_validate({"depth": depth, "width": width}))
    assert round(sum(p.numel() for p in trunk.parameters()) / 1000, 1) == thousands


@pytest.mark.parametrize("normalisation", ["batch", "instance", "none"])
@pytest.mark.parametrize("frames", [7, 6, 1])
def test_trunk_takes_any_number_of_frames(normalisation: str, frames: int) -> None:
    trunk = SharedTrunk(Trunk.model_validate({"width": "narrow", "normalisation": normalisation}))
    for training in (True, False):
        features = trunk.train(training)(torch.rand(2, 3, frames, 64, 64), Kind.SEQUENCE)
        assert features.shape == (2, 32, 8, 8)


def test_folded_normalisation_equals_the_plain_one() -> None:
    torch.manual_seed(0)
    trunk = SharedTrunk(Trunk(depth="shallow", width="narrow"))
    crops = torch.rand(4, 3, 7, 32, 32)
    for _ in range(3):
        trunk(crops + torch.rand(1), Kind.GAP)
    folded = trunk.eval()(crops, Kind.GAP)
    x = crops
    for layer in trunk.convolutions:
        norm = layer.batch_norm
        x = layer.convolution(x).permute(0, 2, 1, 3, 4)
        x = torch.nn.functional.batch_norm(
            x.flatten(0, 1), norm.mean[Kind.GAP], norm.variance[Kind.GAP], norm.weight, norm.bias, eps=norm.epsilon
        )
        x = torch.nn.functional.max_pool2d(x.relu(), 2).unflatten(0, (4, 7)).permute(0, 2, 1, 3, 4)
    torch.testing.assert_close(folded, x.amax(2), rtol=1e-4, atol=1e-5)
    assert (trunk.convolutions[0].batch_norm.mean[Kind.CROP] == 0).all()


def test_heads_give_the_shapes_of_the_sheet() -> None:
    network = SSMTL(Settings(trunk=Trunk(depth="shallow", width="narrow")), classes=80, features=1000).eval()
    crops = as_input(torch.randint(0, 256, (2, 7, 64, 64, 3), dtype=torch.uint8))
    assert crops.shape == (2, 3, 7, 64, 64)
    features = network.sequence_features(crops)
    assert network.arrow(features).shape == network.irregularity(features).shape == (2, 2)
    assert network.predicted_middle(crops).shape == (2, 3, 64, 64)
    assert network.predicted_middle(crops).min() >= 0
    assert network.predicted_middle(crops).max() <= 1
    assert network.predicted_targets(crops).shape == (2, 1080)


@pytest.mark.parametrize("gap", ["drop", "zero"])
def test_the_middle_is_hidden_from_task_3_and_all_that_task_4_sees(gap: str) -> None:
    settings = Settings.model_validate({"middle": {"gap": gap}, "trunk": {"depth": "shallow", "width": "narrow"}})
    network = SSMTL(settings, classes=5, features=0).eval()
    crops = torch.rand(2, 3, 7, 64, 64)
    other_middle, other_sides = crops.clone(), crops.clone()
    other_middle[:, :, 3] = 0.5
    other_sides[:, :, [0, 1, 2, 4, 5, 6]] = 0.5
    assert torch.equal(network.predicted_middle(crops), network.predicted_middle(other_middle))
    assert not torch.equal(network.predicted_middle(crops), network.predicted_middle(other_sides))
    assert torch.equal(network.predicted_targets(crops), network.predicted_targets(other_sides))
    assert not torch.equal(network.predicted_targets(crops), network.predicted_targets(other_middle))


def test_only_the_heads_of_the_chosen_tasks_exist() -> None:
    network = SSMTL(Settings(tasks=("middle",)), classes=0, features=0)
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"trunk", "middle"}


def test_as_input_keeps_channel_order_and_range() -> None:
    crops = torch.zeros(1, 7, 16, 16, 3, dtype=torch.uint8)
    crops[0, 3, ..., 0] = 255
    middle = middle_of(as_input(crops))
    assert middle[0, 0].min() == 1
    assert middle[0, 1:].max() == 0

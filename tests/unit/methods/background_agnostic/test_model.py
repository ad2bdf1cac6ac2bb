"""The networks of T1: sizes, shapes and the reversed gradient."""

import pytest
import torch

from lightvad.methods.background_agnostic.model import (
    STREAMS,
    BackgroundAgnostic,
    Classifier,
    Decoder,
    Encoded,
    Encoder,
    reversed_gradient,
)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes_are_those_of_the_sheet():
    # T1 sheet, section 2: 14.2k for the encoder, 34.9k for the decoder with concatenated skips.
    assert parameters(Encoder(1)) == 14_192
    assert parameters(Decoder(1, skips=True, skip_form="concat")) == 34_929
    assert parameters(Encoder(2)) == 14_192 + 288
    assert parameters(Decoder(2, skips=True, skip_form="concat")) == 34_929 + 289


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("skips", "skip_form"), [(True, "concat"), (True, "add"), (False, "concat")])
def test_shapes_of_every_form(channels, skips, skip_form):
    x = torch.rand(3, channels, 64, 64)
    encoded = Encoder(channels)(x)
    assert [tuple(part.shape) for part in encoded] == [(3, 16, 8, 8), (3, 32, 16, 16), (3, 32, 32, 32)]
    assert Decoder(channels, skips=skips, skip_form=skip_form)(encoded).shape == x.shape
    assert Classifier(channels)(x, encoded.latent).shape == (3,)


def test_without_skips_the_decoder_sees_only_the_latent():
    latent = torch.rand(1, 16, 8, 8)
    some = Encoded(latent, torch.rand(1, 32, 16, 16), torch.rand(1, 32, 32, 32))
    none = Encoded(latent, torch.zeros(1, 32, 16, 16), torch.zeros(1, 32, 32, 32))
    without = Decoder(1, skips=False, skip_form="concat")
    assert torch.equal(without(some), without(none))
    for form in ("concat", "add"):
        joined = Decoder(1, skips=True, skip_form=form)
        assert not torch.equal(joined(some), joined(none))


@pytest.mark.parametrize("weight", [0.0, 0.1, 2.5])
def test_reversal_keeps_values_and_turns_and_scales_gradients(weight):
    plain = [torch.rand(2, 3, 4, 4, requires_grad=True) for _ in range(3)]
    passed = reversed_gradient(Encoded(*plain), weight)
    assert all(torch.equal(a, b) for a, b in zip(plain, passed, strict=True))
    sum((k + 1) * part.square().sum() for k, part in enumerate(passed)).backward()
    for k, part in enumerate(plain):
        assert torch.allclose(part.grad, -weight * 2 * (k + 1) * part.detach())


@pytest.mark.parametrize("motion_channels", [1, 2])
def test_scores_are_anomalies_between_0_and_1(motion_channels):
    network = BackgroundAgnostic(motion_channels, skips=True, skip_form="concat").eval()
    inputs = [torch.rand(4, c, 64, 64) for c in (1, motion_channels, motion_channels)]
    with torch.inference_mode():
        scores = network(*inputs)
        assert scores.shape == (4, len(STREAMS))
        assert ((scores > 0) & (scores < 1)).all()
        for stream in network:
            stream.classifier.output.bias += 100.0
        assert (network(*inputs) < 1e-6).all()


def test_streams_do_not_see_each_other():
    network = BackgroundAgnostic(2, skips=True, skip_form="concat").eval()
    a, b, c = (torch.rand(2, channels, 64, 64) for channels in (1, 2, 2))
    with torch.inference_mode():
        before, after = network(a, b, c), network(a, b, torch.rand_like(c))
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2], after[:, 2])

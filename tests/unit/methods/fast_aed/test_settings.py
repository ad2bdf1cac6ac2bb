"""Settings: what is refused, and which stage reads which key."""

from typing import Any

import pytest

from lightvad.errors import LightvadError
from lightvad.methods.fast_aed.settings import OFFSETS, Settings
from lightvad.project import merged, parsed


def settings(**keys: Any) -> Settings:
    return parsed(Settings, keys, "config/methods/fast_aed.yaml: settings")


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"lambda": 0.1}, "lambda"),
        ({"network": {"depth": 5}}, "network.depth"),
        ({"network": {"input_frames": 2}}, "network.input_frames"),
        ({"network": {"resolutions": []}}, "network.resolutions"),
        ({"training": {"lr": 0}}, "training.lr"),
        ({"adversarial": {"updates": 3}}, "adversarial.updates"),
        ({"pasting": {"widening": [3.0, 1.6]}}, "pasting"),
        ({"pasting": {"speed": [0.3, 0.1]}}, "pasting"),
        ({"pasting": {"anomalies": ["rotated"]}}, "pasting.anomalies.0"),
    ],
)
def test_an_unknown_key_or_impossible_value_is_one_line_that_names_it(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(LightvadError) as caught:
        settings(**keys)
    assert f": {named}:" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"teachers": []}, "no `teachers`"),
        ({"distillation": False, "adversarial": {"discriminators": "none"}}, "give `teachers: \\[\\]`"),
        (
            {
                "distillation": False, "adversarial": {"discriminators": "none"}, "teachers": [],
                "pretrained_variant": None,
            },
            "nothing to train",
        ),
    ],
)  # fmt: skip
def test_losses_and_teachers_must_agree(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(LightvadError, match=reason):
        settings(**keys)


def test_the_defaults_are_the_papers() -> None:
    default = Settings()
    assert [(t.method, t.variant, t.weight) for t in default.teachers] == [
        ("background_agnostic", "default", 1.0), ("ssmtl", "default", 1.0),
    ]  # fmt: skip
    assert (default.network.blocks, default.network.heads, default.network.input_frames) == (5, 5, 3)
    assert (default.training.epochs, default.training.batch, default.training.lr) == (35, 48, 1e-4)
    assert (default.pretraining.epochs, default.pretraining.lr) == (35, 1e-3)
    assert default.adversarial.weight == 0.1
    assert default.adversarial.sees_fakes
    assert not default.autoencoder.skips


def test_windows_are_symmetric_and_hold_the_current_frame_in_the_middle() -> None:
    for count, offsets in OFFSETS.items():
        assert len(offsets) == count
        assert offsets[count // 2] == 0
        assert list(offsets) == sorted(offsets)
        assert [-offset for offset in reversed(offsets)] == list(offsets)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"adversarial": {"weight": 0.3}}, {"train"}),
        ({"training": {"lr": 1e-3}}, {"train"}),
        ({"pretraining": {"epochs": 3}}, {"pretrain"}),
        ({"autoencoder": {"skips": True}}, {"pretrain", "train", "score"}),
        ({"network": {"blocks": 3}}, {"pretrain", "train", "score"}),
        ({"network": {"output_activation": "relu"}}, {"train", "score"}),
        ({"precision": "bf16-mixed"}, {"pretrain", "train"}),
        ({"score_precision": "bf16-mixed"}, {"score"}),
        ({"average_decay": None}, {"train"}),
        ({"horizontal_flip": True}, {"pretrain", "train"}),
    ],
)
def test_a_stage_reads_only_what_concerns_it(change: dict[str, Any], stages: set[str]) -> None:
    default, changed = Settings(), settings(**merged(change))
    differing = {s for s in ("pretrain", "train", "score") if default.for_stage(s) != changed.for_stage(s)}
    assert differing == stages


def test_pasting_is_off_by_default_and_concerns_training_alone() -> None:
    assert Settings().pasting is None
    assert Settings().stages_on_boxes == ()
    pasted = settings(pasting={})
    assert pasted.stages_on_boxes == ("train",)
    assert pasted.for_stage("train") != Settings().for_stage("train")
    for stage in ("pretrain", "score"):
        assert pasted.for_stage(stage) == Settings().for_stage(stage)

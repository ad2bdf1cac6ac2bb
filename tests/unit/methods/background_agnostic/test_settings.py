"""Which settings each stage reads, and impossible values."""

import pytest

from lightvad.errors import LightvadError
from lightvad.methods.background_agnostic.settings import Settings
from lightvad.project import parsed


def test_training_knobs_do_not_touch_scoring_and_the_other_way_round():
    changed = Settings.model_validate({"autoencoders": {"epochs": 3}, "pseudo": {"images": 99}})
    assert changed.for_stage("score") == Settings().for_stage("score")
    assert changed.for_stage("train") != Settings().for_stage("train")
    batched = Settings(score_batch=7)
    assert batched.for_stage("train") == Settings().for_stage("train")
    assert batched.for_stage("score") != Settings().for_stage("score")


def test_both_stages_read_what_the_crops_depend_on():
    for changes in ({"flow": {"scale": 4.0}}, {"motion": "gradients"}, {"skips": False}, {"precision": "bf16-mixed"}):
        for stage in ("train", "score"):
            assert Settings.model_validate(changes).for_stage(stage) != Settings().for_stage(stage)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"flow": {"gapp": 2}}, "flow.gapp"),
        ({"pseudo": {"gaps": [5, 3]}}, "gaps"),
        ({"pseudo": {"scales": [0.5, 3]}}, "scales"),
        ({"pseudo": {"source": "internet"}}, "pseudo.source"),
        ({"batch": 0}, "batch"),
    ],
)
def test_impossible_values_are_named(content, key):
    with pytest.raises(LightvadError, match=key):
        parsed(Settings, content, "here")

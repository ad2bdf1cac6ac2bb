"""Settings: what cannot go together, and which stage reads what."""

from typing import Any

import pytest
from pydantic import ValidationError

from lightvad.methods.aed_mae.settings import Settings


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({"pretrained_variant": None}, "the first stage is the teacher"),
        ({"synthetic": None}, "`class_head` learns from synthetic anomalies"),
        ({"class_head": False}, "`scoring.class_probability` needs `class_head`"),
        ({"self_distillation": False}, "`scoring.discrepancy` needs `self_distillation`"),
        ({"motion_weights": False, "network": {"mask_ratio": 0}}, "hides nothing"),
        ({"motion_weights": False, "network": {"mask_ratio": 0.25}}, "learns to draw hidden patches alone"),
        ({"synthetic": {"source": "blobs", "blobs": {"speed": [0.3, 0.1]}}}, "`speed` \\[0.3, 0.1\\] must ascend"),
        ({"synthetic": {"blobs": {"height": [0.5, 1.5]}}}, "must ascend and be above 0 and at most 1"),
        ({"scoring": {"teacher_error": 0, "discrepancy": 0, "class_probability": 0}}, "all weights"),
    ],
)
def test_what_cannot_go_together_is_told(layer: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate(layer)


@pytest.mark.parametrize(
    ("layer", "stages"),
    [
        ({"scoring": {"teacher_error": 0.9}}, {"score"}),
        ({"scoring": {"mask_ratio": 0.5}}, {"score"}),
        ({"score_batch": 3}, {"score"}),
        ({"shown_frames": 2}, {"score"}),
        ({"shown_windows": 0}, {"pretrain"}),
        ({"weights_variant": "default"}, set()),
        ({"student_training": {"lr": 0.5}}, {"train"}),
        ({"student_loss": "released_code"}, {"train"}),
        ({"class_weight": 2}, {"pretrain"}),
        ({"teacher_training": {"lr": 0.5}}, {"pretrain"}),
        ({"synthetic": {"share": 0.3}}, {"pretrain", "train"}),
        ({"synthetic": {"source": "blobs"}}, {"pretrain", "train"}),
        ({"synthetic": {"smallest": 4}}, {"pretrain", "train"}),
        ({"synthetic": {"blobs": {"standing": 1}}}, set()),  # another source's
        ({"synthetic": {"ubnormal": {"smallest": 9}}}, set()),
        ({"synthetic": {"normal": 9}}, set()),  # none is pasted
        ({"synthetic": {"normal_share": 0.5}}, {"pretrain", "train"}),
        ({"network": {"patch": 8}}, {"pretrain", "train", "score"}),
    ],
)
def test_a_key_is_read_by_its_own_stages(layer: dict[str, Any], stages: set[str]) -> None:
    plain, other = Settings(), Settings.model_validate(layer)
    changed = {stage for stage in ("pretrain", "train", "score") if plain.for_stage(stage) != other.for_stage(stage)}
    assert changed == stages


def test_boxes_are_read_where_objects_are_pasted() -> None:
    assert Settings().stages_on_boxes == ("pretrain", "train")
    alone = {"synthetic": None, "class_head": False, "scoring": {"class_probability": 0}}
    assert Settings.model_validate(alone).stages_on_boxes == ()


@pytest.mark.parametrize("source", ["clips", "ubnormal", "blobs"])
def test_a_source_reads_what_it_needs(source: str) -> None:
    plain = Settings.model_validate({"synthetic": {"source": source}})
    assert plain.stages_on_boxes == (("pretrain", "train") if source == "clips" else ())
    for stage in ("pretrain", "train", "score"):
        read = source == "ubnormal" and stage != "score"
        assert plain.datasets_read(stage) == (("ubnormal",) if read else ())
    told = plain.for_stage("train")["synthetic"]
    assert told["source"] == source
    assert {"changes", "ubnormal", "blobs"} & set(told) == {"changes" if source == "clips" else source}
    assert ("smallest" in told) == (source == "clips")
    others = Settings.model_validate({"synthetic": {"source": source, "normal_share": 0.5}})
    assert others.stages_on_boxes == ("pretrain", "train"), "unchanged objects are cut along boxes"
    assert "smallest" in others.for_stage("train")["synthetic"]


def test_the_input_is_the_datasets_frame_or_its_own() -> None:
    assert Settings().input_size((360, 640)) == (360, 640)
    assert Settings.model_validate({"network": {"input_size": [80, 160]}}).input_size((240, 360)) == (80, 160)

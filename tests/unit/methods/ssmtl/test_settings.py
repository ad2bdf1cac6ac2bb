"""What the settings allow, and which stage reads what."""

import pytest
from pydantic import ValidationError

from lightvad.methods.ssmtl.settings import TASKS, Settings


def test_defaults_are_the_papers() -> None:
    settings = Settings()
    assert (settings.tasks, settings.trunk.depth, settings.trunk.width) == (TASKS, "deep", "wide")
    assert (settings.crop_size, settings.distillation.weight, settings.scoring.standardise) == (64, 0.2, "none")
    assert (settings.training.epochs, settings.training.batch, settings.training.learning_rate) == (30, 64, 1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_size": 50},
        {"tasks": []},
        {"tasks": ["arrow", "arrow"]},
        {"tasks": ["jigsaw"]},
        {"irregularity": {"largest_step": 1}},
        {"scoring": {"task_weights": {"arrow": -1}}},
        {"scoring": {"task_weights": {"arrow": 0}}},
        {"tasks": ["middle"], "scoring": {"task_weights": {"arrow": 1, "middle": 0}}},
        {"unknown": 1},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_a_scoring_key_re_runs_no_training_and_a_training_key_is_not_read_by_scoring() -> None:
    base = Settings()
    scoring = Settings.model_validate({"scoring": {"standardise": "training"}})
    schedule = Settings.model_validate({"training": {"epochs": 2}})
    assert base.for_stage("train") == scoring.for_stage("train")
    assert base.for_stage("score") != scoring.for_stage("score")
    assert base.for_stage("train") != schedule.for_stage("train")
    assert base.for_stage("score") == schedule.for_stage("score")


def test_tasks_of_weight_zero_are_not_scored() -> None:
    settings = Settings.model_validate({"scoring": {"task_weights": {"middle": 2, "distillation": 1}}})
    assert settings.scored_tasks() == ("middle", "distillation")

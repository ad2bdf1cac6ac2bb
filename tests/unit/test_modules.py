"""The modules that a stage runs are read off the imports."""

import pytest

from lightvad.modules import code_digest, files_of, module_path, modules_of, stage_modules


def test_closure_follows_imports_inside_functions() -> None:
    closure = modules_of("lightvad.cli")
    assert "lightvad.stages.train" in closure
    assert "lightvad.training_loop" not in modules_of("lightvad.stages.evaluate")


def test_a_teacher_does_not_depend_on_the_other() -> None:
    ssmtl = modules_of(*stage_modules("score", "ssmtl"))
    other = modules_of(*stage_modules("score", "background_agnostic"))
    assert "lightvad.methods.ssmtl.scoring" in ssmtl
    assert not [name for name in ssmtl if "background_agnostic" in name]
    assert not [name for name in other if "ssmtl" in name]


def test_training_does_not_depend_on_reporting_or_evaluation() -> None:
    closure = modules_of(*stage_modules("train", "fast_aed"))
    assert "lightvad.training_loop" in closure
    packages = {name.split(".")[1] for name in closure if name != "lightvad"}
    assert not packages & {"reporting", "evaluation", "plan", "cli"}


@pytest.mark.parametrize("method", ["background_agnostic", "ssmtl", "fast_aed"])
def test_an_edit_of_scoring_retrains_nothing(method: str) -> None:
    assert f"lightvad.methods.{method}.scoring" not in modules_of(*stage_modules("train", method))
    assert f"lightvad.methods.{method}.training" not in modules_of(*stage_modules("score", method))


def test_attributes_are_not_modules() -> None:
    assert module_path("lightvad.errors.LightvadError") is None
    assert module_path("lightvad.errors") in files_of("lightvad.errors")


def test_digest_tells_stages_apart() -> None:
    assert code_digest(*stage_modules("train", "ssmtl")) != code_digest(*stage_modules("train", "fast_aed"))
    assert code_digest(*stage_modules("train", "ssmtl")) == code_digest(*stage_modules("train", "ssmtl"))

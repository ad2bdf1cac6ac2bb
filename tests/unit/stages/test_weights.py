"""Weights that would load but are not the run's: refused before anything is scored or timed."""

import json
from pathlib import Path

import pytest
import torch

from lightvad.artifacts.weights import write_weights
from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.project import Project
from lightvad.resolution import shared_settings
from lightvad.stages.jobs import check_weights

STUDENT = Run("ped2", "quick", "fast_aed", "default", 0)
T1 = Run("ped2", "quick", "background_agnostic", "default", 0)
T2 = Run("ped2", "quick", "ssmtl", "default", 0)
ONNX = "budgets.quick.methods.ssmtl.distillation={features: onnx, features_onnx: FILE}"


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    (tmp_path / "config").symlink_to(repository / "config")
    return tmp_path


def keep(project: Project, run: Run, **changes: str | None) -> Path:
    """Weights of `run` whose header is what a training writes, but for `changes`; None leaves a fact out."""
    facts = {name: str(getattr(run, name)) for name in ("method", "variant", "dataset", "budget", "seed")}
    header = {**facts, "settings": json.dumps(shared_settings(project, run)), **changes}
    path = project.root / run.folder / "model.safetensors"
    write_weights(path, {"w": torch.ones(1)}, {name: value for name, value in header.items() if value is not None})
    return path


@pytest.mark.parametrize("run", [STUDENT, T1, T2])
def test_the_runs_own_weights_are_taken(root: Path, run: Run) -> None:
    keep(Project(root), run)
    check_weights(Project(root), run)


@pytest.mark.parametrize(
    ("run", "override"),
    [
        (STUDENT, "methods.fast_aed.settings.score_batch=3"),
        (STUDENT, "methods.fast_aed.settings.score_precision=32-true"),
        (STUDENT, "methods.fast_aed.settings.training.epochs=1"),
        (T1, "methods.background_agnostic.settings.precision=32-true"),
        (T1, "datasets.ped2.frame_size=[120, 180]"),  # an object method cuts its crops at the native size
        (T2, "methods.ssmtl.settings.scoring.standardise=none"),
    ],
)
def test_what_the_other_stage_does_not_read_is_not_compared(root: Path, run: Run, override: str) -> None:
    keep(Project(root), run)
    check_weights(Project(root, (override,)), run)


@pytest.mark.parametrize(
    ("run", "override", "told"),
    [
        (
            STUDENT,
            "methods.fast_aed.settings.network.output_activation=relu",
            r'network\.output_activation "none", but the run has "relu"',
        ),
        (STUDENT, "datasets.ped2.frame_size=[120, 180]", r"frame_size \[240, 360\], but the run has \[120, 180\]"),
        (STUDENT, "datasets.ped2.map_resolutions=[2, 8, 16]", r"map_resolutions \[4, 8, 16\], but the run has \[2"),
        (T1, "methods.background_agnostic.settings.flow.gap=2", r"flow\.gap \d, but the run has 2"),
        (T2, "methods.ssmtl.settings.crop_size=64", "crop_size 32, but the run has 64"),
    ],
)
def test_other_settings_are_one_line_that_names_file_key_and_remedy(
    root: Path, run: Run, override: str, told: str
) -> None:
    path = keep(Project(root), run)
    with pytest.raises(LightvadError, match=told) as raised:
        check_weights(Project(root, (override,)), run)
    message = str(raised.value)
    assert message.startswith(f"{path}: trained with ")
    assert f"run `lightvad train --run {run.folder}` again" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "changes",
    [{"variant": "no_adversarial"}, {"dataset": "plaza"}, {"budget": "paper"}, {"seed": "7"}, {"method": "ssmtl"}],
)
def test_another_runs_weights_are_refused(root: Path, changes: dict[str, str]) -> None:
    path = keep(Project(root), STUDENT, **changes)
    with pytest.raises(LightvadError, match="weights of another run") as raised:
        check_weights(Project(root), STUDENT)
    assert str(raised.value).startswith(str(path))
    assert next(iter(changes.values())) in str(raised.value)


def test_weights_whose_header_does_not_say_are_taken(root: Path) -> None:
    keep(Project(root), STUDENT, settings=None, budget=None)
    check_weights(Project(root, ("methods.fast_aed.settings.network.output_activation=relu",)), STUDENT)
    with pytest.raises(LightvadError, match="missing or not a safetensors file"):
        check_weights(Project(root), T1)


def test_a_moved_classifier_is_the_same_one_and_another_is_not(root: Path) -> None:
    def with_file(file: str, sha256: str) -> Project:
        return Project(root, (ONNX.replace("FILE", f"{{file: {file}, size: 5, sha256: '{sha256 * 64}'}}"),))

    keep(with_file("a.onnx", "0"), T2)
    check_weights(with_file("elsewhere/a.onnx", "0"), T2)
    with pytest.raises(LightvadError, match=r"distillation\.features_onnx\.sha256"):
        check_weights(with_file("a.onnx", "1"), T2)

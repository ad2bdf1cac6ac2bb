"""Who is timed in one process with whom, and what the benchmark then reads."""

from pathlib import Path

import pytest

from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.plan import Plan
from lightvad.project import Project
from lightvad.resolution import run_inputs, run_slice, timed_beside

OWN = Run("ped2", "quick", "aed_mae", "default", 3)
STUDENT = Run("ped2", "quick", "fast_aed", "default", 3)
TEACHERS = [Run("ped2", "quick", method, "default", 3) for method in ("background_agnostic", "ssmtl")]


def beside(repository: Path, run: Run, *overrides: str) -> list[Run]:
    return timed_beside(Project(repository, overrides), run)


def test_aed_mae_is_timed_beside_fast_aed_and_its_teachers(repository: Path) -> None:
    assert beside(repository, OWN) == [STUDENT, *TEACHERS]
    assert beside(repository, OWN, "methods.aed_mae.timed_beside=[]") == []
    several = "methods.aed_mae.timed_beside=[{method: ssmtl}, {method: fast_aed}, {method: fast_aed, variant: pasted}]"
    pasted = Run("ped2", "quick", "fast_aed", "pasted", 3)
    assert beside(repository, OWN, several) == [TEACHERS[1], STUDENT, TEACHERS[0], pasted]


def test_methods_that_name_each_other_or_themselves_are_timed_once(repository: Path) -> None:
    cycle = ("methods.fast_aed.timed_beside=[{method: aed_mae}]", "methods.ssmtl.timed_beside=[{method: fast_aed}]")
    aed_mae = Run("ped2", "quick", "aed_mae", "default", 3)
    assert beside(repository, OWN, *cycle) == [STUDENT, *TEACHERS]
    assert beside(repository, STUDENT, *cycle) == [*TEACHERS, aed_mae]
    assert beside(repository, TEACHERS[1], *cycle) == [STUDENT, TEACHERS[0]]
    assert beside(repository, OWN, "methods.aed_mae.timed_beside=[{method: aed_mae}]") == []


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("{method: cafe}", "timed_beside: no method 'cafe'; there are: aed_mae, background_agnostic"),
        ("{method: fast_aed, variant: swift}", "timed_beside: fast_aed has no variant 'swift'; it has default, fully"),
    ],
)
def test_a_name_that_does_not_exist_is_one_line_before_anything_runs(repository: Path, named: str, told: str) -> None:
    plan = Plan(Project(repository, (f"methods.aed_mae.timed_beside=[{named}]",)))
    with pytest.raises(LightvadError, match=rf"config/methods/aed_mae\.yaml: {told}") as error:
        plan.check(datasets=("plaza",), budget="smoke", seeds=(0,))
    assert "\n" not in str(error.value)


def test_a_benchmark_reads_what_is_timed_beside_it(repository: Path) -> None:
    project = Project(repository)
    inputs = {path.as_posix() for path in run_inputs(project, "benchmark", OWN)}
    assert {f"{run.folder}/model.safetensors" for run in (OWN, STUDENT, *TEACHERS)} <= inputs
    assert "results/boxes/ped2/import.parquet" in inputs, "of the object methods"
    alone = Project(repository, ("methods.aed_mae.timed_beside=[]",))
    assert not any("boxes" in path.as_posix() for path in run_inputs(alone, "benchmark", OWN))
    code = Plan(project).stage_inputs("benchmark", OWN)
    for method in ("fast_aed", "ssmtl", "background_agnostic"):
        assert any(file.endswith(f"methods/{method}/model.py") for file in code)


def test_a_change_of_what_is_timed_beside_times_again_and_fast_aed_knows_nothing_of_it(repository: Path) -> None:
    slower = Project(repository, ("methods.fast_aed.settings.network={blocks: 7}",))
    assert run_slice(Project(repository), "benchmark", OWN) != run_slice(slower, "benchmark", OWN)
    assert set(run_slice(Project(repository), "benchmark", STUDENT)) == {"dataset", "settings", "benchmark", "teachers"}

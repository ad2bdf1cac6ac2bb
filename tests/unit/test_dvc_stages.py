"""dvc.yaml against the graph: every stage names the files, modules and settings of the Snakemake stages it runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightvad.config import Budget
from lightvad.layout import record_path
from lightvad.modules import PACKAGE, files_of, stage_modules
from lightvad.plan import Plan
from lightvad.project import Project
from lightvad.reporting.selection import complexity_runs, report_runs
from lightvad.resolution import DATASET_STAGES, RUN_STAGES, dataset_slice, measuring_stages, run_outputs

OF_DATASETS = {"data": ("fetch", "prepare"), "boxes": ("detect",)}
OF_RUNS = {"scores": ("pretrain", "train", "score", "maps", "benchmark"), "tables": ("evaluate",)}
OF_RESULTS = {"tables": ("table", "figure", "report")}
BUDGET = "quick"


@pytest.fixture(scope="module")
def pipeline(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "dvc.yaml").read_text())


@pytest.fixture(scope="module")
def project(repository: Path) -> Project:
    return Project(repository)


def stage_of(pipeline: dict[str, Any], name: str, dataset: str) -> dict[str, Any]:
    """The stage with its variables put in."""
    stage = pipeline["stages"][name]
    values = {"${item.dataset}": dataset, "${item.budget}": BUDGET, "${item}": dataset, "${seed}": "0"}

    def filled(content: Any) -> Any:
        if isinstance(content, dict):
            return {filled(key): filled(value) for key, value in content.items()}
        if isinstance(content, list):
            return [filled(value) for value in content]
        for key, value in values.items():
            content = content.replace(key, value) if isinstance(content, str) else content
        return content

    return filled(stage.get("do", stage))


def modules_run(project: Project, name: str, dataset: str) -> set[str]:
    """Files below src that the Snakemake stages of a DVC stage run."""
    plan = Plan(project)
    found: set[Path] = set()
    for stage in OF_DATASETS.get(name, ()):
        found |= set(files_of(*stage_modules(stage, dataset=dataset)))
    for run in report_runs(plan.main_parts(), datasets=(dataset,), budget=BUDGET, seeds=(0,)):
        for stage in OF_RUNS.get(name, ()):
            found |= {Path(file) for file in plan.code(stage, run.method) if Path(file).is_relative_to(PACKAGE)}
    for stage in OF_RESULTS.get(name, ()):
        found |= set(files_of(*stage_modules(stage)))
    return {path.relative_to(PACKAGE.parents[1]).as_posix() for path in found} - {"src/lightvad/__init__.py"}


@pytest.mark.parametrize("dataset", ["plaza", "ped2"])
@pytest.mark.parametrize("name", ["data", "boxes", "scores", "tables"])
def test_a_stage_depends_on_the_modules_that_it_runs(
    pipeline: dict[str, Any], project: Project, name: str, dataset: str
) -> None:
    named = {item for item in stage_of(pipeline, name, dataset)["deps"] if item.startswith("src/")}
    run = modules_run(project, name, dataset)
    uncovered = {file for file in run if not any(file == item or file.startswith(f"{item}/") for item in named)}
    assert not uncovered, f"dvc.yaml: {name}: deps: add {sorted(uncovered)}"
    unused = {item for item in named if not any(file == item or file.startswith(f"{item}/") for file in run)}
    assert not unused, f"dvc.yaml: {name}: deps: remove {sorted(unused)}"


@pytest.mark.parametrize("dataset", ["plaza", "ped2"])
def test_the_files_of_every_run_are_outputs(pipeline: dict[str, Any], project: Project, dataset: str) -> None:
    papers = Plan(project).main_parts()
    chosen: dict[str, Any] = {"datasets": (dataset,), "budget": BUDGET, "seeds": (0,)}
    scores, tables = set(), set()
    for run in report_runs(papers, **chosen):
        stages = measuring_stages(project, run)
        stages += ["benchmark"] if run in complexity_runs(papers, **chosen) else []
        for stage in stages:
            scores |= {*run_outputs(project, stage, run), record_path(run.folder, stage)}
        tables |= {*run_outputs(project, "evaluate", run), record_path(run.folder, "evaluate")}
        tables |= {run.folder / "record.json"}
    assert {Path(out) for out in stage_of(pipeline, "scores", dataset)["outs"]} == scores
    assert {Path(file) for file in Plan(project).scored(**chosen)} <= scores
    named = {Path(out) for out in stage_of(pipeline, "tables", dataset)["outs"]}
    folders = {Path("results", kind, dataset, BUDGET) for kind in ("tables", "figures", "report")}
    assert named == tables | folders


@pytest.mark.parametrize("dataset", ["plaza", "ped2"])
def test_what_evaluation_reads_are_dependencies(pipeline: dict[str, Any], project: Project, dataset: str) -> None:
    plan = Plan(project)
    named = set(stage_of(pipeline, "tables", dataset)["deps"])
    for run in report_runs(plan.main_parts(), datasets=(dataset,), budget=BUDGET, seeds=(0,)):
        read = {file for file in plan.stage_inputs("evaluate", run) if not Path(file).is_absolute()}
        assert len(read) >= 6
        made = {file for file in read if file.startswith("results/")}
        assert made <= set(plan.scored(datasets=(dataset,), budget=BUDGET, seeds=(0,))), "the stage before makes it"
        assert not read - named, f"dvc.yaml: tables: deps: add {sorted(read - named)}"


@pytest.mark.parametrize("dataset", ["plaza", "ped2"])
def test_the_settings_that_a_stage_reads_are_its_parameters(
    pipeline: dict[str, Any], project: Project, dataset: str
) -> None:
    def keys(name: str) -> set[str]:
        named = stage_of(pipeline, name, dataset)["params"]
        return {key for entry in named for file, listed in entry.items() if "/datasets/" in file for key in listed}

    assert set(DATASET_STAGES) == {stage for stages in OF_DATASETS.values() for stage in stages}
    assert keys("data") >= set(dataset_slice(project, "prepare", dataset)) | {"layouts", "detection"}
    assert keys("boxes") == {"detection"}
    for name, stages in OF_RUNS.items():
        read = {key for stage in stages for key in RUN_STAGES[stage]}
        assert keys(name) >= read, f"dvc.yaml: {name}: params: add {sorted(read - keys(name))}"


@pytest.mark.parametrize("dataset", ["plaza", "ped2"])
def test_every_key_of_a_budget_is_followed_by_the_stages_that_read_it(pipeline: dict[str, Any], dataset: str) -> None:
    def keys(name: str) -> set[str]:
        named = stage_of(pipeline, name, dataset)["params"]
        return {key for entry in named for file, listed in entry.items() if "/budgets/" in file for key in listed}

    assert keys("scores") >= {"methods", "datasets", "benchmark"}
    assert keys("scores") | keys("tables") == set(Budget.model_fields) - {"name"}


def test_configuration_files_have_every_followed_key(pipeline: dict[str, Any], repository: Path) -> None:
    names = {key: value for entry in pipeline["vars"] for key, value in entry.items()}
    for dataset in names["datasets"]:
        for name in pipeline["stages"]:
            for entry in stage_of(pipeline, name, dataset)["params"]:
                for file, listed in entry.items():
                    for budget in names["budgets"]:
                        path = repository / file.replace(f"/{BUDGET}.yaml", f"/{budget}.yaml")
                        assert set(listed) <= set(yaml.safe_load(path.read_text())), f"{path} misses a followed key"

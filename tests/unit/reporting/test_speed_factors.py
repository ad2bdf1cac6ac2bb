"""Which row of `speed.json` stands for a method: one, and the one that its scores are made in."""

import json
from pathlib import Path

import pytest

from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.project import Project
from lightvad.reporting.speed_factors import SCOPES, Timing, timings

from .conftest import BUDGET, FPS


def found_in(project: Project) -> list[Timing]:
    rows = project.experiment("fast_aed").figures["2"].rows
    return timings(project.root, rows, dataset="plaza", budget=BUDGET, seed=0)


def speed_file(project: Project) -> Path:
    return project.root / Run("plaza", BUDGET, "fast_aed", "default", 0).folder / "speed.json"


@pytest.mark.parametrize("order", [1, -1], ids=["reference first", "reference last"])
def test_a_method_has_one_row_in_each_scope_and_it_is_the_scored_one(own_project: Project, order: int) -> None:
    path = speed_file(own_project)
    path.write_text(json.dumps(json.loads(path.read_text())[::order]))
    found = found_in(own_project)
    named = [(timing.label, timing.scope) for timing in found]
    assert named == [
        (row.label, scope) for row in own_project.experiment("fast_aed").figures["2"].rows for scope in SCOPES
    ]
    student = [timing for timing in found if timing.row["method"] == "fast_aed"]
    assert {timing.scope: timing.fps for timing in student} == FPS["fast_aed"]
    assert {timing.row["precision"] for timing in student} == {"bf16-mixed"}
    assert {timing.row["batch"] for timing in found} == {1}


def test_rows_from_before_there_were_references_are_still_read(own_project: Project) -> None:
    path = speed_file(own_project)
    rows = [row for row in json.loads(path.read_text()) if row["scored"]]
    path.write_text(json.dumps([{key: value for key, value in row.items() if key != "scored"} for row in rows]))
    student = [timing for timing in found_in(own_project) if timing.row["method"] == "fast_aed"]
    assert {timing.scope: timing.fps for timing in student} == FPS["fast_aed"]


def test_a_reference_alone_stands_for_nothing(own_project: Project) -> None:
    path = speed_file(own_project)
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([row for row in rows if row["method"] != "fast_aed" or not row["scored"]]))
    with pytest.raises(LightvadError, match="no row of fast_aed/default, model, batch 1"):
        found_in(own_project)

"""Which runs and files a result needs."""

import subprocess
import sys
from pathlib import Path

from lightvad.layout import Run
from lightvad.project import Project
from lightvad.reporting.selection import (
    complexity_runs,
    figure_inputs,
    report_inputs,
    report_runs,
    runs_of,
    table_inputs,
)

CHOICE = {"datasets": ("plaza",), "budget": "quick", "seeds": (0, 1)}


def test_table_shows_every_row_from_every_seed(made_up: Project) -> None:
    table = made_up.experiment("fast_aed").tables["7"]
    assert runs_of(table, **CHOICE) == [
        Run("plaza", "quick", "fast_aed", variant, seed)
        for variant in ("no_adversarial", "default", "pasted")
        for seed in (0, 1)
    ]


def test_curves_and_maps_show_the_first_seed_only(made_up: Project) -> None:
    figures = made_up.experiment("fast_aed").figures
    assert {run.seed for run in runs_of(figures["4"], **CHOICE)} == {0}
    assert {run.seed for run in runs_of(figures["2"], **CHOICE)} == {0, 1}


def test_every_input_named_is_there_and_curves_need_no_speed(made_up: Project) -> None:
    experiment = made_up.experiment("fast_aed")
    files = [path for number in experiment.tables for path in table_inputs(experiment, number, **CHOICE)]
    files += [path for figure in experiment.figures.values() for path in figure_inputs(figure, **CHOICE)]
    assert all((made_up.root / path).is_file() for path in files)
    curves = {path.name for path in figure_inputs(experiment.figures["4"], **CHOICE)}
    assert curves == {"index.parquet", "checksums.json", "frame_scores.parquet"}


def test_report_needs_all_tables_figures_and_records(made_up: Project) -> None:
    experiments = [made_up.experiment("fast_aed").main_part]
    files = {path.as_posix() for path in report_inputs(experiments, **CHOICE)}
    assert "results/tables/plaza/quick/fast_aed/table7.csv" in files
    assert "results/figures/plaza/quick/fast_aed/figure10.png" in files
    assert "results/runs/plaza/quick/ssmtl/default/seed1/record.json" in files
    assert len(report_runs(experiments, **CHOICE)) == 10
    assert complexity_runs(experiments, **CHOICE) == [Run("plaza", "quick", "fast_aed", "default", 0)]


def test_selection_imports_nothing_heavy(repository: Path) -> None:
    code = (
        "import sys, lightvad.reporting.selection;"
        "print([name for name in ('torch', 'matplotlib', 'pandas', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert done.stdout.strip() == "[]"

"""AED-MAE's Tables 5 and 6 and Figures 2 and 6: what methods cost, from the one benchmark that timed them all."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.documents import read_csv, read_json, write_json
from lightvad.artifacts.tables import INDEX, write_table
from lightvad.errors import LightvadError
from lightvad.layout import Run, clips_folder, tables_folder
from lightvad.project import Project
from lightvad.reporting.captions import figure_caption
from lightvad.reporting.reported import reported_points
from lightvad.reporting.selection import Shown, figure_inputs, report_runs, table_inputs
from lightvad.reporting.speed_accuracy import MEASURED, points_of
from lightvad.reporting.tables import blocks_of
from lightvad.reporting.typesetting import print_blocks
from lightvad.stages import table as stage
from lightvad.video.clips import Clip, index_of

from .conftest import BUDGET, DATASET, write_configuration, write_numbers

DATASETS = ("ped2", "avenue", "plaza")
FPS = {"aed_mae": 90.0, "fast_aed": 60.0, "background_agnostic": 3.0, "ssmtl": 4.0}
SIZES = {"aed_mae": (80, 160)}
BEST = {"aed_mae": 1.5, "fast_aed": 0.9}
"""Of the frame methods: how many times faster a frame is at batch 8."""
YOLO = {"detector": "yolov3u", "detector_parameters": 60_000_000, "detector_gflops": 100.0, "objects_per_frame": 7}


def speed_rows(method: str) -> list[dict[str, Any]]:
    height, width = SIZES.get(method, (240, 360))
    same = {"method": method, "variant": "default", "engine": "eager", "device": "Synthetic CPU", "threads": 2}
    same |= {"height": height, "width": width, "detector": None if method in BEST else "yolov3u", "scored": True}
    same |= {"precision": "bf16-mixed", "objects_per_frame": None if method in BEST else 7.0}
    rows = [{**same, "scope": "end_to_end", "batch": 1, "fps_median": FPS[method] / 2}]
    if method in BEST:
        rows.append({**same, "scope": "model", "batch": 8, "fps_median": FPS[method] * BEST[method]})
        rows.append(
            {**same, "scope": "model", "batch": 1, "fps_median": 999.0, "scored": False, "precision": "32-true"}
        )
    return [*rows, {**same, "scope": "model", "batch": 1, "fps_median": FPS[method]}]


@pytest.fixture
def rivals(tmp_path: Path, repository: Path) -> Project:
    """Every run that AED-MAE's Tables 5 and 6 and Figure 2 show, with made-up numbers."""
    write_configuration(tmp_path, repository)
    text = DATASET.format(name="avenue", title="Avenue", fps=25, note="")
    write_text(tmp_path / "config" / "datasets" / "avenue.yaml", text)
    project = Project(tmp_path)
    experiment = project.experiment("aed_mae")
    shown = experiment.model_copy(
        update={
            "tables": {number: experiment.tables[number] for number in "56"},
            "figures": {number: experiment.figures[number] for number in "26"},
        }
    )
    for dataset in DATASETS:
        clip = Clip("Test001", "test", 60, 120, 180, 25.0, "made up")
        write_table(tmp_path / clips_folder(dataset) / "index.parquet", index_of([clip]), INDEX)
        for run in report_runs([shown], datasets=(dataset,), budget=BUDGET, seeds=(0,)):
            write_numbers(tmp_path, run, 0.8)
        folder = tmp_path / Run(dataset, BUDGET, "aed_mae", "default", 0).folder
        write_json(folder / "speed.json", [row for method in FPS for row in speed_rows(method)])
        beside = [
            {
                "method": "fast_aed",
                "variant": "default",
                "parameters": 5_000_000,
                "gflops": 6.0,
                "input": [9, 240, 360],
            },
            {"method": "background_agnostic", "variant": "default", "parameters": 2_000_000, "gflops": 8.0} | YOLO,
            {"method": "ssmtl", "variant": "default", "parameters": 3_000_000, "gflops": 9.0} | YOLO,
        ]
        own = {"parameters": 2_242_050, "gflops": 4.06, "input": [9, 80, 160]}
        write_json(folder / "complexity.json", own | {"beside": beside})
    return project


def written(project: Project, number: str, dataset: str) -> Path:
    stage.run(
        project, paper="aed_mae", number=number, datasets=(dataset,), budget=BUDGET, seeds=(0,), root=project.root
    )
    return project.root / tables_folder((dataset,), BUDGET, "aed_mae") / f"table{number}.csv"


def test_costs_stand_beside_the_papers_with_the_detector_counted(rivals: Project) -> None:
    lines = read_csv(written(rivals, "5", "ped2"))
    costs = {
        (line["label"], line["metric"]): (line["reported"], float(line["measured"]))
        for line in lines
        if line["label"] and line["metric"] in ("gflops", "params_millions", "fps")
    }
    assert costs == {
        ("SSMTL (T2)", "gflops"): ("107.9", 109.0),
        ("SSMTL (T2)", "params_millions"): ("65", 63.0),
        ("SSMTL (T2)", "fps"): ("51", 4.0),
        ("Background-Agnostic (T1)", "gflops"): ("121.6", 108.0),
        ("Background-Agnostic (T1)", "params_millions"): ("67", 62.0),
        ("Background-Agnostic (T1)", "fps"): ("24", 3.0),
        ("AED-MAE", "gflops"): ("0.8", 4.06),
        ("AED-MAE", "params_millions"): ("3", 2.24205),
        ("AED-MAE", "fps"): ("1655", 90.0),
        ("Fast-AED (student)", "gflops"): ("", 6.0),
        ("Fast-AED (student)", "params_millions"): ("", 5.0),
        ("Fast-AED (student)", "fps"): ("", 60.0),
    }
    (own,) = (line for line in lines if line["label"] == "AED-MAE" and line["metric"] == "gflops")
    assert float(own["delta"]) == pytest.approx(4.06 - 0.8)
    assert (own["seeds"], own["protocol"], own["precision"]) == ("", "", "bf16-mixed")
    assert lines[-1]["label"] == "Fast-AED (student)", "the paper does not have it"
    literature = [(line["citation_key"], line["reported"]) for line in lines if not line["label"]]
    assert literature[:3] == [("49", "179.5"), ("49", "320"), ("49", "12")]


def test_the_printed_table_says_what_was_counted_on_what(rivals: Project) -> None:
    path = written(rivals, "5", "ped2")
    text = path.with_suffix(".md").read_text()
    assert "| **Ours** | **AED-MAE**" in text.replace(" - |", "")
    assert "| **0.8** | **4.1** | **+3.3** | **3.0** | **2.2** | **-0.8** |" in text
    assert "| 179.5 | - | - | 320.0 | - | - | 12.0 | - | - |" in text
    assert "AED-MAE at 80x160; Fast-AED (student) at 240x360" in text
    assert "7 objects a frame and with its detector, yolov3u (60.0 M parameters, 100.0 GFLOPs)" in text
    assert "the fastest batch where it is another: AED-MAE 135 (batch 8) (results/runs/ped2" in text
    assert "AED-MAE: Synthetic CPU, 2 threads, eager, bf16-mixed, batch 1, 80x160; Fast-AED (student): Synth" in text
    assert "reproduced by no counter" in text
    assert "Fast-AED (student): beyond the paper; the paper does not have it." in text
    page = io.StringIO()
    console = Console(file=page, width=80, force_terminal=True, color_system=None, legacy_windows=False)
    print_blocks("Table 5", blocks_of(read_csv(path), rivals.experiment("aed_mae").tables["5"], {}), [], console)
    assert "parameters, M" in page.getvalue()
    assert "Gong et al." in page.getvalue(), "a row that nothing here rebuilds has the paper's name"
    assert "…" not in page.getvalue()


def test_reported_regions_are_printed_beside_measured_ones(rivals: Project) -> None:
    path = written(rivals, "6", "avenue")
    text = path.with_suffix(".md").read_text()
    assert "RBDC, reported | RBDC, measured | RBDC, delta | TBDC, reported |" in text
    assert "| **46.8** | **41.0** | **-5.8** | **66.6** | **72.0** | **+5.4** |" in text
    assert "| 41.0 | - | - | 86.2 | - | - |" in text, "Liu et al. [49]"
    assert "the literature's rows are left out" not in text
    assert r"46.8} & \textbf{41.0} & \textbf{-5.8}" in path.with_suffix(".tex").read_text()


def test_costs_of_the_literature_are_of_no_dataset(rivals: Project) -> None:
    costs, regions = (written(rivals, number, "plaza").with_suffix(".md").read_text() for number in "56")
    assert "| 179.5 | - | - |" in costs
    assert "The paper has no plaza" not in costs
    assert "The paper has no plaza: the literature's rows are left out." in regions
    assert "Liu et al." not in regions


def test_a_benchmark_without_a_row_is_one_line(rivals: Project) -> None:
    folder = rivals.root / Run("ped2", BUDGET, "aed_mae", "default", 0).folder
    content = read_json(folder / "complexity.json")
    del content["beside"][1]["detector_gflops"]
    write_json(folder / "complexity.json", content)
    with pytest.raises(
        LightvadError, match=r"complexity\.json: no detector_gflops of background_agnostic/default; run"
    ):
        written(rivals, "5", "ped2")
    write_json(folder / "complexity.json", {key: value for key, value in content.items() if key != "beside"})
    with pytest.raises(LightvadError, match=r"complexity\.json: no part of ssmtl/default; run"):
        written(rivals, "5", "ped2")
    write_json(folder / "speed.json", speed_rows("aed_mae"))
    with pytest.raises(
        LightvadError, match=r"no row of ssmtl/default, model, batch 1; .* `timed_beside` of config/meth"
    ):
        written(rivals, "5", "ped2")


def test_the_figures_points_are_the_papers_and_those_of_the_one_benchmark(rivals: Project) -> None:
    experiment = rivals.experiment("aed_mae")
    figure = experiment.figures["2"]
    assert figure.reported is not None
    found = {
        point.key: (point.fps, point.micro_auc) for point in reported_points(rivals.root, figure.reported, "Avenue")
    }
    assert found["26"] == (51, 91.5)
    assert found["69+27"] == (31, 92.9)
    assert found["ours"] == (1655, 91.3)
    assert set(found) == set(figure.reported.keys)
    shown = Shown(rivals, experiment, ("avenue",), BUDGET, (0,), rivals.root)
    points = [point for point in points_of(shown, figure) if point.source == MEASURED]
    speeds = {(point.label, point.scope): point.fps for point in points}
    assert speeds[("AED-MAE", "model")] == 90
    assert speeds[("Fast-AED + pasted", "model")] == speeds[("Fast-AED (student)", "model")] == 60
    assert speeds[("Background-Agnostic (T1)", "end_to_end")] == 1.5
    told = [sentence for sentence in figure_caption(shown, figure) if " against " in sentence]
    assert len(told) == 3, "Fast-AED, T1 and T2, and Fast-AED's network not twice"
    assert told[0].startswith("Speed: AED-MAE against Fast-AED (student): 1.5 times model only (90.0 against 60.0")


def test_inputs_are_the_documents_of_the_timed_run(rivals: Project) -> None:
    experiment = rivals.experiment("aed_mae")
    choice: dict[str, Any] = {"datasets": ("ped2",), "budget": BUDGET, "seeds": (0,)}
    own = Run("ped2", BUDGET, "aed_mae", "default", 0).folder
    table = table_inputs(experiment, "5", **choice)
    assert {own / "speed.json", own / "complexity.json"} <= set(table)
    assert own / "complexity.json" not in table_inputs(experiment, "6", **choice)
    figure = {path.as_posix() for path in figure_inputs(experiment.figures["2"], **choice)}
    assert "config/reported/aed_mae_table1.csv" in figure
    assert "config/reported/citations.csv" not in figure, "both numbers are of one paper"

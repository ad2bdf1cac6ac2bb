"""All tables and figures of Fast-AED, from raw video to the page that shows them: smoke budget, plaza cut down."""

import json
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from lightvad.artifacts.documents import read_csv
from lightvad.layout import figures_folder, report_path, tables_folder
from lightvad.project import Project

from .conftest import SMALL, Checkout, copy_project

TINY = (
    *SMALL,
    "datasets.plaza.generator.frames_per_clip={train: 20, test: 20, detector: 2}",
    "datasets.plaza.frames={train: 60, test: 100, detector: 2}",
    "budgets.smoke.methods.fast_aed.pretraining.windows_per_epoch=8",
    "budgets.smoke.methods.fast_aed.training.windows_per_epoch=8",
    "datasets.plaza.frame_size=[64, 96]",
    "datasets.plaza.generator.frame_size=[64, 96]",
    "datasets.plaza.generator.minimal_pixels=4",
    "datasets.plaza.detection.motion.minimal_area=8",
    "budgets.smoke.bootstrap=20",
)
"""A hundred frames of 64 x 96 pixels."""
LARGEST_PAGE = 5_000_000
COMMAND_LINE = re.compile(r"-m lightvad (.+) 2>&1 \| tee")
IN_ONE_PROCESS = Path(__file__).with_name("in_one_process.py")
CHOICE = (("plaza",), "smoke")


@pytest.fixture(scope="module")
def paper(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A project in which every command that Snakemake plans for `fast_aed_paper` has run."""
    checkout = copy_project(repository, tmp_path_factory.mktemp("paper"))
    planned = checkout.snakemake("--dry-run", "--printshellcmds", "fast_aed_paper", small=TINY)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    commands = [shlex.split(line) for line in COMMAND_LINE.findall(planned.stdout + planned.stderr)]
    stages = Counter(command[0] for command in commands)
    assert (stages["pretrain"], stages["train"], stages["table"], stages["figure"]) == (2, 41, 8, 10)
    ended = checkout.run(sys.executable, str(IN_ONE_PROCESS), given=json.dumps(commands))
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    return checkout


@pytest.mark.slow
def test_every_row_of_every_table_was_measured(paper: Checkout) -> None:
    experiment = Project(paper.root).experiment("fast_aed")
    assert sorted(experiment.tables, key=int) == [str(number) for number in range(1, 9)]
    for number, table in experiment.tables.items():
        folder = paper.root / tables_folder(*CHOICE, "fast_aed")
        lines = read_csv(folder / f"table{number}.csv")
        measured = {
            (line["rebuilt_as"], line["metric"], line["protocol"])
            for line in lines
            if line["measured"] and "synthetic" in line["data"] and line["budget"] == "smoke"
        }
        for row in table.rows:
            name = f"{row.method}/{row.variant}"
            wanted = {(name, metric, p) for metric in ("micro_auc", "macro_auc") for p in (row.protocol, "plain")}
            wanted |= {(name, metric, "") for metric in ("fps", "fps_ratio") if table.speeds}
            assert wanted <= measured, f"table {number}"
        for suffix in (".md", ".tex"):
            assert "synthetic" in (folder / f"table{number}{suffix}").read_text()


@pytest.mark.slow
def test_every_figure_was_drawn_and_all_stand_on_one_page(paper: Checkout) -> None:
    experiment = Project(paper.root).experiment("fast_aed")
    assert sorted(experiment.figures, key=int) == ["2", *(str(number) for number in range(4, 13))]
    folder = paper.root / figures_folder(*CHOICE, "fast_aed")
    for number in experiment.figures:
        assert len(read_csv(folder / f"figure{number}.csv")) > 1
        assert (folder / f"figure{number}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"figure{number}.pdf").read_bytes().startswith(b"%PDF")
    page = paper.root / report_path(*CHOICE, "fast_aed")
    assert page.stat().st_size < LARGEST_PAGE
    text = page.read_text()
    for number in experiment.tables:
        assert f'id="fast_aed-table{number}"' in text
    for variant in {row.variant for table in experiment.tables.values() for row in table.rows}:
        assert f"results/runs/plaza/smoke/fast_aed/{variant}/seed0" in text


@pytest.mark.slow
def test_records_hold_and_nothing_is_left_to_do(paper: Checkout) -> None:
    verified = paper.run("lightvad", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert paper.planned("fast_aed_paper", small=TINY) == set()


@pytest.mark.slow
def test_tables_and_figures_are_made_again_from_scores_without_a_training(paper: Checkout) -> None:
    planned = paper.planned("fast_aed_paper", "--forcerun", "evaluate", small=TINY)
    assert {job.split()[0] for job in planned} == {"evaluate", "table", "figure", "report"}
    assert sum(job.startswith("evaluate") for job in planned) == 41


def test_a_dataset_of_a_thousand_clips_is_planned_as_one_of_eight(repository: Path, tmp_path: Path) -> None:
    """No clip is a file of the graph: a plan does not grow with them."""
    checkout = copy_project(repository, tmp_path)
    clips = "clips={train: 900, test: 100, detector: 1}"
    thousand = (*TINY, f"datasets.plaza.{clips}", f"datasets.plaza.generator.{clips}")
    assert checkout.planned("fast_aed_paper", small=thousand) == checkout.planned("fast_aed_paper", small=TINY)

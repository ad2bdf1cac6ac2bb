"""The report page: everything on one page, in one file."""

import base64
import re

import pytest

from lightvad.errors import LightvadError
from lightvad.layout import figures_folder, report_path
from lightvad.project import Project
from lightvad.stages import figure, report, table

from .conftest import BUDGET

CHOICE = {"datasets": ("ped2",), "budget": BUDGET, "seeds": (0, 1)}


@pytest.fixture(scope="module")
def page(made_up: Project) -> str:
    experiment = made_up.experiment("fast_aed").main_part
    for number in experiment.tables:
        table.run(made_up, paper="fast_aed", number=number, root=made_up.root, **CHOICE)
    for number in experiment.figures:
        figure.run(made_up, paper="fast_aed", number=number, root=made_up.root, **CHOICE)
    report.run(made_up, root=made_up.root, **CHOICE)
    return (made_up.root / report_path(("ped2",), BUDGET)).read_text()


def test_page_refers_to_no_other_file(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page


def test_page_embeds_every_figure_as_it_was_drawn(page: str, made_up: Project) -> None:
    embedded = [base64.b64decode(image) for image in re.findall(r'base64,([^"]+)"', page)]
    folder = made_up.root / figures_folder(("ped2",), BUDGET, "fast_aed")
    # Figures 2 and 7 are the same plot on a dataset that is neither ShanghaiTech nor Avenue: shown once.
    assert embedded == [(folder / f"figure{number}.png").read_bytes() for number in ("2", "4", "5", "6", "10")]
    assert "Figures 2 and 7" in page


def test_page_says_what_was_run_on_what(page: str) -> None:
    for text in (
        "re-encoded H.264", "made-up numbers", "Synthetic CPU (2 cores)", "2026-01-02", "4,997,747", "14.10",
        "3,141,592", "13.9 times model only", "cccccccccccc", "dddddddddddd",
        "results/runs/ped2/quick/ssmtl/default/seed1", "eager, 32-true (reference)", "0.0031", "-0.0007",
        "Doshi et al. [3]", "91.5 [87.0, 95.0]", "0, 1",
    ):  # fmt: skip
        assert text in page, text


def test_page_repeats_byte_for_byte(page: str, made_up: Project) -> None:
    report.run(made_up, root=made_up.root, **CHOICE)
    assert (made_up.root / report_path(("ped2",), BUDGET)).read_text() == page


def test_missing_table_names_the_target(own_project: Project) -> None:
    with pytest.raises(LightvadError, match=r"results/tables/plaza/quick/fast_aed/table1.csv: missing; run `snakemake"):
        report.run(own_project, datasets=("plaza",), budget=BUDGET, seeds=(0,), root=own_project.root)

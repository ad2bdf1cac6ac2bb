"""The report page: everything on one page, in one file."""

import base64
import re

import cv2
import numpy as np
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
    referred = re.findall(r'(?:src|href)="([^"]*)"', page)
    anchors = {link.removeprefix("#") for link in referred if link.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    assert sum(link.startswith("data:image/webp;base64,") for link in referred) == 5
    assert all(link.startswith(("#", "data:")) for link in referred)
    assert "sourceMappingURL" not in page
    assert "url(" not in page


def test_page_embeds_every_figure_as_it_was_drawn(page: str, made_up: Project) -> None:
    embedded = [base64.b64decode(image) for image in re.findall(r'src="data:image/webp;base64,([^"]+)"', page)]
    folder = made_up.root / figures_folder(("ped2",), BUDGET, "fast_aed")
    # Figures 2 and 7 are the same plot on a dataset that is neither ShanghaiTech nor Avenue: shown once.
    assert "Figures 2 and 7" in page
    for number, image in zip(("2", "4", "5", "6", "10"), embedded, strict=True):
        drawn = cv2.imread(str(folder / f"figure{number}.png")).astype(int)
        shown = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).astype(int)
        # Lines without loss; maps over frames as a photograph.
        assert np.abs(shown - drawn).mean() <= (2 if number == "10" else 0)


def test_every_measured_number_leads_to_its_record(page: str) -> None:
    found = re.findall(r'<a href="#(ped2-quick-[\w-]+)" title="what this number was made from">([^<]+)</a>', page)
    assert ("ped2-quick-ssmtl-default-seed0", "91.5 [87.0, 95.0]") in [
        (anchor, re.sub(r" ± [\d.]+", "", number)) for anchor, number in found
    ]
    assert 'id="ped2-quick-fast_aed-default-seed0"' in page
    assert "model.safetensors <code>ffffffffffff</code>" in page


def test_page_says_what_was_run_on_what(page: str) -> None:
    for text in (
        "re-encoded H.264", "made-up numbers", "Synthetic CPU (2 cores)", "2026-01-02", "4,997,747", "14.10",
        "3,141,592", "13.9 times model only", "cccccccccccc", "dddddddddddd",
        "results/runs/ped2/quick/ssmtl/default/seed1", "eager, 32-true (reference)", "0.0031", "-0.0007",
        "Doshi et al. [3]", "91.5 ± 0.7 [87.0, 95.0]", "0, 1",
    ):  # fmt: skip
        assert text in page, text


def test_page_repeats_byte_for_byte(page: str, made_up: Project) -> None:
    report.run(made_up, root=made_up.root, **CHOICE)
    assert (made_up.root / report_path(("ped2",), BUDGET)).read_text() == page


def test_missing_table_names_the_target(own_project: Project) -> None:
    with pytest.raises(LightvadError, match=r"results/tables/plaza/quick/fast_aed/table1.csv: missing; run `snakemake"):
        report.run(own_project, datasets=("plaza",), budget=BUDGET, seeds=(0,), root=own_project.root)

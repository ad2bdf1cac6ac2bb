"""What CONTRIBUTING.md says: a method, a dataset and a table are added by new files alone."""

import csv
import shutil
from pathlib import Path

import pytest

from tests.workflow.conftest import copy_project

pytestmark = pytest.mark.slow

ADDITIONS = Path(__file__).parent / "additions"


def test_a_method_a_dataset_and_a_table_are_new_files_alone(repository: Path, tmp_path: Path) -> None:
    checkout = copy_project(repository, tmp_path)
    for added in ADDITIONS.rglob("*.*"):
        target = checkout.root.joinpath(*added.relative_to(ADDITIONS).parts[1:])
        assert not target.exists(), f"{added} would replace a file"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(added, target)
    ended = checkout.snakemake("toy_table1", small=(), datasets="blinks")
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    with (checkout.root / "results/tables/blinks/smoke/toy/table1.csv").open() as file:
        rows = {(row["metric"], row["protocol"]): row for row in csv.DictReader(file)}
    assert float(rows["micro_auc", "plain"]["reported"]) == 90
    assert float(rows["micro_auc", "plain"]["measured"]) > 80
    assert (checkout.root / "results/runs/blinks/smoke/stillness/default/seed0/record.json").is_file()

"""Paths of the contracts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.errors import LightvadError
from lightvad.layout import (
    Run,
    boxes_path,
    classes_path,
    clips_folder,
    figures_folder,
    files_made,
    is_record,
    raw_folder,
    tables_folder,
)

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@given(names, names, names, names, st.integers(0, 99))
def test_a_run_is_read_back_from_its_folder(dataset: str, budget: str, method: str, variant: str, seed: int) -> None:
    run = Run(dataset, budget, method, variant, seed)
    assert Run.parse(run.folder) == run
    assert Run.parse(f"../elsewhere/{run.folder}/") == run


@pytest.mark.parametrize("path", ["", "results/runs/ped2", "results/runs/ped2/quick/fast_aed/default", "a/b/c/d/e"])
def test_not_a_run(path: str) -> None:
    with pytest.raises(LightvadError, match="not a run; write results/runs/"):
        Run.parse(path)


def test_contracts() -> None:
    assert (
        Run("ped2", "quick", "fast_aed", "default", 0).folder.as_posix()
        == "results/runs/ped2/quick/fast_aed/default/seed0"
    )
    assert raw_folder("ped2").as_posix() == "data/raw/ped2"
    assert clips_folder("ped2").as_posix() == "data/clips/ped2"
    assert boxes_path("ped2", "import").as_posix() == "results/boxes/ped2/import.parquet"
    assert classes_path("ped2", "import").as_posix() == "results/boxes/ped2/import.classes.npz"
    assert (
        tables_folder(("ped2", "avenue"), "quick", "fast_aed").as_posix() == "results/tables/ped2+avenue/quick/fast_aed"
    )
    assert figures_folder(("plaza",), "quick", "fast_aed").as_posix() == "results/figures/plaza/quick/fast_aed"


def test_files_made_are_those_of_stages_and_what_a_kill_left(tmp_path: Path) -> None:
    run = "results/runs/plaza/smoke/ssmtl/default/seed0"
    made = ["data/raw/plaza/a.tar", f"{run}/model.safetensors", f"{run}/records/train.json", f"{run}/.m.x.tmp.csv"]
    others = [f"{run}/.lock", f"{run}/_resume/training.pt", "results/published/tables/table7.csv", "config/config.yaml"]
    for name in (*made, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    elsewhere = tmp_path / "disk" / "ped2"
    elsewhere.mkdir(parents=True)
    (elsewhere / "index.parquet").touch()
    (tmp_path / "data" / "clips").mkdir()
    (tmp_path / "data" / "clips" / "ped2").symlink_to(elsewhere)
    found = [path.as_posix() for path in files_made(tmp_path)]
    assert found == sorted([*made, "data/clips/ped2/index.parquet"])
    assert [path.name for path in files_made(tmp_path) if is_record(path)] == ["train.json"]

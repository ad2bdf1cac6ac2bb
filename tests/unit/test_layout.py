"""Paths of the contracts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.errors import LightvadError
from lightvad.layout import Run, boxes_path, classes_path, clips_folder, figures_folder, raw_folder, tables_folder

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

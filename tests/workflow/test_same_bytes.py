"""The same seed twice on the CPU, on another number of cores: the same bytes."""

import hashlib
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout, copy_project, figures_of, tables_of

pytestmark = pytest.mark.slow

CONTENT = ("model.safetensors", "pretrained.safetensors", "maps.npz", "frame_scores.parquet", "metrics.json")


@pytest.fixture(scope="module")
def again(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A second checkout in which the same has run on one core."""
    checkout = copy_project(repository, tmp_path_factory.mktemp("again"))
    ended = checkout.snakemake(how=("--cores", "1"))
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    return checkout


@pytest.fixture
def first(again: Checkout, request: pytest.FixtureRequest) -> Checkout:
    """The undisturbed run on two cores; asked for after `again`, for another worker may be making it meanwhile."""
    checkout: Checkout = request.getfixturevalue("undisturbed")
    return checkout


def digests_of(checkout: Checkout) -> dict[str, str]:
    """Path -> sha256 of what the runs hold that no clock decides, and of the prepared clips and boxes."""
    runs = checkout.root / "results" / "runs"
    files = [file for name in CONTENT for file in runs.rglob(name)]
    files += (checkout.root / "data" / "clips").glob("*/checksums.json")
    files += (checkout.root / "results" / "boxes").glob("*/*.parquet")
    return {
        file.relative_to(checkout.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(files)
    }


def test_runs_are_the_same_bytes_on_one_core_and_on_two(first: Checkout, again: Checkout) -> None:
    here, there = digests_of(first), digests_of(again)
    assert here.keys() == there.keys()
    assert {Path(name).name for name in here} >= set(CONTENT)
    assert [name for name in here if here[name] != there[name]] == []


def test_tables_and_figures_are_the_same_bytes_on_one_core_and_on_two(first: Checkout, again: Checkout) -> None:
    assert tables_of(again) == tables_of(first)
    assert figures_of(again) == figures_of(first)

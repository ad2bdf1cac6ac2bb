"""The short form of `make faults`: a few faults of each kind in the smoke pipeline, the same ones every time."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.project import FaultyProject, binaries_here
from tests.faults.trials import damaged, flipped, killed_until_done
from tests.workflow.conftest import SMALL, Checkout

pytestmark = pytest.mark.slow

STUDENT = "results/runs/plaza/smoke/fast_aed/pasted/seed0"


@pytest.fixture(scope="module")
def faulty(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyProject]:
    """The finished checkout, which is brought back as it was."""
    project = FaultyProject(finished.root, tmp_path_factory.mktemp("faults"), binaries_here(), SMALL)
    project.keep()
    yield project
    project.restore()


def halved(path: Path, draw: random.Random) -> str:
    """`cut_off` may take the last line's end alone, which says nothing: such a record holds."""
    os.truncate(path, path.stat().st_size // 2)
    return "half of it"


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(faulty: FaultyProject) -> None:
    faulty.restore()
    forgotten = faulty.forget([f"{STUDENT}/model.safetensors"], themselves=True)
    assert {"train", "score", "evaluate", "table7", "index"} <= {record.stage for record in forgotten}
    outcome = killed_until_done(faulty, random.Random(0), longest=40, most=4)
    assert (outcome.result, outcome.told) == ("survived", "")
    assert 2 <= outcome.faults <= 4


@pytest.mark.parametrize(
    ("victim", "damage"),
    [
        (f"{STUDENT}/model.safetensors", flipped),
        (f"{STUDENT}/records/score.json", halved),
        ("data/clips/plaza/test/test_01.zip", flipped),
    ],
)
def test_a_damaged_file_is_named_before_it_is_read_and_can_be_mended(
    faulty: FaultyProject, victim: str, damage: object
) -> None:
    outcome = damaged(faulty, random.Random(1), Path(victim), damage, at_rest=False, old_time=True, mended=False)
    assert outcome.result == "reported"
    assert victim in outcome.told


def test_a_damaged_table_is_not_printed(faulty: FaultyProject) -> None:
    table = "results/tables/plaza/smoke/fast_aed/table7.csv"
    outcome = damaged(faulty, random.Random(2), Path(table), flipped, at_rest=True, old_time=True, mended=False)
    assert outcome.result == "reported"
    assert table in outcome.told


def test_of_two_runs_at_once_one_is_told_to_wait(faulty: FaultyProject) -> None:
    faulty.restore()
    faulty.forget(["results/tables/plaza/smoke/fast_aed/table7.csv"], themselves=True)
    first, second = faulty.start("first"), faulty.start("second")
    ended = [faulty.wait(first, "first"), faulty.wait(second, "second")]
    assert sorted(one.status for one in ended if one is not None) in ([0, 0], [0, 2])
    refused = [one.text for one in ended if one is not None and one.status]
    assert all("another run is at work here" in text for text in refused)
    assert faulty.differences() == []

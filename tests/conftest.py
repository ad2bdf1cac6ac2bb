"""Fixtures shared by all tests, and how the tests are divided among workers."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Two threads of torch beside another busy process wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file run in one worker, and so do all that may change the finished workflow, which come first."""
    for item in items:
        together = "finished" if "finished" in getattr(item, "fixturenames", ()) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(together))
    items.sort(key=lambda item: "finished" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Vectors made by running the published evaluation code on synthetic inputs."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference tables and real data beside the checkout."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: reference tables and real data are not here")
    return folder


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """Real video, masks and boxes; never part of the repository."""
    folder = shared / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: the benchmark video is not here")
    return folder

"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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

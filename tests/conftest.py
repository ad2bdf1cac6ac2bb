"""Fixtures shared by all tests, and how the tests are divided among workers."""

import os
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

REPOSITORY = Path(__file__).resolve().parents[1]

# Two threads of torch beside another busy process wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time, however slow the machine: a red main is never chance.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


COMPARES_ONLY = ("test_cluster", "test_contributing", "test_lint", "test_same_bytes")
"""Files under tests/workflow whose tests leave the finished workflow alone."""


def together(nodeid: str) -> str:
    """What a test shares a worker with: those of its file, or all that may change the finished workflow."""
    file = Path(nodeid.split("::")[0])
    changes = file.is_relative_to("tests/workflow") and file.stem not in COMPARES_ONLY
    return "finished" if changes else file.as_posix()


class Together(LoadScopeScheduling):
    """Schedules by `together`: the groups of pytest-xdist 3.8 have no effect with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """Divide the tests among the workers."""
    return Together(config, log)


LONGEST = ("finished", "tests/workflow/test_cluster.py", "tests/workflow/test_same_bytes.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest parts first, one for each worker; short ones fill up what is left."""
    items.sort(key=lambda item: (*LONGEST, together(item.nodeid)).index(together(item.nodeid)))


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

"""`make pull`, `make commit`, `make push`: what they refuse, in one line."""

from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import Checkout, commit_to_git, copy_project

pytestmark = pytest.mark.slow


@pytest.fixture
def fresh(repository: Path, tmp_path: Path) -> Checkout:
    """The project before anything has run, without a remote."""
    checkout = copy_project(repository, tmp_path)
    commit_to_git(repository, checkout)
    return checkout


def told(checkout: Checkout, verb: str) -> str:
    """The line with which a verb ends that must fail."""
    ended = checkout.exchange(verb)
    assert ended.returncode == 1, ended.stdout
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def test_without_a_remote_or_a_push_pull_says_what_to_do(fresh: Checkout, tmp_path: Path) -> None:
    assert "no default DVC remote; name yours once: `.venv/bin/dvc remote add" in told(fresh, "pull")
    assert fresh.dvc("remote", "add", "--local", "--default", "storage", str(tmp_path / "store")).returncode == 0
    assert told(fresh, "pull").startswith("exchange: dvc.lock has no data@plaza: nobody has pushed it")
    assert "run `make reproduce DATASET=plaza BUDGET=smoke` without SET or SEEDS first" in told(fresh, "push")


def test_a_dataset_that_dvc_does_not_keep_is_named(fresh: Checkout) -> None:
    options = ("--dataset", "avenue", "--budget", "smoke")
    ended = fresh.run("python", "workflow/exchange.py", "pull", *options)
    assert ended.returncode == 1
    assert "dvc.yaml: 'avenue' is none of plaza, ped2" in ended.stderr


def test_what_is_up_to_date_is_committed_as_it_was(pulled: Checkout) -> None:
    lock = pulled.root / "dvc.lock"
    before = yaml.safe_load(lock.read_text())
    ended = pulled.exchange("commit")
    assert ended.returncode == 0, ended.stderr
    assert yaml.safe_load(lock.read_text()) == before


def test_a_bad_configuration_is_told_with_its_reason(fresh: Checkout) -> None:
    assert fresh.dvc("remote", "add", "--local", "--default", "storage", "store").returncode == 0
    fresh.edit("config/config.yaml", "device: cpu", "devise: cpu")
    assert "devise: unknown key; allowed here" in told(fresh, "push")

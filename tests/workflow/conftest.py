"""A copy of the project in a temporary folder, with its own source, that a test may edit and run."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml
from filelock import FileLock

from lightvad.reporting.speed_accuracy import TIMED_COLUMNS

COPIED = ("Snakefile", "Makefile", "workflow", "config", "profiles", "src", "dvc.yaml", ".dvcignore", ".gitignore")

SMALL = (
    "datasets.plaza.generator.clips={train: 3, test: 5, detector: 1}",
    "datasets.plaza.generator.frames_per_clip={train: 30, test: 40, detector: 2}",
    "datasets.plaza.generator.supersampling=1",
    "datasets.plaza.clips={train: 3, test: 5, detector: 1}",
    "datasets.plaza.frames={train: 90, test: 200, detector: 2}",
    "datasets.plaza.detection.backend=motion",
    "datasets.plaza.detection.class_probabilities.source=none",
    "budgets.smoke.methods.ssmtl.tasks=[arrow, irregularity, middle]",
)
"""`plaza`, smoke budget, cut down to seconds: two hundred frames and boxes from motion."""

COMMAND = re.compile(r"-m lightvad (\w+) (?:--run (\S+)|--dataset (\S+)|--number (\S+)|--datasets (\S+)|--table (\S+))")


@dataclass(frozen=True)
class Checkout:
    """A project folder that Snakemake can be run in."""

    root: Path

    def run(self, *command: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, with its own lightvad; returns the ended process with its output.

        `given` is its standard input, `variables` are those of its environment.
        """
        environment = self.environment(**variables)
        return subprocess.run(
            command, cwd=self.root, env=environment, input=given, capture_output=True, text=True, check=False
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """Where the project's lightvad and the tools are found; nothing of the user's own DVC is read or written."""
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "DEVICE": "cpu",
            "CORES": "2",
            "DVC_SITE_CACHE_DIR": str(self.root / ".dvc/tmp/site"),
            "DVC_GLOBAL_CONFIG_DIR": str(self.root / ".dvc/tmp/global"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.root / ".dvc/tmp/system"),
        }
        return {**os.environ, **own, **variables}

    def snakemake(
        self,
        *arguments: str,
        small: tuple[str, ...] = SMALL,
        how: tuple[str, ...] = ("--cores", "2"),
        device: str = "cpu",
        datasets: str = "plaza",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake at smoke budget; returns the ended process with its output."""
        listed = ", ".join(f'"{item}"' for item in small)
        config = [f"datasets=[{datasets}]", "budget=smoke", f"set=[{listed}]", f"device={device}"]
        return self.run(sys.executable, "-m", "snakemake", *how, *arguments, "--config", *config, **environment)

    def dvc(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run dvc; returns the ended process with its output."""
        return self.run(sys.executable, "-m", "dvc", *arguments, **variables)

    def exchange(self, verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run what `make pull`, `make commit` or `make push` runs, on plaza at smoke budget."""
        options = ("--dataset", "plaza", "--budget", "smoke")
        return self.run(sys.executable, "workflow/exchange.py", verb, *options, **variables)

    def git(self, *arguments: str) -> str:
        """Run git as a person without settings of their own; returns what it printed.

        Raises:
            subprocess.CalledProcessError: git failed.
        """
        name = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *name, *arguments], cwd=self.root, capture_output=True, text=True, check=True
        ).stdout

    def planned(self, *arguments: str, small: tuple[str, ...] = SMALL) -> set[str]:
        """What snakemake would run, e.g. `train fast_aed/default`, `prepare plaza`, `table 7`."""
        ended = self.snakemake("--dry-run", "--printshellcmds", *arguments, small=small)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        jobs = set()
        for stage, run, *other in COMMAND.findall(ended.stdout + ended.stderr):
            method = re.search(r"/smoke/(\w+/\w+)/", run)
            jobs.add(f"{stage} {method[1] if method else next(filter(None, other))}")
        return jobs

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace `old` by `new` in a file of the project."""
        file = self.root / path
        content = file.read_text()
        assert old in content, f"{path} has no {old!r}"
        file.write_text(content.replace(old, new, 1))


def copy_project(repository: Path, root: Path) -> Checkout:
    """The project's code and configuration, without data and results."""
    for name in COPIED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, root / name)
    return Checkout(root)


def commit_to_git(repository: Path, checkout: Checkout) -> None:
    """Make a git and DVC repository of a copy, with plaza cut down in its configuration."""
    (checkout.root / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copy(repository / name, checkout.root / name)
    config = checkout.root / "config/config.yaml"
    content = yaml.safe_load(config.read_text()) | {"set": list(SMALL), "budget": "smoke", "device": "cpu"}
    config.write_text(yaml.safe_dump(content, width=1000))
    checkout.git("init", "--quiet", "--initial-branch", "main")
    checkout.git("add", ".")
    checkout.git("commit", "--quiet", "--message", "The project")


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def remote(common: Path) -> Path:
    """The folder that serves as the finished run's DVC remote."""
    return common / "remote"


@pytest.fixture(scope="session")
def finished(repository: Path, common: Path, remote: Path) -> Checkout:
    """A checkout in which `dvc repro` has run the whole smoke pipeline, committed to git and pushed to the remote.

    Tests that change it put back what they changed; all that use it run in one worker, one after another.
    """
    checkout, _ = finished_once(repository, common, remote)
    return checkout


@pytest.fixture(scope="session")
def undisturbed(repository: Path, common: Path, remote: Path) -> Checkout:
    """Results and data of `finished` as they were when it was made, for tests that only compare, in any worker."""
    _, copy = finished_once(repository, common, remote)
    return copy


def finished_once(repository: Path, common: Path, remote: Path) -> tuple[Checkout, Checkout]:
    """Make the finished checkout and the copy of what it holds, if no worker has; the others wait."""
    root, copy = common / "finished", common / "undisturbed"
    with FileLock(common / "finished.lock"):
        if not copy.exists():
            root.mkdir()
            checkout = copy_project(repository, root)
            _finish(repository, checkout, remote)
            for name in ("data", "results"):
                shutil.copytree(root / name, common / "copy" / name)
            (common / "copy").rename(copy)
    return Checkout(root), Checkout(copy)


def _finish(repository: Path, checkout: Checkout, remote: Path) -> None:
    commit_to_git(repository, checkout)
    for command in (
        ("repro", "tables@plaza-smoke"),
        ("remote", "add", "--local", "--default", "storage", str(remote)),
    ):
        ended = checkout.dvc(*command)
        assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    pushed = checkout.exchange("push")
    assert pushed.returncode == 0, pushed.stderr
    checkout.git("add", "dvc.lock", "results/published")
    checkout.git("commit", "--quiet", "--message", "Plaza, smoke budget")


def clone_of(checkout: Checkout, root: Path, remote: str | Path) -> Checkout:
    """A fresh clone in `root`, which is not there yet, that knows the remote and has pulled nothing."""
    checkout.git("clone", "--quiet", str(checkout.root), str(root))
    clone = Checkout(root)
    named = clone.dvc("remote", "add", "--local", "--default", "storage", str(remote))
    assert named.returncode == 0, named.stderr
    return clone


@pytest.fixture
def clone(finished: Checkout, remote: Path, tmp_path: Path) -> Checkout:
    """A fresh clone of the finished run's commit that has pulled nothing."""
    return clone_of(finished, tmp_path / "clone", remote)


@pytest.fixture
def pulled(clone: Checkout) -> Checkout:
    """A fresh clone after `make pull`."""
    ended = clone.exchange("pull")
    assert ended.returncode == 0, ended.stderr
    return clone


def tables_of(checkout: Checkout) -> dict[str, bytes]:
    """Path -> bytes of every table's CSV."""
    files = sorted((checkout.root / "results" / "tables").rglob("*.csv"))
    assert files, f"{checkout.root}: no tables"
    return {file.relative_to(checkout.root).as_posix(): file.read_bytes() for file in files}


def figures_of(checkout: Checkout) -> dict[str, bytes]:
    """Path -> bytes of every figure's CSV; of one that shows speed without the columns that are taken by the clock."""
    files = sorted((checkout.root / "results" / "figures").rglob("*.csv"))
    assert files, f"{checkout.root}: no figures"
    return {file.relative_to(checkout.root).as_posix(): _untimed(file) for file in files}


def _untimed(file: Path) -> bytes:
    header, *lines = list(csv.reader(file.read_text().splitlines()))
    if not set(TIMED_COLUMNS) & set(header):
        return file.read_bytes()
    kept = [column for column, name in enumerate(header) if name not in TIMED_COLUMNS]
    return "\n".join(",".join(line[column] for column in kept) for line in [header, *lines]).encode()

"""A copy of the project in a temporary folder, with its own source, that a test may edit and run."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

COPIED = ("Snakefile", "workflow", "config", "profiles", "src")

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

COMMAND = re.compile(r"-m lightvad (\w+) (?:--run (\S+)|--dataset (\S+)|--number (\S+)|--datasets (\S+))")


@dataclass(frozen=True)
class Checkout:
    """A project folder that Snakemake can be run in."""

    root: Path

    def snakemake(self, *arguments: str, small: tuple[str, ...] = SMALL) -> subprocess.CompletedProcess[str]:
        """Run snakemake on plaza at smoke budget; returns the ended process with its output."""
        listed = ", ".join(f'"{item}"' for item in small)
        config = ["datasets=[plaza]", "budget=smoke", f"set=[{listed}]", "device=cpu"]
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", *config],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src")},
            capture_output=True,
            text=True,
            check=False,
        )

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


@pytest.fixture(scope="session")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the whole smoke pipeline has run. Tests that change it put back what they changed."""
    checkout = copy_project(repository, tmp_path_factory.mktemp("project"))
    ended = checkout.snakemake()
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    return checkout

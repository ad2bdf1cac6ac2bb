"""A tiny project after each stage, made once by the command line itself, and a copy of it for every test."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import torch
import yaml

from lightvad.artifacts.weights import write_weights
from lightvad.cli import main
from lightvad.layout import Run
from lightvad.methods.fast_aed.model import AutoEncoder
from lightvad.methods.ssmtl.model import SSMTL
from lightvad.project import Project
from lightvad.resolution import settings_of, shared_settings

from .tiny_ped2 import CONFIG, FRAMES, HEIGHT, WIDTH, jpeg_layout, publish

STUDENT = Run("ped2", "tiny", "fast_aed", "rebuilding", 0)
DISTILLED = Run("ped2", "tiny", "fast_aed", "distilled", 0)
TEACHER = Run("ped2", "tiny", "ssmtl", "default", 0)

DATASET = {
    "name": "ped2",
    "title": "tiny Ped2",
    "fps": 10,
    "frame_size": [HEIGHT, WIDTH],
    "clips": {"train": 2, "test": 2},
    "frames": {"train": 2 * FRAMES, "test": 2 * FRAMES},
    "detection": {"backend": "motion", "motion": {"threshold": 10, "minimal_area": 10, "gap": 1}},
    "map_resolutions": [4, 8],
}
BUDGET = {
    "name": "tiny",
    "title": "tiny",
    "methods": {
        "fast_aed": {"network": {"blocks": 1, "heads": 1}},
        "ssmtl": {"tasks": ["arrow"], "trunk": {"depth": "shallow", "width": "narrow"}, "crop_size": 32},
    },
    "bootstrap": 10,
}

VARIANTS = {
    "rebuilding": {
        "title": "the auto-encoder's error is the score",
        "settings": {"teachers": [], "distillation": False, "adversarial": {"discriminators": "none"}},
    },
    "distilled": {
        "title": "one teacher, no pre-training",
        "settings": {"teachers": [{"method": "ssmtl"}], "pretrained_variant": None},
    },
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


Command = Callable[..., Ended]


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """Stages set threads and flush denormal numbers to zero for the whole process."""
    threads, of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
    cv2.setNumThreads(of_opencv)


def called(root: Path, *arguments: str) -> int:
    """Run `lightvad ARGUMENTS` in `root`, in this process; its exit status."""
    here, own = Path.cwd(), sys.argv
    os.chdir(root)
    sys.argv = ["lightvad", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        os.chdir(here)
        sys.argv = own
    return 0


@pytest.fixture
def lightvad(capfd: pytest.CaptureFixture[str]) -> Command:
    """`lightvad(root, *arguments)` -> Ended; also what C libraries write is caught."""

    def run(root: Path, *arguments: str) -> Ended:
        capfd.readouterr()
        status = called(root, *arguments)
        return Ended(status, *capfd.readouterr())

    return run


def _copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, symlinks=True))


def _do(root: Path, *commands: str) -> Path:
    for command in commands:
        assert called(root, *command.split()) == 0, command
    return root


@pytest.fixture(scope="session")
def configured(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Configuration and mirror; nothing has been run."""
    root = tmp_path_factory.mktemp("configured") / "project"
    shutil.copytree(repository / "config", root / "config", ignore=shutil.ignore_patterns("ped2.yaml"))
    (root / CONFIG).write_text(yaml.safe_dump(DATASET, sort_keys=False))
    (root / "config/budgets/tiny.yaml").write_text(yaml.safe_dump(BUDGET, sort_keys=False))
    method = yaml.safe_load((root / "config/methods/fast_aed.yaml").read_text())
    method["variants"] |= VARIANTS
    (root / "config/methods/fast_aed.yaml").write_text(yaml.safe_dump(method, sort_keys=False))
    publish(root, "jpeg", jpeg_layout())
    return root


@pytest.fixture(scope="session")
def prepared(configured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetched, prepared, objects found by motion."""
    root = _copy(configured, tmp_path_factory.mktemp("prepared") / "project")
    return _do(root, "fetch --dataset ped2 --mirror mirror", "prepare --dataset ped2", "detect --dataset ped2")


@pytest.fixture(scope="session")
def scored(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student and a teacher with random weights, scored and evaluated."""
    root = _copy(prepared, tmp_path_factory.mktemp("scored") / "project")
    project = Project(root)
    torch.manual_seed(0)
    for run in (STUDENT, TEACHER):
        settings = settings_of(project, run)
        network = (
            AutoEncoder(settings.network, settings.autoencoder)  # type: ignore[attr-defined]
            if run is STUDENT
            else SSMTL(settings, classes=0, features=0)  # type: ignore[arg-type]
        )
        facts = {name: str(getattr(run, name)) for name in ("method", "variant", "dataset", "budget", "seed")}
        header = {**facts, "settings": json.dumps(shared_settings(project, run))}
        write_weights(root / run.folder / "model.safetensors", network.state_dict(), header)
    student, teacher = STUDENT.folder, TEACHER.folder
    return _do(
        root,
        f"score --run {student}",
        f"score --run {teacher}",
        f"maps --run {teacher}",
        f"evaluate --run {student}",
        f"evaluate --run {teacher}",
    )


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """`project("prepared")` -> a copy of the project at that stage, for a test to spoil."""
    return lambda stage: _copy(request.getfixturevalue(stage), tmp_path / "project")

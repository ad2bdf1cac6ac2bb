"""What the stages of a dataset read, and what a change of the detection backend does not touch."""

from pathlib import Path

import pytest

from lightvad.artifacts.documents import read_json
from lightvad.plan import Plan
from lightvad.project import Project
from lightvad.resolution import dataset_digest, detection_sources
from lightvad.stages import fetch

BACKENDS = ("ultralytics", "import", "motion")


def data_inputs(project: Project, stage: str, backend: str | None = None) -> list[str]:
    inputs = Plan(project).dataset_inputs(stage, "ped2", backend)
    return [path for path in inputs if not path.endswith(".py")]


@pytest.mark.parametrize(
    "override",
    [
        "datasets.ped2.detection.backend=motion",
        "datasets.ped2.detection.class_probabilities={source: none, onnx: null}",
    ],
)
def test_a_change_of_detection_neither_fetches_nor_prepares_clips_again(repository: Path, override: str) -> None:
    before, after = Project(repository), Project(repository, (override,))
    for stage in ("fetch", "prepare"):
        assert dataset_digest(before, stage, "ped2") == dataset_digest(after, stage, "ped2")
        assert data_inputs(before, stage) == data_inputs(after, stage)
    assert data_inputs(before, "prepare") == ["data/raw/ped2/fetched.json"]


def test_detection_reads_the_list_of_its_own_backend(repository: Path) -> None:
    project = Project(repository)
    lists = {backend: data_inputs(project, "detect", backend)[0] for backend in BACKENDS}
    assert lists == {backend: f"data/raw/ped2/fetched-{backend}.json" for backend in BACKENDS}
    assert data_inputs(project, "detect") == data_inputs(project, "detect", "import"), "the configured one"


def test_the_files_of_a_backend_are_fetched_again_when_they_change_and_only_then(repository: Path) -> None:
    before = Project(repository)
    after = Project(repository, ("datasets.ped2.detection.imported.train.size=1",))
    changed = {
        b for b in BACKENDS if dataset_digest(before, "fetch", "ped2", b) != dataset_digest(after, "fetch", "ped2", b)
    }
    assert changed == {"import"}
    assert len(detection_sources(before.dataset("ped2"), "import")) == 3
    assert len(detection_sources(before.dataset("ped2"), "motion")) == 1, "the ONNX detector of the class probabilities"


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, {"fetched.json", "fetched-ultralytics.json"}),
        ({"only": "clips"}, {"fetched.json"}),
        ({"only": "detection", "backend": "motion"}, {"fetched-motion.json"}),
    ],
)
def test_fetch_writes_the_lists_that_were_asked_for(
    repository: Path, tmp_path: Path, options: dict[str, str], written: set[str]
) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    fetch.run(Project(tmp_path), "plaza", mirror=None, **options)
    folder = tmp_path / "data" / "raw" / "plaza"
    assert {path.name for path in folder.iterdir()} == written
    assert all(read_json(path)["files"] == [] for path in folder.iterdir())

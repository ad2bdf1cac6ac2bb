"""Fetch a dataset's files from its publisher or a mirror; every byte is checked against its sha256."""

from pathlib import Path
from typing import Literal

from lightvad import datasets
from lightvad.artifacts.documents import read_json
from lightvad.layout import fetched_for_detection_path, fetched_path, raw_folder
from lightvad.project import Project
from lightvad.resolution import detection_sources
from lightvad.stages.recording import recorded_dataset

Part = Literal["clips", "detection"]


def run(
    project: Project, dataset: str, *, mirror: str | None, only: Part | None = None, backend: str | None = None
) -> None:
    """Write `data/raw/DATASET/` and, last, its lists `fetched.json` (clips) and `fetched-BACKEND.json` (detection).

    There are two lists so that another detection backend fetches its own files and prepares no clip again.

    Args:
        project: the configuration.
        dataset: name of the dataset.
        mirror: a folder or an address that holds the files; None: the publishers.
        only: one of the two parts; None: both.
        backend: whose files detection needs; None: the configured one.

    Raises:
        LightvadError: a file cannot be had, or its size or sha256 is wrong.
    """
    spec, folder = project.dataset(dataset), raw_folder(dataset)
    root = project.root / folder
    if only != "detection":
        listed = fetched_path(dataset)
        with recorded_dataset(
            project,
            dataset,
            "fetch",
            folder=folder,
            options={"only": "clips", "mirror": mirror},
            outputs=lambda: _listed(project, folder, listed),
        ):
            datasets.fetch(spec, root=root, mirror=mirror)
    if only != "clips":
        name = backend or spec.detection.backend
        needed = fetched_for_detection_path(dataset, name)
        with recorded_dataset(
            project,
            dataset,
            "fetch",
            folder=folder,
            options={"only": "detection", "backend": name, "mirror": mirror},
            outputs=lambda: _listed(project, folder, needed),
            backend=name,
        ):
            datasets.fetch_for_detection(
                detection_sources(spec, name),
                what=f"{dataset}, detection by {name}",
                root=root,
                mirror=mirror,
                listed=project.root / needed,
            )


def _listed(project: Project, folder: Path, listed: Path) -> list[Path]:
    """A list of fetched files, and the files that it names."""
    return [listed, *(folder / entry["file"] for entry in read_json(project.root / listed)["files"])]

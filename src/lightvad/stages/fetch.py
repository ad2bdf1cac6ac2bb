"""Fetch a dataset's files from its publisher or a mirror; every byte is checked against its sha256."""

from typing import Literal

from lightvad import datasets
from lightvad.layout import fetched_for_detection_path, raw_folder
from lightvad.project import Project
from lightvad.resolution import detection_sources

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
    spec, root = project.dataset(dataset), project.root / raw_folder(dataset)
    if only != "detection":
        datasets.fetch(spec, root=root, mirror=mirror)
    if only != "clips":
        name = backend or spec.detection.backend
        datasets.fetch_for_detection(
            detection_sources(spec, name),
            what=f"{dataset}, detection by {name}",
            root=root,
            mirror=mirror,
            listed=project.root / fetched_for_detection_path(dataset, name),
        )

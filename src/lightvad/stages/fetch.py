"""Fetch a dataset's files from its publisher or a mirror; every byte is checked against its sha256."""

from lightvad import datasets
from lightvad.layout import raw_folder
from lightvad.project import Project
from lightvad.resolution import detection_sources


def run(project: Project, dataset: str, *, mirror: str | None) -> None:
    """Write `data/raw/DATASET/` and, last, its `fetched.json`.

    Raises:
        LightvadError: a file cannot be had, or its size or sha256 is wrong.
    """
    spec = project.dataset(dataset)
    datasets.fetch(spec, root=project.root / raw_folder(dataset), mirror=mirror, extra=detection_sources(spec))

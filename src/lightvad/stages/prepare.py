"""Prepare a dataset's clips, labels, masks and tracks from its files (or generate them)."""

from lightvad import datasets
from lightvad.layout import clips_folder, raw_folder
from lightvad.project import Project


def run(project: Project, dataset: str) -> None:
    """Write `data/clips/DATASET/`, `index.parquet` last.

    Raises:
        LightvadError: a file is damaged, or clips, frames and labels do not agree in number.
    """
    spec = project.dataset(dataset)
    datasets.prepare(spec, raw=project.root / raw_folder(dataset), root=project.root / clips_folder(dataset))

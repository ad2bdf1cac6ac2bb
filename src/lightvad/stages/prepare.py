"""Prepare a dataset's clips, labels, masks and tracks from its files (or generate them)."""

from lightvad import datasets
from lightvad.artifacts.digests import checksums_of
from lightvad.artifacts.documents import write_json
from lightvad.layout import checksums_path, clips_folder, raw_folder
from lightvad.project import Project
from lightvad.stages.recording import recorded_dataset
from lightvad.video.clips import prepared_files


def run(project: Project, dataset: str) -> None:
    """Write `data/clips/DATASET/`: the clips and `index.parquet`, then `checksums.json`, and last the record.

    The checksums say what was prepared and nothing else (no time, no machine): the same pixels give the same bytes, so
    that preparing them once more makes nothing run again.

    Raises:
        LightvadError: a file is damaged, or clips, frames and labels do not agree in number.
    """
    spec, folder = project.dataset(dataset), clips_folder(dataset)
    root = project.root / folder

    with recorded_dataset(
        project,
        dataset,
        "prepare",
        folder=folder,
        options={},
        outputs=lambda: [checksums_path(dataset), *(folder / file for file in prepared_files(root))],
    ):
        datasets.prepare(spec, raw=project.root / raw_folder(dataset), root=root)
        found = checksums_of(prepared_files(root), root=root, what=f"prepare {dataset}: checksums")
        write_json(project.root / checksums_path(dataset), found)

"""Boxes of every frame of a dataset, with the class probabilities of each."""

from lightvad.config import Detection
from lightvad.detection import detect
from lightvad.layout import boxes_path, classes_path, clips_folder, raw_folder
from lightvad.progress import say
from lightvad.project import Project, parsed
from lightvad.resolution import detection_by
from lightvad.stages.jobs import Machine
from lightvad.video.clips import ClipStore


def run(project: Project, dataset: str, machine: Machine, *, backend: str | None, seed: int) -> None:
    """Write `results/boxes/DATASET/BACKEND.parquet` and `BACKEND.classes.npz`.

    Args:
        project: the configuration.
        dataset: name of the dataset.
        machine: device and threads.
        backend: overrides the configured backend; class probabilities that only the configured one has are left out.
        seed: of a detector that is trained here.

    Raises:
        LightvadError: weights or boxes cannot be had, or are damaged.
    """
    machine.apply()
    spec = project.dataset(dataset)
    name = backend or spec.detection.backend
    chosen = detection_by(spec, backend)
    if chosen.class_probabilities != spec.detection.class_probabilities:
        say(f"{dataset} {name} boxes: no class probabilities, since {name} knows no classes")
    detect(
        parsed(Detection, chosen.model_dump(), f"config/datasets/{dataset}.yaml: detection"),
        dataset=dataset,
        clips=ClipStore(project.root / clips_folder(dataset)),
        raw=project.root / raw_folder(dataset),
        out_boxes=project.root / boxes_path(dataset, name),
        out_classes=project.root / classes_path(dataset, name),
        folder=project.root / boxes_path(dataset, name).parent,
        device=machine.device,
        seed=seed,
        root=project.root,
    )

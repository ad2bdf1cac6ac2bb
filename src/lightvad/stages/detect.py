"""Boxes of every frame of a dataset, with the class probabilities of each."""

from lightvad.config import Detection
from lightvad.detection import detect
from lightvad.detection.yolo_training import EPOCHS, WEIGHTS, trains_a_network
from lightvad.layout import boxes_path, classes_path, clips_folder, raw_folder
from lightvad.progress import say
from lightvad.project import Project, parsed
from lightvad.resolution import detection_by
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded_dataset
from lightvad.video.clips import ClipStore


def run(project: Project, dataset: str, machine: Machine, *, backend: str | None, seed: int) -> None:
    """Write `results/boxes/DATASET/BACKEND.parquet` and `BACKEND.classes.npz` (and a network that is trained here).

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
    wanted = parsed(Detection, chosen.model_dump(), f"config/datasets/{dataset}.yaml: detection")
    folder, written = boxes_path(dataset, name).parent, [boxes_path(dataset, name), classes_path(dataset, name)]
    if trains_a_network(wanted):
        written += [folder / WEIGHTS, folder / EPOCHS]
    with recorded_dataset(
        project,
        dataset,
        "detect",
        folder=folder,
        options={"backend": name, "seed": str(seed), "device": machine.device, "threads": str(machine.threads)},
        outputs=lambda: written,
        backend=name,
        machine=machine,
    ):
        detect(
            wanted,
            dataset=dataset,
            clips=ClipStore(project.root / clips_folder(dataset)),
            raw=project.root / raw_folder(dataset),
            out_boxes=project.root / boxes_path(dataset, name),
            out_classes=project.root / classes_path(dataset, name),
            folder=project.root / folder,
            device=machine.device,
            seed=seed,
            root=project.root,
        )

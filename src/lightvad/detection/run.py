"""The stage `detect`: the boxes of every frame of the training and test clips, and their class probabilities."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch

from lightvad.artifacts.tables import BOX, BOXES, write_table
from lightvad.compute import device_of
from lightvad.config import ClassProbabilities, Detection, ImportedBoxes, MotionRegions, UltralyticsDetector
from lightvad.detection.class_probabilities import OnnxClassifier, write_class_probabilities
from lightvad.detection.imported import read_boxes
from lightvad.detection.motion import motion_boxes
from lightvad.detection.sources import checked_file
from lightvad.detection.yolo import Detections, YoloDetector, published_network
from lightvad.detection.yolo_training import train_detector, trained_network
from lightvad.errors import LightvadError
from lightvad.progress import say, track
from lightvad.video.clips import Clip, ClipStore

SPLITS = ("train", "test")


def detect(
    detection: Detection,
    *,
    dataset: str,
    clips: ClipStore,
    raw: Path,
    out_boxes: Path,
    out_classes: Path,
    folder: Path,
    device: str,
    seed: int,
    root: Path = Path(),
) -> None:
    """Write the table BOXES of all training and test clips, and the class probabilities of its rows.

    Args:
        detection: the dataset's section `detection`.
        dataset: its name, for messages.
        clips: the prepared clips.
        raw: `data/raw/DATASET`, where boxes, weights and networks from outside lie.
        out_boxes: `results/boxes/DATASET/BACKEND.parquet`; rows sorted by clip and frame.
        out_classes: `results/boxes/DATASET/BACKEND.classes.npz`; float16 (rows, C), C = 0 where they are off.
        folder: where a detector that is trained here leaves its weights.
        device: `auto`, `cpu` or `cuda`.
        seed: of a training.
        root: what a relative `detection.ultralytics.architecture` is relative to.

    Raises:
        LightvadError: boxes or weights are missing, wrong or do not fit the clips, or nothing at all was found.
    """
    classes = detection.class_probabilities
    if classes.source == "backend" and detection.backend != "ultralytics":
        message = (
            f"config/datasets/{dataset}.yaml: detection.class_probabilities.source: `backend` needs "
            f"`backend: ultralytics`, {detection.backend} boxes have no classes; use `onnx`, or "
            f"--set datasets.{dataset}.detection.class_probabilities.source=none"
        )
        raise LightvadError(message)
    what = f"{dataset} {detection.backend} boxes"
    probabilities, names = np.zeros((0, 0), np.float32), tuple[str, ...]()
    if detection.backend == "ultralytics":
        assert detection.ultralytics is not None  # noqa: S101 - the model has checked it
        detector = _yolo(
            detection.ultralytics,
            clips=clips,
            raw=raw,
            folder=folder,
            device=device,
            seed=seed,
            root=root,
            what=dataset,
        )
        table, probabilities = _detected(detector, clips, what)
        names = detector.names
    elif detection.backend == "import":
        assert detection.imported is not None  # noqa: S101 - the model has checked it
        table = _imported(detection.imported, clips, raw)
    else:
        table = _moving(detection.motion, clips, what)
    _tell_counts(table, clips, what)
    if classes.source != "backend":
        probabilities, names = _class_probabilities(classes, table, clips, raw=raw, what=dataset)
    write_table(out_boxes, table, BOXES)
    write_class_probabilities(out_classes, probabilities, names)


def _clips_of(clips: ClipStore) -> list[Clip]:
    """The clips in which objects are looked for, in the order of the table's rows."""
    return sorted((clip for split in SPLITS for clip in clips.clips(split)), key=lambda clip: clip.name)


def _imported(imported: ImportedBoxes, clips: ClipStore, raw: Path) -> pd.DataFrame:
    parts = [
        read_boxes(checked_file(source, raw, "boxes"), clips.clips(split))
        for split, source in (("train", imported.train), ("test", imported.test))
    ]
    return pd.concat(parts).sort_values(["clip", "frame"], kind="stable").reset_index(drop=True)


def _moving(settings: MotionRegions, clips: ClipStore, what: str) -> pd.DataFrame:
    places = [(clip, t) for clip in _clips_of(clips) for t in range(clip.frames)]
    parts = []
    for clip, t in track(places, total=len(places), what=what, unit="frames"):
        window = [
            clips.frame(clip.name, s) if 0 <= s < clip.frames else None for s in (t - settings.gap, t, t + settings.gap)
        ]
        parts.append(_rows(clip.name, t, motion_boxes(window, settings)))
    return _joined(parts)


def _detected(detector: YoloDetector, clips: ClipStore, what: str) -> tuple[pd.DataFrame, np.ndarray]:
    members = _clips_of(clips)
    parts, probabilities = [], [np.zeros((0, len(detector.names)), np.float32)]
    found = (one for clip in members for one in _detections(detector, clips, clip))
    for clip, t, objects in track(found, total=sum(clip.frames for clip in members), what=what, unit="frames"):
        parts.append(_rows(clip, t, objects.boxes, objects.confidence, objects.class_id))
        probabilities.append(objects.probabilities)
    return _joined(parts), np.concatenate(probabilities)


def _detections(detector: YoloDetector, clips: ClipStore, clip: Clip) -> Iterator[tuple[str, int, Detections]]:
    """What the network finds in one clip, frame by frame, detected in batches."""
    frames, t = clips.sequential(clip.name), 0
    while batch := list(islice(frames, detector.settings.batch)):
        for objects in detector.detect(batch):
            yield clip.name, t, objects
            t += 1


def _rows(
    clip: str, t: int, boxes: np.ndarray, confidence: np.ndarray | float = np.nan, class_id: np.ndarray | int = -1
) -> pd.DataFrame:
    corners = {name: boxes[:, column] for column, name in enumerate(BOX)}
    content = {"clip": clip, "frame": t, **corners, "confidence": confidence, "class_id": class_id}
    return pd.DataFrame(content, index=range(len(boxes)))


def _joined(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else pd.DataFrame({name: [] for name in BOXES})


def _yolo(
    settings: UltralyticsDetector,
    *,
    clips: ClipStore,
    raw: Path,
    folder: Path,
    device: str,
    seed: int,
    root: Path,
    what: str,
) -> YoloDetector:
    """The configured network, with published weights or trained here first."""
    target = device_of(device)
    if settings.weights is not None:
        network, names = published_network(checked_file(settings.weights, raw, "detector weights"), folder=folder)
    else:
        assert settings.architecture is not None  # noqa: S101 - the model has checked it
        architecture = root / settings.architecture
        train_detector(
            settings, architecture=architecture, clips=clips, folder=folder, device=device, seed=seed, what=what
        )
        network, names = trained_network(architecture, folder=folder)
    return YoloDetector(network, names=names, settings=settings, device=target)


def _class_probabilities(
    settings: ClassProbabilities, table: pd.DataFrame, clips: ClipStore, *, raw: Path, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class probabilities of the rows of `table` from an ONNX detector: float32 (rows, C), and the classes."""
    if settings.onnx is None:
        return np.zeros((len(table), 0), np.float32), ()
    path = checked_file(settings.onnx, raw, "detector of the class probabilities")
    classifier = OnnxClassifier(path, tiles=settings.tiles, threads=torch.get_num_threads())
    found = np.zeros((len(table), len(classifier.names)), np.float32)
    groups = cast(dict[tuple[str, int], np.ndarray], table.groupby(["clip", "frame"], sort=False).indices)
    corners = table[list(BOX)].to_numpy(np.float32)
    what = f"{what} class probabilities"
    for (clip, frame), rows in track(groups.items(), total=len(groups), what=what, unit="frames"):
        found[rows] = classifier.probabilities(clips.frame(clip, int(frame)), corners[rows])
    return found, classifier.names


def _tell_counts(table: pd.DataFrame, clips: ClipStore, what: str) -> None:
    """Say how many objects a frame has (a yardstick: teacher_ssmtl sheet, section 1), and which clips have none."""
    if table.empty:
        message = f"{what}: nothing was found in any clip; lower the threshold or use another detection.backend"
        raise LightvadError(message)
    count = table["clip"].value_counts()
    for split in SPLITS:
        members = clips.clips(split)
        boxes, frames = sum(int(count.get(c.name, 0)) for c in members), sum(c.frames for c in members)
        say(f"{what}: {split} {boxes} in {frames} frames, {boxes / max(frames, 1):.1f} a frame")
    for clip in _clips_of(clips):
        if clip.name not in count.index:
            say(f"warning: {what}: none in clip {clip.name}; object methods give all of its frames the lowest score")

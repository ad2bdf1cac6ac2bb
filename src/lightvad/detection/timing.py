"""The detector as the speed benchmark times it: one frame in, its boxes out."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from lightvad.compute import device_of
from lightvad.config import Detection, UltralyticsDetector
from lightvad.detection.motion import motion_boxes
from lightvad.detection.sources import checked_file
from lightvad.detection.yolo import YoloDetector, published_network, untrained_network
from lightvad.detection.yolo_training import trained_network


@dataclass(frozen=True)
class TimedDetector:
    """A detector for the end-to-end row of an object method.

    Attributes:
        name: what the row says of it.
        open: begins a stream of frames of one size; what it gives turns a frame uint8 (H, W, 3) RGB into boxes
            float32 (K, 4). What a detector remembers of frames it remembers of each stream by itself.
        network: what it runs, for parameters and GFLOPs; None without a network.
        image_size: longer side of the network's input, pixels; 0 without a network.
    """

    name: str
    open: Callable[[], Callable[[np.ndarray], np.ndarray]]
    network: nn.Module | None
    image_size: int


def detector_for_timing(
    detection: Detection, *, stand_in: str, raw: Path, folder: Path, device: str, root: Path = Path()
) -> TimedDetector:
    """The configured detector, or, where boxes are imported, one whose time stands in for that of their unknown maker.

    Args:
        detection: the dataset's section `detection`.
        stand_in: architecture built with untrained weights where boxes are imported (`benchmark.detector`), e.g.
            `yolov3u.yaml`; only its time counts: a random network finds nothing, so suppression has nothing to do.
        raw: `data/raw/DATASET`.
        folder: where `detect` left a trained detector.
        device: `auto`, `cpu` or `cuda`.
        root: what a relative `architecture` is relative to.

    Raises:
        LightvadError: weights or the package `ultralytics` are missing.
    """
    if detection.backend == "motion":
        return TimedDetector("motion regions", lambda: _streamed_motion(detection), None, 0)
    settings = detection.ultralytics
    if detection.backend == "import" or settings is None:
        network, names = untrained_network(stand_in, folder=folder), tuple[str, ...]()
        size = settings.image_size if settings is not None else UltralyticsDetector.model_fields["image_size"].default
        settings = UltralyticsDetector(architecture=stand_in, image_size=size)
        name = f"{Path(stand_in).stem} at {size} px, untrained: only its time counts (the boxes were imported)"
    elif settings.weights is not None:
        network, names = published_network(checked_file(settings.weights, raw, "detector weights"), folder=folder)
        name = f"{Path(settings.weights.file).stem} at {settings.image_size} px"
    else:
        architecture = root / str(settings.architecture)
        network, names = trained_network(architecture, folder=folder)
        name = f"{architecture.stem} at {settings.image_size} px, trained on generated boxes"
    detector = YoloDetector(network, names=names, settings=settings, device=device_of(device))

    def boxes(frame: np.ndarray) -> np.ndarray:
        return detector.detect([frame])[0].boxes

    return TimedDetector(name, lambda: boxes, network, settings.image_size)


def _streamed_motion(detection: Detection) -> Callable[[np.ndarray], np.ndarray]:
    """Motion regions of a stream: the answer is about the frame `gap` frames back, as its future must be known."""
    gap = detection.motion.gap
    seen: deque[np.ndarray] = deque(maxlen=2 * gap + 1)

    def boxes(frame: np.ndarray) -> np.ndarray:
        seen.append(frame)
        middle = len(seen) // 2
        return motion_boxes([seen[0] if middle else None, seen[middle], frame if middle else None], detection.motion)

    return boxes

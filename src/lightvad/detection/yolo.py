"""Backend `ultralytics`: a YOLO network, with published weights or trained on generated boxes (`yolo_training.py`).

The package `ultralytics` is AGPL-3.0 and optional: it is imported in this module alone, when a network is built or
loaded, and told beforehand to stay off the network, to install nothing and to load no pickled code. The network's raw
output is read here, so that the probabilities of all classes of a box are kept, not only the largest (teacher_ssmtl
sheet, T4).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import yaml
from torch import nn
from torchvision.ops import batched_nms, box_convert

from lightvad.config import UltralyticsDetector
from lightvad.errors import LightvadError

PADDING_GRAY = 114

SMALLEST_SIDE = 1.0
"""Boxes that are narrower or lower than this after clipping to the frame are dropped, pixels."""


@dataclass(frozen=True)
class Detections:
    """The objects of one frame, most confident first.

    Attributes:
        boxes: float32 (K, 4) x1, y1, x2, y2 in pixels of the frame, x2/y2 exclusive, inside the frame.
        confidence: float32 (K,) in [0, 1], the largest class probability.
        class_id: int64 (K,).
        probabilities: float32 (K, C) in [0, 1], of all classes.
    """

    boxes: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    probabilities: np.ndarray


class YoloDetector:
    """A YOLO network in evaluation mode with what comes before and after it.

    Args:
        network: an `ultralytics` detection model.
        names: its classes.
        settings: image size, confidence and overlap of the non-maximum suppression.
        device: where it runs.
    """

    def __init__(
        self, network: nn.Module, *, names: Sequence[str], settings: UltralyticsDetector, device: torch.device
    ) -> None:
        self.network = network.to(device).eval()
        self.names = tuple(names)
        self.settings = settings
        self.device = device
        self.stride = largest_stride(network)

    @torch.inference_mode()
    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """The objects of frames of one size, uint8 (H, W, 3) RGB each."""
        height, width = frames[0].shape[:2]
        images, scale = network_images(frames, image_size=self.settings.image_size, stride=self.stride)
        output = self.network(images.to(self.device))
        raw = output[0] if isinstance(output, tuple) else output
        return [self._kept(image.T, scale=scale, height=height, width=width) for image in raw.float()]

    def _kept(self, raw: torch.Tensor, *, scale: float, height: int, width: int) -> Detections:
        """Threshold and suppress the raw output (A, 4 + C) of one frame: centre, size, class probabilities."""
        raw = raw[raw[:, 4:].amax(1) > self.settings.confidence]
        boxes, probabilities = box_convert(raw[:, :4], "cxcywh", "xyxy") / scale, raw[:, 4:]
        boxes = torch.stack([boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)], 2).flatten(1)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST_SIDE).all(1)
        boxes, probabilities = boxes[large], probabilities[large]
        confidence, class_id = probabilities.max(1)
        kept = batched_nms(boxes, confidence, class_id, self.settings.iou)
        return Detections(*(part[kept].cpu().numpy() for part in (boxes, confidence, class_id, probabilities)))


def largest_stride(network: nn.Module) -> int:
    """Pixels per cell of the network's coarsest grid; its input's sides are multiples of it."""
    return int(cast(torch.Tensor, network.stride).max())


def network_images(frames: Sequence[np.ndarray], *, image_size: int, stride: int) -> tuple[torch.Tensor, float]:
    """Frames uint8 (H, W, 3) RGB as the network sees them.

    Returns:
        float32 (B, 3, h, w) RGB in [0, 1], the longer side scaled to `image_size`, the right and lower edge padded with
        gray to multiples of `stride`; and the scale.
    """
    height, width = frames[0].shape[:2]
    scale = image_size / max(height, width)
    size = round(width * scale), round(height * scale)
    padded = [-(-side // stride) * stride for side in size]
    images = np.full((len(frames), padded[1], padded[0], 3), PADDING_GRAY, np.uint8)
    for image, frame in zip(images, frames, strict=True):
        image[: size[1], : size[0]] = frame if scale == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, scale


def published_network(weights: Path, *, folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """Load a published checkpoint, whose bytes have been checked, through the loader of `ultralytics`.

    The loader builds only classes that it knows: no other code in the file is run.

    Args:
        weights: a `.pt` file.
        folder: where `ultralytics` may keep its settings.

    Returns:
        The network in evaluation mode, and its classes.

    Raises:
        LightvadError: the package is missing or cannot read the file.
    """
    ultralytics_package(folder)
    from ultralytics.nn.tasks import torch_safe_load

    try:
        checkpoint, _ = torch_safe_load(str(weights), safe_only=True)
        network = (checkpoint.get("ema") or checkpoint["model"]).float()
        for module in network.modules():
            if isinstance(module, nn.Upsample):
                module.recompute_scale_factor = None  # checkpoints of old versions of torch lack it
    except Exception as error:  # the loader raises whatever the file makes it raise
        reason = " ".join(str(error).split())[:200]
        message = (
            f"{weights}: ultralytics cannot load it as data ({reason}); give one of its detection checkpoints (.pt)"
        )
        raise LightvadError(message) from error
    return fused(network), tuple(network.names.values())


def built_network(architecture: Path, *, folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """Build the network that a model yaml describes, with untrained weights.

    Args:
        architecture: a yaml in the form of `ultralytics` (backbone, head) with the further key `names`, its classes.
        folder: where `ultralytics` may keep its settings.

    Returns:
        The network in training mode, and its classes.

    Raises:
        LightvadError: the package or the file is missing, or the yaml does not describe a detection network.
    """
    ultralytics_package(folder)
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    try:
        content = yaml.safe_load(architecture.read_text())
        names = tuple(map(str, content["names"]))
        network: Any = DetectionModel({**content, "nc": len(names)}, verbose=False)
    except OSError as error:
        message = (
            f"{architecture}: cannot be read ({error.strerror}); set detection.ultralytics.architecture to a model yaml"
        )
        raise LightvadError(message) from error
    except Exception as error:  # whatever the builder makes of a wrong yaml
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        message = f"{architecture}: not a model yaml with backbone, head and names ({reason}); mend it"
        raise LightvadError(message) from error
    network.args = get_cfg()  # weights of the parts of the loss
    return network, names


def untrained_network(name: str, *, folder: Path) -> nn.Module:
    """Build an architecture that `ultralytics` knows by name, e.g. `yolov3u.yaml`, to time it: its weights are random.

    Raises:
        LightvadError: the package is missing or does not know the name.
    """
    ultralytics_package(folder)
    from ultralytics.nn.tasks import DetectionModel

    try:
        return fused(DetectionModel(name, verbose=False))
    except Exception as error:  # whatever the builder makes of a wrong name
        reason = " ".join(str(error).split())[:160]
        message = f"benchmark.detector: ultralytics cannot build {name!r} ({reason}); use e.g. yolov3u.yaml"
        raise LightvadError(message) from error


def fused(network: nn.Module) -> nn.Module:
    """The network in evaluation mode with batch normalisation folded into the convolutions before it."""
    return cast(Any, network).eval().fuse(verbose=False)


def ultralytics_package(folder: Path) -> Any:
    """Import the optional package, told before its first import not to call home, install or download.

    Raises:
        LightvadError: it is not installed.
    """
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder / "_ultralytics"))
    os.environ.update({"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"})
    threads = cv2.getNumThreads()
    try:
        import ultralytics
        import ultralytics.nn.tasks
    except ImportError as error:
        message = (
            f"detection.backend ultralytics: the package is missing ({error}); "
            "install it with `pip install 'lightvad[ultralytics]'` or use `motion` or `import`"
        )
        raise LightvadError(message) from error
    finally:
        cv2.setNumThreads(threads)  # the import switches OpenCV's threads off for the whole process
    return ultralytics

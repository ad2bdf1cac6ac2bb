"""Trains a small YOLO on the generator's boxes (split `detector` of a generated dataset), offline and resumable.

The network and its loss are those of `ultralytics`; the epoch loop is the project's own, so that nothing is downloaded,
no pickle is loaded and an interrupted training goes on where it was (project choice).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import nn

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.tables import BOX, BOXES, read_table
from lightvad.artifacts.weights import load_state, read_weights, write_weights
from lightvad.compute import device_of
from lightvad.config import Detection, UltralyticsDetector
from lightvad.detection.yolo import built_network, fused, largest_stride, network_images
from lightvad.errors import LightvadError
from lightvad.layout import CHECKSUMS
from lightvad.modules import code_digest
from lightvad.project import digest
from lightvad.training_loop import Training, finish, fit, seed_everything
from lightvad.video.clips import ClipStore

WEIGHTS = "detector.safetensors"
EPOCHS = "detector.csv"
TRUTH = "truth_boxes.parquet"

LEARNING_RATE = 2e-3
WEIGHT_DECAY = 5e-4
GRADIENT_NORM = 10.0
BRIGHTNESS = 0.15
"""Largest change of the brightness of an augmented image, as a share of it."""


@dataclass(frozen=True)
class TruthImages:
    """Images and boxes to train on.

    Attributes:
        images: uint8 (N, 3, h, w) RGB, padded as the network sees them.
        boxes: per image float32 (K, 4): centre x, centre y, width, height as shares of w and h.
        classes: per image int64 (K,).
    """

    images: torch.Tensor
    boxes: list[np.ndarray]
    classes: list[np.ndarray]


def trains_a_network(detection: Detection) -> bool:
    """Whether the configured detector is trained here: then `detector.safetensors` and `detector.csv` are written."""
    yolo = detection.ultralytics
    return detection.backend == "ultralytics" and yolo is not None and yolo.weights is None


def train_detector(
    settings: UltralyticsDetector,
    *,
    architecture: Path,
    clips: ClipStore,
    folder: Path,
    device: str,
    seed: int,
    what: str,
) -> None:
    """Train the network of `architecture` and write `folder/detector.safetensors` and `folder/detector.csv`.

    Args:
        settings: epochs, batch and image size.
        architecture: the model yaml.
        clips: holds a split `detector`; its boxes lie in `truth_boxes.parquet` beside the index.
        folder: where to write; the resume state lies in `_resume/` below it.
        device: `auto`, `cpu` or `cuda`.
        seed: of weights, order and augmentation.
        what: for progress lines.

    Raises:
        LightvadError: the dataset has no boxes to train on, or a loss became NaN.
    """
    target = device_of(device)
    seed_everything(seed)
    network, names = built_network(architecture, folder=folder)
    network = cast(Any, network).to(target, memory_format=torch.channels_last)  # a fifth faster on a CPU
    data = truth_images(clips, image_size=settings.image_size, stride=largest_stride(network), classes=len(names))
    steps = -(-len(data.images) // settings.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    read = [path for name in (TRUTH, CHECKSUMS) if (path := clips.root / name).is_file()]
    origin = {
        "settings": settings,
        "seed": seed,
        "architecture": sha256_of(architecture),
        "code": code_digest(__name__),
        "read": [sha256_of(path) for path in read],
    }
    training = Training(
        what=f"{what} detector",
        folder=folder,
        csv=folder / EPOCHS,
        digest=digest(origin),
        seed=seed,
        epochs=settings.epochs,
        modules={"network": network},
        optimizers={"network": optimizer},
        schedulers=[
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs, eta_min=LEARNING_RATE / 100)
        ],
    )

    fit(
        training,
        batches=lambda epoch: batches(data, batch=settings.batch, seed=seed, epoch=epoch),
        step=lambda batch: _step(network, optimizer, {name: value.to(target) for name, value in batch.items()}),
        batches_per_epoch=steps,
    )
    metadata = {"method": "detector", "config_digest": training.digest, "classes": ",".join(names)}
    write_weights(folder / WEIGHTS, network.state_dict(), metadata)
    finish(training)


def _step(network: Any, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """One step of the optimiser on one batch; the parts of the loss, a mean over images."""
    batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
    parts, _ = network.loss(batch)
    parts = parts / len(batch["img"])
    optimizer.zero_grad(set_to_none=True)
    parts.sum().backward()
    nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
    optimizer.step()
    box, kind, distribution = parts.detach().tolist()
    return {"loss": box + kind + distribution, "box": box, "class": kind, "distribution": distribution}


def trained_network(architecture: Path, *, folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The network of `architecture` with the weights that `train_detector` left in `folder`, and its classes.

    Raises:
        LightvadError: there are no such weights, or they belong to another architecture.
    """
    network, names = built_network(architecture, folder=folder)
    state, _ = read_weights(folder / WEIGHTS, "detector")
    load_state(network, state, folder / WEIGHTS)
    return fused(network), names


def truth_images(clips: ClipStore, *, image_size: int, stride: int, classes: int) -> TruthImages:
    """All frames of the split `detector` with their boxes.

    Raises:
        LightvadError: there is no such split, no boxes for it, or a class that the network has not.
    """
    members = clips.clips("detector")
    path = clips.root / TRUTH
    if not members or not path.is_file():
        message = f"{path}: no boxes of a split `detector` to train on; use `weights` or another detection.backend"
        raise LightvadError(message)
    table = read_table(clips.checked(path), BOXES)
    table = table[table["clip"].isin([clip.name for clip in members])]
    if not table["class_id"].between(0, classes - 1).all():
        message = (
            f"{path}: class_id {table['class_id'].max()}, but the model yaml names {classes} classes; mend its `names`"
        )
        raise LightvadError(message)
    groups = {place: rows for place, rows in table.groupby(["clip", "frame"])}
    nothing = table.iloc[:0]
    images, boxes, kinds = [], [], []
    for clip in members:
        for t, frame in enumerate(clips.sequential(clip.name)):
            image, scale = network_images([frame], image_size=image_size, stride=stride)
            images.append((image[0] * 255).round().to(torch.uint8))
            rows: pd.DataFrame = groups.get((clip.name, t), nothing)
            boxes.append(_relative(rows[list(BOX)].to_numpy() * scale, images[-1].shape[-2:]))
            kinds.append(rows["class_id"].to_numpy(np.int64))
    return TruthImages(torch.stack(images), boxes, kinds)


def _relative(corners: np.ndarray, size: torch.Size) -> np.ndarray:
    """Corners (K, 4) in pixels -> centre and size float32 (K, 4) as shares of the image."""
    height, width = size
    upper_left, lower_right = corners[:, :2], corners[:, 2:]
    both = np.concatenate([(upper_left + lower_right) / 2, lower_right - upper_left], axis=1)
    return (both / [width, height, width, height]).astype(np.float32)


def batches(data: TruthImages, *, batch: int, seed: int, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of one epoch, a function of (seed, epoch): shuffled, mirrored at random, a little brighter or darker.

    Yields:
        `img` float32 (B, 3, h, w) in [0, 1], `batch_idx` (K,), `cls` (K,), `bboxes` (K, 4): what the loss of
        `ultralytics` reads.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(data.images))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        mirrored = generator.random(len(chosen)) < 0.5
        gains = generator.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, len(chosen)).astype(np.float32)
        images = data.images[chosen].float() / 255
        images[mirrored] = images[mirrored].flip(-1)
        boxes = [data.boxes[i].copy() for i in chosen]
        for one, flip in zip(boxes, mirrored, strict=True):
            if flip:
                one[:, 0] = 1 - one[:, 0]
        yield {
            "img": (images * torch.from_numpy(gains)[:, None, None, None]).clamp(0, 1),
            "batch_idx": torch.from_numpy(np.repeat(np.arange(len(chosen)), [len(one) for one in boxes])).float(),
            "cls": torch.from_numpy(np.concatenate([data.classes[i] for i in chosen])).float(),
            "bboxes": torch.from_numpy(np.concatenate(boxes)),
        }

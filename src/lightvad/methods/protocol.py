"""What a stage hands to a method, and what a method gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import nn

from lightvad.artifacts.arrays import Resolution
from lightvad.video.clips import ClipStore


@dataclass(frozen=True)
class TeacherMaps:
    """The anomaly maps of one teacher's run and its weight in the distillation loss (Fast-AED, Eq. 4)."""

    name: str
    path: Path
    weight: float


@dataclass(frozen=True)
class Job:
    """One run of one method.

    Attributes:
        what: `DATASET METHOD/VARIANT`, for progress lines.
        folder: `results/runs/DATASET/BUDGET/METHOD/VARIANT/seedN`.
        settings: the method's own `Settings`, all layers merged.
        clips: the prepared clips.
        heldout: names of the training clips kept out of training, for validation.
        frame_size: (height, width) in pixels at which frame methods see a frame.
        resolutions: output heads of the dataset, e.g. (1, 4, 16).
        boxes: table BOXES for all clips of train and test (empty for frame methods, unless their training asks).
        class_probabilities: float32 (len(boxes), classes) of the detector, (len(boxes), 0) where there are none.
        teachers: maps to distil (frame methods with teachers).
        pretrained: `model.safetensors`-like file written by `pretrain` (of this or the variant it names).
        seed: of all random generators.
        device: `auto`, `cpu` or `cuda`.
        digest: of configuration, code and inputs of this stage; a resume state with another one is refused.
        metadata: what goes into the header of `model.safetensors`.
        other_clips: the prepared clips of the datasets that the settings name for this stage (`datasets_read`).
    """

    what: str
    folder: Path
    settings: Any
    clips: ClipStore
    heldout: frozenset[str]
    frame_size: tuple[int, int]
    resolutions: tuple[Resolution, ...]
    boxes: pd.DataFrame
    class_probabilities: np.ndarray
    teachers: tuple[TeacherMaps, ...]
    pretrained: Path | None
    seed: int
    device: str
    digest: str
    metadata: dict[str, str]
    other_clips: Mapping[str, ClipStore] = field(default_factory=dict)

    def training_clips(self) -> list[str]:
        """Names of the training clips that may be trained on."""
        return [clip.name for clip in self.clips.clips("train") if clip.name not in self.heldout]


@runtime_checkable
class Scorer(Protocol):
    """The path from decoded frames to scores, the same when scores are made and when they are timed.

    Attributes:
        offsets: frames of the window, relative to the current one.
        needs_boxes: True for object methods.
        network: all modules that run at test time (for parameters and GFLOPs).
        precision: e.g. `32-true`.
    """

    offsets: Sequence[int]
    needs_boxes: bool
    network: nn.Module
    precision: str

    def inputs(
        self, window: np.ndarray, boxes: np.ndarray, class_probabilities: np.ndarray | None = None
    ) -> tuple[torch.Tensor, ...]:
        """From decoded frames to the network's inputs on its device.

        Args:
            window: uint8 (F, H, W, 3) RGB, the frames at `offsets`.
            boxes: float32 (K, 4) of the current frame; frame methods do not look at them.
            class_probabilities: float32 (K, classes) of these boxes, for methods that compare them.
        """
        ...

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Anomaly scores, higher = more anomalous: (B,) one per window, or (K,) one per object."""
        ...

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random inputs of the right shapes on the network's device, for timing the model alone."""
        ...


def part_of(method: str, part: str) -> ModuleType:
    """The module `lightvad.methods.METHOD.PART`, imported when needed: a method's folder is all it takes to add one.

    Raises:
        LightvadError: there is no such method, or it has no such part.
    """
    import importlib

    from lightvad.errors import LightvadError

    name = f"lightvad.methods.{method}.{part}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            known = sorted(p.parent.name for p in Path(__file__).parent.glob("*/settings.py"))
            message = f"method {method!r} has no {part}; methods here: {', '.join(known)}"
            raise LightvadError(message) from error
        raise

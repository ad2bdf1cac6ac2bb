"""Exports: one file `*.lightvad` that holds all it takes to run a detector.

A zip without compression of `manifest.json` (see `Manifest`) and the network's files, whose sha256 the manifest names.
Nothing in it is ever unpickled.
"""

import json
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lightvad.artifacts.arrays import DAMAGE, Resolution
from lightvad.artifacts.atomic import atomic_path
from lightvad.errors import LightvadError

SUFFIX = ".lightvad"
MANIFEST = "manifest.json"
WEIGHTS, ONNX, GRAPH, CONSTANTS = "model.safetensors", "network.onnx", "network.xml", "network.bin"
FILES = {"torch": (WEIGHTS,), "onnx": (ONNX,), "openvino": (GRAPH, CONSTANTS)}
"""The network's files in each form."""
PRECISIONS = {
    "torch": ("32-true", "bf16-mixed", "16-mixed"),
    "onnx": ("32-true",),
    "openvino": ("32-true", "bf16-mixed", "int8"),
}
"""Precisions that each form can be run in."""
REMEDY = "get the file again, or make it again with `lightvad export`"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Threshold(_Part):
    """The smoothed score from which on a frame is abnormal, and what it was chosen by.

    Attributes:
        value: scores at or above it are abnormal.
        wanted_per_hour: false alarms an hour that were asked for.
        measured_per_hour: false alarms an hour of the normal video that it was chosen on.
        hours: length of that video; rates below 1 / hours cannot be told on it, and the threshold then lies above
            every score.
        clips: names of its clips.
    """

    value: float
    wanted_per_hour: float = Field(gt=0)
    measured_per_hour: float = Field(ge=0)
    hours: float = Field(gt=0)
    clips: tuple[str, ...]


class Parity(_Part):
    """How far the export's scores lie from those of fp32 eager on the same frames.

    Attributes:
        score_difference: largest absolute difference of a raw score.
        score_spread: standard deviation of the reference's scores, to compare it with.
        frames: frames that were compared.
    """

    score_difference: float
    score_spread: float
    frames: int


class Manifest(_Part):
    """What an export says of itself.

    Attributes:
        form: what its network is written as: `torch` (weights, for lightvad's own network), `onnx`, `openvino`.
        precision: in which it runs: `32-true`, `bf16-mixed`, `16-mixed`, `int8`.
        dataset, budget, method, variant, seed: the run that it was made from.
        frame_size: (height, width) in pixels at which the network sees a frame; others are resized.
        offsets: frames of a window relative to the current one, previous to next, at `fps` frames a second.
        resolutions: sides of the maps.
        fps: frame rate of the videos that it was trained on.
        smoothing_seconds: sigma of the Gaussian that smooths the scores.
        threshold: None where no normal video was there to choose one on.
        parity: None where no frames were there to compare on.
        calibration_windows: of int8: windows of training clips from which the ranges of activations were taken.
        settings: of the run's method, as JSON.
        weights_sha256: of the run's `model.safetensors`.
        versions: of what made it.
        files: sha256 of the network's files by name.
    """

    format: Literal[1] = 1
    form: Literal["torch", "onnx", "openvino"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "int8"]
    dataset: str
    budget: str
    method: str
    variant: str
    seed: int
    frame_size: tuple[int, int]
    offsets: tuple[int, ...]
    resolutions: tuple[Resolution, ...]
    fps: float = Field(gt=0)
    smoothing_seconds: float = Field(gt=0)
    threshold: Threshold | None
    parity: Parity | None
    calibration_windows: int | None
    settings: dict[str, Any]
    weights_sha256: str
    versions: dict[str, str]
    files: dict[str, str]

    @model_validator(mode="after")
    def _form_runs_so(self) -> "Manifest":
        if self.precision not in PRECISIONS[self.form]:
            message = f"{self.form} has {', '.join(PRECISIONS[self.form])}, not {self.precision}"
            raise ValueError(message)
        if self.files and set(self.files) != set(FILES[self.form]):
            message = f"{self.form} has {', '.join(FILES[self.form])}, not {', '.join(self.files)}"
            raise ValueError(message)
        return self

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"{self.method}/{self.variant} on {self.dataset}, budget {self.budget}, seed {self.seed}"


def write_export(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write an export atomically; `manifest.files` is filled in. The same content gives the same bytes."""
    sums = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
    told = manifest.model_copy(update={"files": sums}).model_dump(mode="json")
    content = {MANIFEST: json.dumps(told, indent=1, sort_keys=True, allow_nan=False).encode(), **files}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, part in content.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), part)


def read_export(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the network's files of an export, every byte compared with its sha256.

    Raises:
        LightvadError: the file is missing, is no export, is of a later format, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if any(one.compress_type != zipfile.ZIP_STORED for one in parts):
                message = f"{path}: its parts are compressed, those of an export are not; {REMEDY}"
                raise LightvadError(message)
            if sum(one.file_size for one in parts) > path.stat().st_size:
                message = f"{path}: its parts are larger than itself; {REMEDY}"
                raise LightvadError(message)
            content = {one.filename: archive.read(one) for one in parts}
    except DAMAGE as error:
        message = f"{path}: missing, damaged or no export ({error}); {REMEDY}"
        raise LightvadError(message) from error
    try:
        manifest = Manifest.model_validate(json.loads(content.pop(MANIFEST)))
    except (KeyError, ValueError, ValidationError) as error:
        reason = "no manifest.json" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        message = f"{path}: no export that this version of lightvad reads ({reason}); {REMEDY}"
        raise LightvadError(message) from error
    found = {name: sha256(part).hexdigest() for name, part in content.items()}
    if found != manifest.files:
        wrong = sorted(set(found.items()) ^ set(manifest.files.items()))[0][0]
        message = f"{path}: {wrong} is not what manifest.json says; {REMEDY}"
        raise LightvadError(message)
    return manifest, content

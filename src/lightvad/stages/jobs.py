"""From a run's name to the `Job` that a method is handed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.tables import BOXES, read_table
from lightvad.artifacts.weights import read_metadata
from lightvad.errors import LightvadError
from lightvad.layout import Run, boxes_path, classes_path, clips_folder
from lightvad.methods.protocol import Job, TeacherMaps
from lightvad.modules import code_digest, stage_modules
from lightvad.project import Project, digest
from lightvad.resolution import (
    pretraining_of,
    run_inputs,
    run_slice,
    settings_of,
    shared_settings,
    teachers_of,
)
from lightvad.stages.machine import Machine
from lightvad.video.clips import Clip, ClipStore, check_places

OTHER_CACHE_BYTES = 500_000_000
"""Decoded frames of another dataset that are kept in memory, beside those of the run's own."""


def held_out(clips: list[Clip], fraction: float) -> frozenset[str]:
    """Names of the training clips kept for validation: `fraction` of them, evenly spread (project choice).

    At least one; none with a fraction of 0, or with a single clip.
    """
    names = sorted(clip.name for clip in clips)
    if fraction == 0 or len(names) < 2:
        return frozenset()
    count = max(1, round(fraction * len(names)))
    return frozenset(names[round((k + 0.5) * len(names) / count - 0.5)] for k in range(count))


def needs_boxes(project: Project, method: str) -> bool:
    """Whether a method works on objects."""
    return project.method(method).level == "object"


def job_of(project: Project, run: Run, stage: str, machine: Machine) -> Job:
    """Everything that a method needs for one stage of one run.

    Raises:
        LightvadError: an input is missing or damaged, or the configuration is wrong.
    """
    dataset, settings = project.dataset(run.dataset), settings_of(project, run)
    clips = ClipStore(project.root / clips_folder(run.dataset))
    boxes = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in BOXES.items()})
    probabilities = np.zeros((0, 0), np.float32)
    backend = dataset.detection.backend
    if needs_boxes(project, run.method) or stage in settings.stages_on_boxes:
        path = project.root / boxes_path(run.dataset, backend)
        boxes = read_table(path, BOXES)
        check_places(boxes, clips.clips(), path, "run `lightvad detect` again")
    if needs_boxes(project, run.method):
        from lightvad.detection.class_probabilities import read_class_probabilities

        probabilities, _ = read_class_probabilities(project.root / classes_path(run.dataset, backend), boxes=len(boxes))
    owner = pretraining_of(project, run)
    return Job(
        what=f"{run.dataset} {run.method}/{run.variant} {stage}",
        folder=project.root / run.folder,
        settings=settings,
        clips=clips,
        heldout=held_out(clips.clips("train"), dataset.heldout_fraction),
        frame_size=dataset.frame_size,
        resolutions=dataset.map_resolutions,
        boxes=boxes,
        class_probabilities=probabilities,
        teachers=tuple(
            TeacherMaps(teacher.method, project.root / teacher.folder / "maps.npz", weight)
            for teacher, weight in teachers_of(project, run)
        ),
        pretrained=project.root / owner.folder / "pretrained.safetensors" if owner else None,
        seed=run.seed,
        device=machine.device,
        digest=_state_digest(project, run, stage),
        metadata=metadata_of(project, run, stage),
        other_clips={
            name: ClipStore(project.root / clips_folder(name), cache_bytes=OTHER_CACHE_BYTES)
            for name in settings.datasets_read(stage)
        },
    )


def metadata_of(project: Project, run: Run, stage: str) -> dict[str, str]:
    """The header of the weights that a stage of a run writes."""
    frame_size = project.dataset(run.dataset).frame_size
    return {
        **_identity(run),
        "config_digest": digest(run_slice(project, stage, run)),
        "input_size": "x".join(str(side) for side in settings_of(project, run).input_size(frame_size)),
        "settings": json.dumps(shared_settings(project, run), sort_keys=True),
    }


def _identity(run: Run) -> dict[str, str]:
    """Whose weights these are, in the header of `model.safetensors`."""
    return {
        "method": run.method,
        "variant": run.variant,
        "dataset": run.dataset,
        "budget": run.budget,
        "seed": str(run.seed),
    }


def check_weights(project: Project, run: Run) -> None:
    """Check by its header that the run's `model.safetensors` is its own and was trained with its present settings.

    Shapes do not tell: another activation, frame size or step between frames loads without a complaint. What the header
    does not say (weights written before it said so) is not compared.

    Raises:
        LightvadError: the file is missing, is another run's, or was trained with other settings.
    """
    path = project.root / run.folder / "model.safetensors"
    metadata = read_metadata(path)
    whose = {key: metadata.get(key, own) for key, own in _identity(run).items()}
    remedy = f"run `lightvad train --run {run.folder.as_posix()}`"
    if whose != _identity(run):
        told = "{method}/{variant} on {dataset}, budget {budget}, seed {seed}".format(**whose)
        message = f"{path}: weights of another run ({told}); {remedy}, or put this run's own weights there"
        raise LightvadError(message)
    trained = _settings_told(metadata, path, remedy)
    for key, value in json.loads(json.dumps(shared_settings(project, run))).items():
        if key in trained and trained[key] != value:
            message = (
                f"{path}: trained with {key} {json.dumps(trained[key])}, but the run has {json.dumps(value)}; {remedy}"
                " again, or give the settings that it was trained with"
            )
            raise LightvadError(message)


def _settings_told(metadata: Mapping[str, str], path: Path, remedy: str) -> dict[str, Any]:
    """What the header of weights says of the settings that they were trained with; empty if it says nothing."""
    try:
        told = json.loads(metadata.get("settings", "{}"))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        message = f"{path}: the `settings` of its header are no JSON object; {remedy} again, or get the file again"
        raise LightvadError(message)
    return told


def _state_digest(project: Project, run: Run, stage: str) -> str:
    """What a resume state must agree in: configuration, code, and the bytes of every input."""
    inputs = {path.as_posix(): sha256_of(project.root / path) for path in run_inputs(project, stage, run)}
    return digest([run_slice(project, stage, run), code_digest(*stage_modules(stage, run.method)), inputs])

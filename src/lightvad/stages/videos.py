"""Videos of anybody, scored by a trained detector."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lightvad.artifacts.exports import SUFFIX
from lightvad.deploy.detectors import Detector, read_detector
from lightvad.deploy.engines import FORM_OF, open_engine
from lightvad.deploy.videos import score_video
from lightvad.errors import LightvadError
from lightvad.layout import RUN_PATTERN, Run
from lightvad.progress import say
from lightvad.project import Project
from lightvad.resolution import settings_of
from lightvad.stages.export import FALSE_ALARMS, check_exportable, made
from lightvad.stages.machine import Machine
from lightvad.video.decoding import video_info

MODELS = Path("models")
"""Exports that are known by a name: `models/NAME/*.lightvad`."""


def run(
    project: Project,
    videos: Sequence[Path],
    machine: Machine,
    *,
    model: str,
    out: Path,
    engine: str | None,
    threshold: float | None,
    batch: int,
    film: bool,
) -> None:
    """Score videos; see `deploy.videos.score_video` for what is written into `out`.

    Args:
        project: where runs and named models lie.
        videos: files in any container and codec that FFmpeg reads.
        machine: device and CPU threads.
        model: an export, the folder of a run, or the name of a model.
        out: a folder.
        engine: see `deploy.engines`; None: the one for the export's form.
        threshold: of the smoothed scores; None: the model's own.
        batch: windows in one pass.
        film: whether to write annotated films.

    Raises:
        LightvadError: a video cannot be read, two would be written to the same files, or there is no such model.
    """
    twice = [name for name, count in Counter(video.stem for video in videos).items() if count > 1]
    if twice:
        message = f"{twice[0]}: two videos of this name would be written to the same files; score them into two folders"
        raise LightvadError(message)
    check_threshold(threshold)
    infos = [video_info(video) for video in videos]
    machine.apply()
    detector = open_model(project, model, machine, engine=engine)
    manifest = detector.manifest
    own = manifest.threshold.value if manifest.threshold is not None else None
    threshold = own if threshold is None else threshold
    say(f"{manifest.title}: {detector.engine.name} in {detector.engine.precision}")
    if threshold is None:
        say("this model has no threshold: scores and no alarms; give one with --threshold")
    for video, info in zip(videos, infos, strict=True):
        if round(info.fps, 2) != round(manifest.fps, 2):
            reach = ", ".join(str(one) for one in detector.windows(info.fps).offsets)
            say(
                f"{video}: {info.fps:g} frames a second, the model was trained on {manifest.fps:g}: windows are made of"
                f" the frames at {reach}"
            )
        begun = time.monotonic()
        found = score_video(detector, video, out, threshold=threshold, batch=batch, film=film)
        took = time.monotonic() - begun
        alarms = "" if threshold is None else f"{len(found)} alarm{'' if len(found) == 1 else 's'}, "
        say(f"{video}: {alarms}{took:.1f} s; {out / video.stem}.*")


def check_threshold(threshold: float | None) -> None:
    """Check that a threshold is a number.

    Raises:
        LightvadError: it is NaN or infinite.
    """
    if threshold is not None and not math.isfinite(threshold):
        message = f"--threshold {threshold}: write a number"
        raise LightvadError(message)


def open_model(project: Project, model: str, machine: Machine, *, engine: str | None) -> Detector:
    """The detector of an export, of a run, or of a name under models/.

    Raises:
        LightvadError: there is none.
    """
    path = Path(model)
    if path.suffix == SUFFIX:
        return read_detector(path, engine=engine, device=machine.device, threads=machine.cores)
    if RUN_PATTERN.search(path.as_posix().rstrip("/")):
        return _detector_of_run(project, Run.parse(path), machine, engine=engine)
    found = sorted((project.root / MODELS / model).glob(f"*{SUFFIX}"))
    if len(found) == 1:
        return read_detector(found[0], engine=engine, device=machine.device, threads=machine.cores)
    names = sorted({one.parent.name for one in (project.root / MODELS).glob(f"*/*{SUFFIX}")})
    told = f"models/{model} holds {len(found)}: name one of its files" if found else "there is none"
    known = f"; names here: {', '.join(names)}" if names and not found else ""
    message = (
        f"--model {model}: {told}; give an export (*{SUFFIX}), the folder of a run (results/runs/...) or a name{known}"
    )
    raise LightvadError(message)


def _detector_of_run(project: Project, run: Run, machine: Machine, *, engine: str | None) -> Detector:
    """A run that was not exported: as PyTorch, in the precision in which it was scored."""
    check_exportable(project, run)
    if engine is not None and FORM_OF[engine] != "torch":
        message = f"--engine {engine}: of a run that is not exported; run `lightvad export --run {run.folder}` first"
        raise LightvadError(message)
    precision = settings_of(project, run).score_precision  # type: ignore[attr-defined]
    detector, program = made(project, run, machine, to="torch", precision=precision, per_hour=FALSE_ALARMS)
    if engine in (None, detector.engine.name):
        return detector
    other = open_engine(program, engine=engine, device=machine.device, threads=machine.cores)
    return Detector(detector.manifest, other)

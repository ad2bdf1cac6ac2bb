"""A trained run as one file that holds all it takes to run the detector."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightvad.artifacts.digests import sha256_of
from lightvad.artifacts.exports import PRECISIONS, SUFFIX, WEIGHTS, Manifest, Parity, Threshold, write_export
from lightvad.config import Dataset
from lightvad.deploy.alarms import threshold_for
from lightvad.deploy.calibration import calibration_windows, spread_windows
from lightvad.deploy.detectors import Detector
from lightvad.deploy.engines import open_engine, scores_of
from lightvad.deploy.programs import Program, program_in
from lightvad.errors import LightvadError
from lightvad.layout import Run, clips_folder
from lightvad.methods.protocol import Scorer, part_of
from lightvad.progress import say, track
from lightvad.project import Project
from lightvad.resolution import settings_of
from lightvad.stages.jobs import check_weights, held_out, needs_boxes
from lightvad.stages.machine import Machine
from lightvad.video.clips import Clip, ClipStore

CALIBRATION_WINDOWS = 192
"""Windows of training clips on which INT8 takes the ranges of activations."""
PARITY_WINDOWS = 64
"""Windows of held-out clips, evenly spread, on which the export is compared with fp32 eager."""
FALSE_ALARMS = 1.0
"""An hour, where nobody says otherwise."""


def run(
    project: Project, run: Run, machine: Machine, *, to: str, precision: str | None, per_hour: float, out: Path | None
) -> Path:
    """Write the export of a run; returns its path.

    Args:
        project: whose run it is.
        run: a trained run of a frame method.
        machine: CPU threads.
        to: `torch`, `onnx` or `openvino`.
        precision: one of the form's; None: `int8` for openvino, else `32-true`.
        per_hour: false alarms an hour for which the threshold is chosen.
        out: the file; None: RUN/exports/FORM-PRECISION.lightvad.

    Raises:
        LightvadError: the run is not trained, is of an object method, or the form has no such precision.
    """
    if out is not None and out.suffix != SUFFIX:
        message = f"--out {out}: an export's name ends in {SUFFIX}, by which `score` knows it; give it that ending"
        raise LightvadError(message)
    detector, program = made(project, run, machine, to=to, precision=precision, per_hour=per_hour)
    manifest = detector.manifest
    path = out or project.root / run.folder / "exports" / f"{to}-{manifest.precision}.lightvad"
    write_export(path, manifest, program.files)
    if manifest.parity is not None:
        parity = manifest.parity
        say(
            f"{path}: {manifest.title}, as {to} in {manifest.precision}; largest difference of a score from fp32 eager"
            f" {parity.score_difference:.2g} on {parity.frames} held-out frames (their scores spread by"
            f" {parity.score_spread:.2g})"
        )
    return path


def made(
    project: Project, run: Run, machine: Machine, *, to: str, precision: str | None, per_hour: float
) -> tuple[Detector, Program]:
    """The detector of a run, its threshold chosen on the held-out training clips, and its program."""
    check_exportable(project, run)
    if to != "torch" and machine.device == "cuda":
        message = f"--to {to} --device cuda: {to} runs on the CPU here; leave out --device, or export --to torch"
        raise LightvadError(message)
    machine.apply()
    precision = _precision(to, precision)
    dataset = project.dataset(run.dataset)
    settings: Any = settings_of(project, run)  # a frame method's has offsets and resolutions
    frame_size = settings.input_size(dataset.frame_size)
    weights = project.root / run.folder / WEIGHTS
    network = part_of(run.method, "deployment").deployed(
        settings, frame_size=frame_size, resolutions=dataset.map_resolutions, weights=weights
    )
    clips = ClipStore(project.root / clips_folder(run.dataset))
    kept_out = held_out(clips.clips("train"), dataset.heldout_fraction)
    trained_on = [clip for clip in clips.clips("train") if clip.name not in kept_out]
    normal = [clip for clip in clips.clips("train") if clip.name in kept_out]
    calibration: list[np.ndarray] = []
    if precision == "int8":
        calibration = calibration_windows(
            clips, trained_on, offsets=settings.offsets, frame_size=frame_size, count=CALIBRATION_WINDOWS
        )
    program = _program(network, to, precision, (*frame_size, 3 * len(settings.offsets)), calibration, weights)
    engine = open_engine(program, device=machine.device if to == "torch" else "cpu", threads=machine.cores)
    parity = None
    if normal:
        windows = spread_windows(clips, normal, offsets=settings.offsets, frame_size=frame_size, count=PARITY_WINDOWS)
        scorer = part_of(run.method, "scoring").scorer(
            settings.scored_in("32-true"), frame_size=frame_size, resolutions=dataset.map_resolutions,
            weights=weights, device="cpu",
        )  # fmt: skip
        parity = compared(scores_of(engine, windows), _reference_scores(scorer, windows))
    manifest = Manifest(
        form=to,
        precision=precision,
        dataset=run.dataset,
        budget=run.budget,
        method=run.method,
        variant=run.variant,
        seed=run.seed,
        frame_size=frame_size,
        offsets=settings.offsets,
        resolutions=settings.map_resolutions(dataset.map_resolutions),
        fps=dataset.fps,
        smoothing_seconds=dataset.smoothing.plain_seconds,
        threshold=None,
        parity=parity,
        calibration_windows=len(calibration) or None,
        settings=settings.model_dump(mode="json"),
        weights_sha256=sha256_of(weights),
        versions={"lightvad": version("lightvad"), "torch": torch.__version__, "openvino": version("openvino")},
        files={},
    )
    detector = Detector(manifest, engine)
    if normal:
        threshold = _threshold(detector, clips, normal, dataset, per_hour)
        detector = Detector(manifest.model_copy(update={"threshold": threshold}), engine)
    else:
        say(f"{run.dataset}: no held-out training clips: the export has no threshold; `score` takes --threshold")
    return detector, program


def _reference_scores(scorer: Scorer, windows: list[np.ndarray]) -> np.ndarray:
    """Raw scores float64 (N,) of windows uint8 (1, h, w, 3F) by the path that is evaluated, in fp32 eager."""
    nothing = np.zeros((0, 4), np.float32)
    found = []
    for window in windows:
        height, width, channels = window.shape[1:]
        frames = window[0].reshape(height, width, channels // 3, 3).transpose(2, 0, 1, 3)
        found.append(scorer.scores(*scorer.inputs(np.ascontiguousarray(frames), nothing)).cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def check_exportable(project: Project, run: Run) -> None:
    """Check that a run is of a frame method and its weights are its own.

    Raises:
        LightvadError: it is not, or they are not.
    """
    if needs_boxes(project, run.method):
        students = ", ".join(name for name in project.methods() if project.method(name).level == "frame")
        message = (
            f"{run.folder}: {run.method} is an object method, which needs a detector beside it; only frame methods"
            f" ({students}) can be exported"
        )
        raise LightvadError(message)
    check_weights(project, run)


def compared(own: np.ndarray, reference: np.ndarray) -> Parity:
    """How far raw scores (T,) lie from those of fp32 eager."""
    difference = float(np.abs(own - reference).max())
    return Parity(score_difference=difference, score_spread=float(reference.std()), frames=len(own))


def _precision(to: str, precision: str | None) -> str:
    if precision is None:
        return "int8" if to == "openvino" else "32-true"
    if precision not in PRECISIONS[to]:
        message = f"--precision {precision}: {to} has {', '.join(PRECISIONS[to])}"
        raise LightvadError(message)
    return precision


def _program(
    network: torch.nn.Module,
    to: str,
    precision: str,
    shape: tuple[int, int, int],
    calibration: list[np.ndarray],
    weights: Path,
) -> Program:
    if to == "torch":
        return Program("torch", precision, {WEIGHTS: weights.read_bytes()}, network)
    return program_in(to, network, window_shape=shape, precision=precision, calibration=calibration)


def _threshold(
    detector: Detector, clips: ClipStore, normal: list[Clip], dataset: Dataset, per_hour: float
) -> Threshold:
    smoothed = []
    for clip in track(normal, total=len(normal), what="threshold", unit="clips"):
        scores = detector.scores(clips.sequential(clip.name), fps=dataset.fps)
        smoothed.append(detector.smoothed(scores, dataset.fps))
    found = threshold_for(smoothed, clips=[clip.name for clip in normal], fps=dataset.fps, per_hour=per_hour)
    if per_hour * found.hours < 1:
        say(
            f"threshold {found.value:.4g}: {3600 * found.hours:.0f} s of normal video cannot tell {per_hour:g} false"
            " alarms an hour; it lies just above their highest score: watch normal video for longer to set it"
        )
    return found

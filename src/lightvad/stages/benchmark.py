"""Speed and complexity of the path that is scored; what it is compared with is timed beside it in one process."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lightvad.artifacts.arrays import Resolution
from lightvad.artifacts.documents import write_json
from lightvad.artifacts.tables import BOXES, UNKNOWN, read_table
from lightvad.config import Benchmark, Dataset, Detection, MethodSettings, MotionRegions
from lightvad.detection.class_probabilities import read_class_probabilities
from lightvad.detection.timing import TimedDetector, detector_for_timing
from lightvad.detection.yolo_training import WEIGHTS, trains_a_network
from lightvad.errors import LightvadError
from lightvad.evaluation.complexity import complexity, gflops
from lightvad.evaluation.speed import (
    REFERENCE_PRECISION,
    Footage,
    FrameObjects,
    TimedScorer,
    say_speeds,
    time_scorers,
)
from lightvad.layout import Run, boxes_path, classes_path, clips_folder, raw_folder, speeds_path
from lightvad.methods.protocol import part_of
from lightvad.project import Project
from lightvad.resolution import settings_model, settings_of, speeds_slice, timed_beside
from lightvad.stages.jobs import check_weights, needs_boxes
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded, recorded_result
from lightvad.video.clips import ClipStore, read_labels

RESOLUTIONS = (1, 4, 16)
"""Output heads where no dataset says otherwise: those of Avenue and ShanghaiTech."""
OBJECTS = 10
"""Objects a frame where there are no boxes to count; the row says so."""
CACHED_FRAMES = 40
"""Decoded frames that a timed stream may keep: enough for its window, too few to hold a clip."""


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write `speed.json` and `complexity.json` of `run` and, from the same process, of what is `timed_beside` it.

    Raises:
        LightvadError: weights, clips, labels or boxes are missing, or weights are another run's.
    """
    machine.apply()
    runs = [run, *timed_beside(project, run)]
    detection = project.dataset(run.dataset).detection
    with_network = trains_a_network(detection) and any(needs_boxes(project, timed.method) for timed in runs)
    network = [boxes_path(run.dataset, detection.backend).parent / WEIGHTS] if with_network else []
    with recorded(project, run, "benchmark", machine=machine, also_read=network):
        rows = _measure(project, run, runs, machine)
    say_speeds(rows, run.folder / "speed.json")


def _measure(project: Project, run: Run, runs: Sequence[Run], machine: Machine) -> list[dict[str, Any]]:
    """Time `runs` in turns, the first of which is `run`, and write its documents; returns the rows of `speed.json`."""
    dataset, benchmark = project.dataset(run.dataset), project.budget(run.budget).benchmark
    store = ClipStore(project.root / clips_folder(run.dataset))
    labels = read_labels(store)
    clip = max(store.clips("test"), key=lambda clip: clip.frames)
    with_boxes = any(needs_boxes(project, timed.method) for timed in runs)
    objects = _objects(project, run.dataset, clip.name, clip.frames) if with_boxes else []
    counted = benchmark.objects or max(1, round(float(np.mean([len(o.boxes) for o in objects])))) if objects else 0
    detector = _detector(project, dataset, benchmark, machine) if with_boxes else None
    entries: list[TimedScorer] = []
    for timed in runs:
        check_weights(project, timed)
        entries += _entries(
            settings_of(project, timed),
            method=timed.method,
            variant=timed.variant,
            frame_size=dataset.frame_size,
            resolutions=dataset.map_resolutions,
            weights=project.root / timed.folder / "model.safetensors",
            device=machine.device,
            detector=detector,
            objects=counted,
        )
    of_clip = labels.loc[labels["clip"] == clip.name, "label"].to_numpy(np.int8)
    frame_bytes = clip.height * clip.width * 3
    rows = time_scorers(
        entries,
        footage=Footage(
            lambda: ClipStore(project.root / clips_folder(run.dataset), cache_bytes=CACHED_FRAMES * frame_bytes),
            clip.name,
            objects,
            None if (of_clip == UNKNOWN).any() else of_clip,
        ),
        benchmark=benchmark,
        device=machine.device,
    )
    write_json(project.root / run.folder / "speed.json", rows)
    scored = [entry for entry in entries if entry.scored]
    own, *others = [_complexity(entry, detector) for entry in scored]
    beside = [
        {"method": entry.method, "variant": entry.variant, **content}
        for entry, content in zip(scored[1:], others, strict=True)
    ]
    write_json(project.root / run.folder / "complexity.json", {**own, "beside": beside} if beside else own)
    return rows


def run_table(
    project: Project, *, paper: str, number: str, dataset: str, budget: str, machine: Machine, root: Path
) -> None:
    """Time the networks of a table's rows in turns; writes results/speed/DATASET/BUDGET/PAPER/tableN.json.

    Model only, batch 1, at the size at which each row's network sees a frame; speed does not depend on weights, which
    are random.

    Raises:
        LightvadError: the paper has no such table, it shows no speeds, or a row is an object method.
    """
    table = project.experiment(paper).table(number)
    if not table.speeds:
        message = f"config/experiments/{paper}.yaml: tables.{number} has no `speeds`: there is nothing to time"
        raise LightvadError(message)
    machine.apply()
    out = speeds_path(dataset, budget, paper, number)
    spec, benchmark = project.dataset(dataset), project.budget(budget).benchmark
    runs = list(dict.fromkeys(Run(dataset, budget, row.method, row.variant, 0) for row in table.rows))
    options = {"paper": paper, "table": number, "dataset": dataset, "budget": budget}
    with recorded_result(
        project,
        "benchmark",
        name=out.stem,
        options=options | {"device": machine.device, "threads": str(machine.threads)},
        config=speeds_slice(project, paper=paper, number=number, dataset=dataset, budget=budget),
        inputs=[],
        outputs=[out],
        root=root,
        methods=dict.fromkeys(run.method for run in runs),
        machine=machine,
    ):
        entries = [
            entry
            for timed in runs
            for entry in _entries(
                settings_of(project, timed),
                method=timed.method,
                variant=timed.variant,
                frame_size=spec.frame_size,
                resolutions=spec.map_resolutions,
                weights=None,
                device=machine.device,
                detector=None,
                objects=0,
            )
            if entry.scored
        ]
        once = benchmark.model_copy(update={"batches": (1,)})
        rows = time_scorers(entries, footage=None, benchmark=once, device=machine.device)
        write_json(root / out, rows)
    say_speeds(rows, out)


def run_without_data(
    project: Project,
    *,
    method: str,
    variant: str,
    height: int,
    width: int,
    budget: str,
    machine: Machine,
    out: Path,
) -> None:
    """Write speed (model only) and complexity of a method with random weights: {"speed": [...], "complexity": {...}}.

    The settings are those of the variant under the budget, for no dataset in particular.
    """
    machine.apply()
    benchmark = project.budget(budget).benchmark
    settings = project.method_settings(
        settings_model(method), method=method, variant=variant, dataset=None, budget=budget
    )
    detector = None
    if needs_boxes(project, method):
        detection = Detection(backend="motion", motion=MotionRegions()).model_copy(update={"backend": "import"})
        detector = detector_for_timing(
            detection, stand_in=benchmark.detector, raw=Path(), folder=out.parent, device=machine.device
        )
    height, width = settings.input_size((height, width))
    entries = _entries(
        settings,
        method=method,
        variant=variant,
        frame_size=(height, width),
        resolutions=RESOLUTIONS,
        weights=None,
        device=machine.device,
        detector=detector,
        objects=benchmark.objects or OBJECTS,
    )
    rows = time_scorers(entries, footage=None, benchmark=benchmark, device=machine.device)
    content = _complexity(entries[-1], detector)
    write_json(out, {"speed": rows, "complexity": content})
    say_speeds(rows, out)


def _entries(
    settings: MethodSettings,
    *,
    method: str,
    variant: str,
    frame_size: tuple[int, int],
    resolutions: tuple[Resolution, ...],
    weights: Path | None,
    device: str,
    detector: TimedDetector | None,
    objects: int,
) -> list[TimedScorer]:
    """The path that is scored; before it the same path in fp32, where a frame method is scored in another precision.

    Each at the size at which the method sees a dataset's frames of `frame_size`. An object method is timed as it is
    scored and no other way: a frame takes it seconds, with its detector.
    """
    make = partial(
        part_of(method, "scoring").scorer,
        frame_size=frame_size,
        resolutions=resolutions,
        weights=weights,
        device=device,
    )
    scorer, seen = make(settings), settings.input_size(frame_size)
    if scorer.needs_boxes and detector is not None:
        return [TimedScorer(method, variant, scorer, seen, detector.open, detector.name, objects)]
    entries = [TimedScorer(method, variant, scorer, seen)]
    if scorer.precision != REFERENCE_PRECISION:
        reference = make(settings.scored_in(REFERENCE_PRECISION))
        entries.insert(0, replace(entries[0], scorer=reference, scored=False))
    return entries


def _detector(project: Project, dataset: Dataset, benchmark: Benchmark, machine: Machine) -> TimedDetector:
    return detector_for_timing(
        dataset.detection,
        stand_in=benchmark.detector,
        raw=project.root / raw_folder(dataset.name),
        folder=project.root / boxes_path(dataset.name, "any").parent,
        device=machine.device,
        root=project.root,
    )


def _objects(project: Project, dataset: str, clip: str, frames: int) -> list[FrameObjects]:
    backend = project.dataset(dataset).detection.backend
    boxes = read_table(project.root / boxes_path(dataset, backend), BOXES)
    probabilities, _ = read_class_probabilities(project.root / classes_path(dataset, backend), boxes=len(boxes))
    own = boxes["clip"].to_numpy() == clip
    corners, at = boxes.loc[own, ["x1", "y1", "x2", "y2"]].to_numpy(np.float32), boxes.loc[own, "frame"].to_numpy()
    return [FrameObjects(corners[at == t], probabilities[own][at == t].astype(np.float32)) for t in range(frames)]


def _complexity(entry: TimedScorer, detector: TimedDetector | None) -> dict[str, Any]:
    """Of one frame: the method's own networks and, for an object method, those of its detector beside it."""
    height, width = entry.frame_size
    inputs = entry.scorer.example_inputs(batch=1, height=height, width=width, objects=max(entry.objects, 1))
    content = complexity(entry.scorer, inputs)
    if entry.open_detector is not None and detector is not None:
        content["objects_per_frame"] = entry.objects
        content["detector"] = detector.name
        content["detector_parameters"] = (
            sum(parameter.numel() for parameter in detector.network.parameters()) if detector.network else 0
        )
        content["detector_gflops"] = gflops(entry.open_detector(), np.zeros((height, width, 3), np.uint8))
    return content

"""Every engine on one network, timed in turns: how fast, how near to fp32 eager, how near to what the device can do."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.exports import PRECISIONS, WEIGHTS
from lightvad.artifacts.tables import UNKNOWN
from lightvad.compute import device_of
from lightvad.deploy.calibration import calibration_windows
from lightvad.deploy.detectors import in_batches
from lightvad.deploy.engines import FORM_OF, Engine, open_engine
from lightvad.deploy.programs import Program, program_in
from lightvad.deploy.streams import Windows
from lightvad.errors import LightvadError
from lightvad.evaluation.complexity import complexity
from lightvad.evaluation.resources import usage_of
from lightvad.evaluation.roofline import DTYPES, measure, reached, work_of
from lightvad.evaluation.speed import Footage, TimedScorer, say_speeds, time_scorers
from lightvad.layout import Run, clips_folder
from lightvad.methods.protocol import part_of
from lightvad.progress import say
from lightvad.project import Project
from lightvad.resolution import settings_of
from lightvad.stages.benchmark import CACHED_FRAMES, RESOLUTIONS
from lightvad.stages.export import CALIBRATION_WINDOWS, check_exportable
from lightvad.stages.jobs import held_out, needs_boxes
from lightvad.stages.machine import Machine
from lightvad.video.clips import ClipStore, read_labels
from lightvad.video.windows import stacked

RANDOM_WINDOWS = 16
"""Of a network without data: windows of noise on which INT8 takes its ranges."""
STREAM_FPS = 25
CALLS = 20
"""Calls over which memory and energy are measured."""


class EngineScorer:
    """An engine as a `methods.protocol.Scorer`, so that it is timed and compared as every other path is."""

    needs_boxes = False

    def __init__(self, engine: Engine, network: nn.Module, offsets: Sequence[int], frame_size: tuple[int, int]) -> None:
        self.engine = engine
        self.network = network
        self.offsets = offsets
        self.precision = engine.precision
        self._frame_size = frame_size

    def inputs(
        self, window: np.ndarray, boxes: np.ndarray, class_probabilities: np.ndarray | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Frames uint8 (F, H, W, 3) RGB -> a window uint8 (1, h, w, 3F) on the engine's device; boxes: unused."""
        del boxes, class_probabilities
        return (torch.from_numpy(stacked(list(window), self._frame_size)[None]).to(self.engine.device),)

    def scores(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Windows uint8 (B, h, w, 3F) -> anomaly scores (B,)."""
        return self.engine.run(*inputs)[0]

    def example_inputs(self, *, batch: int, height: int, width: int, objects: int) -> tuple[torch.Tensor, ...]:
        """Random windows uint8 (batch, height, width, 3F) on the engine's device."""
        del objects
        shape = (batch, height, width, 3 * len(self.offsets))
        return (torch.randint(0, 256, shape, dtype=torch.uint8).to(self.engine.device),)

    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
        """The data path that is deployed: frames read ahead, kept once in a ring, a window each -> scores (1,)."""
        windows = Windows(self.offsets, frame_size=self._frame_size, device=self.engine.device)
        for scores, _ in in_batches(self.engine, windows, frames, batch=1):
            yield scores


def run(
    project: Project,
    machine: Machine,
    *,
    run: Run | None,
    method: str,
    variant: str,
    frame_size: tuple[int, int],
    budget: str,
    engines: Sequence[str],
    out: Path,
) -> None:
    """Time one network on several engines and write {"speed": rows, "complexity": ..., "limits": ..., "reached": ...}.

    Args:
        project: where settings and clips lie.
        machine: device and CPU threads.
        run: a trained run; None: `method`/`variant` with random weights at `frame_size`, model only.
        method: of a network without data.
        variant: its variant.
        frame_size: its (height, width).
        budget: whose `benchmark` says how long is measured; that of the run, if there is one.
        engines: `ENGINE/PRECISION`, e.g. `openvino/int8`; fp32 eager is always timed beside them.
        out: a JSON file.

    Raises:
        LightvadError: an engine or precision is unknown or not for this device, or the run is not trained.
    """
    chosen = [_chosen(one) for one in dict.fromkeys(engines)]
    if any(FORM_OF[name] != "torch" for name, _ in chosen) and device_of(machine.device).type == "cuda":
        message = (
            "--engines: onnxruntime and openvino run on the CPU here; give --device cpu, or PyTorch's engines alone"
        )
        raise LightvadError(message)
    machine.apply()
    footage, calibration = None, []
    if run is not None:
        check_exportable(project, run)
        dataset = project.dataset(run.dataset)
        method, variant, frame_size, budget = run.method, run.variant, dataset.frame_size, run.budget
        settings: Any = settings_of(project, run)
        resolutions, weights = dataset.map_resolutions, project.root / run.folder / WEIGHTS
        footage, clips = _footage(project, run)
        if any(precision == "int8" for _, precision in chosen):
            kept_out = held_out(clips.clips("train"), dataset.heldout_fraction)
            calibration = calibration_windows(
                clips, [clip for clip in clips.clips("train") if clip.name not in kept_out],
                offsets=settings.offsets, frame_size=frame_size, count=CALIBRATION_WINDOWS,
            )  # fmt: skip
    else:
        if needs_boxes(project, method):
            message = f"--engines: {method} is an object method; engines run frame methods only"
            raise LightvadError(message)
        model = part_of(method, "settings").Settings
        settings = project.method_settings(model, method=method, variant=variant, dataset=None, budget=budget)
        resolutions, weights = RESOLUTIONS, None
        noise = np.random.default_rng(0)
        shape = (1, *frame_size, 3 * len(settings.offsets))
        calibration = [noise.integers(0, 256, shape, np.uint8) for _ in range(RANDOM_WINDOWS)]
    made = part_of(method, "scoring").scorer, part_of(method, "deployment").deployed
    options = {"frame_size": frame_size, "resolutions": resolutions, "weights": weights}
    reference = made[0](settings.scored_in("32-true"), device=machine.device, **options)
    network = made[1](settings, **options)
    entries = [TimedScorer(method, variant, reference, scored=False)]
    for name, precision in chosen:
        say(f"{name} in {precision}: being made")
        program = _program(network, name, precision, frame_size, settings.offsets, calibration)
        engine = open_engine(program, engine=name, device=machine.device, threads=machine.cores)
        scorer = EngineScorer(engine, network, settings.offsets, frame_size)
        entries.append(TimedScorer(method, variant, scorer, engine=name, open_stream=scorer.stream))
    benchmark = project.budget(budget).benchmark
    height, width = frame_size
    rows = time_scorers(
        entries, footage=footage, height=height, width=width, benchmark=benchmark, device=machine.device
    )
    counted = complexity(reference, reference.example_inputs(batch=1, height=height, width=width, objects=0))
    content = {"speed": rows, "complexity": counted, **_limits(entries, rows, counted["gflops"], machine, frame_size)}
    write_json(out, content)
    say_speeds(rows, out)
    _say_more(content)


def _chosen(engine: str) -> tuple[str, str]:
    name, _, precision = engine.partition("/")
    if (name, precision) == ("eager", "32-true"):
        message = "--engines eager/32-true: is the reference, which is always timed beside the others; leave it out"
        raise LightvadError(message)
    if name not in FORM_OF or precision not in PRECISIONS[FORM_OF[name]]:
        known = ", ".join(f"{one}/{kind}" for one, form in FORM_OF.items() for kind in PRECISIONS[form])
        message = f"--engines {engine}: unknown; write some of {known}, joined by commas"
        raise LightvadError(message)
    return name, precision


def _program(
    network: nn.Module,
    engine: str,
    precision: str,
    frame_size: tuple[int, int],
    offsets: Sequence[int],
    calibration: Sequence[np.ndarray],
) -> Program:
    if FORM_OF[engine] == "torch":
        return Program("torch", precision, {}, network)
    shape = (*frame_size, 3 * len(offsets))
    return program_in(FORM_OF[engine], network, window_shape=shape, precision=precision, calibration=calibration)


def _footage(project: Project, run: Run) -> tuple[Footage, ClipStore]:
    """The longest test clip of the run's dataset, and the store that holds it."""
    folder = project.root / clips_folder(run.dataset)
    store = ClipStore(folder)
    clip = max(store.clips("test"), key=lambda one: one.frames)
    labels = read_labels(store)
    own = labels.loc[labels["clip"] == clip.name, "label"].to_numpy(np.int8)
    cache = CACHED_FRAMES * clip.height * clip.width * 3
    return Footage(
        lambda: ClipStore(folder, cache_bytes=cache), clip.name, (), None if (own == UNKNOWN).any() else own
    ), store


def _limits(
    entries: Sequence[TimedScorer],
    rows: Sequence[dict[str, Any]],
    gflop: float,
    machine: Machine,
    frame_size: tuple[int, int],
) -> dict[str, Any]:
    """What the device can do at most, what share of it each row reaches, and what memory and energy its calls take."""
    kinds = [entry.scorer.precision for entry in entries if entry.scorer.precision in DTYPES]
    limits = measure(machine.device, list(dict.fromkeys(kinds)))
    found = []
    for entry in entries:
        inputs = entry.scorer.example_inputs(batch=1, height=frame_size[0], width=frame_size[1], objects=0)
        usage = usage_of(lambda one=entry, given=inputs: _called(one, given), device=machine.device)  # type: ignore[misc]
        own: dict[str, Any] = {"engine": entry.engine, "precision": entry.scorer.precision, "usage": asdict(usage)}
        for row in rows:
            if (row["engine"], row["precision"]) != (entry.engine, entry.scorer.precision):
                continue
            if row["scope"] == "end_to_end":
                own["streams"] = int(row["fps_median"] // STREAM_FPS)
            elif row["batch"] == 1 and entry.scorer.precision in limits.matrix_rates:
                work = work_of(entry.scorer.network, inputs, gflop=gflop)
                own["roofline"] = asdict(reached(work, row["fps_median"], limits, entry.scorer.precision))
        found.append(own)
    return {"limits": asdict(limits), "engines": found}


def _called(entry: TimedScorer, inputs: tuple[torch.Tensor, ...]) -> None:
    for _ in range(CALLS):
        entry.scorer.scores(*inputs)


def _say_more(content: dict[str, Any]) -> None:
    for row in content["speed"]:
        if row["scope"] == "end_to_end" and row["compared_frames"]:
            auc = "" if row["auc_diff"] is None else f", AUC {100 * row['auc_diff']:+.2f} points"
            say(
                f"  {row['engine']}/{row['precision']}: largest difference of a score from fp32 eager"
                f" {row['max_abs_score_diff']:.2g}{auc} ({row['compared_frames']} frames of one clip)"
            )
    for one in content["engines"]:
        told = [f"peak memory of the process {one['usage']['peak_memory_mb']:.0f} MiB"]
        if "roofline" in one:
            told.append(f"{100 * one['roofline']['share']:.0f} % of the device's {one['roofline']['bound']} limit")
        if "streams" in one:
            told.append(f"{one['streams']} streams of {STREAM_FPS} frames a second")
        joules = one["usage"]["energy_joules"]
        told.append(f"energy {one['usage']['energy_of']}" if joules is None else f"{joules / CALLS:.2f} J a frame")
        say(f"  {one['engine']}/{one['precision']}: {', '.join(told)}")

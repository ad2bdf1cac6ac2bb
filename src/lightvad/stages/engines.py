"""Every engine on one network, timed in turns: how fast, how near to fp32 eager, how near to what the device can do."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lightvad.artifacts.documents import write_json
from lightvad.artifacts.exports import PRECISIONS, WEIGHTS
from lightvad.artifacts.tables import INDEX, UNKNOWN, write_table
from lightvad.compute import device_of
from lightvad.datasets.clips import video_clip
from lightvad.datasets.folder import SUFFIXES
from lightvad.deploy.calibration import calibration_windows
from lightvad.deploy.detectors import in_batches
from lightvad.deploy.engines import FORM_OF, Engine, open_engine
from lightvad.deploy.programs import Program, program_in
from lightvad.deploy.streams import Windows
from lightvad.errors import LightvadError
from lightvad.evaluation.complexity import complexity
from lightvad.evaluation.resources import usage_of
from lightvad.evaluation.roofline import DTYPES, Limits, highest, measure, reached, work_of
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
from lightvad.video.clips import Clip, ClipStore, index_of, read_labels
from lightvad.video.decoding import video_info
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


@dataclass(frozen=True)
class _Subject:
    """The network that is timed, and the frames that it is timed on.

    Attributes:
        method: name of the method.
        variant: its variant.
        settings: those of the method.
        budget: whose `benchmark` says how long is measured.
        network: how to make it: frame_size, resolutions, weights.
        footage: for end to end; None: model only.
        calibration: windows on which INT8 takes its ranges.
        told: what the weights, the clip and these windows are, for the file that is written.
    """

    method: str
    variant: str
    settings: Any
    budget: str
    network: dict[str, Any]
    footage: Footage | None
    calibration: Sequence[np.ndarray]
    told: Mapping[str, str | None]


def run(
    project: Project,
    machine: Machine,
    *,
    run: Run | None,
    method: str,
    variant: str,
    frame_size: tuple[int, int],
    video: Path | None = None,
    budget: str,
    engines: Sequence[str],
    out: Path,
) -> None:
    """Time one network on several engines; writes {"speed": rows, "complexity", "limits", "engines", "subject"}.

    Args:
        project: where settings and clips lie.
        machine: device and CPU threads.
        run: a trained run; None: `method`/`variant` with random weights at `frame_size`.
        method: of a network without data.
        variant: its variant.
        frame_size: its (height, width).
        video: what a network without data is timed on end to end; None: model only.
        budget: whose `benchmark` says how long is measured; that of the run, if there is one.
        engines: `ENGINE/PRECISION`, e.g. `openvino/int8`; fp32 eager is always timed beside them.
        out: a JSON file.

    Raises:
        LightvadError: an engine or precision is unknown or not for this device, the run is not trained, or the video
            cannot be read.
    """
    chosen = [_chosen(one) for one in dict.fromkeys(engines)]
    if any(FORM_OF[name] != "torch" for name, _ in chosen) and device_of(machine.device).type == "cuda":
        message = (
            "--engines: onnxruntime and openvino run on the CPU here; give --device cpu, or PyTorch's engines alone"
        )
        raise LightvadError(message)
    machine.apply()
    with_int8 = any(precision == "int8" for _, precision in chosen)
    with tempfile.TemporaryDirectory() as scratch:
        if run is not None:
            subject = _trained(project, run, with_int8=with_int8)
        else:
            store = _store_of(video, Path(scratch)) if video is not None else None
            subject = _untrained(project, method, variant, frame_size, budget, store, with_int8=with_int8)
        content = _measured(project, machine, subject, chosen)
    write_json(out, content)
    say_speeds(content["speed"], out)
    _say_more(content)


def _trained(project: Project, run: Run, *, with_int8: bool) -> _Subject:
    check_exportable(project, run)
    dataset, settings = project.dataset(run.dataset), settings_of(project, run)
    frame_size = settings.input_size(dataset.frame_size)
    clips = ClipStore(project.root / clips_folder(run.dataset))
    clip = max(clips.clips("test"), key=lambda one: one.frames)
    labels = read_labels(clips)
    own = labels.loc[labels["clip"] == clip.name, "label"].to_numpy(np.int8)
    calibration: Sequence[np.ndarray] = []
    if with_int8:
        kept_out = held_out(clips.clips("train"), dataset.heldout_fraction)
        calibration = calibration_windows(
            clips, [clip for clip in clips.clips("train") if clip.name not in kept_out],
            offsets=settings.offsets, frame_size=frame_size, count=CALIBRATION_WINDOWS,  # type: ignore[attr-defined]
        )  # fmt: skip
    network = {
        "frame_size": frame_size,
        "resolutions": dataset.map_resolutions,
        "weights": project.root / run.folder / WEIGHTS,
    }
    footage = _footage(clips, clip, None if (own == UNKNOWN).any() else own)
    told = {"weights": str(run.folder), "clip": clip.name, "int8_ranges": "training clips"}
    return _Subject(run.method, run.variant, settings, run.budget, network, footage, calibration, told)


def _untrained(
    project: Project,
    method: str,
    variant: str,
    frame_size: tuple[int, int],
    budget: str,
    store: ClipStore | None,
    *,
    with_int8: bool,
) -> _Subject:
    """Random weights; INT8 takes its ranges on windows of the video, or without one on noise."""
    if needs_boxes(project, method):
        message = f"--engines: {method} is an object method; engines run frame methods only"
        raise LightvadError(message)
    model = part_of(method, "settings").Settings
    settings: Any = project.method_settings(model, method=method, variant=variant, dataset=None, budget=budget)
    frame_size = settings.input_size(frame_size)
    network = {"frame_size": frame_size, "resolutions": RESOLUTIONS, "weights": None}
    if store is None:
        noise = np.random.default_rng(0)
        shape = (1, *frame_size, 3 * len(settings.offsets))
        calibration = [noise.integers(0, 256, shape, np.uint8) for _ in range(RANDOM_WINDOWS)]
        told = {"weights": "random", "clip": None, "int8_ranges": "noise"}
        return _Subject(method, variant, settings, budget, network, None, calibration, told)
    (clip,) = store.clips()
    calibration = []
    if with_int8:
        calibration = calibration_windows(
            store, [clip], offsets=settings.offsets, frame_size=frame_size, count=CALIBRATION_WINDOWS
        )
    told = {"weights": "random", "clip": clip.name, "int8_ranges": "the timed clip itself"}
    return _Subject(method, variant, settings, budget, network, _footage(store, clip, None), calibration, told)


def _store_of(video: Path, root: Path) -> ClipStore:
    """A clip store below `root` that holds a video alone.

    Raises:
        LightvadError: it cannot be decoded from end to end, or is in a container that datasets do not have.
    """
    if video.suffix.lower() not in SUFFIXES:
        message = f"{video}: not one of {', '.join(SUFFIXES)}; convert it (`ffmpeg -i IN -c copy OUT.mkv`)"
        raise LightvadError(message)
    video_info(video)  # what is no video is told by its own path
    link = root / "test" / video.name
    link.parent.mkdir(parents=True)
    link.symlink_to(video.resolve())
    try:
        clip = video_clip(link, name=video.stem, split="test", source="video as given")
    except LightvadError as error:
        raise LightvadError(str(error).replace(str(link), str(video))) from error
    write_table(root / "index.parquet", index_of([clip]), INDEX)
    return ClipStore(root)


def _footage(store: ClipStore, clip: Clip, labels: np.ndarray | None) -> Footage:
    cache = CACHED_FRAMES * clip.height * clip.width * 3
    return Footage(lambda: ClipStore(store.root, cache_bytes=cache), clip.name, (), labels)


def _measured(
    project: Project, machine: Machine, subject: _Subject, chosen: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    settings, frame_size = subject.settings, subject.network["frame_size"]
    with _same_random_weights():
        reference = part_of(subject.method, "scoring").scorer(
            settings.scored_in("32-true"), device=machine.device, **subject.network
        )
    with _same_random_weights():
        network = part_of(subject.method, "deployment").deployed(settings, **subject.network)
    entries = [TimedScorer(subject.method, subject.variant, reference, frame_size, scored=False)]
    for name, precision in chosen:
        say(f"{name} in {precision}: being made")
        program = _program(network, name, precision, frame_size, settings.offsets, subject.calibration)
        engine = open_engine(program, engine=name, device=machine.device, threads=machine.cores)
        scorer = EngineScorer(engine, network, settings.offsets, frame_size)
        entries.append(
            TimedScorer(subject.method, subject.variant, scorer, frame_size, engine=name, open_stream=scorer.stream)
        )
    kinds = [entry.scorer.precision for entry in entries if entry.scorer.precision in DTYPES]
    before = measure(machine.device, list(dict.fromkeys(kinds)))
    rows = time_scorers(
        entries,
        footage=subject.footage,
        benchmark=project.budget(subject.budget).benchmark,
        device=machine.device,
    )
    height, width = frame_size
    counted = complexity(reference, reference.example_inputs(batch=1, height=height, width=width, objects=0))
    limits = _limits(entries, rows, counted["gflops"], machine, frame_size, before)
    return {"subject": subject.told, "speed": rows, "complexity": counted, **limits}


@contextmanager
def _same_random_weights() -> Iterator[None]:
    """Networks without weights of their own, each made in one of these, have the same: their scores are compared."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


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


def _limits(
    entries: Sequence[TimedScorer],
    rows: Sequence[dict[str, Any]],
    gflop: float,
    machine: Machine,
    frame_size: tuple[int, int],
    before: Limits,
) -> dict[str, Any]:
    """What the device can do at most, what share of it each row reaches, and what memory and energy its calls take.

    `before`: the limits as measured before the rows were timed; a shared machine is slower at times.
    """
    limits = highest(before, measure(machine.device, list(before.matrix_rates)))
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
    told = content["subject"]
    say(f"  weights: {told['weights']}; clip: {told['clip'] or 'none'}; ranges of int8: {told['int8_ranges']}")
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

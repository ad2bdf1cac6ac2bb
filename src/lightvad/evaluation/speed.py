"""Speed of the path that is scored (architecture, section 5): side by side, in turns, in one process.

Two scopes always. `model`: inputs lie on the device; for an object method the detector's pass over the frame belongs to
the model. `end_to_end`: file, decode, window, detector, inputs, scores, frame by frame; the clip begins anew when it
ends, and opening its file is part of the warm-up.

Where a frame method is scored in less than fp32, the same path in fp32 eager is timed beside it: the reference that its
scores are compared with, frame by frame on the clip, end to end (`Parity`).

Networks run in evaluation and inference mode. A call is timed from one synchronisation with the device to the next. The
rounds of all rows are interleaved, so that a machine that slows down slows all of them.
"""

import itertools
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from lightvad.artifacts.records import device_name
from lightvad.config import Benchmark
from lightvad.errors import LightvadError
from lightvad.methods.protocol import Scorer
from lightvad.progress import say
from lightvad.video.clips import ClipStore
from lightvad.video.windows import window_indices

Detect = Callable[[np.ndarray], np.ndarray]
"""From a frame uint8 (H, W, 3) RGB to boxes float32 (K, 4)."""

LONGEST_WARM_UP = 0.25
"""Share of a round's time that may go into warming up."""
REFERENCE_PRECISION, REFERENCE_ENGINE = "32-true", "eager"
"""Of the reference."""


@dataclass(frozen=True)
class FrameObjects:
    """The objects of one frame: boxes float32 (K, 4) and class probabilities float32 (K, classes)."""

    boxes: np.ndarray
    class_probabilities: np.ndarray


@dataclass(frozen=True)
class TimedScorer:
    """One entry of a comparison.

    Attributes:
        method: name of the method.
        variant: its variant.
        scorer: the path that is scored.
        frame_size: (height, width) in pixels at which its network sees a frame, or its detector in scope `model`.
        open_detector: gives the detector for a stream of frames, run on each before an object method; None for frame
            methods. Every row has a stream of its own: the frames of the clip, or (scope `model`) one random frame of
            `frame_size` over and over, in which a detector of motion finds nothing.
        detector_name: what the row says of it.
        objects: objects a frame, for the random inputs of an object method (scope `model`).
        scored: whether the method's scores are made by this scorer; False: it is only the reference of one that does.
        engine: what runs the network.
        open_stream: of an engine with a data path of its own: from the frames of a stream uint8 (H, W, 3) RGB, in
            order, to the scores (1,) of each; it is what is timed end to end.
    """

    method: str
    variant: str
    scorer: Scorer
    frame_size: tuple[int, int]
    open_detector: Callable[[], Detect] | None = None
    detector_name: str | None = None
    objects: int = 0
    scored: bool = True
    engine: str = "eager"
    open_stream: Callable[[Iterable[np.ndarray]], Iterator[torch.Tensor]] | None = None


@dataclass(frozen=True)
class Footage:
    """A clip for end-to-end timing.

    Attributes:
        open_store: opens a store with a cache too small for the clip; every entry gets its own, so that each decodes
            every frame in its timed path and none reads what another has decoded.
        clip: name of the clip.
        objects: objects of every frame, which stand in for what the detector finds (object methods only): a detector
            that only stands in for the maker of imported boxes finds nothing.
        labels: ground truth of every frame, int8 (T,), 1 = abnormal; None: unknown.
    """

    open_store: Callable[[], ClipStore]
    clip: str
    objects: Sequence[FrameObjects]
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Parity:
    """How far the scores of one entry lie from those of its reference; None: not compared.

    Attributes:
        score_diff: largest absolute difference of a frame's raw score.
        auc_diff: AUC of these raw scores minus that of the reference's, on the same frames of one clip, in [-1, 1];
            None also where these frames are all normal or all abnormal, or their labels are unknown.
        frames: frames that were compared.
    """

    score_diff: float | None
    auc_diff: float | None
    frames: int | None


@dataclass
class _Row:
    """A callable under test and the times it took, seconds for one call of `batch` frames."""

    entry: TimedScorer
    scope: str
    batch: int
    call: Callable[[], object]
    seconds: list[float]


def time_scorers(
    entries: Sequence[TimedScorer],
    *,
    footage: Footage | None,
    benchmark: Benchmark,
    device: str,
) -> list[dict[str, Any]]:
    """Time every entry, model only and (with `footage`) end to end; the rounds of all entries are interleaved.

    Args:
        entries: what is compared, each at its own `frame_size`.
        footage: a clip; None: model rows only.
        benchmark: warm-up, iterations, rounds, batches, and the longest time for one row.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        Rows of `speed.json`: `fps_median` counts frames, the latencies are those of a whole batch.

    Raises:
        LightvadError: a network is in training mode, or an object method has no objects to be timed on.
    """
    for entry in entries:
        _check(entry, footage)
    rows = [
        _Row(entry, "model", batch, _model_call(entry, batch), [])
        for entry in entries
        for batch in (benchmark.batches if entry.open_detector is None else (1,))
    ]
    if footage is not None:
        rows += [_Row(entry, "end_to_end", 1, _stream_call(entry, footage), []) for entry in entries]
    with torch.inference_mode():
        for turn in range(benchmark.rounds):
            for row in rows:
                _measure(row, benchmark, warm_up=turn == 0)
            say(f"benchmark: round {turn + 1}/{benchmark.rounds} of {len(rows)} rows done")
        parity = {entry: _parity(entry, rows, footage, benchmark.max_seconds) for entry in entries}
    return [_written(row, parity[row.entry], _objects_of(row, footage), device=device) for row in rows]


def say_speeds(rows: Sequence[Mapping[str, Any]], where: Path) -> None:
    """Say the main numbers of a benchmark: median frames/s of each path and batch, model only and end to end.

    Args:
        rows: of `speed.json`, timed in one process; at least one.
        where: the file that holds them, as it is to be named.
    """
    first = rows[0]
    sizes = [f"frames of {row['height']} x {row['width']} pixels" for row in rows]
    shared = f", {sizes[0]}" if len(set(sizes)) == 1 else ""
    say(f"{where}: frames/s (median), {first['device']}, {first['threads']} threads{shared}:")
    told: dict[str, list[str]] = {}
    for row, size in zip(rows, sizes, strict=True):
        reference = "" if row["scored"] else " (reference, not what is scored)"
        how = ", ".join([row["engine"], row["precision"], f"batch {row['batch']}", *([] if shared else [size])])
        path = f"{row['method']}/{row['variant']}, {how}{reference}"
        scope = "model only" if row["scope"] == "model" else "end to end"
        told.setdefault(path, []).append(f"{row['fps_median']:.1f} {scope}")
    for path, speeds in told.items():
        say(f"  {path}: {', '.join(speeds)}")


def _check(entry: TimedScorer, footage: Footage | None) -> None:
    name = f"benchmark of {entry.method}/{entry.variant}"
    if any(module.training for module in entry.scorer.network.modules()):
        message = f"{name}: the network is in training mode; its scorer must call eval()"
        raise LightvadError(message)
    if entry.scorer.needs_boxes and (entry.objects < 1 or (footage is not None and not footage.objects)):
        message = f"{name}: an object method and no objects; give boxes of the clip and a number of objects a frame"
        raise LightvadError(message)


def _model_call(entry: TimedScorer, batch: int) -> Callable[[], object]:
    height, width = entry.frame_size
    inputs = entry.scorer.example_inputs(batch=batch, height=height, width=width, objects=entry.objects)
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    detect = entry.open_detector() if entry.open_detector is not None else None

    def call() -> object:
        if detect is not None:
            detect(frame)
        return entry.scorer.scores(*inputs)

    return call


def _stream_call(entry: TimedScorer, footage: Footage) -> Callable[[], object]:
    store = footage.open_store()
    if entry.open_stream is not None:
        clip = footage.clip
        scores = entry.open_stream(frame for _ in itertools.count() for frame in store.sequential(clip))
        return lambda: next(scores)
    score, moments = _stream(entry, footage, store), itertools.cycle(range(store[footage.clip].frames))
    return lambda: score(next(moments))


def _stream(entry: TimedScorer, footage: Footage, store: ClipStore) -> Callable[[int], torch.Tensor | None]:
    """The path from file to score: gives the scores of frame t on the CPU; None for a frame without objects."""
    scorer, frames = entry.scorer, store[footage.clip].frames
    nothing = np.zeros((0, 4), np.float32)
    detect = entry.open_detector() if entry.open_detector is not None else None

    def score(t: int) -> torch.Tensor | None:
        window = store.window(footage.clip, window_indices(t, scorer.offsets, frames, "current"))
        if detect is not None:
            detect(store.frame(footage.clip, t))
        if not scorer.needs_boxes:
            return scorer.scores(*scorer.inputs(window, nothing)).cpu()
        found = footage.objects[t]
        if len(found.boxes) == 0:
            return None
        return scorer.scores(*scorer.inputs(window, found.boxes, found.class_probabilities)).cpu()

    return score


def _measure(row: _Row, benchmark: Benchmark, *, warm_up: bool) -> None:
    """One turn of one row: its share of the iterations, or of the longest time for a row."""
    share = benchmark.max_seconds / benchmark.rounds
    begun = time.perf_counter()
    for _ in range(benchmark.warmup if warm_up else min(benchmark.warmup, 1)):
        row.call()
        if time.perf_counter() - begun > LONGEST_WARM_UP * share:
            break
    for _ in range(-(-benchmark.iterations // benchmark.rounds)):
        _synchronise()
        started = time.perf_counter()
        row.call()
        _synchronise()
        row.seconds.append(time.perf_counter() - started)
        if time.perf_counter() - begun > share:
            break


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _parity(entry: TimedScorer, rows: Sequence[_Row], footage: Footage | None, max_seconds: float) -> Parity:
    """Compare an entry with its reference: the same frames of the clip, evenly spread, as many as `max_seconds` allow.

    A reference differs by nothing from itself. An entry without one beside it, or without a clip, is not compared.
    """
    if (entry.scorer.precision, entry.engine) == (REFERENCE_PRECISION, REFERENCE_ENGINE):
        return Parity(0.0, 0.0, None)
    streams = {row.entry: row for row in rows if row.scope == "end_to_end"}
    reference = next((other for other in streams if _is_reference(other, entry)), None)
    if reference is None or footage is None:
        return Parity(None, None, None)
    seconds = sum(float(np.median(streams[one].seconds)) for one in (entry, reference))
    frames = footage.open_store()[footage.clip].frames
    times = np.linspace(0, frames - 1, int(np.clip(max_seconds / seconds, 1, frames))).round().astype(int)
    own, other = (_scores_at(times, one, footage) for one in (entry, reference))
    labels = None if footage.labels is None else footage.labels[times]
    auc_diff = None
    if labels is not None and 0 < labels.sum() < len(labels):
        auc_diff = float(roc_auc_score(labels, own) - roc_auc_score(labels, other))
    return Parity(float(np.abs(own - other).max()), auc_diff, len(times))


def _scores_at(times: np.ndarray, entry: TimedScorer, footage: Footage) -> np.ndarray:
    """Scores float64 (len(times),) of a frame method at these frames of the clip, end to end."""
    score = _stream(entry, footage, footage.open_store())
    return np.concatenate([scores.numpy() for t in times if (scores := score(int(t))) is not None]).astype(np.float64)


def _is_reference(other: TimedScorer, entry: TimedScorer) -> bool:
    """Whether `other` is a frame method's reference for `entry`: the same method and variant in fp32, eager."""
    same = (other.method, other.variant) == (entry.method, entry.variant)
    eager = (other.scorer.precision, other.engine) == (REFERENCE_PRECISION, REFERENCE_ENGINE)
    return same and eager and not other.scorer.needs_boxes


def _objects_of(row: _Row, footage: Footage | None) -> float | None:
    """Mean number of objects a frame that a row was timed on; None for frame methods."""
    if not row.entry.scorer.needs_boxes:
        return None
    if row.scope == "model" or footage is None:
        return float(row.entry.objects)
    return float(np.mean([len(found.boxes) for found in footage.objects]))


def _written(row: _Row, parity: Parity, objects: float | None, *, device: str) -> dict[str, Any]:
    per_frame = np.array(row.seconds) / row.batch
    entry = row.entry
    height, width = entry.frame_size
    return {
        "method": entry.method,
        "variant": entry.variant,
        "scope": row.scope,
        "engine": entry.engine,
        "precision": entry.scorer.precision,
        "scored": entry.scored,
        "batch": row.batch,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "height": height,
        "width": width,
        "fps_median": float(1 / np.median(per_frame)),
        "latency_ms_p50": float(np.median(row.seconds) * 1000),
        "latency_ms_p95": float(np.percentile(row.seconds, 95) * 1000),
        "iterations": len(row.seconds),
        "detector": entry.detector_name,
        "objects_per_frame": objects,
        "max_abs_score_diff": parity.score_diff,
        "auc_diff": parity.auc_diff,
        "compared_frames": parity.frames,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "lightvad": version("lightvad")},
    }

"""Speed of the path that is scored (architecture, section 5): side by side, in turns, in one process.

Two scopes always. `model`: inputs lie on the device; for an object method the detector's pass over the frame belongs to
the model. `end_to_end`: file, decode, window, detector, inputs, scores, frame by frame.
"""

import itertools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from lightvad.artifacts.records import device_name
from lightvad.config import Benchmark
from lightvad.methods.protocol import Scorer
from lightvad.progress import say
from lightvad.video.clips import ClipStore
from lightvad.video.windows import window_indices

Detect = Callable[[np.ndarray], np.ndarray]
"""From a frame uint8 (H, W, 3) RGB to boxes float32 (K, 4)."""


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
        detector: run on every frame before an object method; None for frame methods.
        detector_name: what the row says of it.
        objects: objects a frame, for the random inputs of an object method.
    """

    method: str
    variant: str
    scorer: Scorer
    detector: Detect | None = None
    detector_name: str | None = None
    objects: int = 0


@dataclass(frozen=True)
class Footage:
    """A clip for end-to-end timing.

    Attributes:
        store: a store of its own, so that every frame is decoded in the timed path.
        clip: name of the clip.
        objects: objects of every frame (object methods); empty for frame methods.
    """

    store: ClipStore
    clip: str
    objects: Sequence[FrameObjects]


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
    height: int,
    width: int,
    benchmark: Benchmark,
    device: str,
) -> list[dict[str, Any]]:
    """Time every entry, model only and (with `footage`) end to end; the rounds of all entries are interleaved.

    Args:
        entries: what is compared.
        footage: a clip; None: model rows only.
        height: of a frame, pixels.
        width: of a frame, pixels.
        benchmark: warm-up, iterations, rounds, batches, and the longest time for one row.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        Rows of `speed.json`; fps and latency are a frame's.
    """
    rows = [
        _Row(entry, "model", batch, _model_call(entry, batch, height, width), [])
        for entry in entries
        for batch in (benchmark.batches if entry.detector is None else (1,))
    ]
    if footage is not None:
        rows += [_Row(entry, "end_to_end", 1, _stream_call(entry, footage), []) for entry in entries]
    with torch.inference_mode():
        for turn in range(benchmark.rounds):
            for row in rows:
                _measure(row, benchmark, warm_up=turn == 0)
            say(f"benchmark: round {turn + 1}/{benchmark.rounds} of {len(rows)} rows done")
    return [_written(row, height=height, width=width, device=device) for row in rows]


def speed_factors(rows: Sequence[dict[str, Any]], *, student: str, teacher: str) -> dict[str, float]:
    """How many times as many frames a second the student does as the teacher, per scope, at batch 1."""
    rate = {(row["method"], row["scope"]): row["fps_median"] for row in rows if row["batch"] == 1}
    scopes = [scope for method, scope in rate if method == student and (teacher, scope) in rate]
    return {scope: rate[student, scope] / rate[teacher, scope] for scope in scopes}


def _model_call(entry: TimedScorer, batch: int, height: int, width: int) -> Callable[[], object]:
    inputs = entry.scorer.example_inputs(batch=batch, height=height, width=width, objects=entry.objects)
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    def call() -> object:
        if entry.detector is not None:
            entry.detector(frame)
        return entry.scorer.scores(*inputs)

    return call


def _stream_call(entry: TimedScorer, footage: Footage) -> Callable[[], object]:
    scorer, store = entry.scorer, footage.store
    frames = store[footage.clip].frames
    moments: Iterator[int] = itertools.cycle(range(frames))
    nothing = FrameObjects(np.zeros((0, 4), np.float32), np.zeros((0, 0), np.float32))

    def call() -> object:
        t = next(moments)
        window = store.window(footage.clip, window_indices(t, scorer.offsets, frames, "current"))
        if entry.detector is None:
            return scorer.scores(*scorer.inputs(window, nothing.boxes)).cpu()
        entry.detector(store.frame(footage.clip, t))
        found = footage.objects[t]
        if len(found.boxes) == 0:
            return None
        return scorer.scores(*scorer.inputs(window, found.boxes, found.class_probabilities)).cpu()

    return call


def _measure(row: _Row, benchmark: Benchmark, *, warm_up: bool) -> None:
    """One turn of one row: its share of the iterations, or of the longest time for a row."""
    iterations = -(-benchmark.iterations // benchmark.rounds)
    deadline = time.perf_counter() + benchmark.max_seconds / benchmark.rounds
    for _ in range(benchmark.warmup if warm_up else 1):
        row.call()
        if time.perf_counter() > deadline:
            break
    for done in range(iterations):
        _synchronise()
        started = time.perf_counter()
        row.call()
        _synchronise()
        row.seconds.append(time.perf_counter() - started)
        if time.perf_counter() > deadline and done >= 1:
            break


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _written(row: _Row, *, height: int, width: int, device: str) -> dict[str, Any]:
    per_frame = np.array(row.seconds) / row.batch
    entry = row.entry
    return {
        "method": entry.method,
        "variant": entry.variant,
        "scope": row.scope,
        "engine": "eager",
        "precision": entry.scorer.precision,
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
        "objects_per_frame": entry.objects if entry.detector is not None else None,
        "max_abs_score_diff": 0.0,
        "auc_diff": 0.0,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "lightvad": version("lightvad")},
    }

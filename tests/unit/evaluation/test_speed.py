"""Speed rows: what is timed, how often, and what each row says. No test asserts a time."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lightvad.artifacts.tables import INDEX, write_table
from lightvad.config import Benchmark
from lightvad.errors import LightvadError
from lightvad.evaluation.speed import Footage, FrameObjects, TimedScorer, time_scorers
from lightvad.methods.protocol import part_of
from lightvad.video.clips import Clip, ClipStore, index_of, write_zip_clip
from lightvad.video.windows import window_indices

HEIGHT, WIDTH, FRAMES = 48, 64, 12
QUICK = Benchmark(warmup=1, iterations=4, rounds=2, batches=(1, 2))
BOXES = np.array([[4, 4, 20, 30], [30, 10, 44, 40]], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    noise = np.random.default_rng(0)
    images = [
        (f"{t:03}.png", cv2.imencode(".png", noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))[1].tobytes())
        for t in range(FRAMES)
    ]
    write_zip_clip(tmp_path / "test" / "test_01.zip", images)
    clip = Clip("test_01", "test", FRAMES, HEIGHT, WIDTH, 10.0, "noise")
    write_table(tmp_path / "index.parquet", index_of([clip]), INDEX)
    return ClipStore(tmp_path, cache_bytes=8 * HEIGHT * WIDTH * 3)


class CountingDetector:
    """Remembers the frames of every stream; finds nothing, like one with untrained weights."""

    def __init__(self) -> None:
        self.streams: list[list[np.ndarray]] = []

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        self.streams.append(frames := [])

        def boxes(frame: np.ndarray) -> np.ndarray:
            frames.append(frame)
            return np.zeros((0, 4), np.float32)

        return boxes


def student(precision: str = "32-true", *, scored: bool = True) -> TimedScorer:
    settings = part_of("fast_aed", "settings").Settings(
        teachers=[{"method": "background_agnostic"}], network={"blocks": 1, "heads": 1}
    )
    torch.manual_seed(0)
    made = part_of("fast_aed", "scoring").scorer(
        settings.scored_in(precision), frame_size=(HEIGHT, WIDTH), resolutions=(1, 2), weights=None, device="cpu"
    )
    return TimedScorer("fast_aed", "default", made, (HEIGHT, WIDTH), scored=scored)


def teacher(detector: CountingDetector, objects: int = 3) -> TimedScorer:
    settings = part_of("background_agnostic", "settings").Settings()
    made = part_of("background_agnostic", "scoring").scorer(
        settings, frame_size=(HEIGHT, WIDTH), resolutions=(1, 2), weights=None, device="cpu"
    )
    return TimedScorer("background_agnostic", "default", made, (HEIGHT, WIDTH), detector.open, "counting", objects)


def footage_of(store: ClipStore, clip: str, objects: list[FrameObjects], labels: np.ndarray | None = None) -> Footage:
    return Footage(lambda: ClipStore(store.root, cache_bytes=8 * HEIGHT * WIDTH * 3), clip, objects, labels)


def timed(entries: list[TimedScorer], footage: Footage | None, benchmark: Benchmark = QUICK) -> list[dict]:
    return time_scorers(entries, footage=footage, benchmark=benchmark, device="cpu")


def test_student_and_teacher_side_by_side(store: ClipStore) -> None:
    detector = CountingDetector()
    objects = [FrameObjects(BOXES[: t % 3], np.zeros((t % 3, 0), np.float32)) for t in range(FRAMES)]
    rows = timed([student(), teacher(detector)], footage_of(store, "test_01", objects))
    assert [(row["method"], row["scope"], row["batch"]) for row in rows] == [
        ("fast_aed", "model", 1),
        ("fast_aed", "model", 2),
        ("background_agnostic", "model", 1),
        ("fast_aed", "end_to_end", 1),
        ("background_agnostic", "end_to_end", 1),
    ]
    for row in rows:
        assert row["iterations"] == 4
        assert 0 < row["latency_ms_p50"] <= row["latency_ms_p95"]
        assert row["fps_median"] == pytest.approx(row["batch"] * 1000 / row["latency_ms_p50"])
        assert (row["max_abs_score_diff"], row["auc_diff"], row["engine"]) == (0, 0, "eager"), "fp32 is the reference"
        assert row["scored"]
        assert {"torch", "lightvad", "python"} <= set(row["versions"])
    assert [row["objects_per_frame"] for row in rows] == [None, None, 3.0, None, 1.0]
    assert [row["detector"] for row in rows] == [None, None, "counting", None, "counting"]
    json.dumps(rows, allow_nan=False)


def test_the_detector_runs_on_every_timed_frame_of_both_scopes(store: ClipStore) -> None:
    detector = CountingDetector()
    objects = [FrameObjects(BOXES, np.zeros((2, 0), np.float32))] * FRAMES
    timed([teacher(detector)], footage_of(store, "test_01", objects))
    # Each scope, on a stream of its own: one warm-up and two timed calls in each of two rounds.
    assert [len(frames) for frames in detector.streams] == [2 * (1 + 2)] * 2
    of_the_clip = [
        sum(any(np.array_equal(frame, store.frame("test_01", t)) for t in range(6)) for frame in frames)
        for frames in detector.streams
    ]
    assert of_the_clip == [0, 6]


def test_without_footage_there_are_model_rows_only() -> None:
    assert {row["scope"] for row in timed([student()], None)} == {"model"}


def test_time_is_capped_and_the_row_says_how_many_iterations_it_had() -> None:
    long = Benchmark(warmup=1, iterations=100_000, rounds=2, max_seconds=0.2, batches=(1,))
    (row,) = timed([student()], None, long)
    assert 2 <= row["iterations"] < 100_000


def test_a_network_in_training_mode_is_refused() -> None:
    entry = student()
    entry.scorer.network.train()
    with pytest.raises(LightvadError, match="benchmark of fast_aed/default: the network is in training mode"):
        timed([entry], None)


def test_an_object_method_without_objects_is_refused(store: ClipStore) -> None:
    with pytest.raises(LightvadError, match="no objects"):
        timed([teacher(CountingDetector(), objects=0)], None)
    with pytest.raises(LightvadError, match="no objects"):
        timed([teacher(CountingDetector())], footage_of(store, "test_01", []))


def test_a_frame_method_streams_a_clip_past_its_end(store: ClipStore) -> None:
    rows = timed(
        [student()],
        footage_of(store, "test_01", []),
        Benchmark(warmup=0, iterations=2 * FRAMES + 1, rounds=1, batches=(1,)),
    )
    assert {row["iterations"] for row in rows} == {2 * FRAMES + 1}


def test_every_entry_decodes_its_own_frames(store: ClipStore) -> None:
    opened: list[ClipStore] = []

    def open_store() -> ClipStore:
        opened.append(ClipStore(store.root, cache_bytes=1))
        return opened[-1]

    objects = [FrameObjects(BOXES, np.zeros((2, 0), np.float32))] * FRAMES
    timed([student(), teacher(CountingDetector())], Footage(open_store, "test_01", objects))
    assert len(opened) == 2
    assert all(len(one._cache) == 1 for one in opened), "each has read frames of its own"


LABELS = np.array([0] * 5 + [1] * 4 + [0] * 3, np.int8)


def scores_of(entry: TimedScorer, store: ClipStore, times: list[int]) -> np.ndarray:
    scorer, nothing = entry.scorer, np.zeros((0, 4), np.float32)
    windows = [store.window("test_01", window_indices(t, scorer.offsets, FRAMES, "current")) for t in times]
    return np.array([float(scorer.scores(*scorer.inputs(window, nothing))) for window in windows])


def test_a_lower_precision_is_compared_with_fp32_on_the_windows_of_the_clip(store: ClipStore) -> None:
    reference, scored = student(scored=False), student("bf16-mixed")
    rows = timed([reference, scored], footage_of(store, "test_01", [], LABELS))
    assert [(row["scope"], row["batch"], row["precision"], row["scored"]) for row in rows] == [
        ("model", 1, "32-true", False),
        ("model", 2, "32-true", False),
        ("model", 1, "bf16-mixed", True),
        ("model", 2, "bf16-mixed", True),
        ("end_to_end", 1, "32-true", False),
        ("end_to_end", 1, "bf16-mixed", True),
    ]
    exact, lower = (scores_of(entry, store, list(range(FRAMES))) for entry in (reference, scored))
    expected = np.abs(exact - lower).max()
    assert expected > 0
    auc_diff = roc_auc_score(LABELS, lower) - roc_auc_score(LABELS, exact)
    for row in rows:
        if row["scored"]:
            assert row["max_abs_score_diff"] == pytest.approx(expected)
            assert row["auc_diff"] == pytest.approx(auc_diff)
            assert row["compared_frames"] == FRAMES
        else:
            assert (row["max_abs_score_diff"], row["auc_diff"], row["compared_frames"]) == (0, 0, None)
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize("labels", [None, np.zeros(FRAMES, np.int8), np.ones(FRAMES, np.int8)])
def test_no_auc_is_made_up_where_there_is_none(store: ClipStore, labels: np.ndarray | None) -> None:
    rows = timed([student(scored=False), student("bf16-mixed")], footage_of(store, "test_01", [], labels))
    assert rows[-1]["max_abs_score_diff"] > 0
    assert rows[-1]["auc_diff"] is None


def test_what_was_not_compared_says_so(store: ClipStore) -> None:
    """Without a clip there are no real windows; without a reference, or with one of another method, no comparison."""
    alone = timed([student("bf16-mixed")], footage_of(store, "test_01", [], LABELS))
    blind = timed([student(scored=False), student("bf16-mixed")], None)
    objects = [FrameObjects(BOXES, np.zeros((2, 0), np.float32))] * FRAMES
    beside = timed([teacher(CountingDetector()), student("bf16-mixed")], footage_of(store, "test_01", objects, LABELS))
    for row in [*alone, *blind, *beside]:
        if row["precision"] == "bf16-mixed":
            assert (row["max_abs_score_diff"], row["auc_diff"], row["compared_frames"]) == (None, None, None)


def test_the_comparison_keeps_to_the_longest_time_of_a_row(store: ClipStore) -> None:
    hurried = Benchmark(warmup=0, iterations=1, rounds=1, max_seconds=1e-6, batches=(1,))
    rows = timed([student(scored=False), student("bf16-mixed")], footage_of(store, "test_01", [], LABELS), hurried)
    assert rows[-1]["compared_frames"] == 1
    assert rows[-1]["auc_diff"] is None

"""Events, thresholds and boxes against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightvad.deploy.alarms import box_of, events, spans, threshold_for
from lightvad.errors import LightvadError


@given(arrays(bool, st.integers(0, 40)), st.integers(0, 4))
def test_spans_by_looking_at_every_frame(abnormal: np.ndarray, joined: int) -> None:
    expected: list[tuple[int, int]] = []
    for t in np.flatnonzero(abnormal).tolist():
        if expected and t - expected[-1][1] - 1 <= joined:
            expected[-1] = (expected[-1][0], t)
        else:
            expected.append((t, t))
    assert spans(abnormal, joined=joined) == expected


def test_an_event_has_the_peak_of_its_span() -> None:
    smoothed = np.array([0, 0.6, 0.9, 0.7, 0, 0, 0, 0.8, 0])
    (first, second) = events(smoothed, threshold=0.5, fps=2)
    assert (first.first, first.last, first.peak, first.score) == (1, 3, 2, 0.9)
    assert (second.first, second.last, second.peak) == (7, 7, 7)
    assert first.as_json(lambda frame: frame / 2)["start_seconds"] == 0.5
    assert first.as_json(lambda frame: frame / 2)["end_seconds"] == 2.0


def test_alarms_a_second_apart_are_one() -> None:
    smoothed = np.array([1.0, 0, 0, 1, 0, 0, 0, 1])
    assert [(e.first, e.last) for e in events(smoothed, threshold=0.5, fps=2)] == [(0, 3), (7, 7)]


@given(st.integers(0, 1000), st.floats(20, 2000))
def test_the_threshold_keeps_the_rate_that_was_asked_for(seed: int, per_hour: float) -> None:
    generator = np.random.default_rng(seed)
    clips = [np.convolve(generator.normal(size=300), np.ones(9) / 9, "same") for _ in range(3)]
    found = threshold_for(clips, clips=["a", "b", "c"], fps=5, per_hour=per_hour)
    count = sum(len(events(scores, threshold=found.value, fps=5)) for scores in clips)
    assert found.hours == pytest.approx(900 / 5 / 3600)
    assert found.measured_per_hour == pytest.approx(count / found.hours)
    assert count <= per_hour * found.hours


def test_a_short_video_allows_no_alarm_and_the_threshold_is_above_its_scores() -> None:
    scores = np.array([0.1, 0.4, 0.2])
    found = threshold_for([scores], clips=["a"], fps=1, per_hour=1)
    assert (found.value > scores).all()
    assert found.measured_per_hour == 0


def test_no_normal_video_is_one_line() -> None:
    with pytest.raises(LightvadError, match="no normal frames"):
        threshold_for([], clips=[], fps=25, per_hour=1)


def test_the_box_is_around_the_peak_alone() -> None:
    anomaly_map = np.zeros((4, 8))
    anomaly_map[1:3, 2:4] = [[0.6, 1.0], [0.2, 0.7]]
    anomaly_map[3, 7] = 0.9
    assert box_of(anomaly_map, (40, 160)) == (40, 10, 80, 30)


def test_the_box_of_a_flat_map_is_the_frame() -> None:
    assert box_of(np.full((1, 1), 0.3), (48, 64)) == (0, 0, 64, 48)

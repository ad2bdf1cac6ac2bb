"""What is known of a stream as it comes is what is known of the whole of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightvad.deploy.alarms import Event, events
from lightvad.deploy.live import LiveAlarms, LiveSmoothing
from lightvad.smoothing import smooth_plain


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-10, 10)), st.sampled_from([0.1, 0.5, 2, 5]))
def test_live_smoothing_is_the_files(scores: np.ndarray, sigma: float) -> None:
    smoothing = LiveSmoothing(sigma)
    found = [one for score in scores for one in smoothing.push(float(score))] + smoothing.rest()
    np.testing.assert_allclose(found, smooth_plain(scores, sigma=sigma), atol=1e-9)


def test_a_smoothed_score_is_known_after_four_sigma() -> None:
    smoothing = LiveSmoothing(2)
    known = [len(smoothing.push(1.0)) for _ in range(12)]
    assert known == [0] * 8 + [1] * 4
    assert LiveSmoothing(3).rest() == []


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)), st.integers(0, 5))
def test_live_alarms_are_the_files(smoothed: np.ndarray, first: int) -> None:
    alarms = LiveAlarms(0.7, 3, (10, 10), first=first)
    begun: list[Event] = []
    ended: list[Event] = []
    for score in smoothed:
        start, end = alarms.push(float(score), np.zeros((2, 2)))
        begun += [start] if start else []
        ended += [end] if end else []
    last = alarms.rest()
    ended += [last] if last else []
    expected = events(smoothed, threshold=0.7, fps=3)
    assert [(e.first - first, e.last - first, e.peak - first, e.score) for e in ended] == [
        (e.first, e.last, e.peak, e.score) for e in expected
    ]
    assert [e.first for e in begun] == [e.first for e in ended]

"""RBDC and TBDC: golden cases of the reference script, and cases whose value is plain."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.measure import direct
from tests.measure.localization import as_lists, problem

from lightvad.artifacts.tables import REGIONS, TRACKS, checked
from lightvad.errors import LightvadError
from lightvad.evaluation.localization import _overlap, rbdc_tbdc

CASES = ["toy", "random_1", "random_2_many_fp", "random_3_few_det"]


def exclusive(rows: list[list], columns: list[str], clip: str) -> pd.DataFrame:
    """Rows of the reference's text files, inclusive pixels, as our tables."""
    table = pd.DataFrame(rows, columns=columns).assign(clip=clip)
    return table.assign(x2=table["x2"] + 1, y2=table["y2"] + 1)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, golden_folder: Path) -> dict:
    cases = json.loads((golden_folder / "rbdc_tbdc.json").read_text())["cases"]
    return next(case for case in cases if case["name"] == request.param)


def tables_of(case: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    corners = ["x1", "y1", "x2", "y2"]
    tracks = [
        exclusive(rows, ["track", "frame", *corners], clip).assign(track=lambda own, k=k: own["track"] + 100 * k)
        for k, (clip, rows) in enumerate(case["tracks"].items())
    ]
    regions = [exclusive(rows, ["frame", *corners, "score"], clip) for clip, rows in case["detections"].items()]
    return (
        checked(pd.concat(tracks, ignore_index=True), TRACKS, "golden"),
        checked(pd.concat(regions, ignore_index=True), REGIONS, "golden"),
    )


def test_golden_cases(case: dict) -> None:
    tracks, regions = tables_of(case)
    found = rbdc_tbdc(tracks, regions, frames=case["num_frames"], alpha=case["alpha"], beta=case["beta"])
    assert found == pytest.approx((case["expected"]["rbdc"], case["expected"]["tbdc"]), abs=1e-9)


def test_the_order_of_clips_does_not_matter(case: dict) -> None:
    tracks, regions = tables_of(case)
    turned = pd.concat([own for _, own in reversed(list(regions.groupby("clip")))])
    assert rbdc_tbdc(tracks, turned, frames=60) == rbdc_tbdc(tracks, regions, frames=60)


def labelled(length: int = 10) -> pd.DataFrame:
    rows = [(0, "a", t, 10 + t, 10, 30 + t, 50) for t in range(length)]
    return checked(pd.DataFrame(rows, columns=list(TRACKS)), TRACKS, "test")


def as_regions(tracks: pd.DataFrame, score: float = 0.5) -> pd.DataFrame:
    return checked(tracks.assign(score=score), REGIONS, "test")[list(REGIONS)]


def test_the_labelled_boxes_themselves_are_perfect_and_nothing_is_zero() -> None:
    assert rbdc_tbdc(labelled(), as_regions(labelled()), frames=20) == (1.0, 1.0)
    assert rbdc_tbdc(labelled(), as_regions(labelled())[:0], frames=20) == (0.0, 0.0)


def test_a_tenth_of_a_track_finds_the_track_and_a_tenth_of_its_regions() -> None:
    assert rbdc_tbdc(labelled(10), as_regions(labelled(10))[:1], frames=20) == pytest.approx((0.1, 1.0))
    assert rbdc_tbdc(labelled(11), as_regions(labelled(11))[:1], frames=20) == pytest.approx((1 / 11, 0.0))


def test_one_false_positive_per_frame_above_all_hits_leaves_nothing() -> None:
    tracks = labelled()
    elsewhere = as_regions(tracks.assign(x1=200, x2=220), score=0.9)
    both = pd.concat([as_regions(tracks), elsewhere], ignore_index=True)
    assert rbdc_tbdc(tracks, both, frames=10) == (0.0, 0.0)
    assert rbdc_tbdc(tracks, both, frames=20) == pytest.approx((0.5, 0.5))


def test_a_second_region_on_a_found_box_is_neither_hit_nor_miss() -> None:
    twice = pd.concat([as_regions(labelled()), as_regions(labelled(), score=0.4)], ignore_index=True)
    assert rbdc_tbdc(labelled(), twice, frames=10) == (1.0, 1.0)


def test_one_region_may_find_several_boxes() -> None:
    tracks = pd.concat([labelled(), labelled().assign(track=1, x1=15, x2=40)], ignore_index=True)
    assert rbdc_tbdc(tracks, as_regions(tracks[tracks["track"] == 0]), frames=10) == (1.0, 1.0)


def test_without_tracks_both_are_undefined() -> None:
    assert rbdc_tbdc(labelled()[:0], as_regions(labelled()), frames=10) == (None, None)


def test_a_nan_score_is_refused_by_clip_and_frame() -> None:
    regions = as_regions(labelled())
    regions.loc[4, "score"] = np.nan
    with pytest.raises(LightvadError, match="clip a, frame 4"):
        rbdc_tbdc(labelled(), regions, frames=10)


def test_overlap_of_exclusive_boxes_is_the_reference_on_inclusive_pixels() -> None:
    # Inclusive 0..9 and 5..14 share 5 of 15 columns.
    found = _overlap(np.array([[0, 0, 10, 10]], float), np.array([[5, 0, 15, 10]], float))
    assert found == pytest.approx(1 / 3)


def as_the_loop_takes_them(tracks: pd.DataFrame, regions: pd.DataFrame) -> dict:
    labelled, scored = as_lists(tracks, regions)
    return {"labelled": labelled, "regions": scored}


@pytest.mark.parametrize("anew", [True, False])
def test_the_plain_loop_gives_the_golden_values_too(case: dict, *, anew: bool) -> None:
    """So that what the next test compares with is the definition, by a witness of its own."""
    asked = {"frames": case["num_frames"], "alpha": case["alpha"], "beta": case["beta"], "anew": anew}
    found = direct.rbdc_tbdc(**as_the_loop_takes_them(*tables_of(case)), **asked)
    assert found == pytest.approx((case["expected"]["rbdc"], case["expected"]["tbdc"]), abs=1e-9)


@st.composite
def boxes(draw: st.DrawFn, count: int, **columns: st.SearchStrategy) -> pd.DataFrame:
    """Small boxes close together, in few frames of two clips."""
    side = st.sampled_from([1, 2, 5, 10])
    whole = {"x1": st.integers(0, 12), "y1": st.integers(0, 6), "width": side, "height": side}
    row = st.fixed_dictionaries({**whole, "clip": st.sampled_from("ab"), "frame": st.integers(0, 3), **columns})
    table = pd.DataFrame(draw(st.lists(row, min_size=count, max_size=25)), columns=[*whole, "clip", "frame", *columns])
    return table.assign(x2=table["x1"] + table["width"], y2=table["y1"] + table["height"])


@settings(max_examples=100)
@given(
    boxes(1, track=st.integers(0, 3)),
    boxes(0, score=st.integers(0, 4).map(lambda fifths: fifths / 5)),  # many equal scores
    st.integers(1, 12),
    st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 1.0]) | st.floats(0.01, 1),
    st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0]),
)
def test_it_is_the_definition_region_after_region(
    tracks: pd.DataFrame, regions: pd.DataFrame, frames: int, alpha: float, beta: float
) -> None:
    tracks, regions = checked(tracks, TRACKS, "test"), checked(regions, REGIONS, "test")
    found = rbdc_tbdc(tracks, regions, frames=frames, alpha=alpha, beta=beta)
    expected = direct.rbdc_tbdc(**as_the_loop_takes_them(tracks, regions), frames=frames, alpha=alpha, beta=beta)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_drawn_problem_has_the_sizes_that_are_asked_for_and_a_value_that_says_something() -> None:
    tracks, regions = problem(frames=1200, tracks=6, regions=2000, seed=1)
    assert tracks["track"].nunique() == 6
    assert len(regions) == 2000
    assert not tracks.duplicated(["track", "frame"]).any()
    again = problem(frames=1200, tracks=6, regions=2000, seed=1)
    pd.testing.assert_frame_equal(regions, again[1])
    values = rbdc_tbdc(tracks, regions, frames=1200)
    assert all(0 < value < 1 for value in values)
    assert values == pytest.approx(direct.rbdc_tbdc(**as_the_loop_takes_them(tracks, regions), frames=1200), abs=1e-12)

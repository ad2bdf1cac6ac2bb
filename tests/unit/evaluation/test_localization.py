"""RBDC and TBDC: golden cases of the reference script, and cases whose value is plain."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def by_the_sheet(tracks: pd.DataFrame, regions: pd.DataFrame, frames: int) -> tuple[float, float]:
    """The sheet's algorithm step by step, region after region."""
    order = regions.sort_values("clip", kind="stable").sort_values("score", ascending=False, kind="stable")
    found, hits, misses = set(), 0, 0
    points = [(0.0, 0.0, 0.0)]
    for region in order.to_dict("records"):
        here = tracks[(tracks["clip"] == region["clip"]) & (tracks["frame"] == region["frame"])]
        box = np.array([[region[key] for key in ("x1", "y1", "x2", "y2")]], float)
        match = [
            k
            for k, row in here.iterrows()
            if _overlap(box, row[["x1", "y1", "x2", "y2"]].to_numpy(float)[None])[0] >= 0.1
        ]
        misses += not match
        hits += len(set(match) - found)
        found |= set(match)
        share = [sum(k in found for k in own.index) / len(own) >= 0.1 for _, own in tracks.groupby("track")]
        points.append((misses / frames, hits / len(tracks), sum(share) / len(share)))
    kept = [point for point in points if point[0] <= 1]
    if kept[-1][0] != 1:
        kept.append((1.0, *kept[-1][1:]))
    x, region_share, track_share = np.array(kept).T
    return float(np.trapezoid(region_share, x)), float(np.trapezoid(track_share, x))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_the_sheet_region_after_region(seed: int) -> None:
    generator = np.random.default_rng(seed)

    def boxes(count: int) -> pd.DataFrame:
        corner, size = generator.integers(0, 30, (count, 2)), generator.integers(1, 25, (count, 2))
        table = pd.DataFrame(np.hstack([corner, corner + size]), columns=["x1", "y1", "x2", "y2"])
        return table.assign(clip=generator.choice(["a", "b"], count), frame=generator.integers(0, 4, count))

    tracks = boxes(12).assign(track=generator.integers(0, 3, 12))
    regions = boxes(15).assign(score=generator.integers(0, 6, 15) / 5)  # many equal scores
    tracks, regions = checked(tracks, TRACKS, "test"), checked(regions, REGIONS, "test")
    assert rbdc_tbdc(tracks, regions, frames=8) == pytest.approx(by_the_sheet(tracks, regions, 8), abs=1e-12)

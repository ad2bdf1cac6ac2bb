"""AUC protocols: golden values of the released codes, invariants, intervals, and scores that must be refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lightvad.config import Kernel, Protocol, Smoothing
from lightvad.errors import LightvadError
from lightvad.evaluation.auc import ClipScores, _resampled_micro, clips_of, evaluate_protocol, micro_difference

UNSMOOTHED = Smoothing(plain_seconds=1e-3, ssmtl=Kernel(taps=1, sigma=1))
"""Kernels of one tap: what is left is each protocol's own rules."""
PROTOCOLS: tuple[Protocol, ...] = ("plain", "fast_aed", "aed_mae_avenue", "aed_mae_shanghai", "ssmtl")


def table(clips: dict[str, tuple[list[float], list[int]]]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"clip": name, "frame": range(len(scores)), "score": scores, "label": labels})
        for name, (scores, labels) in clips.items()
    ]
    return pd.concat(parts, ignore_index=True)


def evaluated(name: Protocol, scores: pd.DataFrame, **changes: object) -> dict:
    arguments = {"smoothing": Smoothing(), "fps": 10.0, "bootstrap": 0, "seed": 0} | changes
    return evaluate_protocol(name, scores, **arguments)  # type: ignore[arg-type]


def random_scores(clips: int = 6, length: int = 40, seed: int = 0, digits: int = 8) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    made = {}
    for k in range(clips):
        labels = np.zeros(length, int)
        labels[10 + k : 25] = 1
        made[f"Test{k:03}"] = (np.round(generator.random(length) + 0.3 * labels, digits).tolist(), labels.tolist())
    return table(made)


@pytest.mark.parametrize("name", ["fast_aed", "aed_mae_avenue", "aed_mae_shanghai"])
def test_golden_values(name: Protocol, golden_folder: Path) -> None:
    golden = json.loads((golden_folder / "auc_protocols.json").read_text())
    scores = table({video["video"]: (video["scores"], video["labels"]) for video in golden["videos"]})
    result = evaluated(name, scores)
    assert result["micro_auc"] == pytest.approx(golden["expected"][name]["micro"], abs=1e-9)
    assert result["macro_auc"] == pytest.approx(golden["expected"][name]["macro"], abs=1e-9)
    assert (result["n_clips"], result["n_single_class"]) == (4, 2)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([np.exp, np.arctan, lambda x: 3 * x - 7, lambda x: x**3]))
def test_without_smoothing_only_the_order_of_scores_matters(seed: int, transform: object) -> None:
    scores = random_scores(seed=seed)
    moved = scores.assign(score=transform(scores["score"]))  # type: ignore[operator]
    for key in ("micro_auc", "macro_auc"):
        before, after = (evaluated("plain", table, smoothing=UNSMOOTHED)[key] for table in (scores, moved))
        assert after == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_inverted_scores_are_worse_than_chance_and_true_labels_perfect_on_long_events(name: Protocol) -> None:
    labels = np.repeat([0, 1], [200, 200])
    scores = table({f"c{k}": (labels * 0.9 + 0.05, labels) for k in range(3)})
    assert evaluated(name, scores)["micro_auc"] > 0.95
    assert evaluated(name, scores.assign(score=1 - scores["score"]))["micro_auc"] < 0.4


def test_every_protocol_has_its_own_rule_for_a_clip_of_one_class() -> None:
    mixed = ([0.1, 0.6, 0.5, 0.9], [0, 0, 1, 1])
    scores = table({"a": mixed, "b": ([0.2, 0.3], [1, 1])})
    unit = {
        "smoothing": Smoothing(plain_seconds=1e-3, fast_aed=Kernel(taps=3, sigma=0.1), ssmtl=Kernel(taps=1, sigma=1))
    }
    assert evaluated("plain", scores, **unit)["macro_auc"] == pytest.approx(0.75)
    assert evaluated("ssmtl", scores, **unit)["macro_auc"] == pytest.approx((8 / 9 + 1) / 2)
    # The released kernel of sigma 0.1 only shifts by a frame (and scales): (0, 0.1, 0.6, 0.5) against the same labels.
    assert evaluated("fast_aed", scores, **unit)["macro_auc"] == pytest.approx((1.0 + 1.0) / 2)


def test_what_is_undefined_is_null_and_says_why() -> None:
    result = evaluated("plain", table({"a": ([0.2, 0.3], [1, 1]), "b": ([0.2, 0.3], [1, 1])}), bootstrap=20)
    assert [result[key] for key in ("micro_auc", "macro_auc", "micro_auc_ci95", "macro_auc_ci95")] == [None] * 4
    assert set(result["undefined"]) == {"micro_auc", "macro_auc", "micro_auc_ci95", "macro_auc_ci95"}
    assert "same label" in result["undefined"]["macro_auc"]
    json.dumps(result, allow_nan=False)


def test_micro_auc_can_exist_where_macro_auc_does_not() -> None:
    result = evaluated("plain", table({"a": ([0.2, 0.3], [0, 0]), "b": ([0.8, 0.9], [1, 1])}))
    assert result["micro_auc"] == 1.0
    assert result["macro_auc"] is None


def test_equal_scores_of_a_clip_are_chance_in_every_protocol_that_stretches_them() -> None:
    result = evaluated("aed_mae_shanghai", table({"a": ([0.0] * 6, [0, 0, 0, 1, 1, 1])}))
    assert result["micro_auc"] == 0.5


def test_intervals_contain_the_value_and_come_again_from_the_same_seed() -> None:
    scores = random_scores(clips=12)
    first, again, other = (evaluated("plain", scores, bootstrap=500, seed=seed) for seed in (3, 3, 4))
    for key in ("micro_auc", "macro_auc"):
        low, high = first[f"{key}_ci95"]
        assert 0 <= low < first[key] < high <= 1
        assert first[f"{key}_ci95"] == again[f"{key}_ci95"] != other[f"{key}_ci95"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_a_resample_is_the_auc_of_its_clips_put_together(seed: int, digits: int) -> None:
    clips = clips_of(random_scores(clips=5, seed=seed, digits=digits))  # few digits: many ties
    times = np.random.default_rng(seed).integers(0, 3, (4, 5)).astype(float)
    times[:, 0] = 1
    for weights, found in zip(times, _resampled_micro(clips, times), strict=True):
        taken = [clip for clip, count in zip(clips, weights, strict=True) for _ in range(int(count))]
        labels, scores = (np.concatenate([getattr(clip, key) for clip in taken]) for key in ("labels", "scores"))
        assert found == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_a_resample_of_one_class_is_undefined_and_left_out() -> None:
    clips = [
        ClipScores("a", np.array([0.1, 0.2]), np.zeros(2, bool)),
        ClipScores("b", np.array([0.9]), np.ones(1, bool)),
    ]
    found = _resampled_micro(clips, np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert np.isnan(found[0])
    assert found[1] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_refused_by_clip_and_frame(value: float) -> None:
    scores = random_scores()
    scores.loc[(scores["clip"] == "Test002") & (scores["frame"] == 7), "score"] = value
    with pytest.raises(LightvadError, match="clip Test002, frame 7: score is"):
        evaluated("plain", scores)


def test_a_missing_frame_a_wrong_label_and_an_empty_table_are_refused() -> None:
    scores = random_scores()
    with pytest.raises(LightvadError, match="clip Test000: frame 3 is missing"):
        evaluated("plain", scores.drop(index=3))
    with pytest.raises(LightvadError, match="clip Test000, frame 5: label is 2"):
        evaluated("plain", scores.assign(label=scores["label"].where(scores.index != 5, 2)))
    with pytest.raises(LightvadError, match="empty"):
        evaluated("plain", scores[:0])


def test_the_order_of_the_rows_does_not_matter() -> None:
    scores = random_scores()
    shuffled = scores.sample(frac=1, random_state=1)
    assert evaluated("fast_aed", shuffled, bootstrap=50) == evaluated("fast_aed", scores, bootstrap=50)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_thousand_resamples_of_a_dataset(name: Protocol) -> None:
    result = evaluated(name, random_scores(clips=12, length=180), bootstrap=1000)
    assert "undefined" not in result
    json.dumps(result, allow_nan=False)


def difference(first: pd.DataFrame, second: pd.DataFrame) -> tuple[float, float, float] | None:
    return micro_difference([first], [second], smoothing=UNSMOOTHED, fps=10.0, bootstrap=200, seed=0)


def test_a_run_does_not_differ_from_itself() -> None:
    assert difference(random_scores(), random_scores()) == (0, 0, 0)


def test_the_difference_is_that_of_both_aucs_and_changes_its_sign_with_their_order() -> None:
    good, bad = random_scores(seed=1), random_scores(seed=1)
    bad["score"] = bad["score"] - 0.2 * bad["label"]
    found, other = difference(good, bad), difference(bad, good)
    assert found is not None
    assert other is not None
    aucs = [roc_auc_score(scores["label"], scores["score"]) for scores in (good, bad)]
    assert found[0] == pytest.approx(aucs[0] - aucs[1])
    assert 0 < found[1] <= found[0] <= found[2]
    assert other == pytest.approx((-found[0], -found[2], -found[1]))


def test_paired_draws_are_narrower_than_two_of_their_own() -> None:
    """Clips of unlike difficulty move both runs together: the interval of the difference sees none of that."""
    good = random_scores(clips=8, seed=2)
    good["score"] += good["clip"].str[-1].astype(int) * (1 - 2 * good["label"]) * 0.05
    bad = good.assign(score=good["score"] - 0.02 * good["label"])
    found = difference(good, bad)
    assert found is not None
    alone = evaluated("plain", good, smoothing=UNSMOOTHED, bootstrap=200)["micro_auc_ci95"]
    assert found[2] - found[1] < (alone[1] - alone[0]) / 3


def test_of_several_seeds_the_mean_counts_and_their_noise_widens_the_interval() -> None:
    reference = random_scores(clips=8, seed=3)
    shifts = (-0.1, 0.0, 0.25)
    runs = [reference.assign(score=reference["score"] + shift * reference["label"]) for shift in shifts]
    alone = [difference(run, reference) for run in runs]
    together = micro_difference(runs, [reference] * 3, smoothing=UNSMOOTHED, fps=10.0, bootstrap=400, seed=0)
    assert together is not None
    assert together[0] == pytest.approx(np.mean([one[0] for one in alone if one is not None]))
    assert together[1] < together[0] < together[2]
    widths = [one[2] - one[1] for one in alone if one is not None]
    assert together[2] - together[1] > np.mean(widths)
    same = micro_difference(runs[:1] * 3, [reference] * 3, smoothing=UNSMOOTHED, fps=10.0, bootstrap=200, seed=0)
    assert same == pytest.approx(alone[0])


def test_without_two_clips_or_two_classes_there_is_no_difference() -> None:
    scores = random_scores()
    assert difference(scores.assign(label=0), scores.assign(label=0)) is None
    single = scores[scores["clip"] == "Test000"]
    assert difference(single, single) is None
    assert difference(scores[:0], scores[:0]) is None


def test_runs_of_other_clips_are_not_compared() -> None:
    with pytest.raises(LightvadError, match="not of the same clips"):
        difference(random_scores(), random_scores(clips=5))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_clips_of_unknown_labels_are_left_out(name: Protocol) -> None:
    scores = random_scores()
    unknown = scores.assign(label=scores["label"].where(scores["clip"] != "Test003", -1))
    assert evaluated(name, unknown) == evaluated(name, scores[scores["clip"] != "Test003"])
    nothing = evaluated(name, scores.assign(label=-1))
    assert nothing["micro_auc"] is None
    assert nothing["n_clips"] == 0
    assert set(nothing["undefined"].values()) == {"no clip has labels"}

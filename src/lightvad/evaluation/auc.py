"""Micro and macro AUC of frame scores under the named protocols, with bootstrap intervals over clips.

A protocol is: how one clip's scores are smoothed and normalised, whether two sentinels join every clip of the macro
AUC, and what a clip counts for whose frames are all normal or all abnormal (its AUC does not exist).

| protocol           | smoothing               | per-clip min-max | sentinels | single-class clip |
| ------------------ | ----------------------- | ---------------- | --------- | ----------------- |
| `plain`            | centred, edges repeated | no               | no        | left out          |
| `fast_aed`         | released, 301 taps      | no               | no        | 1                 |
| `aed_mae_avenue`   | released, 37 taps       | no               | yes       | defined           |
| `aed_mae_shanghai` | released, 899 taps      | yes              | yes       | defined           |
| `ssmtl`            | centred, zeros outside  | no               | yes       | defined           |

Sentinels are one frame (label 0, score 0) and one (label 1, score 1) of every clip, in its own AUC only; they make a
single-class clip defined. Sources: sheets fast_aed (section 5), aed_mae (section 5), teacher_ssmtl (section 6);
`plain` is a project choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lightvad.artifacts.tables import UNKNOWN
from lightvad.config import Protocol, Smoothing
from lightvad.errors import LightvadError
from lightvad.smoothing import AED_MAE_AVENUE, AED_MAE_SHANGHAI, smooth_centred, smooth_plain, smooth_released

NO_LABELS = "no clip has labels"
ONE_CLASS = "all frames of every clip have the same label"
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class ClipScores:
    """One clip: its name, raw or smoothed scores float64 (T,), labels bool (T,) with True = abnormal."""

    name: str
    scores: np.ndarray
    labels: np.ndarray

    @property
    def single_class(self) -> bool:
        """Whether all frames are normal, or all abnormal."""
        return bool(self.labels.all() or not self.labels.any())


@dataclass(frozen=True)
class Rules:
    """What a protocol does beside smoothing; `single_class_auc` is None where such a clip is left out."""

    smooth: Callable[[np.ndarray], np.ndarray]
    normalise: bool = False
    sentinels: bool = False
    single_class_auc: float | None = None


def rules_of(name: Protocol, smoothing: Smoothing, fps: float) -> Rules:
    """The rules of a named protocol on a dataset with these kernels (see the table of this module)."""
    match name:
        case "plain":
            return Rules(lambda scores: smooth_plain(scores, sigma=smoothing.plain_seconds * fps))
        case "fast_aed":
            return Rules(lambda scores: smooth_released(scores, smoothing.fast_aed), single_class_auc=1.0)
        case "aed_mae_avenue":
            return Rules(lambda scores: smooth_released(scores, AED_MAE_AVENUE), sentinels=True)
        case "aed_mae_shanghai":
            return Rules(lambda scores: smooth_released(scores, AED_MAE_SHANGHAI), normalise=True, sentinels=True)
        case "ssmtl":
            return Rules(lambda scores: smooth_centred(scores, smoothing.ssmtl), sentinels=True)


def evaluate_protocol(
    name: Protocol, scores: pd.DataFrame, *, smoothing: Smoothing, fps: float, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Micro and macro AUC of a run under one protocol.

    Args:
        name: of the protocol.
        scores: table FRAME_SCORES, raw; every clip whole. Clips of unknown labels are left out.
        smoothing: the dataset's kernels.
        fps: frames a second, for kernels given in seconds.
        bootstrap: resamples of the clips for the 95% intervals; 0: no intervals.
        seed: of the resampling.

    Returns:
        micro_auc, macro_auc in [0, 1]; micro_auc_ci95, macro_auc_ci95 [low, high]; n_clips, n_single_class. What is
        undefined is None, and `undefined` (only then) says why for each such key.

    Raises:
        LightvadError: a score is NaN or infinite, a label is not 0 or 1, or a clip's frames are not 0, 1, 2, ...
    """
    rules = rules_of(name, smoothing, fps)
    known = scores[scores["label"] != UNKNOWN]
    if known.empty and not scores.empty:
        keys = ("micro_auc", "macro_auc", "micro_auc_ci95", "macro_auc_ci95")
        return dict.fromkeys(keys) | {"n_clips": 0, "n_single_class": 0, "undefined": dict.fromkeys(keys, NO_LABELS)}
    clips = [smoothed_clip(clip, rules) for clip in clips_of(known)]
    per_clip = np.array([clip_auc(clip, rules) for clip in clips])
    result: dict[str, Any] = {
        "micro_auc": micro_auc(clips),
        "macro_auc": None if np.isnan(per_clip).all() else float(np.nanmean(per_clip)),
        **_intervals(clips, per_clip, bootstrap, seed),
        "n_clips": len(clips),
        "n_single_class": sum(clip.single_class for clip in clips),
    }
    undefined = {key: _reason(key, result, bootstrap) for key, value in result.items() if value is None}
    return result | ({"undefined": undefined} if undefined else {})


def micro_difference(
    first: Sequence[pd.DataFrame],
    second: Sequence[pd.DataFrame],
    *,
    smoothing: Smoothing,
    fps: float,
    bootstrap: int,
    seed: int,
) -> tuple[float, float, float] | None:
    """Plain micro AUC of one configuration minus that of another: the difference and the ends of its 95% interval.

    Paired: run k of one stands against run k of the other (the same training seed), and all are resampled with the same
    draws of clips, which are the larger part of the noise. Of several pairs the mean counts; each resample draws as
    many pairs again, so that the interval holds the noise of training, too.

    Args:
        first: tables FRAME_SCORES with known labels, a training seed each.
        second: as many, of the same clips and labels.
        smoothing: the dataset's kernels.
        fps: frames a second.
        bootstrap: resamples of the clips, at least 1.
        seed: of the resampling.

    Returns:
        In [-1, 1]; None where there are no labels, all frames have the same one, or there is a single clip.

    Raises:
        LightvadError: two are of other clips or labels.
    """
    if any(scores.empty for scores in (*first, *second)):
        return None
    rules = rules_of("plain", smoothing, fps)
    pairs = [
        [[smoothed_clip(clip, rules) for clip in clips_of(scores)] for scores in pair]
        for pair in zip(first, second, strict=True)
    ]
    known = [[(clip.name, clip.labels.tolist()) for clip in clips] for pair in pairs for clips in pair]
    if any(one != known[0] for one in known):
        message = "frame scores of two runs are not of the same clips and labels; score both again"
        raise LightvadError(message)
    count = len(known[0])
    whole, times = np.ones((1, count)), _resamples(count, bootstrap, seed)
    value = float(np.mean([_micro_gap(pair, whole) for pair in pairs]))
    if np.isnan(value) or count < 2:
        return None
    gaps = np.stack([_micro_gap(pair, times) for pair in pairs])
    drawn = np.random.default_rng((seed, len(pairs))).integers(len(pairs), size=gaps.shape)
    found = _interval(np.take_along_axis(gaps, drawn, axis=0).mean(axis=0))
    return None if found is None else (value, found[0], found[1])


def _micro_gap(pair: Sequence[list[ClipScores]], times: np.ndarray) -> np.ndarray:
    """Micro AUC of the first run minus that of the second in every resample (see `_resampled_micro`): (B,)."""
    first, second = (_resampled_micro(clips, times) for clips in pair)
    return first - second


def clips_of(scores: pd.DataFrame) -> list[ClipScores]:
    """The clips of a table FRAME_SCORES, by name, each in the order of its frames.

    Raises:
        LightvadError: see `evaluate_protocol`.
    """
    if scores.empty:
        message = "frame scores: the table is empty; run `lightvad score` (or `lightvad maps`) again"
        raise LightvadError(message)
    return [_clip_of(str(name), own) for name, own in scores.groupby("clip", sort=True)]


def _clip_of(name: str, own: pd.DataFrame) -> ClipScores:
    own = own.sort_values("frame", kind="stable")
    frames, scores = own["frame"].to_numpy(), own["score"].to_numpy(np.float64)
    out_of_step = np.flatnonzero(frames != np.arange(len(frames)))
    if out_of_step.size:
        t = int(out_of_step[0])
        message = f"frame scores: clip {name}: frame {t} is missing or double (found {frames[t]}); score the clip again"
        raise LightvadError(message)
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        t = int(bad[0])
        message = f"frame scores: clip {name}, frame {t}: score is {scores[t]}; train or score this run again"
        raise LightvadError(message)
    labels = own["label"].to_numpy()
    bad = np.flatnonzero((labels != 0) & (labels != 1))
    if bad.size:
        t = int(bad[0])
        message = (
            f"frame scores: clip {name}, frame {t}: label is {labels[t]}, not 0 or 1; run `lightvad prepare` again"
        )
        raise LightvadError(message)
    return ClipScores(name, scores, labels.astype(bool))


def smoothed_clip(clip: ClipScores, rules: Rules) -> ClipScores:
    """The clip with its scores smoothed and, where the protocol says so, stretched to [0, 1].

    A clip of equal scores has no range to stretch: it becomes all zeros (project choice; the released code divides by
    zero there).
    """
    scores = rules.smooth(clip.scores)
    if rules.normalise:
        low, span = scores.min(), np.ptp(scores)
        scores = (scores - low) / span if span > 0 else np.zeros_like(scores)
    return ClipScores(clip.name, scores, clip.labels)


def clip_auc(clip: ClipScores, rules: Rules) -> float:
    """AUC of one smoothed clip by the protocol's rules; NaN where it is undefined and left out of the macro mean."""
    if rules.sentinels:
        return _roc_auc(np.r_[False, clip.labels, True], np.r_[0.0, clip.scores, 1.0])
    if clip.single_class:
        return np.nan if rules.single_class_auc is None else rules.single_class_auc
    return _roc_auc(clip.labels, clip.scores)


def micro_auc(clips: list[ClipScores]) -> float | None:
    """AUC of all frames of all clips as one sequence; None where all have the same label."""
    labels = np.concatenate([clip.labels for clip in clips])
    if labels.all() or not labels.any():
        return None
    return _roc_auc(labels, np.concatenate([clip.scores for clip in clips]))


def _roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score  # its import takes longer than a table, and no table needs it

    return float(roc_auc_score(labels, scores))


def _intervals(clips: list[ClipScores], per_clip: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    """95% percentile intervals over resamples of the clips; resamples with an undefined AUC are left out."""
    if bootstrap == 0 or len(clips) < 2:
        return {"micro_auc_ci95": None, "macro_auc_ci95": None}
    times = _resamples(len(clips), bootstrap, seed)
    defined = ~np.isnan(per_clip)
    weight = times[:, defined].sum(1)
    macro = times[:, defined] @ per_clip[defined] / np.where(weight > 0, weight, np.nan)
    return {"micro_auc_ci95": _interval(_resampled_micro(clips, times)), "macro_auc_ci95": _interval(macro)}


def _resamples(clips: int, bootstrap: int, seed: int) -> np.ndarray:
    """How often each clip is drawn in each resample: float64 (B, C), rows of sum C."""
    draws = np.random.default_rng(seed).integers(clips, size=(bootstrap, clips))
    return np.apply_along_axis(np.bincount, 1, draws, minlength=clips).astype(np.float64)


def _resampled_micro(clips: list[ClipScores], times: np.ndarray) -> np.ndarray:
    """Micro AUC with clip c taken times[b, c] times: (B,), NaN where a resample has a single class.

    The AUC is the share of (abnormal, normal) pairs of frames in the right order, ties counting half. Pairs are counted
    once for every pair of clips; a resample only weighs these counts.
    """
    abnormal = [clip.scores[clip.labels] for clip in clips]
    normal = [np.sort(clip.scores[~clip.labels]) for clip in clips]
    ends = np.cumsum([len(part) for part in abnormal])
    every = np.concatenate(abnormal)
    right = np.zeros((len(clips), len(clips)))
    for column, below in enumerate(normal):
        wins = (np.searchsorted(below, every, "left") + np.searchsorted(below, every, "right")) / 2
        right[:, column] = [part.sum() for part in np.split(wins, ends[:-1])]
    pairs = (times @ np.array([len(part) for part in abnormal])) * (times @ np.array([len(part) for part in normal]))
    return np.einsum("bi,ij,bj->b", times, right, times, optimize=True) / np.where(pairs > 0, pairs, np.nan)


def _interval(resampled: np.ndarray) -> list[float] | None:
    defined = resampled[~np.isnan(resampled)]
    return [float(bound) for bound in np.percentile(defined, PERCENTILES)] if defined.size else None


def _reason(key: str, result: dict[str, Any], bootstrap: int) -> str:
    if key.endswith("_ci95"):
        if bootstrap == 0:
            return "no bootstrap was asked for"
        if result["n_clips"] < 2:
            return "a single clip cannot be resampled"
    return ONE_CLASS if key.startswith("macro") else "all frames have the same label"

"""RBDC and TBDC: how well scored boxes cover the abnormal regions and tracks (Ramachandra & Jones, WACV 2020).

By the definition of the AED reference script (sheet fast_aed, section 5): regions are taken in descending order of
score, and at every rate of false positives per frame up to 1 one asks which share of the labelled boxes (RBDC) and of
the tracks (TBDC) has been found.

Coordinates: the reference computes intersection over union on inclusive pixels (a box from 10 to 20 is 11 wide). Boxes
here are exclusive, so the same box is (10, 21) and its width is the plain difference: exclusive = inclusive + 1 on x2
and y2, and no +1 appears below.
"""

import numpy as np
import pandas as pd

from lightvad.artifacts.tables import BOX, REGIONS, TRACKS
from lightvad.errors import LightvadError

CORNERS = list(BOX)


def rbdc_tbdc(
    tracks: pd.DataFrame, regions: pd.DataFrame, *, frames: int, alpha: float = 0.1, beta: float = 0.1
) -> tuple[float | None, float | None]:
    """Region-based and track-based detection criterion.

    Args:
        tracks: table TRACKS, the labelled boxes; `track` is unique in the dataset.
        regions: table REGIONS. Among equal scores, clips come by name and rows of a clip in their order.
        frames: number of test frames, those without labels included.
        alpha: share of a track's boxes that must be found for the track to be found, in (0, 1].
        beta: intersection over union from which a region finds a labelled box, in (0, 1].

    Returns:
        RBDC and TBDC in [0, 1]; both None without any track (undefined).

    Raises:
        LightvadError: a region's score is NaN or infinite.
    """
    if frames < 1 or not (0 < alpha <= 1 and 0 < beta <= 1):
        message = f"frames {frames}, alpha {alpha}, beta {beta}: frames must be positive, alpha and beta in (0, 1]"
        raise ValueError(message)
    if tracks.empty:
        return None, None
    ranked = _ranked(regions)
    matches = _matches(tracks.reset_index(drop=True), ranked, beta)
    false = np.ones(len(ranked), bool)
    false[matches["rank"]] = False
    # A labelled box is found by the best region that matches it; later ones count neither as hit nor as miss.
    found_by = matches.groupby("labelled")["rank"].min()
    tracks_found_by = _ranks_of_found_tracks(tracks["track"].to_numpy(), found_by, alpha)
    rate = np.cumsum(false) / frames
    rbdc = _area(rate, _share_by_rank(found_by.to_numpy(), of=len(tracks), ranks=len(ranked)))
    tbdc = _area(rate, _share_by_rank(tracks_found_by, of=tracks["track"].nunique(), ranks=len(ranked)))
    return rbdc, tbdc


def _ranked(regions: pd.DataFrame) -> pd.DataFrame:
    """The regions in descending order of score."""
    bad = ~np.isfinite(regions["score"].to_numpy(np.float64))
    if bad.any():
        row = regions[bad].iloc[0]
        message = f"regions: clip {row['clip']}, frame {row['frame']}: score is {row['score']}; score the run again"
        raise LightvadError(message)
    clip, _ = pd.factorize(regions["clip"], sort=True)  # numbers sort far faster than names
    order = np.lexsort((clip, -regions["score"].to_numpy(np.float64)))
    return regions[list(REGIONS)].iloc[order].reset_index(drop=True)


def _matches(tracks: pd.DataFrame, ranked: pd.DataFrame, beta: float) -> pd.DataFrame:
    """Pairs of a labelled box (row of `tracks`) and a region (`rank`) of its frame that overlap enough."""
    labelled = tracks[list(TRACKS)].rename_axis("labelled").reset_index()
    regions = ranked.rename_axis("rank").reset_index()
    pairs = labelled.merge(regions, on=["clip", "frame"], suffixes=("", "_region"))
    overlap = _overlap(
        pairs[CORNERS].to_numpy(np.float64), pairs[[f"{name}_region" for name in CORNERS]].to_numpy(np.float64)
    )
    return pairs.loc[overlap >= beta, ["labelled", "rank"]]


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) with boxes (N, 4), x2/y2 exclusive."""
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    intersection = np.clip(sides, 0, None).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return intersection / (areas[0] + areas[1] - intersection)


def _ranks_of_found_tracks(track: np.ndarray, found_by: pd.Series, alpha: float) -> np.ndarray:
    """For every track that is found at all: the rank of the region with which its share reaches alpha."""
    ranks = pd.Series(np.inf, index=np.arange(len(track)))
    ranks[found_by.index] = found_by
    result = []
    for _, own in ranks.groupby(track):
        needed = int(np.argmax(np.arange(1, len(own) + 1) / len(own) >= alpha))
        result.append(np.sort(own.to_numpy())[needed])
    found = np.array(result)
    return found[np.isfinite(found)].astype(int)


def _share_by_rank(found_by: np.ndarray, *, of: int, ranks: int) -> np.ndarray:
    """Share of `of` things that are found after each of `ranks` regions: (ranks,)."""
    return np.cumsum(np.bincount(found_by, minlength=ranks)) / of


def _area(rate: np.ndarray, share: np.ndarray) -> float:
    """Area under share over the rate of false positives from 0 to 1; the last share is carried to rate 1."""
    kept = rate <= 1
    x, y = np.r_[0.0, rate[kept]], np.r_[0.0, share[kept]]
    if x[-1] != 1:
        x, y = np.r_[x, 1.0], np.r_[y, y[-1]]
    return float(np.trapezoid(y, x))

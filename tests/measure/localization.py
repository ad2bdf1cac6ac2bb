"""How fast RBDC and TBDC are at the size of ShanghaiTech: `python -m tests.measure.localization`.

Labels and regions are drawn, since the real ones are not here: as many frames, clips, tracks and regions, with
regions beside about half of the labelled boxes and the others anywhere; tracks of 30 to 200 boxes.

Two loops in plain Python (`direct`) are timed beside it. `anew` counts the found boxes of every track at every
threshold, as the definition says; its cost is the same for every region, so it is measured on the first regions of the
table, and on all of them only where that is foreseen to take no longer than LONGEST: else the line says
"extrapolated". `kept` keeps the numbers, as the reference script does. Values are compared on the same regions.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lightvad.artifacts.records import processor_name
from lightvad.artifacts.tables import BOX, REGIONS, TRACKS, checked
from lightvad.evaluation.localization import rbdc_tbdc
from tests.measure import direct

CLIPS, HEIGHT, WIDTH = 107, 480, 856
LONGEST = 180
"""Seconds that a loop may be foreseen to take and is still run whole."""
AGREE = 1e-12
"""The loops sum the same terms in another order; more than this is another value."""


def main(arguments: list[str] | None = None) -> None:
    """Print one line for the problem, one for the implementation, one for each loop."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure.localization", description=__doc__)
    parser.add_argument("--frames", type=int, default=40_791)
    parser.add_argument("--tracks", type=int, default=150)
    parser.add_argument("--regions", type=int, default=130_000)
    parser.add_argument("--part", type=int, default=5_000, help="regions that the loop `anew` is measured on first")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    tracks, regions = problem(options.frames, options.tracks, options.regions, options.seed)
    print(
        f"problem: seed {options.seed}, {options.frames:,} frames, {options.tracks} tracks of {len(tracks):,} boxes, "
        f"{len(regions):,} regions; {processor_name()}, one core",
        flush=True,
    )
    times = [timed(lambda: rbdc_tbdc(tracks, regions, frames=options.frames))[0] for _ in range(options.rounds)]
    seconds = statistics.median(times)
    values = rbdc_tbdc(tracks, regions, frames=options.frames)
    print(
        f"lightvad.evaluation.localization: {seconds:.3f} s (median of {len(times)}, {min(times):.3f} to "
        f"{max(times):.3f}), RBDC {values[0]:.6f}, TBDC {values[1]:.6f}",
        flush=True,
    )
    for name, anew in (("kept", False), ("anew", True)):
        print(loop(name, tracks, regions, options, seconds=seconds, anew=anew), flush=True)


def loop(
    name: str,
    tracks: pd.DataFrame,
    regions: pd.DataFrame,
    options: argparse.Namespace,
    *,
    seconds: float,
    anew: bool,
) -> str:
    """The line of one loop, compared with what the implementation gives on the same regions and takes for all."""
    labelled, scored = as_lists(tracks, regions)

    def measured(count: int) -> float:
        took, value = timed(lambda: direct.rbdc_tbdc(labelled, scored[:count], frames=options.frames, anew=anew))
        same = rbdc_tbdc(tracks, regions[:count], frames=options.frames)
        if not np.allclose(value, same, rtol=0, atol=AGREE):
            raise SystemExit(f"loop `{name}`, the first {count} regions: {value}, the implementation gives {same}")
        return took

    count = min(options.part, len(scored))
    took = measured(count)
    whole, how = took * len(scored) / count, f"extrapolated from the first {count:,} regions ({took:.1f} s)"
    if whole <= LONGEST and count < len(scored):
        count, whole = len(scored), measured(len(scored))
    if count == len(scored):
        how = "measured whole"
    return f"loop `{name}`: {whole:.1f} s, {how}; {whole / seconds:.0f} times; equal to {AGREE:g} on {count:,} regions"


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def as_lists(tracks: pd.DataFrame, regions: pd.DataFrame) -> tuple[list[direct.Labelled], list[direct.Region]]:
    """The tables as the plain loop takes them; numbers are Python's."""
    boxes, found = (list(map(tuple, table[list(BOX)].to_numpy(np.float64).tolist())) for table in (tracks, regions))
    labelled = zip(*(tracks[name].tolist() for name in ("track", "clip", "frame")), boxes, strict=True)
    scored = zip(regions["clip"].tolist(), regions["frame"].tolist(), found, regions["score"].tolist(), strict=True)
    return list(labelled), list(scored)


def problem(frames: int, tracks: int, regions: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables TRACKS and REGIONS of these sizes, regions in no order; a track has one box in each of its frames."""
    draw = np.random.default_rng(seed)
    clips = np.array([f"{1 + k % 13:02}_{k:04}" for k in range(CLIPS)], object)
    borders = np.sort(draw.choice(np.arange(1, frames), CLIPS - 1, replace=False))
    lengths = np.diff(np.r_[0, borders, frames])
    labelled = pd.concat([_track(draw, track, clips, lengths) for track in range(tracks)], ignore_index=True)
    beside = labelled[draw.random(len(labelled)) < 0.5][:regions].drop(columns="track")
    beside[list(BOX)] += draw.integers(-20, 21, (len(beside), 1))
    others = regions - len(beside)
    clip = draw.choice(CLIPS, others, p=lengths / frames)
    corner = np.column_stack([draw.integers(0, WIDTH - 120, others), draw.integers(0, HEIGHT - 120, others)])
    anywhere = pd.DataFrame(np.hstack([corner, corner + draw.integers(20, 120, (others, 2))]), columns=list(BOX))
    anywhere = anywhere.assign(clip=clips[clip], frame=(draw.random(others) * lengths[clip]).astype(int))
    found = pd.concat([beside, anywhere], ignore_index=True)
    # Scores of four digits: many are equal, as those of a network's regions are where it saturates.
    score = np.round(draw.beta(2, 5, regions) + np.where(np.arange(regions) < len(beside), 0.2, 0), 4)
    found = found.assign(score=score).sample(frac=1, random_state=draw)
    return checked(labelled, TRACKS, "drawn"), checked(found, REGIONS, "drawn")


def _track(draw: np.random.Generator, track: int, clips: np.ndarray, lengths: np.ndarray) -> pd.DataFrame:
    """An object of 60 x 120 pixels that crosses part of a clip."""
    clip = draw.choice(len(clips), p=lengths / lengths.sum())
    count = min(int(draw.integers(30, 201)), lengths[clip])
    times = np.arange(count)
    left, top = draw.integers(20, WIDTH - 340) + times, np.full(count, draw.integers(20, HEIGHT - 160))
    corners = {"x1": left, "y1": top, "x2": left + 60, "y2": top + 120}
    first = draw.integers(0, lengths[clip] - count + 1)
    return pd.DataFrame({"track": track, "clip": clips[clip], "frame": first + times, **corners})


if __name__ == "__main__":
    main()

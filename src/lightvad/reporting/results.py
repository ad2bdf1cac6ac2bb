"""The numbers of runs, read from `metrics.json`, `record.json`, `speed.json` and `complexity.json`."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightvad.artifacts.documents import read_json, read_sealed
from lightvad.config import BEST_ON_TEST
from lightvad.errors import LightvadError
from lightvad.layout import GATHERED, Run
from lightvad.resolution import WEIGHTS_TAKEN

AUC_METRICS = ("micro_auc", "macro_auc")
HOLDS = {"metrics.json": "protocols", GATHERED: "stages"}
"""The part of a document that is read here."""
REGION_METRICS = ("rbdc", "tbdc")


@dataclass(frozen=True)
class Measurement:
    """One number over seeds, in percent: mean, smallest and largest, and the bootstrap interval at its widest.

    `sd` is the standard deviation of a sample (n - 1); None for one seed.
    """

    mean: float
    sd: float | None
    low: float
    high: float
    interval: tuple[float, float] | None


def document(root: Path, run: Run, name: str) -> Any:
    """The JSON document `name` of a run.

    Raises:
        LightvadError: it is missing, is not JSON, does not hold what it should, or (`record.json`) is damaged; the line
            says what to run.
    """
    path = run.folder / name
    if not (root / path).is_file():
        message = f"{path}: missing; run `snakemake --cores 2 {path}`"
        raise LightvadError(message)
    content = read_sealed(root / path) if name == GATHERED else read_json(root / path)
    key = HOLDS.get(name)
    whole = isinstance(content, list if name == "speed.json" else dict)
    if not whole or (key is not None and not isinstance(content.get(key), dict)):
        message = f"{path}: does not hold what its stage writes; run `snakemake --cores 2 --force {path}`"
        raise LightvadError(message)
    return content


def measurement(root: Path, runs: Sequence[Run], *, metric: str, protocol: str) -> Measurement | None:
    """An AUC of the same run from several seeds; None where it is undefined (every clip has a single class).

    Args:
        root: the project.
        runs: the same configuration, one run for each seed.
        metric: `micro_auc` or `macro_auc`.
        protocol: a named protocol.

    Raises:
        LightvadError: a document is missing or lacks the protocol.
    """
    values, bounds = [], []
    for run in runs:
        protocols = document(root, run, "metrics.json")["protocols"]
        if protocol not in protocols:
            message = (
                f"{run.folder / 'metrics.json'}: no protocol {protocol!r}, it has {', '.join(sorted(protocols))}; "
                f"add it to smoothing.protocols in config/datasets/{run.dataset}.yaml and evaluate again"
            )
            raise LightvadError(message)
        value, interval = protocols[protocol][metric], protocols[protocol].get(f"{metric}_ci95")
        if value is not None:
            values.append(100 * value)
        if interval is not None and None not in interval:
            bounds.append([100 * bound for bound in interval])
    return _over_seeds(values, bounds)


def best_measurement(root: Path, runs: Sequence[Run], *, metric: str, protocol: str) -> Measurement | None:
    """The same AUC of the epoch that looks best on the test clips; None where a run has kept no other epochs."""
    values = []
    for run in runs:
        best = (document(root, run, "metrics.json").get(BEST_ON_TEST) or {}).get(protocol)
        if best is None:
            return None
        values += [100 * best[metric]] if best[metric] is not None else []
    return _over_seeds(values, [])


def region_measurement(root: Path, runs: Sequence[Run], *, metric: str) -> Measurement | None:
    """RBDC or TBDC of the same run from several seeds; None where no run has it (a dataset without tracks)."""
    values = [document(root, run, "metrics.json").get(metric) for run in runs]
    return _over_seeds([100 * value for value in values if value is not None], [])


def _over_seeds(values: list[float], bounds: list[list[float]]) -> Measurement | None:
    if not values:
        return None
    widest = (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Measurement(statistics.fmean(values), sd, min(values), max(values), widest)


def recorded(root: Path, runs: Sequence[Run], key: str) -> str:
    """What `record.json` says of `key` (device, precision) in training and scoring; differing values joined by `; `.

    Of scoring alone where the weights are another run's: taking them over has no precision, and any device.
    """
    found = []
    for run in runs:
        stages = document(root, run, GATHERED)["stages"]
        trained = "train" in stages and WEIGHTS_TAKEN not in stages["train"].get("config", {})
        read = (["train"] if trained else []) + (["score"] if "score" in stages else [])
        found += [str(stages[stage][key]) for stage in read]
    return "; ".join(dict.fromkeys(found))


def finished(root: Path, runs: Sequence[Run]) -> str:
    """The latest day on which a stage of these runs was started (YYYY-MM-DD), from the records; empty if none says."""
    days = [
        stage["started"][:10]
        for run in runs
        for stage in document(root, run, GATHERED)["stages"].values()
        if "started" in stage
    ]
    return max(days, default="")


def checkpoints(root: Path, runs: Sequence[Run]) -> str:
    """How the checkpoint was chosen (`last`); differing values joined by `; `."""
    return "; ".join(dict.fromkeys(str(document(root, run, "metrics.json")["checkpoint"]) for run in runs))

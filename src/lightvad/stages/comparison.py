"""Ablations against their reference: the difference of two runs' AUC on the same clips, and whether it is noise."""

from dataclasses import dataclass

import pandas as pd

from lightvad.artifacts.tables import FRAME_SCORES, UNKNOWN, read_table
from lightvad.config import Table
from lightvad.evaluation.auc import micro_difference
from lightvad.layout import Run
from lightvad.reporting.selection import Shown, run_of

RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """Plain micro AUC of a run minus that of its reference, percentage points, with the 95% interval over clips."""

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high


def differences_of(shown: Shown, table: Table, dataset: str) -> dict[str, Difference]:
    """Variant -> its difference from the table's reference on one dataset, over all seeds.

    Empty where the table has no reference, or the dataset no labels or a single clip.

    Raises:
        LightvadError: a run's scores are missing or of other clips than the reference's.
    """
    if table.reference is None:
        return {}
    scores = {
        row.variant: [_scores(shown, run_of(row, dataset, shown.budget, seed)) for seed in shown.seeds]
        for row in table.rows
    }
    spec = shown.project.dataset(dataset)
    found = {}
    for variant, own in scores.items():
        if variant == table.reference:
            continue
        bounds = micro_difference(
            own,
            scores[table.reference],
            smoothing=spec.smoothing,
            fps=spec.fps,
            bootstrap=RESAMPLES,
            seed=shown.seeds[0],
        )
        if bounds is not None:
            found[variant] = Difference(*(100 * bound for bound in bounds))
    return found


def _scores(shown: Shown, run: Run) -> pd.DataFrame:
    table = read_table(shown.root / run.folder / "frame_scores.parquet", FRAME_SCORES)
    return table[table["label"] != UNKNOWN]


def difference_sentences(shown: Shown, table: Table) -> list[str]:
    """What the table says of its rows against its reference, on each dataset."""
    labels = {row.variant: row.label for row in table.rows}
    sentences = []
    for dataset in shown.datasets:
        found = differences_of(shown, table, dataset)
        if not found:
            continue
        told = [
            f"{labels[variant]} {one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}]"
            + (" (inside the noise)" if one.is_noise else "")
            for variant, one in found.items()
        ]
        seeds = ", ".join(str(seed) for seed in shown.seeds)
        drawn = f"clips, seed {seeds}" if len(shown.seeds) == 1 else f"clips and seeds {seeds}"
        sentences.append(
            f"Against {labels[str(table.reference)]} on {dataset} (plain micro AUC, paired bootstrap over {drawn}):"
            f" {'; '.join(told)}."
        )
    return sentences

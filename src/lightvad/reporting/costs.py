"""What methods cost: operations and parameters of a frame, frames per second; all from one benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightvad.config import Cost, Table, TableRow
from lightvad.errors import LightvadError
from lightvad.layout import Run
from lightvad.reporting.results import document
from lightvad.reporting.selection import Shown, timed_runs
from lightvad.reporting.speed_factors import SpeedRow, rate, scored_rows

COSTS: dict[Cost, tuple[str, str]] = {
    "gflops": ("GFLOPs", "counted"),
    "params_millions": ("parameters, M", "counted"),
    "fps": ("frames/s", "timed"),
}
"""Cost -> what stands above its columns, and above what is ours."""
COMPLEXITY = "complexity.json"


@dataclass(frozen=True)
class RowCost:
    """What the method of a table's row costs for one frame, an object method with its detector.

    `speed` is its row of `speed.json`, the model alone at batch 1 as it is scored, `best` that of its fastest batch,
    `counted` its part of `complexity.json`.
    """

    row: TableRow
    speed: SpeedRow
    best: SpeedRow
    counted: Mapping[str, Any]

    def value(self, cost: Cost) -> float:
        """10^9 operations, 2 per multiply-add; 10^6 parameters; or frames per second, the median."""
        if cost == "fps":
            return float(self.speed["fps_median"])
        if cost == "gflops":
            return float(self.counted["gflops"] + self.counted.get("detector_gflops", 0))
        return float(self.counted["parameters"] + self.counted.get("detector_parameters", 0)) / 1e6

    @property
    def told(self) -> str:
        """What it was counted on: the size of a frame, or the detector and the number of objects."""
        if not self.counted.get("detector"):
            return f"{self.row.label} at {self.speed['height']}x{self.speed['width']}"
        parameters, gflops = self.counted["detector_parameters"], self.counted["detector_gflops"]
        of_it = f" ({parameters / 1e6:.1f} M parameters, {gflops:.1f} GFLOPs)" if parameters else " without a network"
        objects = self.counted["objects_per_frame"]
        return f"{self.row.label} on {objects} objects a frame and with its detector, {self.counted['detector']}{of_it}"


def complexities(root: Path, run: Run) -> list[dict[str, Any]]:
    """The parts of a run's `complexity.json`: its own, and those of what was timed beside it.

    Raises:
        LightvadError: the document is missing.
    """
    own = document(root, run, COMPLEXITY)
    # Documents of before a run could name others call its teachers so.
    return [{"method": run.method, "variant": run.variant} | own, *own.get("beside", own.get("teachers", []))]


def costs_of(shown: Shown, table: Table, dataset: str) -> list[RowCost]:
    """The costs of every row of a table, in its order, from the benchmark of its timed row.

    Raises:
        LightvadError: a document is missing, or a row's method is not in it, or not with its detector.
    """
    (run,) = timed_runs(table, datasets=(dataset,), budget=shown.budget, seeds=shown.seeds)
    parts = {(part["method"], part["variant"]): part for part in complexities(shown.root, run)}
    found = []
    for row in table.rows:
        speeds = scored_rows(shown.root, run, row, "model")
        name = (row.method, row.timed_as or row.variant)
        part = parts.get(name, {})
        if not part or ("detector" in part and "detector_gflops" not in part):
            message = (
                f"{run.folder / COMPLEXITY}: no {'detector_gflops' if part else 'part'} of {'/'.join(name)}; run"
                f" `lightvad benchmark --run {run.folder}` again"
            )
            raise LightvadError(message)
        best = max(speeds, key=lambda line: float(line["fps_median"]))
        found.append(RowCost(row, speeds[0], best, part))
    return found


def cost_sentences(shown: Shown, table: Table, dataset: str) -> list[str]:
    """What the costs of a table's rows were counted on, and how fast each is at its best batch."""
    found = costs_of(shown, table, dataset)
    (run,) = timed_runs(table, datasets=(dataset,), budget=shown.budget, seeds=shown.seeds)
    batched = [
        f"{cost.row.label} {rate(float(cost.best['fps_median']))} (batch {cost.best['batch']})"
        for cost in found
        if cost.best["batch"] != 1
    ]
    each = "; ".join(cost.told for cost in found)
    return [
        f"Counted on {dataset}, for one frame, 2 operations per multiply-add: {each}.",
        "Frames per second: model only, batch 1, an object method with its detector"
        + (f"; the fastest batch where it is another: {', '.join(batched)}" if batched else "")
        + f" ({(run.folder / 'speed.json').as_posix()}).",
    ]

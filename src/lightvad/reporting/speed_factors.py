"""How much faster the student is than each teacher, from rows that were timed in one process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightvad.artifacts.documents import read_json
from lightvad.config import Table, TableRow
from lightvad.errors import LightvadError
from lightvad.layout import Run, speeds_path
from lightvad.reporting.results import document
from lightvad.reporting.selection import Shown, run_of, timed_row

SCOPES = {"model": "model only", "end_to_end": "end to end"}
SpeedRow = Mapping[str, Any]


@dataclass(frozen=True)
class Timing:
    """A method's speed within one scope, as it is scored, at batch 1.

    `row` is the line of `speed.json`, `fps` its median.
    """

    label: str
    scope: str
    row: SpeedRow

    @property
    def fps(self) -> float:
        """Frames per second, the median."""
        return float(self.row["fps_median"])

    @property
    def conditions(self) -> str:
        """Device, threads, engine, precision and batch in words."""
        row = self.row
        return f"{row['device']}, {row['threads']} threads, {row['engine']}, {row['precision']}, batch {row['batch']}"

    @property
    def size(self) -> str:
        """Height and width at which a frame was seen, pixels."""
        return f"{self.row['height']}x{self.row['width']}"

    @property
    def workload(self) -> str:
        """Detector and objects a frame of an object method; empty for a frame method."""
        detector, objects = self.row.get("detector"), self.row.get("objects_per_frame")
        if not detector:
            return ""
        return f"with detector {detector}" + (f" and {float(objects):.1f} objects a frame" if objects else "")


def speed_rows(root: Path, run: Run) -> list[SpeedRow]:
    """All rows of a run's `speed.json`.

    Raises:
        LightvadError: it is missing, or is not a list.
    """
    rows = document(root, run, "speed.json")
    if not isinstance(rows, list) or not rows:
        message = f"{run.folder / 'speed.json'}: holds no rows; run `lightvad benchmark --run {run.folder}` again"
        raise LightvadError(message)
    return rows


def timings(root: Path, rows: Sequence[TableRow], *, dataset: str, budget: str, seed: int) -> list[Timing]:
    """The speed of every method of `rows`, in each scope, in their order; empty where no row is timed.

    It is the row of a method and scope at batch 1 among `scored_rows`: so speed and accuracy are of one path.

    Raises:
        LightvadError: a method or scope was not timed beside the others.
    """
    timed = timed_row(rows)
    if timed is None:
        return []
    run = run_of(timed, dataset, budget, seed)
    return [Timing(row.label, scope, scored_rows(root, run, row, scope)[0]) for row in rows for scope in SCOPES]


def scored_rows(root: Path, run: Run, row: TableRow, scope: str) -> list[SpeedRow]:
    """The rows of `speed.json` that stand for a table's row within one scope, one for each batch, batch 1 first.

    They are of the engine and precision that its scores are made in (`scored`), never of an fp32 reference beside it.
    Rows that include the detector are preferred, because an object method cannot run without one.

    Raises:
        LightvadError: it was not timed there at batch 1.
    """
    variant = row.timed_as or row.variant
    # Rows of before there were references lack the key `scored`.
    own = [
        line
        for line in speed_rows(root, run)
        if (line["method"], line["scope"], line.get("scored", True)) == (row.method, scope, True)
        and line.get("variant", variant) == variant
    ]
    own = [line for line in own if line.get("detector")] or own
    own.sort(key=lambda line: int(line["batch"]))
    if not own or own[0]["batch"] != 1:
        message = (
            f"{run.folder / 'speed.json'}: no row of {row.method}/{variant}, {scope}, batch 1; run"
            f" `lightvad benchmark --run {run.folder}` again, or name it under `timed_beside` of"
            f" config/methods/{run.method}.yaml"
        )
        raise LightvadError(message)
    return own


def table_speeds(shown: Shown, table: Table, dataset: str) -> dict[tuple[str, str], SpeedRow]:
    """(method, variant) -> its row of the speeds of a table whose rows were timed in turns.

    Raises:
        LightvadError: the speeds are missing or lack a row.
    """
    path = _speeds_of(shown, table, dataset)
    if not (shown.root / path).is_file():
        message = f"{path}: missing; run `snakemake --cores 2 {path}`"
        raise LightvadError(message)
    found = {(row["method"], row["variant"]): row for row in read_json(shown.root / path)}
    for row in table.rows:
        if (row.method, row.variant) not in found:
            message = f"{path}: no row of {row.method}/{row.variant}; run `snakemake --cores 2 --force {path}`"
            raise LightvadError(message)
    return found


def _speeds_of(shown: Shown, table: Table, dataset: str) -> Path:
    number = next(number for number, other in shown.experiment.tables.items() if other is table)
    return speeds_path(dataset, shown.budget, shown.experiment.name, number)


def conditions_sentence(shown: Shown, table: Table, dataset: str) -> str:
    """On what, and how, the rows of a table were timed, and which file says so."""
    timed = [Timing("", "model", row) for row in table_speeds(shown, table, dataset).values()]
    told = "; ".join(dict.fromkeys(f"{timing.conditions}, {timing.size}" for timing in timed))
    reference = next(row.label for row in table.rows if row.variant == table.reference)
    return (
        f"Frames per second on {dataset}: {told}; the reference is {reference}"
        f" ({_speeds_of(shown, table, dataset).as_posix()})."
    )


def factor_sentences(found: Sequence[Timing], student: str) -> list[str]:
    """One sentence for each other method: the student's factor, model only and end to end; then the conditions."""
    speed = {(timing.label, timing.scope): timing for timing in found}
    others = [label for label in dict.fromkeys(timing.label for timing in found) if label != student]
    sentences = []
    for other in others:
        parts = []
        for scope, name in SCOPES.items():
            fast, slow = speed[student, scope], speed[other, scope]
            parts.append(f"{fast.fps / slow.fps:.1f} times {name} ({rate(fast.fps)} against {rate(slow.fps)} frames/s)")
        workload = speed[other, "model"].workload
        timed = f"{other} {workload}" if workload else other
        sentences.append(f"{student} against {timed}: {' and '.join(parts)}.")
    if sentences:
        sentences.append(f"Timed side by side in one process: {_conditions_told(found)}.")
    return sentences


def _conditions_told(found: Sequence[Timing]) -> str:
    """The conditions of the frame methods; where they differ, or sizes do, those of each with the size."""
    labels: dict[tuple[str, str], list[str]] = {}
    for one in found:
        if one.scope == "model" and not one.workload:
            labels.setdefault((one.conditions, one.size), []).append(one.label)
    if len(labels) == 1:
        return next(iter(labels))[0]
    return "; ".join(f"{' and '.join(names)}: {how}, {size}" for (how, size), names in labels.items())


def rate(fps: float) -> str:
    """Frames per second for print: three figures, whole numbers from 100 on."""
    return f"{fps:,.0f}" if fps >= 100 else f"{fps:.2f}" if fps < 10 else f"{fps:.1f}"

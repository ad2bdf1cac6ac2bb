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

    It is the row of a method and scope at batch 1 in the engine and precision that its scores are made in (`scored`):
    so speed and accuracy are of one path, and an fp32 reference beside it is never taken. A row that includes the
    detector is preferred, because an object method cannot run without one.

    Raises:
        LightvadError: a method or scope was not timed beside the others.
    """
    timed = timed_row(rows)
    if timed is None:
        return []
    run = run_of(timed, dataset, budget, seed)
    # Rows of before there were references lack the key.
    lines = [line for line in speed_rows(root, run) if line.get("scored", True)]
    found = []
    for row in rows:
        variant = row.timed_as or row.variant
        for scope in SCOPES:
            own = [
                line
                for line in lines
                if (line["method"], line["scope"], line["batch"]) == (row.method, scope, 1)
                and line.get("variant", variant) == variant
            ]
            own.sort(key=lambda line: not line.get("detector"))
            if not own:
                message = (
                    f"{run.folder / 'speed.json'}: no row of {row.method}/{variant}, {scope}, batch 1; "
                    f"run `lightvad benchmark --run {run.folder}` again"
                )
                raise LightvadError(message)
            found.append(Timing(row.label, scope, own[0]))
    return found


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
    told = "; ".join(dict.fromkeys(timing.conditions for timing in timed))
    size = f"{timed[0].row['height']}x{timed[0].row['width']}"
    reference = next(row.label for row in table.rows if row.variant == table.reference)
    return (
        f"Frames per second on {dataset}: {told}, {size}; the reference is {reference}"
        f" ({_speeds_of(shown, table, dataset).as_posix()})."
    )


def factor_sentences(found: Sequence[Timing], student: str) -> list[str]:
    """One sentence for each teacher: the student's factor, model only and end to end, and under which conditions."""
    speed = {(timing.label, timing.scope): timing for timing in found}
    teachers = [label for label in dict.fromkeys(timing.label for timing in found) if label != student]
    sentences = []
    for teacher in teachers:
        parts = []
        for scope, name in SCOPES.items():
            fast, slow = speed[student, scope], speed[teacher, scope]
            parts.append(f"{fast.fps / slow.fps:.1f} times {name} ({rate(fast.fps)} against {rate(slow.fps)} frames/s)")
        workload = speed[teacher, "model"].workload
        timed = f"{teacher} {workload}" if workload else teacher
        sentences.append(f"{student} against {timed}: {' and '.join(parts)}.")
    if sentences:
        sentences.append(f"Timed side by side in one process: {speed[student, 'model'].conditions}.")
    return sentences


def rate(fps: float) -> str:
    """Frames per second for print: three figures, whole numbers from 100 on."""
    return f"{fps:,.0f}" if fps >= 100 else f"{fps:.2f}" if fps < 10 else f"{fps:.1f}"

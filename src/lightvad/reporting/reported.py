"""The papers' numbers, read from `config/reported/*.csv`: inputs, never outputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from lightvad.artifacts.documents import read_csv
from lightvad.config import Metric, ReportedPoints, Table, TableRow
from lightvad.errors import LightvadError
from lightvad.reporting.selection import CITATIONS, REPORTED_FOLDER

Identity = tuple[str, ...]
ANY_DATASET = "all"
"""What a CSV names as the dataset of values that are of no one, such as frames per second."""


@dataclass(frozen=True)
class ReportedTable:
    """A reported table with one value per line.

    Attributes:
        identities: the rows in the paper's order, each as the values of the identity columns.
        values: (identity, dataset as the paper names it, metric) -> percent, or what a method costs.
        matches: for every measured row, its identity in the paper's table; of one that the paper does not have, empty
            strings, which then are the last of `identities`.
    """

    identities: tuple[Identity, ...]
    values: Mapping[tuple[Identity, str, str], float]
    matches: tuple[Identity, ...]


def reported_table(root: Path, table: Table) -> ReportedTable:
    """Read the reported side of a table.

    Raises:
        LightvadError: the CSV is missing, lacks a column, or no row of it answers to a measured row.
    """
    name = REPORTED_FOLDER / f"{table.reported}.csv"
    lines = read_csv(root / name)
    if not lines:
        message = f"{name}: holds no rows; take it from the repository again"
        raise LightvadError(message)
    if table.reported_dataset is not None:
        lines = list(_one_value_each(lines, table.reported_dataset))
    columns = [identity.column for identity in table.identity]
    lacking = {*columns, "dataset", "metric", "value"} - set(lines[0])
    if lacking:
        message = f"{name}: no column {', '.join(sorted(lacking))}; it has {', '.join(lines[0])}"
        raise LightvadError(message)
    values = {
        (tuple(line[column] for column in columns), line["dataset"], line["metric"]): float(line["value"])
        for line in lines
        if line["value"]
    }
    own = [tuple(line[column] for column in columns) for line in lines]
    matches = []
    for row in table.rows:
        of_paper = row.match or not row.beyond_paper
        found = _matching(lines, row, name) if of_paper else dict.fromkeys(columns, "")
        matches.append(tuple(found[column] for column in columns))
    return ReportedTable(tuple(dict.fromkeys([*own, *matches])), values, tuple(matches))


def _one_value_each(lines: Iterable[dict[str, str]], dataset: str) -> Iterator[dict[str, str]]:
    """Lines with a column for each metric as lines of one value, with the columns dataset, metric, value."""
    for line in lines:
        rest = {column: value for column, value in line.items() if column not in get_args(Metric)}
        for metric in get_args(Metric):
            if metric in line:
                yield {**rest, "dataset": dataset, "metric": metric, "value": line[metric]}


def _matching(lines: Sequence[dict[str, str]], row: TableRow, name: Path) -> dict[str, str]:
    found = [line for line in lines if all(line.get(column) == value for column, value in row.match.items())]
    if not row.match or not found:
        wanted = ", ".join(f"{column}={value}" for column, value in row.match.items()) or "nothing"
        message = f"{name}: no row with {wanted}, which {row.method}/{row.variant} is matched to; mend `match`"
        raise LightvadError(message)
    return found[0]


@dataclass(frozen=True)
class Point:
    """A reported point of a speed-accuracy figure: citation key, label, frames per second, micro AUC in percent."""

    key: str
    label: str
    fps: float
    micro_auc: float


def reported_points(root: Path, points: ReportedPoints, dataset: str | None) -> list[Point]:
    """The papers' points on one dataset (by the paper's name of it; None: not in the papers), in configured order.

    Where the FPS stand in another paper's table, under that paper's reference numbers, `citations.csv` translates each
    part of a key (`20+5` -> `69+27`). A method for which either number is not reported is left out.

    Raises:
        LightvadError: a table is missing, or a key is in none of them.
    """
    accuracy = read_csv(root / REPORTED_FOLDER / f"{points.accuracy}.csv")
    speeds = _reported_speeds(root, points)
    found = []
    for key in points.keys:
        lines = [line for line in accuracy if line["citation_key"] == key]
        if not lines:
            message = f"{REPORTED_FOLDER / points.accuracy}.csv: no citation_key {key!r}; mend `reported.keys`"
            raise LightvadError(message)
        fps = speeds.get(key)
        auc = [line["value"] for line in lines if line["dataset"] == dataset and line["metric"] == "micro_auc"]
        if fps is not None and auc and auc[0]:
            label = points.labels.get(key, lines[0]["method"])
            found.append(Point(key=key, label=label, fps=fps, micro_auc=float(auc[0])))
    return found


def _reported_speeds(root: Path, points: ReportedPoints) -> dict[str, float]:
    """Citation key of the table of AUCs -> reported frames per second, where there are any."""
    speeds = {
        line["citation_key"]: float(line["value"])
        for line in read_csv(root / REPORTED_FOLDER / f"{points.speed}.csv")
        if line["metric"] == "fps" and line["value"]
    }
    if not points.of_one_paper:
        paper = points.accuracy.rpartition("_table")[0]
        other = {
            line["ref_number"]: line["ref_number_in_other_paper"]
            for line in read_csv(root / REPORTED_FOLDER / f"{CITATIONS}.csv")
            if line["paper"] == paper
        }
        there = {key: "+".join(other.get(part, "?") for part in key.split("+")) for key in points.keys}
        speeds = {key: speeds[name] for key, name in there.items() if name in speeds}
    if points.own_speed is not None:
        name = REPORTED_FOLDER / f"{points.own_speed.table}.csv"
        row = TableRow(method=points.accuracy, label="ours", match=points.own_speed.match)
        speeds["ours"] = float(_matching(read_csv(root / name), row, name)["fps"])
    return speeds

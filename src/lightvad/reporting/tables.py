"""Reported and measured numbers side by side: the rows of `tableN.csv`, and the blocks in which they are printed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from lightvad.config import BEST_ON_TEST, Cost, Table, TableRow
from lightvad.layout import Run
from lightvad.reporting.captions import data_note
from lightvad.reporting.costs import COSTS, RowCost, costs_of
from lightvad.reporting.reported import ANY_DATASET, ReportedTable, reported_table
from lightvad.reporting.results import (
    AUC_METRICS,
    REGION_METRICS,
    Measurement,
    best_measurement,
    checkpoints,
    measurement,
    recorded,
    region_measurement,
)
from lightvad.reporting.selection import Shown
from lightvad.reporting.speed_factors import table_speeds

PLAIN = "plain"
REGIONS_PROTOCOL = "regions"
MEASURED_COLUMNS = (
    "rebuilt_as", "label", "dataset", "data", "metric", "reported", "measured", "measured_sd", "measured_min",
    "measured_max", "ci95_low", "ci95_high", "delta", "seeds", "protocol", "budget", "device", "precision",
    "checkpoint",
)  # fmt: skip
NAMES = {"micro_auc": "micro AUC", "macro_auc": "macro AUC", "rbdc": "RBDC", "tbdc": "TBDC"}
FPS, FPS_RATIO = "fps", "fps_ratio"
SPEEDS = {FPS: ("frames/s, model only", ".1f"), FPS_RATIO: ("times the reference", ".2f")}
"""Metric of speed -> what stands above its columns, and how its numbers are printed."""
ABSENT = "-"
REBUILT = "Rebuilt here"

Line = dict[str, str]


def columns_of(table: Table) -> list[str]:
    """The columns of `tableN.csv`: what identifies the row in the paper, then reported, measured, delta and more."""
    return [identity.column for identity in table.identity] + list(MEASURED_COLUMNS)


def lines_of(shown: Shown, table: Table) -> list[Line]:
    """The lines of `tableN.csv`: one value each, AUCs in percent, rows in the paper's order.

    A measured AUC has a line under its paper's protocol, where `reported` and `delta` stand, and always one under
    `plain`; where epochs were kept, one of the checkpoint `best_on_test` too. RBDC and TBDC follow where the dataset
    has tracks, then costs and speeds where the table shows them. Rows that the paper does not have are last.

    Raises:
        LightvadError: a run's document is missing; the line says what to run.
    """
    reported = reported_table(shown.root, table)
    lines: list[Line] = []
    for name in shown.datasets:
        paper_name = shown.experiment.reported_datasets.get(name, "")
        data = {"dataset": name, "data": data_note(shown, name)}
        timed = table_speeds(shown, table, name) if table.speeds else {}
        found = costs_of(shown, table, name) if table.costs else []
        costs = {(cost.row.method, cost.row.variant): cost for cost in found}
        for identity in reported.identities:
            keys = dict(zip((column.column for column in table.identity), identity, strict=True))
            rows = [row for row, match in zip(table.rows, reported.matches, strict=True) if match == identity]
            for row in rows:
                stated = {} if row.beyond_paper else reported.values
                values = {m: stated.get((identity, paper_name, m)) for m in (*AUC_METRICS, *REGION_METRICS)}
                own = _measured(row, shown.runs(row, name), values, shown.root)
                if timed:
                    own += _timed(own[0], row, timed, table, reported)
                for metric in table.costs:
                    of_paper = stated.get((identity, ANY_DATASET, metric))
                    own.append(_cost(own[0], costs[row.method, row.variant], metric, of_paper))
                lines += [{**keys, **data, **line} for line in own]
            if not rows and table.literature:
                lines += [keys | data | line for line in _literature(reported, identity, paper_name, table)]
    return [{column: line.get(column, "") for column in columns_of(table)} for line in lines]


def _literature(reported: ReportedTable, identity: tuple[str, ...], dataset: str, table: Table) -> list[Line]:
    where = {metric: ANY_DATASET if metric in COSTS else dataset for metric in table.metrics}
    values = {metric: reported.values.get((identity, of, metric)) for metric, of in where.items()}
    if all(value is None for value in values.values()):
        return []
    return [{"metric": metric, "reported": _number(value)} for metric, value in values.items()]


def _measured(row: TableRow, runs: Sequence[Run], reported: Mapping[str, float | None], root: Path) -> list[Line]:
    common = {
        "rebuilt_as": f"{row.method}/{row.variant}",
        "label": row.label,
        "seeds": " ".join(str(run.seed) for run in runs),
        "budget": runs[0].budget,
        "device": recorded(root, runs, "device"),
        "precision": recorded(root, runs, "precision"),
        "checkpoint": checkpoints(root, runs),
    }
    lines = []
    own = row.protocol_on(runs[0].dataset)
    for metric in AUC_METRICS:
        for protocol in dict.fromkeys((own, PLAIN)):
            value = measurement(root, runs, metric=metric, protocol=protocol)
            stated = reported[metric] if protocol == own else None
            lines.append({**common, "metric": metric, "protocol": protocol, **_values(value, stated)})
        best = best_measurement(root, runs, metric=metric, protocol=own)
        if best is not None:
            line = {**common, "checkpoint": BEST_ON_TEST, "metric": metric, "protocol": own}
            lines.append({**line, **_values(best, reported[metric])})
    for metric in REGION_METRICS:
        value = region_measurement(root, runs, metric=metric)
        if value is not None:
            lines.append({**common, "metric": metric, "protocol": REGIONS_PROTOCOL, **_values(value, reported[metric])})
    return lines


def _timed(
    common: Line,
    row: TableRow,
    timed: Mapping[tuple[str, str], Mapping[str, Any]],
    table: Table,
    reported: ReportedTable,
) -> list[Line]:
    """Frames per second, and how many times those of the table's reference: as reported, and in one run here."""
    reference = next(other for other in table.rows if other.variant == table.reference)

    def stated(one: TableRow) -> float | None:
        """Of the paper's row: its machine and frame size, whatever the dataset here."""
        position = next(k for k, other in enumerate(table.rows) if other is one)
        return reported.values.get((reported.matches[position], str(table.reported_dataset), FPS))

    def line(metric: str, own: float | None, measured: float) -> Line:
        return here | {"metric": metric, "reported": _number(own), "measured": _number(measured)}

    speed, other = timed[row.method, row.variant], timed[reference.method, reference.variant]
    here = {key: common[key] for key in ("rebuilt_as", "label", "budget")}
    here |= {"device": str(speed["device"]), "precision": str(speed["precision"])}
    own, beside = stated(row), stated(reference)
    return [
        line(FPS, own, speed["fps_median"]),
        line(FPS_RATIO, own / beside if own and beside else None, speed["fps_median"] / other["fps_median"]),
    ]


def _cost(common: Line, cost: RowCost, metric: Cost, stated: float | None) -> Line:
    """What a row's method costs: as reported, whatever the paper's machine and frame size, and in one run here."""
    measured = cost.value(metric)
    here = {key: common[key] for key in ("rebuilt_as", "label", "budget")}
    here |= {"device": str(cost.speed["device"]), "precision": str(cost.speed["precision"]), "metric": metric}
    delta = None if stated is None else measured - stated
    return here | {"reported": _number(stated), "measured": _number(measured), "delta": _number(delta)}


def _values(value: Measurement | None, reported: float | None) -> Line:
    line = {"reported": _number(reported)}
    if value is None:
        return line
    low, high = value.interval or (None, None)
    return line | {
        "measured": _number(value.mean),
        "measured_sd": _number(value.sd),
        "measured_min": _number(value.low),
        "measured_max": _number(value.high),
        "ci95_low": _number(low),
        "ci95_high": _number(high),
        "delta": _number(None if reported is None else value.mean - reported),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


@dataclass(frozen=True)
class Column:
    """A printed column: its heading, the metric it stands under (empty: none), and whether it holds numbers."""

    heading: str
    group: str = ""
    numeric: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether its numbers were measured here."""
        return self.numeric and self.heading in ("measured", "best on test", "plain")


@dataclass(frozen=True)
class _Group:
    """The printed columns of one metric: what stands above them, their headings, and the form of their numbers."""

    metric: str
    name: str
    headings: tuple[str, ...]
    form: str = ".1f"


@dataclass(frozen=True)
class Block:
    """The printed table of one dataset: cells as text, and for every row the runs behind it (none: not measured)."""

    title: str
    columns: list[Column]
    rows: list[list[str]] = field(default_factory=list)
    runs: list[list[Run]] = field(default_factory=list)

    def groups(self) -> list[tuple[str, int]]:
        """The metrics above the columns, each with the number of columns that it spans."""
        return [(group, len(list(own))) for group, own in groupby(self.columns, key=lambda column: column.group)]


def blocks_of(lines: Sequence[Line], table: Table, titles: Mapping[str, str]) -> list[Block]:
    """Arrange the lines of a table's CSV for print, one block for each dataset, percent with one decimal.

    Several seeds are printed as mean and standard deviation.

    Args:
        lines: as in the CSV.
        table: its configuration.
        titles: dataset -> title.
    """
    blocks = []
    for dataset, group in groupby(lines, key=lambda line: line["dataset"]):
        own = list(group)
        groups = _groups(own, table)
        columns = [Column(identity.heading) for identity in table.identity] + [Column(REBUILT)]
        columns += [Column(heading, one.name, numeric=True) for one in groups for heading in one.headings]
        columns += [Column(heading) for heading in ("Protocol", "Seeds", "Budget", "Device")]
        block = Block(f"{titles.get(dataset, dataset)}: {own[0]['data']}", columns)
        for _, row_lines in groupby(own, key=lambda line: [line[i.column] for i in table.identity] + [line["label"]]):
            _add_row(block, list(row_lines), table, groups)
        blocks.append(block)
    return blocks


def _groups(lines: Sequence[Line], table: Table) -> list[_Group]:
    """What is printed of a dataset's lines; reported numbers of those metrics that the table is about."""

    def compared(metric: str, ours: str = "measured") -> tuple[str, ...]:
        return ("reported", ours, "delta") if metric in table.metrics else (ours,)

    best = ("best on test",) if any(line["checkpoint"] == BEST_ON_TEST for line in lines) else ()
    groups = [_Group(metric, NAMES[metric], (*compared(metric), *best, "plain")) for metric in AUC_METRICS]
    regions = [metric for metric in REGION_METRICS if any(line["metric"] == metric for line in lines)]
    groups += [_Group(metric, NAMES[metric], compared(metric)) for metric in regions]
    groups += [_Group(cost, COSTS[cost][0], compared(cost, COSTS[cost][1])) for cost in table.costs]
    speeds = SPEEDS.items() if table.speeds else ()
    return [*groups, *(_Group(metric, name, ("reported", "timed"), form) for metric, (name, form) in speeds)]


def _add_row(block: Block, lines: list[Line], table: Table, groups: Sequence[_Group]) -> None:
    first = lines[0]
    cells = [identity.values.get(first[identity.column], first[identity.column]) for identity in table.identity]
    cells = [cell or ABSENT for cell in (*cells, first["label"])]
    for group in groups:
        of_metric = [line for line in lines if line["metric"] == group.metric]
        cells += [_cell(of_metric, heading, group.form) for heading in group.headings]
    protocol = next((line["protocol"] for line in lines if line["protocol"]), "")
    cells += [text or ABSENT for text in (protocol, first["seeds"], first["budget"], first["device"])]
    block.rows.append(cells)
    block.runs.append(runs_behind(first))


def _cell(lines: Sequence[Line], heading: str, form: str) -> str:
    """One number of a metric, of which `lines` are; the first line is under the paper's protocol."""
    own = [line for line in lines if line["checkpoint"] != BEST_ON_TEST]
    first = next(iter(own), {})
    if heading == "best on test":
        return _spread(next((line for line in lines if line["checkpoint"] == BEST_ON_TEST), {}), form)
    if heading == "plain":
        return _with_interval(next((line for line in own if line["protocol"] == PLAIN), {}))
    if heading in ("reported", "delta"):
        return _percent(first, heading, form if heading == "reported" else f"+{form}")
    return _spread(first, form)


def runs_behind(line: Line) -> list[Run]:
    """The runs, one for each seed, that a line of a table's CSV was measured from; none for the literature's."""
    if not line["rebuilt_as"]:
        return []
    method, variant = line["rebuilt_as"].split("/")
    return [Run(line["dataset"], line["budget"], method, variant, int(seed)) for seed in line["seeds"].split()]


def _percent(line: Mapping[str, Any], column: str, form: str = ".1f") -> str:
    return format(float(line[column]), form) if line.get(column) else ABSENT


def _spread(line: Mapping[str, Any], form: str = ".1f") -> str:
    text = _percent(line, "measured", form)
    return f"{text} ± {_percent(line, 'measured_sd', form)}" if line.get("measured_sd") else text


def _with_interval(line: Mapping[str, Any]) -> str:
    text = _spread(line)
    has = text != ABSENT and line["ci95_low"]
    return f"{text} [{_percent(line, 'ci95_low')}, {_percent(line, 'ci95_high')}]" if has else text


def folded(block: Block, headings: Iterable[str] = ("Protocol", "Seeds", "Budget", "Device")) -> tuple[Block, str]:
    """Take out the named columns, and say in one sentence what they hold; for narrow pages."""
    said = []
    for index, column in enumerate(block.columns):
        if column.heading in set(headings):
            cells = (row[index] for row, runs in zip(block.rows, block.runs, strict=True) if runs)
            said.append(f"{column.heading.lower()} {' / '.join(dict.fromkeys(cells))}")
    keep = [index for index, column in enumerate(block.columns) if column.heading not in set(headings)]
    return only(block, keep), "; ".join(said)


def only(block: Block, keep: Sequence[int]) -> Block:
    """The block with only these columns."""
    rows = [[row[index] for index in keep] for row in block.rows]
    return Block(block.title, [block.columns[index] for index in keep], rows, block.runs)


def filled(block: Block) -> Block:
    """The block without the numeric columns that hold nothing."""
    columns = enumerate(block.columns)
    return only(block, [i for i, c in columns if not c.numeric or any(row[i] != ABSENT for row in block.rows)])

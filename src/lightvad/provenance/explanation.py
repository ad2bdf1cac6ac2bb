"""From a result back to the raw data: the rows of a table, what each was made from, and the commands that redo it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightvad.artifacts.documents import read_csv
from lightvad.artifacts.records import Record, checked_files, read_record
from lightvad.config import BEST_ON_TEST
from lightvad.errors import LightvadError
from lightvad.layout import MADE, PUBLISHED, Run, files_made, is_record
from lightvad.provenance.chains import Break, Chains

ALL = "all"
AUC_SUFFIX = "_auc"


@dataclass(frozen=True)
class Value:
    """A measured cell: percent, as the table prints it, and where it stands in `metrics.json`."""

    measured: str
    metric: str
    protocol: str
    checkpoint: str

    @property
    def key(self) -> str:
        """Its dotted key in `metrics.json`."""
        section = self.checkpoint if self.checkpoint == BEST_ON_TEST else "protocols"
        return f"{section}.{self.protocol}.{self.metric}" if self.metric.endswith(AUC_SUFFIX) else self.metric


@dataclass(frozen=True)
class Row:
    """One measured row and the files that its cells were read from, relative to the project's root."""

    title: str
    values: tuple[Value, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Where a file comes from.

    Attributes:
        file: what is explained, relative to the project's root.
        record: of the stage that wrote it.
        rows: its measured rows; a file that is no table is one row without values.
        stages: every stage behind these rows, in the order in which they were needed, `record` last.
        breaks: where a stage read something else than what is recorded now.
        chains: all records.
    """

    file: str
    record: Record
    rows: tuple[Row, ...]
    stages: tuple[Record, ...]
    breaks: tuple[Break, ...]
    chains: Chains

    def number(self, file: str) -> int | None:
        """Which of `stages` wrote `file`, counted from 1; None: no record names it."""
        maker = self.chains.maker(file)
        return None if maker is None else self.stages.index(maker) + 1

    def numbers(self, row: Row) -> list[int]:
        """The stages behind one row."""
        return [self.stages.index(record) + 1 for record in self.chains.behind(row.files)]

    def as_json(self) -> dict[str, Any]:
        """All of it for machines: full checksums, whole records; stages are named by their number."""
        return {
            "file": self.file,
            "sha256": self.record.outputs[self.file],
            "rows": [
                {
                    "title": row.title,
                    "values": [
                        {"measured": v.measured, "metric": v.metric, "protocol": v.protocol, "key": v.key}
                        for v in row.values
                    ],
                    "files": {file: self.chains.made[file] for file in row.files},
                    "stages": self.numbers(row),
                }
                for row in self.rows
            ],
            "stages": [
                {"number": number, "stage": record.stage, "record": record.path.as_posix(), **record.content}
                for number, record in enumerate(self.stages, start=1)
            ],
            "broken": [
                {
                    "stage": self.stages.index(broken.record) + 1,
                    "file": broken.file,
                    "read": broken.read,
                    "recorded_now": broken.made,
                }
                for broken in self.breaks
            ],
            "commands": [record.command for record in self.stages],
        }


def explain(file: Path, root: Path, *, row: str = ALL) -> Explanation:
    """Follow the records back from `file`.

    Args:
        file: a table's CSV, or any other file that a stage wrote.
        root: the project's root; `file` lies below it.
        row: of a table only the rows whose title contains this text; `all`: every row.

    Raises:
        LightvadError: no record names the file (it is not there, or a published copy), a table is not what its record
            says, or no row's title contains `row`.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - without following links: results/ may lie on another disk
    try:
        name = Path(os.path.abspath(file)).relative_to(root).as_posix()  # noqa: PTH100
    except ValueError as error:
        message = f"{file}: not below {root}; name the project that it belongs to: --project"
        raise LightvadError(message) from error
    chains = Chains(read_record(path, root) for path in files_made(root) if is_record(path))
    record = chains.maker(name)
    if record is None:
        message = f"{name}: {_unrecorded(Path(name), root)}"
        raise LightvadError(message)
    if _is_table(name):
        checked_files([Path(name)], root=root, what="explain")
    rows = _rows_of_table(root / name, record) if _is_table(name) else [Row(name, (), (name,))]
    chosen = [one for one in rows if row in (ALL, one.title) or row in one.title]
    if not chosen:
        message = f"{name}: no measured row with {row!r}; there are: {'; '.join(one.title for one in rows)}"
        raise LightvadError(message)
    for path in dict.fromkeys(path for one in chosen for path in one.files):
        if chains.maker(path) is None:
            message = f"{path}: no record says what made it; run the stage that writes it again"
            raise LightvadError(message)
    stages = chains.behind(path for one in chosen for path in one.files)
    stages += [record] if record not in stages else []
    return Explanation(name, record, tuple(chosen), tuple(stages), tuple(chains.breaks(stages)), chains)


def _unrecorded(file: Path, root: Path) -> str:
    """Why no record names a file, and what to do: it is not there, is a copy, or its stage has kept none."""
    if (root / file).is_dir():
        return "a folder; name a file in it"
    if not (root / file).is_file():
        made = file.parts[0] in MADE and not file.is_relative_to(PUBLISHED)
        return "no such file; correct the path" + (f", or run `snakemake --cores 2 {file}`" if made else "")
    if file.is_relative_to(PUBLISHED):
        original = Path("results") / file.relative_to(PUBLISHED)
        if (root / original).is_file():
            return f"a published copy, which no record names; explain {original}"
        return f"a published copy; records lie beside {original} where it was made: `make pull` or `make reproduce`"
    if file.parts[0] not in MADE:
        return "no stage writes it; explain follows files under data/ and results/"
    return "no record says what made it; run the stage that writes it again"


def _is_table(name: str) -> bool:
    return name.startswith("results/tables/") and name.endswith(".csv")


def _rows_of_table(path: Path, record: Record) -> list[Row]:
    """The measured rows of a table's CSV, and the timed runs that its caption speaks of."""
    found: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for line in read_csv(path):
        if line["rebuilt_as"] and line["protocol"]:  # what was timed has no protocol, and no run
            key = tuple(line[name] for name in ("rebuilt_as", "label", "dataset", "budget", "seeds"))
            found.setdefault(key, []).append(line)
    rows = [_row(lines) for lines in found.values()]
    timed = [file for file in record.inputs if Path(file).name == "speed.json"]
    together = [file for file in record.inputs if file.startswith("results/speed/")]
    rows += [Row(f"speed in the caption: {Path(file).parent}", (), (file,)) for file in timed]
    return rows + [Row("frames per second of all rows", (), (file,)) for file in together]


def _row(lines: Sequence[Mapping[str, str]]) -> Row:
    """The lines of one row: one for each metric and protocol."""
    first = lines[0]
    method, _, variant = first["rebuilt_as"].partition("/")
    runs = [Run(first["dataset"], first["budget"], method, variant, int(seed)) for seed in first["seeds"].split()]
    values = (
        Value(line["measured"], line["metric"], line["protocol"], line["checkpoint"])
        for line in lines
        if line["measured"]
    )
    seeds = f"seed{'s' if len(runs) > 1 else ''} {first['seeds']}"
    return Row(
        f"{first['label']}: {first['rebuilt_as']} on {first['dataset']}, {first['budget']}, {seeds}",
        tuple(values),
        tuple((run.folder / "metrics.json").as_posix() for run in runs),
    )

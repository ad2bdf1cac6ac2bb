"""Which runs and files a table, a figure or the report page reads. Imports nothing heavy: the DAG asks here."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lightvad.config import (
    PASTED_NAME,
    RECONSTRUCTIONS_NAME,
    Experiment,
    Figure,
    ReportedPoints,
    Table,
    TableRow,
)
from lightvad.layout import Run, checksums_path, clips_folder, figures_folder, speeds_path, tables_folder
from lightvad.project import Project

REPORTED_FOLDER = Path("config/reported")
CITATIONS = "citations"


@dataclass(frozen=True)
class Shown:
    """What a table or figure of one paper shows: on which datasets, within which budget, from which seeds.

    Attributes:
        project: the configuration.
        experiment: the paper.
        datasets: side by side, in this order.
        budget: name of the budget.
        seeds: averaged in tables; the first one is drawn.
        root: the folder that holds config/, data/ and results/.
    """

    project: Project
    experiment: Experiment
    datasets: tuple[str, ...]
    budget: str
    seeds: tuple[int, ...]
    root: Path

    def absent(self) -> list[str]:
        """The datasets that the paper does not have."""
        return [name for name in self.datasets if name not in self.experiment.reported_datasets]

    def runs(self, row: TableRow, dataset: str) -> list[Run]:
        """The runs of one row on one dataset, one for each seed."""
        return [run_of(row, dataset, self.budget, seed) for seed in self.seeds]


def runs_of(entry: Table | Figure, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[Run]:
    """The runs that a table or figure shows, each once: every row on every dataset from every seed.

    Score curves and pictures show one model each: the first seed.
    """
    if isinstance(entry, Figure) and (entry.shows_pictures or entry.kind == "score_curves"):
        seeds = seeds[:1]
    runs = (run_of(row, d, budget, seed) for d in datasets for row in entry.rows for seed in seeds)
    return list(dict.fromkeys(runs))


def run_of(row: TableRow, dataset: str, budget: str, seed: int) -> Run:
    """The run that a row names, on one dataset from one seed."""
    return Run(dataset, budget, row.method, row.variant, seed)


def timed_row(rows: Iterable[TableRow]) -> TableRow | None:
    """The row whose `speed.json` times all the others beside it; None where the entry shows no speed."""
    return next((row for row in rows if row.timed), None)


def timed_runs(entry: Table | Figure, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[Run]:
    """The runs whose `speed.json` is read: one for each dataset, from the first seed (speed does not depend on it)."""
    row = timed_row(entry.rows)
    return [] if row is None else [run_of(row, dataset, budget, seeds[0]) for dataset in datasets]


def table_inputs(
    experiment: Experiment, number: str, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
) -> list[Path]:
    """Every file that a table reads, relative to the project's root."""
    table = experiment.table(number)
    runs = runs_of(table, datasets=datasets, budget=budget, seeds=seeds)
    timed = timed_runs(table, datasets=datasets, budget=budget, seeds=seeds)
    return [
        REPORTED_FOLDER / f"{table.reported}.csv",
        *_indices(datasets),
        *(run.folder / name for run in runs for name in ("metrics.json", "record.json")),
        *(run.folder / "speed.json" for run in timed),
        *(run.folder / "complexity.json" for run in timed if table.costs),
        *(run.folder / "frame_scores.parquet" for run in _compared(table, datasets, budget, seeds)),
        *(speeds_path(name, budget, experiment.name, number) for name in datasets if table.speeds),
    ]


def _compared(table: Table, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[Run]:
    """The runs whose frame scores are compared with the reference's."""
    return [] if table.reference is None else runs_of(table, datasets=datasets, budget=budget, seeds=seeds)


def figure_inputs(figure: Figure, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[Path]:
    """What a figure reads and the rules declare, relative to the project's root; `checksums.json` stands for frames."""
    runs = runs_of(figure, datasets=datasets, budget=budget, seeds=seeds)
    timed = timed_runs(figure, datasets=datasets, budget=budget, seeds=seeds)
    if figure.kind in ("speed_accuracy", "sweep"):
        reported = reported_files(figure.reported) if figure.reported else []
        return [
            *reported,
            *_indices(datasets),
            *(run.folder / "metrics.json" for run in runs),
            *(run.folder / "speed.json" for run in timed),
        ]
    if figure.kind == "pasted_objects":
        return [*_indices(datasets), *(run.folder / "pretrained.safetensors" for run in runs)]
    names = ["frame_scores.parquet"] + (["maps.npz"] if figure.kind == "anomaly_maps" else [])
    pixels = [checksums_path(dataset) for dataset in datasets]
    return _indices(datasets) + pixels + [run.folder / name for run in runs for name in names]


def figure_documents(figure: Figure, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[Path]:
    """What a figure reads besides and no rule declares: it comes with the declared files, by the same stages."""
    name = {"reconstructions": RECONSTRUCTIONS_NAME, "pasted_objects": PASTED_NAME}.get(figure.kind)
    runs = runs_of(figure, datasets=datasets, budget=budget, seeds=seeds)
    return [] if name is None else [run.folder / name for run in runs]


def _indices(datasets: tuple[str, ...]) -> list[Path]:
    return [clips_folder(dataset) / "index.parquet" for dataset in datasets]


def reported_files(points: ReportedPoints) -> list[Path]:
    """The reported tables that a speed-accuracy figure joins."""
    names = [points.accuracy, points.speed, *([points.own_speed.table] if points.own_speed else [])]
    names += [] if points.of_one_paper else [CITATIONS]
    return [REPORTED_FOLDER / f"{name}.csv" for name in dict.fromkeys(names)]


def report_inputs(
    experiments: Iterable[Experiment], *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
) -> list[Path]:
    """Every file that the report page reads, relative to the project's root; `checksums.json` stands for frames."""
    experiments = list(experiments)
    files = _indices(datasets)
    if any(figure.kind == "score_curves" for e in experiments for figure in e.figures.values()):
        files += [checksums_path(dataset) for dataset in datasets]
    for experiment in experiments:
        tables = tables_folder(datasets, budget, experiment.name)
        figures = figures_folder(datasets, budget, experiment.name)
        files += [tables / f"table{n}.{suffix}" for n in experiment.tables for suffix in ("csv", "md")]
        files += [figures / f"figure{n}.{suffix}" for n in experiment.figures for suffix in ("png", "csv")]
    for run in report_runs(experiments, datasets=datasets, budget=budget, seeds=seeds):
        files += [run.folder / "record.json"]
    for run in complexity_runs(experiments, datasets=datasets, budget=budget, seeds=seeds):
        files += [run.folder / "speed.json", run.folder / "complexity.json"]
    return list(dict.fromkeys(files))


def papers_shown(project: Project, paper: str | None) -> dict[str, Experiment]:
    """What a page of the report shows of each paper: all of the named one, or (None) the main part of every one."""
    if paper is not None:
        return {paper: project.experiment(paper)}
    names = sorted(path.stem for path in (project.root / "config" / "experiments").glob("*.yaml"))
    parts = {name: project.experiment(name).main_part for name in names}
    return {name: part for name, part in parts.items() if part.tables or part.figures}


def entries_of(experiments: Iterable[Experiment]) -> list[Table | Figure]:
    """All tables, then all figures."""
    experiments = list(experiments)
    tables: list[Table | Figure] = [table for e in experiments for table in e.tables.values()]
    return tables + [figure for e in experiments for figure in e.figures.values()]


def report_runs(
    experiments: Iterable[Experiment], *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
) -> list[Run]:
    """All runs that any table or figure shows, each once."""
    return list(
        dict.fromkeys(
            run
            for entry in entries_of(experiments)
            for run in runs_of(entry, datasets=datasets, budget=budget, seeds=seeds)
        )
    )


def complexity_runs(
    experiments: Iterable[Experiment], *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
) -> list[Run]:
    """The timed runs of all tables and figures, each once: they hold `speed.json` and `complexity.json`."""
    return list(
        dict.fromkeys(
            run
            for entry in entries_of(experiments)
            for run in timed_runs(entry, datasets=datasets, budget=budget, seeds=seeds)
        )
    )

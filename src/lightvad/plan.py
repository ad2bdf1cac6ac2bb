"""The straight way of the data as a graph: what every stage reads and writes, relative to the project's root.

The Snakefile asks here; the rules themselves hold no logic. Imports nothing heavy.
"""

from dataclasses import replace

from lightvad.config import Experiment, TableRow
from lightvad.errors import LightvadError
from lightvad.layout import Run, figures_folder, report_path, tables_folder
from lightvad.modules import PACKAGE, files_of, stage_modules
from lightvad.project import Project
from lightvad.reporting.selection import entries_of, figure_inputs, report_inputs, report_runs, run_of, table_inputs
from lightvad.resolution import dataset_inputs, run_inputs, settings_model, settings_of, teachers_of

TABLE_SUFFIXES = ("csv", "md", "tex")
FIGURE_SUFFIXES = ("png", "pdf", "csv")


class Plan:
    """Inputs and outputs of every stage under one configuration."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def level(self, method: str) -> str:
        """`object` or `frame`."""
        return self.project.method(method).level

    def methods(self, level: str) -> list[str]:
        """Names of the configured methods of one level."""
        names = sorted(path.stem for path in (self.project.root / "config" / "methods").glob("*.yaml"))
        return [name for name in names if self.level(name) == level]

    def code(self, stage: str, method: str | None = None) -> list[str]:
        """Files of lightvad's own modules that a stage runs."""
        files = [str(path) for path in files_of(*stage_modules(stage, method))]
        if method is not None and stage in ("pretrain", "train", "score", "benchmark"):
            files += [str(path) for path in files_of(settings_model(method).__module__)]
        return sorted(set(files))

    def dataset_inputs(self, stage: str, dataset: str, backend: str | None = None) -> list[str]:
        """What fetch, prepare and detect of a dataset read; `backend`: of detection, else the configured one."""
        inputs = dataset_inputs(self.project, stage, dataset, backend)
        code = files_of(*stage_modules(stage, dataset=dataset))
        return [str(path) for path in [*inputs, *code]]

    def stage_inputs(self, stage: str, run: Run) -> list[str]:
        """Data and code that a stage of a run reads."""
        code = self.code(stage, run.method)
        if stage == "benchmark":
            code += [file for teacher, _ in teachers_of(self.project, run) for file in self.code(stage, teacher.method)]
        return [str(path) for path in run_inputs(self.project, stage, run)] + sorted(set(code))

    def result_inputs(
        self, kind: str, *, paper: str, number: str, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
    ) -> list[str]:
        """What a table or figure (`kind` tables or figures) reads."""
        experiment = self.project.experiment(paper)
        if kind == "tables":
            table = experiment.tables[number]
            files = table_inputs(table, datasets=datasets, budget=budget, seeds=seeds)
        else:
            figure = experiment.figures[number]
            files = figure_inputs(figure, datasets=datasets, budget=budget, seeds=seeds)
        return [str(path) for path in files] + self.code("table" if kind == "tables" else "figure")

    def papers(self) -> dict[str, Experiment]:
        """Every file under config/experiments."""
        names = sorted(path.stem for path in (self.project.root / "config" / "experiments").glob("*.yaml"))
        return {name: self.project.experiment(name) for name in names}

    def table(self, paper: str, number: str, *, datasets: tuple[str, ...], budget: str) -> list[str]:
        """The files of one table."""
        folder = tables_folder(datasets, budget, paper)
        return [str(folder / f"table{number}.{suffix}") for suffix in TABLE_SUFFIXES]

    def figure(self, paper: str, number: str, *, datasets: tuple[str, ...], budget: str) -> list[str]:
        """The files of one figure."""
        folder = figures_folder(datasets, budget, paper)
        return [str(folder / f"figure{number}.{suffix}") for suffix in FIGURE_SUFFIXES]

    def check(self, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> None:
        """Read the configuration of everything that the report needs.

        Raises:
            LightvadError: a file is missing, a key in it is unknown or impossible, or a row's time is not its own.
        """
        for dataset in datasets:
            self.project.dataset(dataset)
        for run in report_runs(list(self.papers().values()), datasets=datasets, budget=budget, seeds=seeds):
            settings_of(self.project, run)
        for entry in entries_of(list(self.papers().values())):
            for row in entry.rows:
                if row.timed_as is not None:
                    self._check_timed_as(row, run_of(row, datasets[0], budget, seeds[0]))

    def _check_timed_as(self, row: TableRow, run: Run) -> None:
        timed = replace(run, variant=str(row.timed_as))
        if settings_of(self.project, run).for_stage("score") != settings_of(self.project, timed).for_stage("score"):
            message = (
                f"config/experiments: {run.method}/{run.variant} is `timed_as` {row.timed_as}, which scores with other"
                " settings; time it itself"
            )
            raise LightvadError(message)

    def results(self, *, datasets: tuple[str, ...], budget: str) -> list[str]:
        """The files of every table and figure of every paper."""
        files: list[str] = []
        for paper, experiment in self.papers().items():
            for number in experiment.tables:
                files += self.table(paper, number, datasets=datasets, budget=budget)
            for number in experiment.figures:
                files += self.figure(paper, number, datasets=datasets, budget=budget)
        return files

    def report(self, *, datasets: tuple[str, ...], budget: str) -> str:
        """The report's page."""
        return str(report_path(datasets, budget))

    def report_inputs(self, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[str]:
        """What the report's page reads: tables and figures, and the records of the runs behind them."""
        read = report_inputs(list(self.papers().values()), datasets=datasets, budget=budget, seeds=seeds)
        files = [*self.results(datasets=datasets, budget=budget), *(str(path) for path in read)]
        templates = sorted(str(path) for path in (PACKAGE / "reporting" / "templates").glob("*.j2"))
        return [*dict.fromkeys(files), *templates, *self.code("report")]

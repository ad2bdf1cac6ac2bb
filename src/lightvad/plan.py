"""The straight way of the data as a graph: what every stage reads and writes, relative to the project's root.

The Snakefile asks here; the rules themselves hold no logic. Imports nothing heavy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lightvad.config import Experiment, TableRow
from lightvad.errors import LightvadError
from lightvad.layout import (
    GATHERED,
    MADE,
    Run,
    boxes_path,
    checksums_path,
    classes_path,
    clips_folder,
    fetched_for_detection_path,
    fetched_path,
    figures_folder,
    record_path,
    report_path,
    tables_folder,
)
from lightvad.modules import PACKAGE, files_of, stage_modules
from lightvad.project import Project
from lightvad.reporting.selection import (
    complexity_runs,
    entries_of,
    figure_inputs,
    papers_shown,
    report_inputs,
    report_runs,
    run_of,
    table_inputs,
)
from lightvad.resolution import (
    RUN_STAGES,
    dataset_inputs,
    measuring_stages,
    run_inputs,
    run_outputs,
    settings_model,
    settings_of,
    timed_beside,
    undeclared_outputs,
    weights_of,
)

RUN_DEPTH = 7
"""Parts of a run's folder: results, runs, dataset, budget, method, variant, seed."""
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
        code = files_of(*stage_modules(stage, dataset=self.project.dataset(dataset).prepared_by))
        return [str(path) for path in [*inputs, *code]]

    def stage_inputs(self, stage: str, run: Run) -> list[str]:
        """Data, records and code that a stage of a run reads."""
        code = self.code(stage, run.method)
        # `evaluate` gathers records: one is new also where its stage was done again and left the same bytes.
        gathered = measuring_stages(self.project, run) if stage == "evaluate" else []
        records = [record_path(run.folder, name) for name in gathered]
        if stage == "benchmark":
            code += [file for one in timed_beside(self.project, run) for file in self.code(stage, one.method)]
        return [str(path) for path in (*run_inputs(self.project, stage, run), *records)] + sorted(set(code))

    def speeds_inputs(self, paper: str, number: str) -> list[str]:
        """Code that the benchmark of a table's rows runs."""
        rows = self.project.experiment(paper).table(number).rows
        return sorted({file for row in rows for file in self.code("benchmark", row.method)})

    def result_inputs(
        self, kind: str, *, paper: str, number: str, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
    ) -> list[str]:
        """What a table or figure (`kind` tables or figures) reads."""
        files = self._result_files(kind, paper=paper, number=number, datasets=datasets, budget=budget, seeds=seeds)
        return [str(path) for path in files] + self.code("table" if kind == "tables" else "figure")

    def _result_files(
        self, kind: str, *, paper: str, number: str, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
    ) -> list[Path]:
        """The same without the code."""
        experiment = self.project.experiment(paper)
        if kind == "tables":
            return table_inputs(experiment, number, datasets=datasets, budget=budget, seeds=seeds)
        return figure_inputs(experiment.figures[number], datasets=datasets, budget=budget, seeds=seeds)

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
        """Read the configuration of everything that a table or figure needs.

        Raises:
            LightvadError: a file is missing, a key in it is unknown or impossible, a variant names weights that cannot
                be its own, a row's time is not its own, or what is to be timed beside it does not exist.
        """
        for dataset in datasets:
            self.project.dataset(dataset)
        for run in report_runs(self.papers().values(), datasets=datasets, budget=budget, seeds=seeds):
            weights_of(self.project, run)
        for run in complexity_runs(self.papers().values(), datasets=datasets, budget=budget, seeds=seeds):
            timed_beside(self.project, run)
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

    def prepared(self, datasets: tuple[str, ...]) -> list[str]:
        """What stands for the raw files and the prepared clips of datasets."""
        files: list[str] = []
        for name in datasets:
            backend = self.project.dataset(name).detection.backend
            files += [str(checksums_path(name)), str(fetched_for_detection_path(name, backend))]
        return files

    def boxes(self, datasets: tuple[str, ...]) -> list[str]:
        """The boxes of datasets, by their configured backends, and the class probabilities."""
        files: list[str] = []
        for name in datasets:
            backend = self.project.dataset(name).detection.backend
            files += [str(boxes_path(name, backend)), str(classes_path(name, backend))]
        return files

    def scored(self, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[str]:
        """What the runs of every main table and figure leave before evaluation: scores, maps, records, times."""
        papers = self.main_parts()
        files: list[str] = []
        for run in report_runs(papers, datasets=datasets, budget=budget, seeds=seeds):
            last = "maps" if self.level(run.method) == "object" else "score"
            files += [str(path) for path in run_outputs(self.project, last, run)]
            files += [str(record_path(run.folder, stage)) for stage in measuring_stages(self.project, run)]
        for run in complexity_runs(papers, datasets=datasets, budget=budget, seeds=seeds):
            files += [str(path) for path in run_outputs(self.project, "benchmark", run)]
        return files

    def target(
        self, kind: str, *, paper: str, number: str, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]
    ) -> list[str]:
        """The files of one table or figure (`kind` tables or figures), and every file behind them."""
        of_kind = self.table if kind == "tables" else self.figure
        read = self._result_files(kind, paper=paper, number=number, datasets=datasets, budget=budget, seeds=seeds)
        return [*_with_records(of_kind(paper, number, datasets=datasets, budget=budget)), *self.behind(read)]

    def everything(self, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[str]:
        """The files of every main table and figure, the report's page, and every file behind them."""
        read = report_inputs(self.main_parts(), datasets=datasets, budget=budget, seeds=seeds)
        results = self.results(datasets=datasets, budget=budget)
        page = report_path(datasets, budget)
        written = [*_with_records(results), str(page), str(record_path(page.parent, page.stem))]
        return [*written, *self.behind(read)]

    def behind(self, files: Iterable[Path]) -> list[str]:
        """Those of `files` that a dataset or a run makes, and all that their stages and the stages before these leave.

        A target asks for each of them: Snakemake removes what a failed stage was to write, and would else find nothing
        to be done, as long as the tables that were made from it before are there.
        """
        found: dict[Path, None] = {}
        waiting = list(files)
        while waiting:
            file = waiting.pop()
            if file.parts[0] in MADE and file not in found and (beside := self._beside(file)):
                found |= dict.fromkeys([file, *beside[0]])
                waiting += beside[1]
        return [str(file) for file in found]

    def _beside(self, file: Path) -> tuple[list[Path], list[Path]] | None:
        """What the stage of a dataset or a run that makes `file` declares as outputs, and reads; None: another one."""
        top, kind, name = file.parts[:3]
        if (top, kind) == ("results", "runs"):
            return self._beside_in_run(file, Run.parse(Path(*file.parts[:RUN_DEPTH])))
        if (top, kind) == ("results", "speed"):
            return [file, record_path(file.parent, file.stem)], []
        if (top, kind) == ("results", "boxes"):
            backend = file.name.split(".")[0]
            made = [boxes_path(name, backend), classes_path(name, backend)]
            made.append(record_path(file.parent, f"detect-{backend}"))
            return made, dataset_inputs(self.project, "detect", name, backend)
        if (top, kind) == ("data", "clips"):
            folder = clips_folder(name)
            made = [folder / f"{table}.parquet" for table in ("index", "labels", "tracks")]
            made += [checksums_path(name), record_path(folder, "prepare")]
            return made, dataset_inputs(self.project, "prepare", name)
        if (top, kind) == ("data", "raw"):
            stem = "fetch" if file == fetched_path(name) else f"fetch-{file.stem.removeprefix('fetched-')}"
            return [file, record_path(file.parent, stem)], []
        return None

    def _beside_in_run(self, file: Path, run: Run) -> tuple[list[Path], list[Path]]:
        # A frame method has no stage maps; what an object method's writes, its score does.
        stages = [stage for stage in RUN_STAGES if file in run_outputs(self.project, stage, run)]
        stage = "evaluate" if file.name == GATHERED else stages[0]
        undeclared = undeclared_outputs(self.project, run)
        made = [path for path in run_outputs(self.project, stage, run) if path not in undeclared]
        made += [run.folder / GATHERED] if stage == "evaluate" else []
        return [*made, record_path(run.folder, stage)], run_inputs(self.project, stage, run)

    def results(self, *, datasets: tuple[str, ...], budget: str) -> list[str]:
        """The files of every main table and figure of every paper."""
        files: list[str] = []
        for experiment in self.main_parts():
            for number in experiment.tables:
                files += self.table(experiment.name, number, datasets=datasets, budget=budget)
            for number in experiment.figures:
                files += self.figure(experiment.name, number, datasets=datasets, budget=budget)
        return files

    def main_parts(self) -> list[Experiment]:
        """Of every paper the tables and figures that the default target builds."""
        return list(papers_shown(self.project, None).values())

    def paper(self, name: str, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...]) -> list[str]:
        """The files of every table and figure of a paper, its page of the report, and every file behind."""
        experiment = self.project.experiment(name)
        written: list[str] = []
        read = report_inputs([experiment], datasets=datasets, budget=budget, seeds=seeds)
        for kind, of_kind, numbers in (
            ("tables", self.table, experiment.tables),
            ("figures", self.figure, experiment.figures),
        ):
            for number in numbers:
                written += of_kind(name, number, datasets=datasets, budget=budget)
                read += self._result_files(
                    kind, paper=name, number=number, datasets=datasets, budget=budget, seeds=seeds
                )
        page = report_path(datasets, budget, name)
        # Most runs stand in several of them: what lies behind is followed once.
        return [*_with_records(written), str(page), str(record_path(page.parent, page.stem)), *self.behind(read)]

    def report(self, *, datasets: tuple[str, ...], budget: str) -> str:
        """The report's page."""
        return str(report_path(datasets, budget))

    def papers_shown(self, paper: str | None) -> tuple[str, ...]:
        """The papers on a page of the report: the named one, or all."""
        return tuple(papers_shown(self.project, paper))

    def report_inputs(
        self, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...], paper: str | None = None
    ) -> list[str]:
        """What a page of the report reads: tables and figures, and the records of the runs behind them.

        Args:
            datasets: of the page.
            budget: of the page.
            seeds: of the page.
            paper: whose tables and figures are all shown; None: the main ones of every paper.
        """
        shown = papers_shown(self.project, paper).values()
        files = [str(path) for path in report_inputs(shown, datasets=datasets, budget=budget, seeds=seeds)]
        templates = sorted(str(path) for path in (PACKAGE / "reporting" / "templates").iterdir())
        return [*dict.fromkeys(files), *templates, *self.code("report")]


def _with_records(files: Sequence[str]) -> list[str]:
    """The files of tables and figures, and the records of the stages that write them."""
    tables = [Path(file) for file in files if file.endswith(".csv")]
    return [*files, *(str(record_path(table.parent, table.stem)) for table in tables)]

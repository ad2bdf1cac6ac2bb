"""From tables and figures to one HTML page that needs no other file."""

from pathlib import Path

from lightvad.artifacts.atomic import write_text
from lightvad.layout import report_path
from lightvad.project import Project
from lightvad.reporting.report import page
from lightvad.reporting.selection import report_inputs
from lightvad.resolution import report_slice
from lightvad.stages.recording import options_of, recorded_result


def run(project: Project, *, datasets: tuple[str, ...], budget: str, seeds: tuple[int, ...], root: Path) -> None:
    """Write results/report/DATASETS/BUDGET/index.html with every table and figure of every experiment file.

    Raises:
        LightvadError: a table, a figure or a run's document is missing.
    """
    names = sorted(path.stem for path in (project.root / "config" / "experiments").glob("*.yaml"))
    experiments = [project.experiment(name).main_part for name in names]
    with recorded_result(
        project,
        "report",
        name="report",
        options=options_of(datasets=datasets, budget=budget, seeds=seeds),
        config=report_slice(project, papers=tuple(names), datasets=datasets, budget=budget),
        inputs=report_inputs(experiments, datasets=datasets, budget=budget, seeds=seeds),
        outputs=[report_path(datasets, budget)],
        root=root,
    ):
        content = page(project, experiments, datasets=datasets, budget=budget, seeds=seeds, root=root)
        write_text(root / report_path(datasets, budget), content)

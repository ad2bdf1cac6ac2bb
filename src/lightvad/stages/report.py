"""From tables and figures to one HTML page that needs no other file."""

from pathlib import Path

from lightvad.artifacts.atomic import write_text
from lightvad.layout import report_path
from lightvad.project import Project
from lightvad.reporting.report import page
from lightvad.reporting.selection import papers_shown, report_inputs
from lightvad.resolution import report_slice
from lightvad.stages.recording import options_of, recorded_result


def run(
    project: Project,
    *,
    datasets: tuple[str, ...],
    budget: str,
    seeds: tuple[int, ...],
    root: Path,
    paper: str | None = None,
) -> None:
    """Write a page under results/report/DATASETS/BUDGET: `index.html` with every paper's main tables and figures.

    With `paper` instead PAPER.html, with all tables and figures of that paper.

    Raises:
        LightvadError: a table, a figure or a run's document is missing.
    """
    papers = papers_shown(project, paper)
    experiments = list(papers.values())
    path = report_path(datasets, budget, paper)
    with recorded_result(
        project,
        "report",
        name=path.stem,
        options=options_of(paper=paper, datasets=datasets, budget=budget, seeds=seeds),
        config=report_slice(project, papers=tuple(papers), datasets=datasets, budget=budget),
        inputs=report_inputs(experiments, datasets=datasets, budget=budget, seeds=seeds),
        outputs=[path],
        root=root,
    ):
        content = page(project, experiments, datasets=datasets, budget=budget, seeds=seeds, root=root)
        write_text(root / path, content)

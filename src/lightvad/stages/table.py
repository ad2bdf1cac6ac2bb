"""From the runs' metrics to a table of a paper: reported beside measured, as CSV, Markdown and LaTeX."""

from pathlib import Path

from lightvad.artifacts.atomic import write_text
from lightvad.artifacts.documents import read_csv, write_csv
from lightvad.artifacts.records import checked_files
from lightvad.layout import tables_folder
from lightvad.project import Project
from lightvad.reporting.captions import table_caption, titles_of
from lightvad.reporting.selection import Shown, table_inputs
from lightvad.reporting.tables import blocks_of, columns_of, lines_of
from lightvad.reporting.typesetting import caption_of, latex, markdown, print_blocks, title_of
from lightvad.resolution import table_slice
from lightvad.stages.comparison import difference_sentences
from lightvad.stages.recording import options_of, recorded_result


def run(
    project: Project,
    *,
    paper: str,
    number: str,
    datasets: tuple[str, ...],
    budget: str,
    seeds: tuple[int, ...],
    root: Path,
) -> None:
    """Write `tableN.csv`, `.md` and `.tex` under results/tables/DATASETS/BUDGET/PAPER.

    Raises:
        LightvadError: the paper has no such table here, or a run's document is missing.
    """
    experiment = project.experiment(paper)
    table = experiment.table(number)
    name = tables_folder(datasets, budget, paper) / f"table{number}.csv"
    path = root / name
    with recorded_result(
        project,
        "table",
        name=path.stem,
        options=options_of(paper=paper, number=number, datasets=datasets, budget=budget, seeds=seeds),
        config=table_slice(
            project, paper=paper, kind="tables", number=number, datasets=datasets, budget=budget, seeds=seeds
        ),
        inputs=table_inputs(experiment, number, datasets=datasets, budget=budget, seeds=seeds),
        outputs=[name.with_suffix(f".{suffix}") for suffix in ("csv", "md", "tex")],
        root=root,
    ):
        shown = Shown(project, experiment, datasets, budget, seeds, root)
        lines, caption = lines_of(shown, table), [*table_caption(shown, table), *difference_sentences(shown, table)]
        blocks = blocks_of(lines, table, titles_of(shown))
        title = f"{paper}, Table {number}: {table.title}"
        write_csv(path, lines, columns_of(table))
        write_text(path.with_suffix(".md"), markdown(title, blocks, caption))
        write_text(path.with_suffix(".tex"), latex(title, blocks, caption))


def show(path: Path) -> None:
    """Print a table that was written by `run` on the terminal.

    Args:
        path: its CSV, `ROOT/results/tables/DATASETS/BUDGET/PAPER/tableN.csv`.

    Raises:
        LightvadError: it is not what was written.
    """
    # Not resolved: results/ may be a link to another disk.
    path = path.absolute()
    project = Project(path.parents[5])
    printed = [path.relative_to(project.root).with_suffix(suffix) for suffix in (".csv", ".md")]
    checked_files(printed, root=project.root, what=f"checksums of {path.stem}")
    table = project.experiment(path.parent.name).table(path.stem.removeprefix("table"))
    lines = read_csv(path)
    titles = {name: project.dataset(name).title for name in dict.fromkeys(line["dataset"] for line in lines)}
    print_blocks(
        title_of(path.with_suffix(".md")), blocks_of(lines, table, titles), caption_of(path.with_suffix(".md"))
    )

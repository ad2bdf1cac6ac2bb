"""A table's blocks as Markdown, LaTeX (booktabs) and on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from lightvad.errors import LightvadError
from lightvad.reporting.costs import COSTS
from lightvad.reporting.tables import ABSENT, SPEEDS, Block, Column, filled, folded, only

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
WIDE = 170


def markdown(title: str, blocks: Sequence[Block], caption: Sequence[str]) -> str:
    """The table as Markdown: title, one table for each dataset, and the caption's sentences as a list."""
    lines = [f"# {title}", ""]
    for block in blocks:
        headings = [f"{column.group}, {column.heading}" if column.group else column.heading for column in block.columns]
        rules = ["---:" if column.numeric else ":---" for column in block.columns]
        bold = not all(block.runs)
        lines += [f"## {block.title}", ""]
        lines += [_markdown_row(headings), _markdown_row(rules)]
        for row, runs in zip(block.rows, block.runs, strict=True):
            cells = [cell.replace("|", r"\|") for cell in row]
            lines.append(_markdown_row([f"**{cell}**" if bold and runs and cell != ABSENT else cell for cell in cells]))
        lines.append("")
    return "\n".join([*lines, *(f"- {sentence}" for sentence in caption), ""])


def title_of(path: Path) -> str:
    """The title of a table that `markdown` has set; errors as `caption_of`."""
    return _lines(path)[0].removeprefix("# ")


def caption_of(path: Path) -> list[str]:
    """The sentences of the caption of a table that `markdown` has set.

    Raises:
        LightvadError: the file is missing, empty or no text.
    """
    return [line.removeprefix("- ") for line in _lines(path) if line.startswith("- ")]


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); run `lightvad table` again"
        raise LightvadError(message) from error
    if not lines:
        message = f"{path}: is empty; run `lightvad table` again"
        raise LightvadError(message)
    return lines


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def latex(title: str, blocks: Sequence[Block], caption: Sequence[str]) -> str:
    """The table as a LaTeX `table*` with booktabs rules; what all rows share goes into the caption."""
    said, bodies = [], []
    for wide in blocks:
        block, shared = folded(filled(wide))
        said.append(f"{wide.title}: {shared}.")
        layout = "".join("r" if column.numeric else "l" for column in block.columns)
        head = " & ".join(rf"\multicolumn{{{size}}}{{c}}{{{_escaped(group)}}}" for group, size in block.groups())
        bodies.append(rf"\begin{{tabular}}{{{layout}}}")
        bodies += [
            r"\toprule",
            rf"{head} \\",
            rf"{' & '.join(_escaped(c.heading) for c in block.columns)} \\",
            r"\midrule",
        ]
        for row, runs in zip(block.rows, block.runs, strict=True):
            cells = [_escaped(cell) for cell in row]
            cells = [rf"\textbf{{{cell}}}" for cell in cells] if runs and not all(block.runs) else cells
            bodies.append(" & ".join(cells) + r" \\")
        bodies += [r"\bottomrule", r"\end{tabular}", ""]
    text = " ".join(_escaped(sentence) for sentence in [f"{title}.", *said, *caption])
    opening = ["% needs \\usepackage{booktabs}", r"\begin{table*}", r"\centering\scriptsize"]
    return "\n".join([*opening, *bodies, rf"\caption{{{text}}}", r"\end{table*}", ""])


def _escaped(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)


def print_blocks(title: str, blocks: Sequence[Block], caption: Sequence[str], console: Console | None = None) -> None:
    """Print the table on the terminal: one row for each method; micro and macro below each other where it is narrow.

    In a log, where no width is known, the width is fixed.
    """
    console = console or Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(f"\n[bold]{title}[/]", highlight=False)
    for wide in blocks:
        block, shared = folded(wide)
        console.print(f"[italic]{block.title}[/]", highlight=False)
        parts = _parts(block, console.width)
        for part in parts:
            if len(parts) > 1:
                console.print(f"[bold]{part.title}[/]")
            console.print(_terminal_table(part))
        console.print(f"Measured rows: {shared}.", style="dim", highlight=False)
    for sentence in caption:
        console.print(f"- {sentence}", highlight=False, markup=False)


def _parts(block: Block, width: int) -> list[Block]:
    """One named column, then the numbers: all of them, or the metrics in turn where `width` is too small for all."""
    named = [index for index, column in enumerate(block.columns) if not column.numeric]
    rows = []
    for row, runs in zip(block.rows, block.runs, strict=True):
        # The last of the named columns says what was rebuilt here, the one before it the paper's name of the row.
        rows.append([row[named[-1]] if runs else row[named[-2]], *row[len(named) :]])
    columns = [Column(""), *block.columns[len(named) :]]
    slim = filled(Block(block.title, columns, rows, block.runs))
    cells = [[max(column.heading, column.group, key=len) for column in slim.columns], *slim.rows]
    needed = sum(max(len(row[i]) for row in cells) + 3 for i in range(len(slim.columns)))
    if needed <= width:
        return [slim]
    parts = []
    speeds = [name for name, _ in SPEEDS.values()]
    regions = [["RBDC", "TBDC"]] if sum(column.group == "RBDC" for column in slim.columns) < 2 else [["RBDC"], ["TBDC"]]
    for metrics in (["micro AUC"], ["macro AUC"], *regions, *([name] for name, _ in COSTS.values()), speeds):
        keep = [i for i, column in enumerate(slim.columns) if column.group in metrics]
        if keep:
            part = only(slim, [0, *keep])
            # The metric is the part's title: one line less in every heading.
            bare = [Column(c.group if len(metrics) > 1 else c.heading, numeric=c.numeric) for c in part.columns]
            columns = part.columns if metrics is speeds else bare
            parts.append(Block(" and ".join(metrics), columns, part.rows, part.runs))
    return parts


def _terminal_table(block: Block) -> RichTable:
    view = RichTable(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1))
    for column in block.columns:
        heading = f"{column.group}\n{column.heading}" if column.group else column.heading
        view.add_column(heading, justify="right" if column.numeric else "left", no_wrap=True)
    for row, runs in zip(block.rows, block.runs, strict=True):
        view.add_row(*row, style="bold" if runs else "dim")
    return view

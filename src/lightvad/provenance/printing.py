"""An explanation on a terminal of 80 columns: each row's files as a tree, then the stages, then the commands."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console

from lightvad.artifacts.records import Record
from lightvad.provenance.explanation import Explanation, Row
from lightvad.provenance.verification import SHORT

WIDTH = 80
SHOWN = 8
"""Files that a stage's list shows; the others are counted."""
RUNS = Path("results/runs")
KEY = "Below each file are those that it was made from: the start of the sha256 and [the stage] that wrote it."


def show(explanation: Explanation, console: Console | None = None) -> None:
    """Print where a file comes from; nothing is cut off or wrapped by the terminal, so that it can be copied."""
    console = console or Console()

    def section(title: str, lines: Iterable[str]) -> None:
        console.print(f"\n{title}", style="bold", markup=False, highlight=False, soft_wrap=True)
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    section(explanation.file, textwrap.wrap(KEY, WIDTH))
    seen: set[str] = set()
    for row in explanation.rows:
        section(row.title, _row_lines(explanation, row, seen))
    if explanation.breaks:
        section("Made from something else than what is recorded now", _break_lines(explanation))
    for number, record in enumerate(explanation.stages, start=1):
        section(f"[{number}] {record.stage}  {record.folder}", _stage_lines(record))
    section("To do it again, from the project's root", _command_lines(explanation))


def _row_lines(explanation: Explanation, row: Row, seen: set[str]) -> Iterator[str]:
    mean = f", mean of {len(row.files)} seeds" if len(row.files) > 1 else ""
    for value in row.values:
        yield f"  {float(value.measured):6.2f}  {value.key}{mean}"
    for file in row.files:
        yield _file_line(file, explanation.chains.made[file], explanation.number(file))
        yield from _tree(explanation, file, "", seen)


def _tree(explanation: Explanation, file: str, indent: str, seen: set[str]) -> Iterator[str]:
    """The files that `file` was made from, the nearest first; what was shown before is not unfolded again."""
    maker = explanation.chains.maker(file)
    if maker is None:
        return
    inputs = sorted(maker.inputs.items(), key=lambda item: _nearness(item[0], maker))
    for place, (read, sha256) in enumerate(inputs, start=1):
        last = place == len(inputs)
        known = read in seen and explanation.chains.maker(read) is not None
        seen.add(read)
        number = explanation.number(read)
        name = _name(read, maker.folder) + (" (see above)" if known and _has_inputs(explanation, read) else "")
        yield _file_line(name, sha256, number, prefix=f"{indent}{'└─' if last else '├─'} ")
        if not known:
            yield from _tree(explanation, read, f"{indent}{'   ' if last else '│  '}", seen)


def _has_inputs(explanation: Explanation, file: str) -> bool:
    maker = explanation.chains.maker(file)
    return maker is not None and bool(maker.inputs)


def _nearness(file: str, maker: Record) -> tuple[bool, bool, str]:
    """The maker's own files first, then other results, then data and configuration."""
    path = Path(file)
    return path.parent != maker.folder, not path.is_relative_to("results"), file


def _name(file: str, folder: Path) -> str:
    """A file as one says it from `folder`: its name alone inside it, METHOD/VARIANT/seedN/NAME in another run."""
    path = Path(file)
    if path.parent == folder:
        return path.name
    return Path(*path.relative_to(RUNS).parts[2:]).as_posix() if path.is_relative_to(RUNS) else file


def _file_line(name: str, sha256: str, number: int | None, prefix: str = "") -> str:
    right = f"{sha256[:SHORT]} {'' if number is None else f'[{number}]':>5}"
    left = f"{prefix}{name}"
    gap = WIDTH - len(left) - len(right)
    return f"{left}{' ' * gap}{right}" if gap > 0 else f"{left}\n{right:>{WIDTH}}"


def _stage_lines(record: Record) -> Iterator[str]:
    content, made = record.content, list(record.outputs.items())
    for file, sha256 in made[:SHOWN]:
        name = Path(file).relative_to(record.folder).as_posix() if Path(file).is_relative_to(record.folder) else file
        yield _file_line(name, sha256, None, prefix="  wrote   ")
    if len(made) > SHOWN:
        yield f"  wrote   and {len(made) - SHOWN} more: {record.path}"
    yield f"  config  {content['config_digest'][:SHORT]}   code {content['code_digest'][:SHORT]}"
    precision = "" if content["precision"] == "-" else f", {content['precision']}"
    machine = f"{content['device']}, {content['threads']} threads{precision}"
    yield from textwrap.wrap(machine, WIDTH, initial_indent="  on      ", subsequent_indent=" " * 10)
    packages = content["packages"]
    named = ", ".join(f"{name} {packages[name]}" for name in ("lightvad", "torch") if name in packages)
    yield f"  took    {content['seconds']:,} s from {record.started}; {named}"


def _break_lines(explanation: Explanation) -> Iterator[str]:
    for broken in explanation.breaks:
        reader, maker = (explanation.stages.index(record) + 1 for record in (broken.record, broken.maker))
        told = f"[{reader}] read {broken.file} as {broken.read[:SHORT]}, but [{maker}] has made {broken.made[:SHORT]}"
        yield from textwrap.wrap(told, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)


def _command_lines(explanation: Explanation) -> Iterator[str]:
    """Every command once, in order, broken where a shell may take it over several lines."""
    for command in dict.fromkeys(record.command for record in explanation.stages):
        line = ""
        for word in shlex.split(command):
            quoted = shlex.quote(word)
            if line and len(line) + len(quoted) + 3 > WIDTH:
                yield f"{line} \\"
                line = f"    {quoted}"
            else:
                line = f"{line} {quoted}" if line else quoted
        yield line

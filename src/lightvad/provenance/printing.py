"""An explanation on a terminal of 80 columns: each row's files as a tree, then the stages, then the commands."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from lightvad.artifacts.records import SHORT, Record
from lightvad.provenance.explanation import Explanation, Row

WIDTH = 80
SHOWN = 8
"""Files that a stage's list shows; the others are counted."""
RUNS = Path("results/runs")
KEY = "Below each file are those that it was made from: the start of the sha256 and [the stage] that wrote it."


@dataclass(frozen=True)
class Node:
    """A file in a tree, as it was read, and what it was made from; a file that was shown before has its stage alone."""

    name: str
    sha256: str
    stage: int | None
    below: tuple["Node", ...]
    above: tuple[int, ...]


@dataclass
class Shown:
    """What the trees have shown so far: files with their sha256, and records of the stages whose inputs were listed."""

    files: set[tuple[str, str]] = field(default_factory=set)
    stages: set[Path] = field(default_factory=set)


def show(explanation: Explanation, console: Console | None = None) -> None:
    """Print where a file comes from; nothing is cut off or wrapped by the terminal, so that it can be copied."""
    console = console or Console()

    def section(title: str, lines: Iterable[str]) -> None:
        console.print(f"\n{title}", style="bold", markup=False, highlight=False, soft_wrap=True)
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    section(explanation.file, textwrap.wrap(KEY, WIDTH))
    shown = Shown()
    for row in explanation.rows:
        section(row.title, _row_lines(explanation, row, shown))
    if explanation.breaks:
        section("Made from something else than what is recorded now", _break_lines(explanation))
    for number, record in enumerate(explanation.stages, start=1):
        section(f"[{number}] {record.stage}  {record.folder}", _stage_lines(record))
    section("To do it again, from the project's root", _command_lines(explanation))


def _row_lines(explanation: Explanation, row: Row, shown: Shown) -> Iterator[str]:
    mean = f", mean of {len(row.files)} seeds" if len(row.files) > 1 else ""
    for value in row.values:
        yield f"  {float(value.measured):6.2f}  {value.key}{mean}"
    for file in row.files:
        node = _node(explanation, file, explanation.chains.made[file], file, shown)
        yield _file_line(node.name, node.sha256, node.stage)
        yield from _drawn(node, "")


def _node(explanation: Explanation, file: str, sha256: str, name: str, shown: Shown) -> Node:
    """A file and, where its stage was not unfolded before, what that stage read: the nearest first, each file once."""
    maker, number = explanation.chains.maker(file), explanation.number(file)
    shown.files.add((file, sha256))
    if maker is None or maker.path in shown.stages:
        return Node(name, sha256, number, (), ())
    shown.stages.add(maker.path)
    below, above = [], set()
    for read in sorted(maker.inputs.items(), key=lambda item: _nearness(item[0], maker)):
        if read not in shown.files:
            below.append(_node(explanation, *read, _name(read[0], maker.folder), shown))
        elif (by := explanation.number(read[0])) is not None:
            above.add(by)
    return Node(name, sha256, number, tuple(below), tuple(sorted(above)))


def _drawn(node: Node, indent: str) -> Iterator[str]:
    for below in node.below:
        last = below is node.below[-1] and not node.above
        branch, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield _file_line(below.name, below.sha256, below.stage, prefix=indent + branch)
        yield from _drawn(below, indent + deeper)
    if node.above:
        yield f"{indent}└─ shown above, of {' '.join(f'[{number}]' for number in node.above)}"


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
    right = f"{sha256[:SHORT]} {'' if number is None else f'[{number}]':>5}".rstrip()
    left = f"{prefix}{name}"
    column = WIDTH - SHORT - 6
    return f"{left:{column}}{right}" if len(left) < column else f"{left}\n{' ' * column}{right}"


def _stage_lines(record: Record) -> Iterator[str]:
    content, made = record.content, list(record.outputs.items())
    for file, sha256 in made[:SHOWN]:
        name = Path(file).relative_to(record.folder).as_posix() if Path(file).is_relative_to(record.folder) else file
        yield _file_line(name, sha256, None, prefix="  wrote   ")
    if len(made) > SHOWN:
        yield f"  wrote   and {len(made) - SHOWN} more: {record.path}"
    yield f"  config  {content['config_digest'][:SHORT]}   code {content['code_digest'][:SHORT]}"
    precision = "" if content["precision"] == "-" else f", {content['precision']}"
    threads = content["threads"]
    machine = f"{content['device']}, {threads} thread{'s' if threads != 1 else ''}{precision}"
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
    """Every command once, in order; overrides that all of them share stand before them, in an array of the shell."""
    commands = dict.fromkeys(tuple(shlex.split(record.command)) for record in explanation.stages)
    overrides = {command[command.index("--set") :] if "--set" in command else () for command in commands}
    shared = overrides.pop() if len(overrides) == 1 else ()
    if shared:
        yield from _folded("settings=(", [*_options(shared), ")"])
    for command in commands:
        own = command[: len(command) - len(shared)]
        yield from _folded(shlex.join(own[:2]), _options(own[2:]) + (['"${settings[@]}"'] if shared else []))


def _options(words: tuple[str, ...]) -> list[str]:
    """Each option with its value, quoted for a shell."""
    return [shlex.join(words[at : at + 2]) for at in range(0, len(words), 2)]


def _folded(line: str, parts: Iterable[str]) -> Iterator[str]:
    """A command over as many lines as it needs; a shell reads them as one. A single part may be longer than a line."""
    for part in parts:
        if len(line) + len(part) + 3 > WIDTH:
            yield f"{line} \\"
            line = f"    {part}"
        else:
            line = f"{line} {part}"
    yield line

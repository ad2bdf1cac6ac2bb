"""Progress of long work: a bar with rate and estimate on a terminal, plain lines in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

Item = TypeVar("Item")

LOG_EVERY_SECONDS = 10.0


class _Rate(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "", style="dim")


def say(message: str) -> None:
    """One line for the person or the log, on standard error; line ends and control characters in it are escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    print(shown, file=sys.stderr, flush=True)


def track(items: Iterable[Item], *, total: int, what: str, unit: str = "steps") -> Iterator[Item]:
    """Yield from `items`, showing `what`, the count out of `total`, the rate in `unit`/s and the time left."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), _Rate(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield from bar.track(items, total=total, description=what)
        return
    started = told = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - told >= LOG_EVERY_SECONDS:
            told = now
            rate = done / (now - started)
            left = (total - done) / rate
            say(f"{what}: {done}/{total} {unit}, {rate:.1f}/s, about {left:.0f} s left")

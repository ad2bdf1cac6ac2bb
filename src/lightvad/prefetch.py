"""Reading ahead: one thread prepares the next items while the caller works on this one."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 2
"""Items that are prepared before they are asked for."""


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield from `items` in order, made by one other thread at most `AHEAD` items early.

    What `items` raises is raised here, in its turn. Whoever stops early waits for the items under way and no more.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as executor:
        waiting = deque(executor.submit(next, source, end) for _ in range(AHEAD))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(executor.submit(next, source, end))
            yield item  # type: ignore[misc]

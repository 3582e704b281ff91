"""Runs a function over items on threads, a bounded number ahead, and gives what comes out in the items' order."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item, Value = TypeVar("Item"), TypeVar("Value")

AHEAD = 32  # items a worker that may be done before their turn: one slow item should not let the others wait
GRACE = 0.2  # seconds that what is under way gets at a stop


def map_in_order(
    function: Callable[[Item], Value], items: Iterable[Item], *, workers: int, stopped: threading.Event
) -> Iterator[Value]:
    """Yield ``function(item)`` for each item, in order; the items are taken as they are needed.

    When ``stopped`` is set, from any thread, nothing more is begun. What is done then, or within GRACE, is still
    yielded; what runs on is left behind.

    >>> list(map_in_order(abs, [-1, -2, -3], workers=2, stopped=threading.Event()))
    [1, 2, 3]
    """
    begun: deque[Future[Value]] = deque()
    pool = ThreadPoolExecutor(workers, "convfilter")
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            while begun and (begun[0].done() or len(begun) > AHEAD * workers) and _wait(begun[0], stopped):
                yield begun.popleft().result()
            if stopped.is_set():
                break
        while begun and _wait(begun[0], stopped):
            yield begun.popleft().result()
        running = [future for future in begun if not future.cancel()]
        wait(running, GRACE)
        yield from (future.result() for future in running if future.done())
    finally:
        pool.shutdown(wait=not stopped.is_set(), cancel_futures=True)


def _wait(future: Future, stopped: threading.Event) -> bool:
    """Wait until the future is done, and return True; False where the stop comes first."""
    while not stopped.is_set():
        if wait([future], 0.1).done:
            return True
    return False

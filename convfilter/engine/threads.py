"""Threads that compute the tiles of one picture together."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from convfilter.in_order import map_in_order

Item, Value = TypeVar("Item"), TypeVar("Value")


class Threads:
    """So many threads, of which all but the calling one wait in a pool.

    Torch's own threads wait for each other spinning, which on a busy machine makes both slow: here torch computes an
    item on the thread that took it.
    """

    def __init__(self, count: int) -> None:
        torch.empty(31 << 20, dtype=torch.uint8)  # freed at once: glibc then keeps memory up to that size for reuse
        self._count = count
        self._pool = None
        if count > 1:
            self._pool = ThreadPoolExecutor(count - 1, "convfilter", initializer=torch.set_num_threads, initargs=(1,))

    def in_order(self, function: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Value]:
        """Yield the function's values in order, while the threads work a little ahead.

        After an error, which is raised in the item's turn, no further item is begun; nor after the iteration's end.

        >>> list(Threads(2).in_order(abs, [-1, -2, -3]))
        [1, 2, 3]
        """

        def work(item: Item) -> Value:
            with one_thread():
                return function(item)

        if self._pool and len(items) > 1:
            yield from map_in_order(work, items, workers=self._count, pool=self._pool)
        else:
            yield from map(work, items)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone: it shares sums among threads, and their rounding then differs."""
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


ONE_THREAD = Threads(1)

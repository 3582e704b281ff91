"""Threads that compute one picture's tiles together, the calling one among them, each with a core of its own."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

Item, Value = TypeVar("Item"), TypeVar("Value")


class Cores:
    """So many threads, of which all but the calling one wait in a pool.

    Torch's own threads wait for each other spinning, which on a busy machine makes both slow: here each has none.
    """

    def __init__(self, count: int) -> None:
        torch.empty(31 << 20, dtype=torch.uint8)  # freed at once: glibc then keeps memory up to that size for reuse
        self.others = count - 1
        self.pool = None
        if self.others > 0:
            self.pool = ThreadPoolExecutor(self.others, "convfilter", initializer=torch.set_num_threads, initargs=(1,))

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
        """Return the function's values, in order; each thread takes the next item when it is done with one.

        >>> Cores(2).map(abs, [-1, -2, -3])
        [1, 2, 3]
        """
        if len(items) == 1:
            return [alone(partial(function, items[0]))]
        values: list[Value] = [None] * len(items)
        numbers = iter(range(len(items)))

        def work() -> None:
            for number in numbers:
                values[number] = function(items[number])

        begun = [self.pool.submit(work) for _ in range(min(self.others, len(items) - 1))]
        try:
            alone(work)
        finally:
            deque(numbers, maxlen=0)  # after an error the others are to begin no more
            wait(begun)
        for future in begun:
            future.result()
        return values

    def in_order(self, function: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Value]:
        """Yield the function's values in order, while all threads work a little ahead."""
        if self.pool is None or len(items) == 1:
            yield from (alone(partial(function, item)) for item in items)
            return
        begun: deque[list] = deque()
        try:
            for item in items:
                begun.append([self.pool.submit(function, item), item])
                if len(begun) > 2 * self.others + 2:
                    yield _take(begun, function)
            while begun:
                yield _take(begun, function)
        finally:
            for future, _ in begun:
                future.cancel()


ONE = Cores(1)


def _take(begun: deque[list], function: Callable[[Item], Value]) -> Value:
    """The next value; while another thread makes it, this one makes a later value."""
    while not begun[0][0].done() and (mine := next((one for one in begun if one[0].cancel()), None)):
        mine[0] = Future()
        mine[0].set_result(alone(partial(function, mine[1])))
    return begun.popleft()[0].result()


def alone(function: Callable[[], Value]) -> Value:
    """Call the function on this thread alone."""
    with one_thread():
        return function()


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

"""Threads that compute the tiles of one picture together, the calling one among them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

Item, Value = TypeVar("Item"), TypeVar("Value")


class Threads:
    """So many threads, of which all but the calling one wait in a pool; they take items from one queue.

    Torch's own threads wait for each other spinning, which on a busy machine makes both slow: here torch computes an
    item on the thread that took it.
    """

    def __init__(self, count: int) -> None:
        torch.empty(31 << 20, dtype=torch.uint8)  # freed at once: glibc then keeps memory up to that size for reuse
        self._others = count - 1
        self._pool = None
        if count > 1:
            self._pool = ThreadPoolExecutor(count - 1, "convfilter", initializer=torch.set_num_threads, initargs=(1,))

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
        """Return the function's values, in order; each thread takes the next item when it is done with one.

        After an error no further item is begun, and it is raised when all threads are done.

        >>> Threads(2).map(abs, [-1, -2, -3])
        [1, 2, 3]
        """
        if not self._pool or len(items) < 2:
            with one_thread():
                return [function(item) for item in items]
        values: dict[int, Value] = {}
        queue = deque(enumerate(items))

        def work() -> None:
            while taken := _take(queue):
                number, item = taken
                with _stopping(queue):
                    values[number] = function(item)

        helpers = [self._pool.submit(work) for _ in range(min(self._others, len(items) - 1))]
        try:
            with one_thread():
                work()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()
        return [values[number] for number in range(len(items))]

    def in_order(self, function: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Value]:
        """Yield the function's values in order, while all threads work a little ahead.

        After an error, which is raised in the item's turn, no further item is begun; nor after the iteration's end.
        """
        ahead = 2 * (self._others + 1) if self._pool else 0
        queue: deque[tuple[Future[Value], Item]] = deque()
        futures: deque[Future[Value]] = deque()  # of the values that are still to be yielded

        def work() -> None:
            if taken := _take(queue):
                future, item = taken
                try:
                    with _stopping(queue):
                        future.set_result(function(item))
                except BaseException as error:  # which future.result() raises
                    future.set_exception(error)

        def next_value() -> Value:
            while queue and not futures[0].done():  # the calling thread helps while it waits
                with one_thread():
                    work()
            return futures.popleft().result()

        try:
            for item in items:
                futures.append(Future())
                queue.append((futures[-1], item))
                if self._pool and len(items) > 1:
                    self._pool.submit(work)
                if len(futures) > ahead:
                    yield next_value()
            while futures:
                yield next_value()
        finally:
            queue.clear()


def _take(queue: deque[Item]) -> Item | None:
    """The next item of a queue that other threads take from too."""
    try:
        return queue.popleft()
    except IndexError:
        return None


@contextmanager
def _stopping(queue: deque) -> Iterator[None]:
    """Empty the queue after an error."""
    try:
        yield
    except BaseException:
        queue.clear()
        raise


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

"""Runs a function over items on threads, a bounded number ahead, and gives its values in order or as they are done."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

AT_HAND = 64  # items that are taken before they are wanted
GRACE = 0.2  # seconds that what is under way gets at a stop


def map_in_order(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int = 2,
    stopped: threading.Event | None = None,
    pool: ThreadPoolExecutor | None = None,
    ordered: bool = True,
) -> Iterator[Value]:
    """Yield ``function(item)`` for each item, in order; the items are taken as they are needed, and None is none.

    At most ``ahead`` items a worker are begun before their turn. A ``pool`` has one thread less than ``workers``: the
    calling thread works too while it waits. Without one, threads are made for this, and the calling thread only waits.
    After an error, which is raised in its item's turn, nothing more is begun, nor after the iteration's end: what runs
    then is waited for. When ``stopped`` is set, from any thread, nothing more is begun either. What is done then, or
    within GRACE, is still yielded; what runs on is left behind. Without ``ordered``, each value comes when it is there.

    >>> list(map_in_order(abs, [-1, -2, -3], workers=2))
    [1, 2, 3]
    """
    stopped = stopped or threading.Event()
    begun: deque[Future[Value]] = deque()
    queued: deque[tuple[Future[Value], Item]] = deque()  # those that the calling thread can take from a pool
    failed = threading.Event()
    threads = pool or ThreadPoolExecutor(workers, "convfilter")

    def work(item: Item) -> Value:
        if failed.is_set():
            raise CancelledError  # which nobody sees: the error of an item before this one ends the iteration
        try:
            return function(item)
        except BaseException:
            failed.set()
            raise

    def is_ready() -> bool:
        return begun[0].done() if ordered else any(future.done() for future in begun)

    def wait_for_value() -> bool:
        while queued and (queued[0][0].done() or not is_ready()):
            future, item = queued.popleft()
            if future.cancel():  # no thread has begun it
                begun[begun.index(future)] = _run(work, item)
        return _wait(begun, stopped, ordered=ordered)

    try:
        for item in items:
            if item is not None:
                begun.append(threads.submit(work, item))
                queued.extend([(begun[-1], item)] if pool else ())
            while begun and (is_ready() or len(begun) > ahead * workers) and wait_for_value():
                yield begun.popleft().result()
            if stopped.is_set():
                break
        while begun and wait_for_value():
            yield begun.popleft().result()
        running = [future for future in begun if not future.cancel()]
        wait(running, GRACE)
        yield from (future.result() for future in running if future.done())
    finally:
        running = [future for future in begun if not future.cancel()]
        if not stopped.is_set():
            wait(running)
        if pool is None:
            threads.shutdown(wait=not stopped.is_set())


def without_waiting(items: Iterable[Item], seconds: float) -> Iterator[Item | None]:
    """Yield the items, and None whenever none comes for so many seconds; they are taken in a thread of their own.

    >>> list(without_waiting([1, 2], 60))
    [1, 2]
    """
    taken: Queue[tuple[Item] | None] = Queue(AT_HAND)  # None after the last
    errors: list[BaseException] = []
    is_wanted = True

    def put(value: tuple[Item] | None) -> None:
        while is_wanted:
            with contextlib.suppress(Full):
                taken.put(value, timeout=1)
                return

    def take() -> None:
        try:
            for item in items:
                put((item,))
                if not is_wanted:
                    return
        except BaseException as error:
            errors.append(error)
        put(None)

    threading.Thread(target=take, name="convfilter-items", daemon=True).start()
    try:
        while True:
            try:
                value = taken.get(timeout=seconds)
            except Empty:
                yield None
                continue
            if value is None:
                break
            yield value[0]
        if errors:
            raise errors[0]
    finally:
        is_wanted = False


def _run(function: Callable[[Item], Value], item: Item) -> Future[Value]:
    """Call a function here, and return its future."""
    future: Future[Value] = Future()
    try:
        future.set_result(function(item))
    except BaseException as error:  # which future.result() raises
        future.set_exception(error)
    return future


def _wait(begun: deque[Future[Value]], stopped: threading.Event, *, ordered: bool) -> bool:
    """Wait until the first future is done, or any, which then stands first, and return True; False at the stop."""
    while not stopped.is_set():
        if done := wait([begun[0]] if ordered else begun, 0.1, FIRST_COMPLETED).done:
            if begun[0] not in done:
                first = next(future for future in begun if future in done)
                begun.remove(first)
                begun.appendleft(first)
            return True
    return False

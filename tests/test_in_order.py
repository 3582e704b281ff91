import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from convfilter.in_order import map_in_order, without_waiting


def test_map_in_order_keeps_the_order_and_works_only_so_far_ahead():
    taken, gate = [], threading.Event()

    def items():
        for i in range(10_000):
            taken.append(i)
            yield i

    def work(i):
        if i == 0:
            gate.wait(20)
        return -i

    results = map_in_order(work, items(), workers=2, ahead=32)
    threading.Timer(0.3, gate.set).start()
    assert next(results) == 0
    assert len(taken) <= 2 * 32 + 2
    assert list(results) == [-i for i in range(1, 10_000)]


def test_map_in_order_gives_at_a_stop_what_is_done_and_waits_for_nothing_else():
    stopped, never = threading.Event(), threading.Event()
    results = map_in_order(lambda i: never.wait(30) if i == 1 else i, range(9), workers=3, ahead=32, stopped=stopped)
    assert next(results) == 0
    threading.Timer(0.2, stopped.set).start()
    start = time.perf_counter()
    rest = list(results)
    assert time.perf_counter() - start < 1.5
    assert rest == sorted(rest) and 1 not in rest and {2, 3, 4, 5} <= set(rest)
    never.set()


def test_map_in_order_closes_the_walk_it_takes_from():
    closed = threading.Event()

    def walk():
        try:
            yield from range(10_000)
        finally:
            closed.set()

    results = map_in_order(str, walk(), workers=2)
    assert next(results) == "0"
    del results
    assert closed.wait(5)


def test_what_comes_late_keeps_nothing_waiting():
    gate = threading.Event()

    def items():
        yield 1
        gate.wait(20)
        yield 2

    results = map_in_order(abs, without_waiting(items(), 0.01), workers=2)
    assert next(results) == 1
    gate.set()
    assert list(results) == [2]


def test_a_fault_of_what_comes_late_is_raised_where_it_is_wanted():
    def items():
        yield 1
        raise ValueError("broken")

    late = without_waiting(items(), 60)
    assert next(late) == 1
    with pytest.raises(ValueError, match="broken"):
        next(late)


def test_without_order_a_slow_item_lets_the_others_pass():
    gate = threading.Event()

    def work(i):
        return i if i or gate.wait(20) else -1

    results = map_in_order(work, range(50), workers=2, ahead=9, ordered=False)
    first = [next(results) for _ in range(15)]
    gate.set()
    assert 0 not in first and sorted([*first, *results]) == list(range(50))


def test_nothing_is_begun_after_an_error_though_an_earlier_value_is_waited_for():
    begun, gate = [], threading.Event()

    def work(item):
        begun.append(item)
        if item == 0:
            gate.wait(20)
        elif item == 1:
            raise ArithmeticError(item)
        return item

    results = map_in_order(work, range(100), workers=2, ahead=20)
    threading.Timer(0.3, gate.set).start()
    assert next(results) == 0
    with pytest.raises(ArithmeticError, match="1"):
        next(results)
    assert begun == [0, 1]


def test_the_calling_thread_works_too_where_a_pool_is_given():
    names = set()

    def work(item):
        names.add(threading.current_thread().name)
        time.sleep(0.01)
        return -item

    with ThreadPoolExecutor(1, "pool") as pool:
        assert list(map_in_order(work, range(20), workers=2, pool=pool)) == [-i for i in range(20)]
    assert names == {"pool_0", threading.current_thread().name}

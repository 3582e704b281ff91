import threading
import time

import pytest
import torch

from convfilter.engine.threads import Threads, one_thread


class Slow:
    """A function that takes a moment, fails for one item, and knows what it was called with."""

    def __init__(self, fails=None):
        self.fails, self.begun, self.at_once, self.most = fails, [], 0, 0
        self.lock = threading.Lock()

    def __call__(self, item):
        with self.lock:
            self.begun.append(item)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert torch.get_num_threads() == 1
        try:
            time.sleep(0.01)
            if item == self.fails:
                raise ArithmeticError(item)
            return -item
        finally:
            with self.lock:
                self.at_once -= 1


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("items", [[], [7], list(range(20))])
def test_values_come_in_order_from_all_threads(count, items):
    slow = Slow()
    assert list(Threads(count).in_order(slow, items)) == [-item for item in items]
    assert sorted(slow.begun) == items and slow.most <= count
    if len(items) > 1:
        assert slow.most == count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_thread_goes_on_after_an_error(count):
    slow = Slow(fails=5)
    with pytest.raises(ArithmeticError, match="5"):
        list(Threads(count).in_order(slow, range(100)))
    begun = len(slow.begun)
    assert begun <= 5 + 2 * count
    time.sleep(0.05)
    assert len(slow.begun) == begun and (slow.at_once == 0)


def test_values_before_an_error_are_yielded():
    found = []
    with pytest.raises(ArithmeticError):
        for value in Threads(2).in_order(Slow(fails=3), range(9)):
            found.append(value)
    assert found == [0, -1, -2]


def test_an_iteration_that_ends_early_begins_nothing_more():
    slow = Slow()
    values = Threads(2).in_order(slow, range(100))
    assert next(values) == 0
    values.close()
    time.sleep(0.03)
    assert len(slow.begun) < 12


def test_little_is_made_ahead_of_what_is_taken():
    slow = Slow()
    values = Threads(3).in_order(slow, range(100))
    next(values)
    time.sleep(0.2)
    assert len(slow.begun) <= 1 + 2 * 3 + 1
    values.close()


def test_the_callers_number_of_torchs_threads_comes_back():
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError), one_thread():
            assert torch.get_num_threads() == 1
            raise ValueError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)

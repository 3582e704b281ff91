"""How the page's scripts write numbers is how Python writes them."""

import numpy as np
import pytest

from convfilter.numbers import show_aligned, show_number, typeset
from convfilter.report.scripts import read_script


@pytest.fixture(scope="module")
def evaluate(browser):
    page = browser.new_page()
    page.add_script_tag(content=read_script("numbers.js"))
    yield page.evaluate
    page.close()


def numbers() -> list[float]:
    """Numbers of all sizes, float32's, whole ones, halves and others that end in 5, powers of ten, and odd ones."""
    rng = np.random.default_rng(4)
    sizes = 10.0 ** rng.uniform(-12, 12, 3000) * rng.choice([-1, 1], 3000)
    near = [x for power in range(-9, 12) for x in np.nextafter(10.0**power, [0.0, 10.0**power, np.inf]).tolist()]
    short = [n / 10**d for d in range(7) for n in (5, 15, 25, 125, 9995, 12345, 99995, 999995, 123455)]
    halves = (rng.integers(-200_000, 200_000, 1000) / 2.0 ** rng.integers(0, 9, 1000)).tolist()
    odd = [0.0, -0.0, 1e-300, 1e300, np.inf, -np.inf, np.nan, 9999999.5, 9999.96, 16777216.0, 123456789.0]
    return [*sizes.tolist(), *sizes.astype(np.float32).tolist(), *near, *short, *halves, *odd, *map(float, range(300))]


def test_a_number_is_written_as_python_writes_it(evaluate):
    values = numbers()
    assert len(values) > 7000
    for digits in range(1, 10):
        written = evaluate("([values, digits]) => values.map((value) => write(value, digits))", [values, digits])
        for value, text in zip(values, written, strict=True):
            assert text == typeset(show_number(value, digits)), (value, digits)


def test_a_matrix_is_written_as_python_writes_it(evaluate):
    values, rng = numbers(), np.random.default_rng(5)
    matrices = [[value * 10.0 ** rng.integers(-8, 9) for value in rng.choice(values, 6).tolist()] for _ in range(3000)]
    matrices += [rng.integers(-9, 9, 6).tolist() for _ in range(100)]
    matrices += [(rng.integers(-9999, 9999, 6) / 2.0 ** rng.integers(1, 12)).tolist() for _ in range(1000)]
    written = evaluate("(matrices) => matrices.map((row) => row.map(align([row])))", matrices)
    for row, texts in zip(matrices, written, strict=True):
        assert texts == [typeset(text) for text in show_aligned(row, 3)], row

"""Engine, --exact and the script of --code against PyTorch; ``tests/equivalence.py`` draws the cases and compares."""

import pytest
from equivalence import try_seeds


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.soak) for first in range(60, 10_000, 500))]
)
def test_random_pipelines_give_pytorchs_pixels(first):
    assert not try_seeds(first, first + (500 if first else 60))

"""Engine, --exact and the script of --code against PyTorch; ``tests/equivalence.py`` draws the cases and compares."""

import pytest
import torch
from equivalence import try_seeds


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.soak) for first in range(60, 10_000, 500))]
)
def test_random_pipelines_give_pytorchs_pixels(first):
    assert not try_seeds(first, first + (500 if first else 60))

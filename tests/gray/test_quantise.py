import numpy as np
import pytest

from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "low_and_high", [(0, 1e-38), (-2.5e38, 2.5e38), (-3.4e38, 3.4e38), (1e-9, 2e-9), (0, 255)], ids=str
)
def test_levels_are_even_however_small_or_large_the_values_are(low_and_high):
    low, high = (float(np.float32(end)) for end in low_and_high)
    values = (np.linspace(low / 2, high / 2, 52) * 2).astype(np.float32)
    for ends in (None, (low, high)):
        pixels = quantise(values.copy(), GrayScale(low, high), ends=ends).astype(int)
        assert np.abs(pixels - np.arange(0, 256, 5)).max() <= 1 and pixels[0] == 0 and pixels[-1] == 255


@pytest.mark.filterwarnings("error")
def test_values_outside_saturate_however_far():
    values = np.array([-3e38, 0, 1, 3e38], np.float32)
    for ends in (None, (-3e38, 3e38)):
        assert quantise(values.copy(), GrayScale(0.0, 1.0), ends=ends).tolist() == [0, 0, 255, 255]
    # black is no float32, and white lies as close to it as float32's own steps are
    values = np.array([1000, 1001], np.float32)
    assert quantise(values, GrayScale(1000.00003, 1001.0), 16, ends=(1000.0, 1001.0)).tolist() == [0, 65535]


def test_halves_go_to_the_even_level():
    values = np.array([0.5, 1.5, 2.5, 3.5, 253.5, 254.5], np.float32)
    assert quantise(values, GrayScale(0.0, 255.0)).tolist() == [0, 2, 2, 4, 254, 254]


def test_what_rounds_to_a_level_outside_saturates_where_the_ends_are_known():
    values = np.array([-0.7, 255.7], np.float32)
    assert quantise(values.copy(), GrayScale(0.0, 255.0), ends=(-0.7, 255.0)).tolist() == [0, 255]
    assert quantise(values.copy(), GrayScale(0.0, 255.0), ends=(0.0, 255.7)).tolist() == [0, 255]

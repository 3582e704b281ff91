"""Times the ways to apply one kernel, nanoseconds a pixel on one core: what the thresholds in convfilter.fast rest on.

Run it from the project's root: python tests/bench/rules.py [--rounds 5]
"""

import statistics
from collections.abc import Callable

import torch
from side_by_side import arguments, take_turns
from torch import Tensor, nn

from convfilter.engine.algorithms import VECTOR, _repeat, _row_and_column, nhwc
from convfilter.engine.fft import transform

ROWS, COLUMNS = 256, 2048
SIZES = 3, 5, 9, 11, 15, 17, 21, 31, 41
WAYS = "strips, a product a tap", "strips, row and column", "FFT, two halves at once", "plain nn.Conv2d"


def ways(size: int) -> dict[str, Callable[[], Tensor]]:
    """The same valid convolution in each way; two 1-D kernels stand for one of rank 1."""
    conv = nn.Conv2d(1, 1, size, bias=False)
    picture = torch.rand(1, 1, ROWS + size - 1, COLUMNS + size - 1)
    strips = nhwc(torch.rand(1, VECTOR, ROWS + size - 1, COLUMNS // VECTOR + size - 1))
    ones = torch.ones(1, 1, 1, size)
    taps = _repeat(conv.weight, None, (1, 1), (1, 1))
    rank_1 = _row_and_column(ones.transpose(2, 3), ones, None, (1, 1), (1, 1))
    fourier = transform(conv, conv)
    calls = (lambda: taps(strips)), (lambda: rank_1(strips)), (lambda: fourier(picture)), (lambda: conv(picture))
    return dict(zip(WAYS, calls, strict=True))


@torch.inference_mode()
def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=5).parse_args()
    torch.set_num_threads(1)
    columns = [take_turns(ways(size), options.rounds) for size in SIZES]
    print(f"{'kernel':26}" + "".join(f"{size:6}" for size in SIZES))
    for way in WAYS:
        times = (1e9 * statistics.median(seconds[way]) / (ROWS * COLUMNS) for seconds in columns)
        print(f"{way:26}" + "".join(f"{nanoseconds:6.3g}" for nanoseconds in times))


if __name__ == "__main__":
    main()

"""Named kernels and kernel functions, as plain tuples of rows."""

import math
from collections.abc import Callable

from convfilter.layers.checks import ArgumentError, hint, show, whole
from convfilter.layers.matrices import LARGEST, Bank, Matrix


def edge(size: int = 5) -> Matrix:
    """All -1 around size²-1: dark and bright along edges, 0 where the picture is flat.

    The kernel of the tutorial's first channel. ``size`` is odd, 1 to 999, else ValueError.

    >>> edge(3)
    ((-1.0, -1.0, -1.0), (-1.0, 8.0, -1.0), (-1.0, -1.0, -1.0))
    """
    middle = _odd(size) // 2
    rows = [[-1.0] * size for _ in range(size)]
    rows[middle][middle] = size * size - 1.0
    return _freeze(rows)


def box(size: int = 3) -> Matrix:
    """The plain mean of size x size pixels.

    ``size`` is 1 to 999, odd or even, else ValueError.

    >>> box(2)
    ((0.25, 0.25), (0.25, 0.25))
    """
    return ((1 / whole(size, "size", 1, LARGEST) ** 2,) * size,) * size


def gaussian(size: int | None = None, sigma: float = 1.0) -> Matrix:
    """The Gaussian bell, sampled at whole pixels: a blur whose coefficients sum to 1.

    ``sigma`` is in pixels, 0.001 to 1000000; ``size`` is odd, 1 to 999, and 2*ceil(3*sigma)+1 unless given.
    Anything else is a ValueError.

    >>> [[round(value, 3) for value in row] for row in gaussian(3)]
    [[0.075, 0.124, 0.075], [0.124, 0.204, 0.124], [0.075, 0.124, 0.075]]
    """
    sigma = _sigma(sigma)
    middle = (_reach(sigma) if size is None else _odd(size)) // 2
    bell = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(-middle, middle + 1)]
    total = math.fsum(bell)
    bell = [value / total for value in bell]
    return _freeze([[a * b for b in bell] for a in bell])


def unsharp(sigma: float = 1.0, amount: float = 1.0) -> Matrix:
    """The picture plus an amount of what a Gaussian blur takes from it: unsharp masking as one kernel.

    Identity + amount * (identity - gaussian), which sums to 1; ``sigma`` as in ``gaussian``, up to 166, and ``amount``
    -1000000 to 1000000, else ValueError.

    >>> round(unsharp(sigma=1, amount=2)[3][3], 3)
    2.682
    """
    amount = _number(amount, "amount")
    rows = [[-amount * value for value in row] for row in gaussian(sigma=sigma)]
    middle = len(rows) // 2
    rows[middle][middle] += 1 + amount
    return _freeze(rows)


def log(size: int | None = None, sigma: float = 1.4) -> Matrix:
    """The Laplacian of a Gaussian: 0 on flat and evenly sloping ground, negative in the middle of a bright spot.

    (r² - 2σ²) / σ⁴ times ``gaussian(size, sigma)``, less its mean, so that it sums to exactly 0 (in 32-bit floats too).
    Arguments and errors as in ``gaussian``. Marr and Hildreth, "Theory of edge detection", 1980.

    >>> round(log()[5][5], 3), sum(map(sum, log()))
    (-0.083, 0.0)
    """
    sigma = _sigma(sigma)
    bell = gaussian(size, sigma)
    middle = len(bell) // 2
    rows = [
        [(((x - middle) ** 2 + (y - middle) ** 2) / sigma**2 - 2) / sigma**2 * value for x, value in enumerate(row)]
        for y, row in enumerate(bell)
    ]
    mean = math.fsum(map(math.fsum, rows)) / len(rows) ** 2
    return _balance([[value - mean for value in row] for row in rows])


def dog(sigma: float = 1.0, ratio: float = 1.6) -> Matrix:
    """A Gaussian less a wider one: close to minus the Laplacian of a Gaussian, positive in the middle.

    ``sigma`` is the narrow one's and ``sigma * ratio``, up to 166, the wide one's; ``ratio`` is 1.001 to 1000, else
    ValueError.
    It sums to exactly 0. At a ratio of 1.6 it is nearest to ``log`` (Marr and Hildreth, 1980).

    >>> round(dog()[5][5], 3), sum(map(sum, dog()))
    (0.097, 0.0)
    """
    sigma = _sigma(sigma)
    ratio = _number(ratio, "ratio", 1.001, 1000)
    size = _reach(sigma * ratio)
    pairs = zip(gaussian(size, sigma), gaussian(size, sigma * ratio), strict=True)
    return _balance([[a - b for a, b in zip(*rows, strict=True)] for rows in pairs])


def motion(size: int = 9, angle: float = 0) -> Matrix:
    """The mean along a straight line, size pixels long: the blur of a moving camera.

    ``angle`` is in degrees, counter-clockwise from the horizontal. A pixel weighs 1 on the line and less up to one
    pixel from it; the coefficients sum to 1. ``size`` is odd, 1 to 999, else ValueError.

    >>> motion(3, angle=90)
    ((0.0, 0.3333333333333333, 0.0), (0.0, 0.3333333333333333, 0.0), (0.0, 0.3333333333333333, 0.0))
    """
    middle = _odd(size) // 2
    cos, sin = _direction(_number(angle, "angle"))

    def weigh(x: int, y: int) -> float:
        beyond = max(0.0, abs(x * cos + y * sin) - middle)
        return max(0.0, 1 - math.hypot(y * cos - x * sin, beyond))

    rows = [[weigh(x, y) for x in range(-middle, middle + 1)] for y in range(middle, -middle - 1, -1)]
    total = math.fsum(map(math.fsum, rows))
    return _freeze([[value / total for value in row] for row in rows])


def gabor(
    size: int | None = None,
    theta: float = 0,
    wavelength: float = 6.0,
    sigma: float | None = None,
    gamma: float = 1.0,
    psi: float = 0,
) -> Matrix:
    """A wave under a Gaussian: answers to stripes of one width and one direction.

    gamma/(2πσ²) exp(-(u² + gamma² v²) / 2σ²) cos(2πu/wavelength + psi), where u points to ``theta``, across the
    stripes (at 0 they stand upright), and v along them; y points up, as in ``motion``. ``theta`` and ``psi`` are in
    degrees (in OpenCV in radians, and there theta turns clockwise), ``wavelength`` (2 or more) and ``sigma`` in pixels.
    ``sigma`` is 0.56 * wavelength unless given, a band of one octave; ``size`` reaches 3 sigma along both axes unless
    given. The scale is scikit-image's: stripes that fit come out at half their amplitude. ValueError where an argument
    makes no sense.

    >>> [round(value, 2) for value in gabor(5, wavelength=4, sigma=1)[2]]
    [-0.02, 0.0, 0.16, 0.0, -0.02]
    """
    wavelength = _number(wavelength, "wavelength", 2)
    widest = "wavelength" if sigma is None else "sigma"
    sigma = 0.56 * wavelength if sigma is None else _sigma(sigma)
    gamma = _number(gamma, "gamma", 0.001, 1000)
    cos, sin = _direction(_number(theta, "theta"))
    even, odd = _direction(_number(psi, "psi"))
    middle = (_reach(max(sigma, sigma / gamma), widest) if size is None else _odd(size)) // 2

    def sample(x: int, y: int) -> float:
        u, v = x * cos + y * sin, gamma * (y * cos - x * sin)
        phase = 2 * math.pi * u / wavelength
        bell = gamma / (2 * math.pi * sigma**2) * math.exp(-0.5 * (u / sigma) ** 2 - 0.5 * (v / sigma) ** 2)
        return bell * (even * math.cos(phase) - odd * math.sin(phase))

    return _freeze([[sample(x, y) for x in range(-middle, middle + 1)] for y in range(middle, -middle - 1, -1)])


def _odd(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST or size % 2 == 0:
        raise ArgumentError("size", f"must be an odd whole number from 1 to {LARGEST}, not {show(size)}{hint(size)}")
    return size


def _number(value: float, name: str, low: float = -1000000, high: float = 1000000) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ArgumentError(name, f"must be a number from {low:,} to {high:,}, not {show(value)}{hint(value)}")
    return float(value)


def _sigma(value: float) -> float:
    return _number(value, "sigma", 0.001)


def _reach(sigma: float, name: str = "sigma") -> int:
    size = 2 * math.ceil(3 * sigma) + 1
    if size > LARGEST:
        most = f"{LARGEST}x{LARGEST} is the largest, for a sigma of {LARGEST // 6}"
        raise ArgumentError(name, f"is too large, the kernel would be {size}x{size}; {most}")
    return size


def _direction(degrees: float) -> tuple[float, float]:
    # Sines only, so that multiples of 45 degrees come out exact and a quarter turn is exactly that.
    quarters, rest = divmod(degrees, 90)
    cos, sin = math.sin(math.radians(90 - rest)), math.sin(math.radians(rest))
    for _ in range(int(quarters) % 4):
        cos, sin = -sin, cos
    return cos, sin


def _freeze(rows: list[list[float]]) -> Matrix:
    return tuple(map(tuple, rows))


def _balance(rows: list[list[float]]) -> Matrix:
    # Whole multiples of one step, 24 bits at most: the sum is exactly 0 and stays so in the layer's 32-bit floats.
    step = 2.0 ** (math.frexp(max(abs(value) for row in rows for value in row))[1] - 23)
    steps = [[round(value / step) for value in row] for row in rows]
    middle = len(steps) // 2
    steps[middle][middle] -= sum(map(sum, steps))
    return tuple(tuple(value * step for value in row) for row in steps)


def _constant(name: str, sentence: str, rows: Matrix, divisor: float = 1) -> Callable[[], Matrix]:
    matrix = tuple(tuple(value / divisor for value in row) for row in rows)

    def kernel() -> Matrix:
        return matrix

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = sentence
    return kernel


def _bank(name: str, author: str, east: Matrix) -> Callable[[], Bank]:
    turns = [tuple(tuple(map(float, row)) for row in east)]
    while len(turns) < 8:
        (a, b, c), (d, e, f), (g, h, i) = turns[-1]
        turns.append(((b, c, f), (a, e, i), (d, g, h)))
    bank = tuple(turns)

    def kernel() -> Bank:
        return bank

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = f"""{author}'s compass: 8 channels, each largest where it gets brighter towards its own direction.

    E, NE, N, NW, W, SW, S, SE: channel n looks 45 * n degrees counter-clockwise from the right, and its kernel is the
    one before it with the rim turned by one place.
    """
    return kernel


def _gradients(name: str, author: str, corner: float, side: float) -> tuple[Callable[[], Matrix], ...]:
    across = ((-corner, 0, corner), (-side, 0, side), (-corner, 0, corner))
    down = tuple(zip(*across, strict=True))
    return (
        _constant(f"{name}_x", f"{author}'s x-gradient: positive where it gets brighter to the right.", across),
        _constant(f"{name}_y", f"{author}'s y-gradient: positive where it gets brighter downward.", down),
    )


_LAPLACE8 = ((1, 1, 1), (1, -8, 1), (1, 1, 1))

# In the order in which they are listed to the user.
KERNELS: dict[str, Callable[..., Matrix | Bank]] = {
    kernel.__name__: kernel
    for kernel in (
        _constant("identity", "The picture itself.", ((0, 0, 0), (0, 1, 0), (0, 0, 0))),
        edge,
        box,
        gaussian,
        _constant("binomial3", "A small blur, close to a Gaussian.", ((1, 2, 1), (2, 4, 2), (1, 2, 1)), 16),
        _constant(
            "binomial5",
            "A blur close to a Gaussian of sigma 1.",
            tuple(tuple(a * b for b in (1, 4, 6, 4, 1)) for a in (1, 4, 6, 4, 1)),
            256,
        ),
        _constant("sharpen", "Sharpens against the 4 neighbours; sums to 1.", ((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
        _constant(
            "sharpen8", "Sharpens against the 8 neighbours; sums to 1.", ((-1, -1, -1), (-1, 9, -1), (-1, -1, -1))
        ),
        unsharp,
        *_gradients("sobel", "Sobel", 1, 2),
        *_gradients("prewitt", "Prewitt", 1, 1),
        *_gradients("scharr", "Scharr", 3, 10),
        *_gradients("freichen", "Frei and Chen", 1, math.sqrt(2)),
        _constant("roberts_a", "Roberts' gradient along one diagonal: upper left less lower right.", ((1, 0), (0, -1))),
        _constant("roberts_b", "Roberts' gradient along the other: upper right less lower left.", ((0, 1), (-1, 0))),
        _constant("laplace4", "The Laplacian from the 4 neighbours.", ((0, 1, 0), (1, -4, 1), (0, 1, 0))),
        _constant("laplace8", "The Laplacian from the 8 neighbours.", _LAPLACE8),
        _constant("outline", "Minus laplace8: the outlines, bright.", _LAPLACE8, -1),
        log,
        dog,
        _constant("emboss", "A relief lit from the upper left; sums to 1.", ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))),
        motion,
        _constant("line_h", "Thin bright horizontal lines.", ((-1, -1, -1), (2, 2, 2), (-1, -1, -1))),
        _constant("line_v", "Thin bright vertical lines.", ((-1, 2, -1), (-1, 2, -1), (-1, 2, -1))),
        _constant("line_45", "Thin bright lines rising to the right.", ((-1, -1, 2), (-1, 2, -1), (2, -1, -1))),
        _constant("line_135", "Thin bright lines falling to the right.", ((2, -1, -1), (-1, 2, -1), (-1, -1, 2))),
        _bank("kirsch", "Kirsch", ((-3, -3, 5), (-3, 0, 5), (-3, -3, 5))),
        _bank("robinson", "Robinson", ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))),
        _bank("prewitt_compass", "Prewitt", ((-1, 1, 1), (-1, -2, 1), (-1, 1, 1))),
        gabor,
    )
}

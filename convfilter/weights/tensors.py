"""What a file says of a tensor: its name, shape and type, and where its numbers lie; and what no file can mean."""

from dataclasses import dataclass
from math import prod

from convfilter.errors import UsageError

BYTES = {  # of one number, by PyTorch's names
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
    "complex64": 8, "complex128": 16,
}  # fmt: skip
AXES = 64  # dimensions, as many as numpy has
MOST = 1 << 50  # numbers in a tensor: past any file
SHARED = 1 << 20  # numbers that a tensor may show beyond those that are stored: PyTorch saves an expanded one so


class WeightsError(UsageError):
    """A file of weights, or a tensor in it, cannot be used; nothing was run, and nothing has been written."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file: element (i, j, ...) is the number ``i*strides[0] + j*strides[1] + ...`` from ``start``.

    ``start`` counts bytes from the file's begin, or from the begin of the zip member ``member`` where that is
    compressed. ``big`` says that the bytes of a number are in big-endian order. ``name`` is empty where a file holds
    one tensor and gives it no name. ``keys`` lead to it in what the file holds, dictionaries and lists.

    >>> Tensor("conv1.weight", (2, 1, 3, 3), "float32", start=72, strides=(9, 9, 3, 1)).span
    18
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    strides: tuple[int, ...]
    member: str | None = None
    big: bool = False
    keys: tuple[str | int, ...] = ()

    @property
    def count(self) -> int:
        """Its numbers."""
        return prod(self.shape)

    @property
    def span(self) -> int:
        """Numbers from the first to the last that it shows, both included."""
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)) if self.count else 0


def check_shape(shape: object) -> tuple[int, ...]:
    """Return a shape that a file gives, as a tuple.

    Raises:
        WeightsError: it is no list of whole numbers from 0, or no file could hold so many numbers.
    """
    if not isinstance(shape, list | tuple) or len(shape) > AXES:
        raise WeightsError("a tensor's shape is no list of whole numbers; the file is damaged")
    for n in shape:
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise WeightsError("a tensor's shape holds what is no whole number from 0; the file is damaged")
        if n > MOST:
            raise WeightsError("a tensor has more numbers than a file can hold; the file is damaged")
    if prod(max(n, 1) for n in shape) > MOST:
        raise WeightsError("a tensor has more numbers than a file can hold; the file is damaged")
    return tuple(shape)


def check_view(tensor: Tensor, offset: int, stored: int) -> Tensor:
    """Return a tensor that shows numbers from ``offset`` on, of ``stored`` ones.

    Raises:
        WeightsError: it reaches outside of them, or shows far more than there are.
    """
    if offset < 0 or min(tensor.strides, default=0) < 0:
        raise WeightsError("a tensor has a negative offset or stride; the file is damaged")
    if tensor.span and offset + tensor.span > stored:
        raise WeightsError(f"a tensor reaches number {offset + tensor.span:,} of {stored:,}; the file is damaged")
    if tensor.count > stored + SHARED:
        raise WeightsError(f"a tensor shows {tensor.count:,} numbers where {stored:,} are stored; the file is damaged")
    return tensor


def dense(shape: tuple[int, ...], *, fortran: bool = False) -> tuple[int, ...]:
    """Return the strides of numbers that lie one after the other, the last axis (or the first) the quickest.

    >>> dense((2, 3, 4)), dense((2, 3, 4), fortran=True)
    ((12, 4, 1), (1, 2, 6))
    """
    strides, step = [], 1
    for n in shape if fortran else reversed(shape):
        strides.append(step)
        step *= n
    return tuple(strides if fortran else reversed(strides))

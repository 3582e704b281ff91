"""Weights that a pipeline gives as a whole, from a file or written out, and the sums that intervals need of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convfilter.layers.checks import ArgumentError

TENSORS = ("weight", "bias", "running_mean", "running_var")  # arguments that may be given so, where a layer has them


@dataclass(frozen=True)
class Given:
    """All numbers of one of a layer's tensors: ``text`` is how a pipeline writes them, and ``shape`` their shape.

    ``read`` gives them, as an array of float32 (numpy's, of which this package knows its methods alone); ``origin`` is
    the file that they are from, with the tensor in it, None where they are written out.
    """

    text: str
    shape: tuple[int, ...]
    read: Callable[[], Any] = field(compare=False, repr=False)
    origin: Any = field(default=None, compare=False, repr=False)

    @cached_property
    def array(self) -> Any:
        """The numbers, read when they are first asked for."""
        return self.read()


def check_shape(given: Given, name: str, shape: tuple[int, ...]) -> Given:
    """Return what is given for a tensor of this shape.

    Raises:
        ArgumentError: it has another shape; names both.
    """
    if given.shape != shape:
        raise ArgumentError(name, f"has the shape {given.shape}, and that of this layer is {shape}")
    return given


def sum_signs(given: Given, *, groups: int = 0) -> list[tuple[float, float]]:
    """Return, of each output channel, the sum of the weights above 0, and of those below.

    They are (out, in, height, width), or (in, out / groups, height, width) where ``groups`` are given, as
    ConvTranspose2d has them.
    """
    array = given.array
    if groups:
        into, out, *size = given.shape
        array = array.reshape(groups, into // groups, out, *size).swapaxes(1, 2).reshape(groups * out, -1)
    array = array.reshape(len(array), -1)
    up, down = (array.clip(*ends).sum(1, dtype="float64").tolist() for ends in ((0, None), (None, 0)))
    return list(zip(up, down, strict=True))

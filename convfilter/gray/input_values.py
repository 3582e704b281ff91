"""Which tensor values a picture becomes, before the first layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Triple = tuple[float, float, float]

NORMALIZE: Mapping[str, tuple[Triple, Triple]] = MappingProxyType(
    {  # name: mean and standard deviation of red, green and blue, where white is 1; as torchvision's models take them
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    }
)


@dataclass(frozen=True)
class InputValues:
    """How a picture of 1 or 3 ``channels`` becomes a tensor: black is 0 and white ``white``, then as ``Normalize``.

    ``torchvision.transforms.Normalize`` takes ``mean`` from each channel and divides by ``std``; both hold a number a
    channel.

    >>> InputValues(3, 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.25)).interval
    (-2.0, 2.0)
    """

    channels: int = 1
    white: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def is_normalized(self) -> bool:
        """Whether a mean or a standard deviation changes the values."""
        return any(self.mean) or any(std != 1 for std in self.std)

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest and the largest value of a picture between black and white, over its channels."""
        ends = [(end - mean) / std for mean, std in zip(self.mean, self.std, strict=True) for end in (0.0, self.white)]
        return min(ends), max(ends)


GRAY = InputValues()  # one channel, from 0 to 255

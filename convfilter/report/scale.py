"""Which colours a page's pictures have by default: the scale of each channel, and the ramps from values to colours.

The page's script knows the same rule (``limits`` in draw.js), for the pictures that it draws again; a test holds the
two together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RAMPS = {  # 256 colours from the first stop to the last; the diverging ones meet at 0 in the page's own shade
    "gray": [(0, 0, 0), (255, 255, 255)],
    "light": [(5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
              (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31)],
    "dark": [(190, 222, 255), (112, 178, 244), (58, 130, 212), (36, 84, 150), (27, 48, 84), (22, 24, 29),
             (84, 36, 28), (150, 58, 36), (212, 96, 58), (244, 150, 112), (255, 216, 190)],
}  # fmt: skip

HARDLY = 0.1  # of the largest value: values that are no further below 0 do not make a layer one of both signs


@dataclass(frozen=True)
class Scale:
    """The values that the first and the last colour stand for; ``scheme`` is "gray" or "diverging" (around 0)."""

    scheme: str
    low: float
    high: float


def default_scale(tensors: Sequence[dict], layers: Sequence[dict], t: int, c: int, white: float) -> Scale:
    """Return the scale on which channel ``c`` of tensor ``t`` is drawn.

    ``tensors`` and ``layers`` are the page's (tensor 0 is the picture, tensor n the output of layer n - 1). A channel
    has the interval of its own values, around 0 where the layer has negative ones, not just a few hardly below 0 as a
    network that makes pictures has. A layer that says ``keeps_scale`` has the scale of the layer before it. A constant
    channel is drawn as ``--norm clip`` would draw it.

    >>> tensors = [{"low": [-9.0], "high": [9.0], "spread": [8.0]}, {"low": [0.0], "high": [9.0], "spread": [8.0]}]
    >>> default_scale([tensors[1], *tensors], [{"keeps_scale": False}, {"keeps_scale": True}], 2, 0, 255)
    Scale(scheme='diverging', low=-8.0, high=8.0)
    """
    tensor = tensors[whose := _whose(layers, t)]
    low, high = tensor["low"][c], tensor["high"][c]
    if low == high and whose == t:
        return Scale("gray", 0.0, white)
    if whose == 0 or min(tensor["low"]) >= -HARDLY * max(tensor["high"]):
        return Scale("gray", low, high)
    reach = tensor["spread"][c] or max(-low, high) or 1.0
    return Scale("diverging", -reach, reach)


def colours(scale: Scale, low: float, high: float) -> np.ndarray:
    """Return the 256 colours (256, 3) of bytes that go from ``low`` to ``high``, on a light page."""
    ramp = _ramp(RAMPS["gray" if scale.scheme == "gray" else "light"])
    values = low + (high - low) * np.arange(256) / 255
    share = (values - scale.low) / (scale.high - scale.low) if scale.high > scale.low else np.zeros(256)
    return ramp[np.floor(255 * share.clip(0, 1) + 0.5).astype(int)]


def _whose(layers: Sequence[dict], t: int) -> int:
    """The tensor whose scale tensor ``t`` is drawn on."""
    return _whose(layers, t - 1) if t and layers[t - 1]["keeps_scale"] else t


def _ramp(stops: Sequence[tuple[int, int, int]]) -> np.ndarray:
    places = np.arange(256) / 255 * (len(stops) - 1)
    k = np.minimum(len(stops) - 2, places.astype(int))
    stops = np.array(stops, float)
    return np.floor(stops[k] + (stops[k + 1] - stops[k]) * (places - k)[:, None] + 0.5).astype(np.uint8)


def steps(values: np.ndarray, count: int = 8) -> np.ndarray:
    """Return how strong each value is, from -count to count, with the strongest at one end; 0 for none."""
    most = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    shares = np.nan_to_num(values / most, posinf=1, neginf=-1) if most > 0 and math.isfinite(most) else values * 0
    return np.sign(shares).astype(int) * np.ceil(np.abs(shares) * count - 1e-6).astype(int)

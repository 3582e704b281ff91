"""What fits on a report's page: which tensors and weights it carries exactly, and how large the pictures are."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from convfilter.language.pipeline import Pipeline
from convfilter.layers.shapes import Axis, Shape, Window
from convfilter.report.values import OF_ONE_VALUE, rule, weights_of

LIMIT = 9_500_000  # bytes of a page, of which...
PICTURE_BYTES, WEIGHTS_BYTES, EXACT_BYTES = 4_000_000, 2_000_000, 2_000_000  # ...the most for what is carried exactly
OTHER_BYTES = 150_000
CHANNEL = 2600  # bytes of a channel's markup, its kernel in numbers, and its palette
CHANNELS_BYTES = 5_500_000  # for the channels' pictures: a page should go through the mail
PIXELS = 400_000  # of one channel's picture, at most: more cannot be seen
SHOWN = 1500  # channels in all
BYTE = 1.35  # characters for a byte that cannot be compressed
PIXEL = 1.1  # characters for a pixel of a picture, as a rule; noise takes more
LENS = 15  # pixels across of the magnified neighbourhood
WORK = 100_000_000  # multiplications that a browser does without a pause that disturbs


@dataclass(frozen=True)
class Plan:
    """Tensor 0 is the picture and tensor n what comes out of layer n; layers count from 0.

    ``exact`` are the tensors besides the picture that are carried exactly (a part around one place, where they are
    large), ``exact_bytes`` the most for each. ``weights`` are the layers whose weights are carried. A channel's picture
    has at most ``pixels[tensor]`` pixels, and ``shown`` of a tensor's channels have one.
    """

    exact: frozenset[int]
    exact_bytes: int
    weights: frozenset[int]
    pixels: tuple[int, ...]
    shown: int


def make_plan(pipeline: Pipeline, network: nn.Sequential, shapes: Sequence[Shape], picture: int, share: float) -> Plan:
    """Return the plan for a page on which the picture's exact values take ``picture`` bytes.

    ``share`` of what is left goes to the channels' pictures.

    The script computes a tensor from the one before it. One that it has no rule for, whose weights are not carried, or
    that takes too long from the nearest one that is carried, is carried itself.
    """
    weights, left = set(), WEIGHTS_BYTES
    for number, module in enumerate(network):
        carried = weights_of(module)
        size = 0 if carried is None else int(4 * BYTE * carried.size)
        if size <= left:
            left -= size
            weights.add(number)
    exact: set[int] = set()
    for t in range(1, len(shapes)):
        layer = pipeline.layers[t - 1]
        if rule(layer) == "unknown" or t - 1 not in weights or _work(pipeline, network, shapes, t, exact) > WORK:
            exact.add(t)
    channels = sum(c for c, _, _ in shapes)
    shown = max(1, SHOWN // len(shapes))
    available = LIMIT - OTHER_BYTES - picture - (WEIGHTS_BYTES - left) - bool(exact) * EXACT_BYTES
    maps = [min(c, shown) for c, _, _ in shapes]
    available = min(CHANNELS_BYTES, available - CHANNEL * sum(maps) - 40 * channels)
    pixels = _divide(int(available * share / PIXEL), maps, [min(PIXELS, h * w) for _, h, w in shapes])
    return Plan(frozenset(exact), EXACT_BYTES // max(1, len(exact)), frozenset(weights), pixels, shown)


def _divide(total: int, maps: Sequence[int], most: Sequence[int]) -> tuple[int, ...]:
    """Divide pixels evenly among tensors of so many channels; what one cannot use goes to the others.

    ``most`` pixels of a channel can be used.
    """
    pixels, left = [0] * len(maps), len(maps)
    for t in sorted(range(len(maps)), key=lambda t: maps[t] * most[t]):
        pixels[t] = max(1, min(most[t], total // left // maps[t]))
        total -= pixels[t] * maps[t]
        left -= 1
    return tuple(pixels)


def _work(pipeline: Pipeline, network: nn.Sequential, shapes: Sequence[Shape], t: int, exact: set[int]) -> int:
    """The multiplications behind one lens of tensor t, from the nearest tensor that is carried."""
    work, (height, width) = 0, (LENS, LENS)
    for number in range(t - 1, -1, -1):
        layer, module = pipeline.layers[number], network[number]
        (_, h, w), (c, out_h, out_w) = shapes[number : number + 2]
        height, width = min(height, out_h), min(width, out_w)
        rows, columns = layer.effect.rows, layer.effect.columns
        if rule(layer) in OF_ONE_VALUE:
            rows = columns = Window()
        carried = weights_of(module)
        weights = 0 if carried is None or rule(layer) in OF_ONE_VALUE else carried.size
        work += height * width * (weights or c * _seen(rows, 1, h) * _seen(columns, 1, w))
        if number in exact:
            break
        height, width = _seen(rows, height, h), _seen(columns, width, w)
    return work


def _seen(axis: Axis, outputs: int, n: int) -> int:
    low, high = axis.reach(0, outputs, n)
    return min(high - low, n)

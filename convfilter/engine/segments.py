"""Which layers a picture goes through tile by tile, and which need all of it at once; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from convfilter.engine.intervals import can_cut
from convfilter.layers.shapes import Effect


@dataclass(frozen=True, slots=True)
class Segment:
    """Layers, by number, that a tile goes through by itself; or one, not ``cut``, that needs the whole picture."""

    layers: range
    cut: bool


def split_layers(effects: Sequence[Effect]) -> list[Segment]:
    """Return the segments of a pipeline whose layers have these effects; the last one is cut, and may be empty.

    >>> from convfilter import parse
    >>> pipeline = parse("edge | ReLU | InstanceNorm2d(1) | Tanh")
    >>> split_layers([layer.effect for layer in pipeline.layers])  # doctest: +NORMALIZE_WHITESPACE
    [Segment(layers=range(0, 2), cut=True), Segment(layers=range(2, 3), cut=False),
     Segment(layers=range(3, 4), cut=True)]
    """
    segments: list[Segment] = []
    for number, effect in enumerate(effects):
        axes = effect.rows, effect.columns
        if segments and segments[-1].cut and all(can_cut(axis, first=False) for axis in axes):
            segments[-1] = Segment(range(segments[-1].layers.start, number + 1), True)
        else:
            segments.append(Segment(range(number, number + 1), all(can_cut(axis, first=True) for axis in axes)))
    if not segments or not segments[-1].cut:  # what needed the whole picture is handed on in tiles all the same
        segments.append(Segment(range(len(effects), len(effects)), True))
    return segments

"""How much memory the engine takes for a picture; without torch, for it is asked before anything is decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

from convfilter.engine.segments import split_layers
from convfilter.language.pipeline import Pipeline
from convfilter.layers.shapes import Shape

KEPT = 1 << 28  # bytes of floats up to which an output is kept between its two readings; past them it is made twice
TILES = 1 << 27  # bytes of the tiles under way, in all
FLOAT = 4  # bytes
LACKING = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")  # in what torch and cuDNN say


def is_kept(shape: Shape) -> bool:
    """Return whether an output (C, H, W) is kept between the reading of its range and that of its pixels.

    >>> is_kept((1, 8192, 8192)), is_kept((1, 8192, 8193))
    (True, False)
    """
    return FLOAT * prod(shape) <= KEPT


def tiled_peak_bytes(pipeline: Pipeline, shape: Shape, *, floats: bool = False, bits: int = 8) -> int:
    """Return about how many bytes the engine holds at its peak for a picture (C, H, W), beside the picture itself.

    ``floats`` says that the output is asked for as floats, not as levels of so many ``bits``. Several channels are
    written one after the other, so that the levels of all are held.

    Raises:
        PipelineError: a layer does not take its input's shape.

    >>> from convfilter import parse
    >>> [tiled_peak_bytes(parse(text), (1, 20_000, 20_000)) // 1_000_000 for text in ("edge", "InstanceNorm2d(1)")]
    [134, 4934]
    """
    shapes = [shape, *pipeline.shapes(shape)]
    segments = split_layers([layer.effect for layer in pipeline.layers])
    peak = held = 0  # what is held is the activation in front of a segment
    for segment in segments[:-1]:
        before, after = shapes[segment.layers.start], shapes[segment.layers.stop]
        if segment.cut:
            peak = max(peak, held + FLOAT * prod(after))
        else:
            layer = pipeline.layers[segment.layers.start]
            scratch = layer.entry.scratch(layer.effect, layer.arguments, before, after)
            peak = max(peak, FLOAT * (prod(before) + prod(after) + max(scratch, prod(after))))
        held = FLOAT * prod(after)
    output = shapes[-1]
    held += FLOAT * prod(output) if floats or is_kept(output) else 0
    held += prod(output) * bits // 8 if output[0] > 1 else 0
    return max(peak, held) + TILES


@contextmanager
def memory_errors() -> Iterator[None]:
    """Let torch's failure to get memory be a MemoryError, as everyone else's is.

    On the CPU torch has no class of its own for it, nor has cuDNN: it is told by the words of a RuntimeError.

    >>> with memory_errors():
    ...     raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    Traceback (most recent call last):
    MemoryError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes
    """
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error) for words in LACKING):
            raise MemoryError(str(error)) from error
        raise

"""How the padding of an interval is filled, for a layer that is applied without its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from convfilter.engine.intervals import Interval


def pad(x: Tensor, dim: int, interval: Interval, value: float) -> Tensor:
    """Return the inputs of an interval along ``dim`` (2: rows, 3: columns), where ``x`` holds their sources.

    ``value`` stands where the padding's mode is zeros.

    >>> from convfilter.engine.intervals import find_interval
    >>> from convfilter.layers.shapes import Window
    >>> interval = find_interval(Window(3, before=1, after=1, mode="reflect"), 4, range(4))
    >>> pad(torch.arange(4.0).view(1, 1, 1, 4), 3, interval, 0.0).flatten().tolist()
    [1.0, 0.0, 1.0, 2.0, 3.0, 2.0]
    """
    inputs, sources = interval.inputs, interval.sources
    if inputs == sources:
        return x
    shape = [len(inputs) if d == dim else n for d, n in enumerate(x.shape)]
    if getattr(interval.axis, "mode", "zeros") == "zeros":
        if inputs.stop <= sources.start or sources.stop <= inputs.start:  # nothing but padding
            return x.new_full(shape, value)
        sides = sources.start - inputs.start, inputs.stop - sources.stop
        return F.pad(x, (0, 0, *sides) if dim == 2 else sides, value=value)
    if x.device.type != "cpu":
        places = [interval.axis.source(place, interval.length) - sources.start for place in inputs]
        return x.index_select(dim, torch.tensor(places, device=x.device))
    channels_last = x.shape[1] > 1 and x.stride(1) == 1
    padded = torch.empty(shape, memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    to, of, before = padded.numpy(), x.numpy(), (slice(None),) * dim
    start, stop = max(inputs.start, sources.start), min(inputs.stop, sources.stop)
    if start < stop:
        to[*before, start - inputs.start : stop - inputs.start] = of[
            *before, start - sources.start : stop - sources.start
        ]
    outside = [*range(inputs.start, min(start, inputs.stop)), *range(max(stop, start), inputs.stop)]
    found = [interval.axis.source(place, interval.length) - sources.start for place in outside]
    to[*before, [place - inputs.start for place in outside]] = of[*before, found]
    return padded

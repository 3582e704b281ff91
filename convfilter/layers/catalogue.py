"""All layers there are, by name: one entry each, which says everything that the program knows of it."""

from collections.abc import Mapping

from convfilter.layers import activations, convolutions, identity, normalisation, pooling, resizing
from convfilter.layers.entry import Entry

LAYERS: Mapping[str, Entry] = {
    entry.name: entry
    for module in (convolutions, pooling, activations, resizing, normalisation, identity)
    for entry in vars(module).values()
    if isinstance(entry, Entry)
}

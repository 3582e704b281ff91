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

# What torch.nn has beside them that seems to fit, and why it does not; what to write instead.
REFUSED: Mapping[str, str] = {
    "Unfold": "its output is a matrix with a column for each window, not a picture; write Conv2d or PixelUnshuffle",
    "Fold": "its input is the matrix that Unfold gives, not a picture; write ConvTranspose2d or PixelShuffle",
    **dict.fromkeys(
        ["MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"],
        "it needs the places of the maxima, which a pipeline does not pass on; write Upsample",
    ),
    **dict.fromkeys(
        ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
         "TransformerEncoderLayer", "MultiheadAttention", "RNN", "RNNCell", "LSTM", "LSTMCell", "GRU", "GRUCell",
         "Embedding", "EmbeddingBag"],
        "it takes a sequence, not a picture",
    ),
    **dict.fromkeys(["CosineSimilarity", "PairwiseDistance"], "it compares two inputs, and a pipeline has one"),
    "Unflatten": "a picture has rows and columns already; write PixelShuffle to make more of them of channels",
}  # fmt: skip

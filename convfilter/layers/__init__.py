"""The vocabulary: what each layer of PyTorch takes, what it does to a shape, and what other parts ask of it.

It knows no text, no picture and no tensor, and imports the standard library and ``convfilter.errors`` alone.
"""

"""Tensors: a pipeline as ``nn.Sequential``, and the same answer tile by tile, on all cores, in bounded memory.

It may import ``gray`` and what that may; it knows no file. Here torch is imported.
"""

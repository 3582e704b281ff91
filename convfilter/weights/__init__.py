"""Tensors in files: their names, shapes and types without PyTorch, and their values; no file can make anything run.

It may import what lies in no package, and numpy where values are read. A pickle is read by rules of its own, and what
is more than tensors and plain values is refused: PyTorch's own reader is never asked.
"""

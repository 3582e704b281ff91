"""A pipeline as something that other programs run: a PyTorch script.

It may import ``run`` and what that may.
"""

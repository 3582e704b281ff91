"""A pipeline as something that other programs run: a PyTorch script, a network, or a file of weights.

It may import ``run`` and what that may.
"""

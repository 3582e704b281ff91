"""Run pictures through pipelines of PyTorch layers."""

__version__ = "0.1.0"

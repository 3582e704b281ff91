"""Run pictures through pipelines of PyTorch layers."""

from convfilter.errors import ConvfilterError, InputError, OutputError, PipelineError, UsageError
from convfilter.pipeline import Pipeline, parse

__version__ = "0.1.0"
__all__ = ["ConvfilterError", "InputError", "OutputError", "Pipeline", "PipelineError", "UsageError", "parse"]

"""Run pictures through pipelines of PyTorch layers."""

from convfilter.errors import ConvfilterError, InputError, OutputError, PipelineError, UsageError
from convfilter.pipeline import Pipeline, parse
from convfilter.run import Result, run_files

__version__ = "0.1.0"
__all__ = [
    "ConvfilterError",
    "InputError",
    "OutputError",
    "Pipeline",
    "PipelineError",
    "Result",
    "UsageError",
    "parse",
    "run_files",
]

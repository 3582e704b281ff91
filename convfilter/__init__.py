"""Run pictures through pipelines of PyTorch layers."""

from importlib import import_module

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


def __getattr__(name: str):  # loaded when they are asked for: the program must hear a Ctrl-C before it loads anything
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = (
        "errors"
        if name.endswith("Error")
        else {"Pipeline": "pipeline", "parse": "pipeline", "Result": "results"}.get(name, "run")
    )
    return getattr(import_module(f"convfilter.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

"""Run pictures through pipelines of PyTorch layers."""

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
    from importlib import import_module

    homes = {
        "Pipeline": "language.pipeline",
        "parse": "language.pipeline",
        "Result": "run.result",
        "run_files": "run.api",
    }
    return getattr(import_module(f"convfilter.{homes.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

"""Run pictures through pipelines of PyTorch layers."""

TYPE_CHECKING = False  # as typing has it, whose import takes a shell loop longer than all else

__version__ = "0.1.0"
__all__ = [
    "ConvfilterError",
    "Explanation",
    "FileList",
    "InputError",
    "OutputError",
    "Pipeline",
    "PipelineError",
    "Result",
    "Run",
    "UsageError",
    "parse",
    "run_files",
]

if TYPE_CHECKING:
    from convfilter.errors import ConvfilterError, InputError, OutputError, PipelineError, UsageError
    from convfilter.files.listed import FileList
    from convfilter.notebook.pipeline import Explanation, Pipeline, parse
    from convfilter.run.api import Run, run_files
    from convfilter.run.result import Result
else:  # loaded when they are asked for: the program must hear a Ctrl-C before it loads anything

    def __getattr__(name: str):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        homes = dict.fromkeys(("Explanation", "Pipeline", "parse"), "notebook.pipeline")
        homes |= {"Run": "run.api", "run_files": "run.api", "Result": "run.result", "FileList": "files.listed"}
        return getattr(import_module(f"convfilter.{homes.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

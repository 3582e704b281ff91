"""run_files(): pictures in, one Result each out, in order."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Unpack

from convfilter.files.listed import FileList
from convfilter.language.pipeline import Pipeline, parse
from convfilter.run.keywords import Keywords
from convfilter.run.options import make_options
from convfilter.run.result import Result
from convfilter.run.runner import Runner

Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | FileList


class Run:
    """An iterator over the results of a run; ``stop()`` ends it, and so does dropping it before its end."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._results = runner.results()  # which holds the runner, and not this: so it ends when this is dropped

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        return next(self._results)

    @property
    def stopped(self) -> bool:
        """Whether the run was ended before all was done."""
        return self._runner.stopped

    @property
    def device(self) -> str:
        """Where PyTorch computes, such as "cuda:0 (NVIDIA H100)"; what ``device="auto"`` has chosen."""
        return self._runner.device

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know before the start, such as versions on a cluster that differ from those here."""
        return self._runner.notes

    def stop(self) -> None:
        """Let no output appear from now on; what is finished is still yielded. Any thread may call this."""
        self._runner.stop()

    def ends_with(self, result: Result) -> bool:
        """Return whether a result ends the run: every further picture would fail too, or ``fail_fast`` says so."""
        return self._runner.ends_with(result)

    def count(self) -> int | None:
        """Return how many sources there are, by walking the folders once more, slowly: the pictures come first.

        Of a list it is how many names there are, and None where that can be read once only.
        """
        return self._runner.count()


def run_files(
    pipeline: Pipeline | str,
    inputs: Inputs,
    *,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
    **options: Unpack[Keywords],
) -> Run:
    """Return an iterator over a Result for each picture among ``inputs``, in order, as its outputs are written.

    ``inputs`` are files, folders, and "-" for standard input, or a ``FileList``, which is read as the run goes on.
    ``options`` are the command's long options, such as ``output="out"``, ``norm="clip"``, ``jobs=1``; ``convfilter run
    --help`` shows all. What is wrong with one picture is in its Result, and the others still run.
    ``passed_over(path, reason)`` is told of what a folder holds besides pictures. An iteration that ends early stops
    the run: no output appears afterwards.

    Raises:
        UsageError, PipelineError: on the call itself; nothing has been written.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "dot.pgm").write_bytes(b"P5 6 6 255 " + bytes(14) + bytes([9]) + bytes(21))
    >>> [result] = run_files("edge", folder / "dot.pgm")
    >>> pathlib.Path(result.outputs[0]).name, result.shape, result.ranges
    ('dot_edge.png', (1, 2, 2), ((-9.0, 216.0),))
    """
    parsed = parse(pipeline) if isinstance(pipeline, str) else pipeline
    if isinstance(inputs, FileList):
        return Run(Runner(parsed, make_options(options), inputs, passed_over))
    named = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    return Run(Runner(parsed, make_options(options), [os.fspath(path) for path in named], passed_over))

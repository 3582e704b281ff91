"""run_files(): pictures in, one Result each out, in order; the one door to torch."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Unpack

from convfilter.language.pipeline import Pipeline, parse
from convfilter.run.keywords import Keywords
from convfilter.run.options import make_options
from convfilter.run.result import Result
from convfilter.run.runner import Work

Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class Run:
    """An iterator over the results of a run; ``stop()`` ends it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._results = work.results()

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        return next(self._results)

    @property
    def stopped(self) -> bool:
        """Whether the run was ended before all was done."""
        return self._work.stopped.is_set()

    def stop(self) -> None:
        """Let no output appear from now on; what is finished is still yielded. Any thread may call this."""
        self._work.stop()


def run_files(
    pipeline: Pipeline | str,
    inputs: Inputs,
    *,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
    **options: Unpack[Keywords],
) -> Run:
    """Return an iterator over a Result for each picture among ``inputs``, in order, as its outputs are written.

    ``inputs`` are files, folders, and "-" for standard input. ``options`` are the command's long options, such as
    ``output="out"``, ``norm="clip"``, ``jobs=1``; ``convfilter run --help`` shows all. What is wrong with one picture
    is in its Result, and the others still run. ``passed_over(path, reason)`` is told of what a folder holds besides
    pictures. An iteration that ends early stops the run: no output appears afterwards.

    Raises:
        UsageError, PipelineError: on the call itself; nothing has been written.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "dot.pgm").write_bytes(b"P5 6 6 255 " + bytes(14) + bytes([9]) + bytes(21))
    >>> [result] = run_files("edge", folder / "dot.pgm")
    >>> pathlib.Path(result.outputs[0]).name, result.shape, result.ranges
    ('dot_edge.png', (1, 2, 2), ((-9.0, 216.0),))
    """
    return Run(_work(pipeline, inputs, passed_over, options))


def count_files(pipeline: Pipeline | str, inputs: Inputs, **options: Unpack[Keywords]) -> int:
    """Return how many pictures ``run_files`` would take, by walking its folders once more, slowly: those come first."""
    count = 0
    for count, _ in enumerate(_work(pipeline, inputs, lambda path, reason: None, options).entries(), 1):
        if count % 100 == 0:
            time.sleep(0.01)
    return count


def _work(
    pipeline: Pipeline | str, inputs: Inputs, passed_over: Callable[[str, str], None], given: Mapping[str, object]
) -> Work:
    pipeline = parse(pipeline) if isinstance(pipeline, str) else pipeline
    inputs = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    options = make_options(given).check(pipeline)
    return Work(options.cut(pipeline), options, [os.fspath(path) for path in inputs], passed_over)

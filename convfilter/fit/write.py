"""Learns from files, and writes what was learnt as a file of weights, whole or not at all."""

import os
from collections.abc import Callable, Sequence

from safetensors.torch import save
from torch import Tensor

from convfilter.errors import InputError, UsageError, escape
from convfilter.explain.pixel.grids import Cell, Grid, write_grids
from convfilter.files.targets import check_folder, find_target
from convfilter.fit.learn import Learnt, learn
from convfilter.fit.pairs import group_pictures, read_pair
from convfilter.language.pipeline import Pipeline
from convfilter.run.loading import find_device
from convfilter.run.one_file import write_file
from convfilter.run.options import Options

SHOWN = 4  # kernels


def fit_files(
    pipeline: Pipeline,
    pictures: Sequence[str],
    output: str,
    options: Options,
    *,
    steps: int = 300,
    on_step: Callable[[int, float], object] = lambda step, error: None,
) -> Learnt:
    """Learn the pipeline's weights from pictures before and after, and write them to a safetensors file.

    ``pictures`` are those that ``group_pictures`` groups. Of ``options`` those hold that say how a picture is read.

    The file's names are those of the pipeline's ``nn.Sequential``, so that ``--weights`` finds them.

    Raises:
        UsageError: the pictures are no pairs, or the output is one of them or no safetensors file.
        PipelineError, InputError, OutputError: see ``read_pair`` and ``learn``.
    """
    options.check(pipeline)
    device, _ = find_device(options.device)
    if os.path.splitext(output)[1].lower() != ".safetensors":
        raise UsageError(f"-o {escape(output)}: the weights are written as .safetensors; give it that suffix")
    if os.path.exists(output) and any(os.path.samefile(output, path) for path in pictures if os.path.exists(path)):
        raise UsageError(f"-o {escape(output)}: is a picture to learn from, and no input is replaced")
    check_folder(os.path.dirname(output))
    find_target(output)
    groups = group_pictures(pipeline.channels(options.channels_in), pictures)
    pairs = [read_pair(pipeline, before, afters, options) for before, afters in groups]
    try:
        learnt = learn(pipeline, pairs, seed=options.seed, steps=steps, device=device, on_step=on_step)
    except InputError as error:
        raise InputError(f"{escape(pictures[0])}: {error}") from None
    data = save({name: tensor.contiguous() for name, tensor in (learnt.last | learnt.fixed).items()})
    write_file(output, lambda file: file.write(data), no_clobber=options.no_clobber)
    return learnt


def write_kernels(learnt: Learnt, width: int = 80) -> list[str]:
    """Return lines that show the first kernels, each beside what has become of it."""
    kernels = [
        (f"{name}[{out}, {into}]", first[out, into], learnt.last[name][out, into])
        for name, first in learnt.first.items()
        if first.ndim == 4
        for out in range(len(first))
        for into in range(first.shape[1])
    ]
    lines = []
    for title, first, last in kernels[:SHOWN]:
        lines += [*write_grids([_grid(f"{title} at first", first), _grid("learnt", last)], ">", max(width, 40)), ""]
    if len(kernels) > SHOWN:
        lines += [f"and {len(kernels) - SHOWN:,} more kernels", ""]
    return lines


def _grid(title: str, matrix: Tensor) -> Grid:
    return Grid(title, tuple(tuple(Cell(round(value, 4)) for value in row) for row in matrix.tolist()))

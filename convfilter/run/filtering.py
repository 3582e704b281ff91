"""One source to its result: its outputs named, the picture looked at, admitted, read, rendered and written."""

import io
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, cast

from convfilter import streams
from convfilter.errors import InputError, OutputError, escape
from convfilter.files.existing import is_done
from convfilter.files.transaction import OutputWriter
from convfilter.files.walk import Problem, Source
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import Budget, check_size, torch_memory_errors
from convfilter.run.options import Options
from convfilter.run.plan import Key, OutputPlan
from convfilter.run.result import Result, failure

if TYPE_CHECKING:  # it loads torch
    from convfilter.run.render import Rendered, Renderer


@dataclass(frozen=True, eq=False)
class Filtering:
    """What all sources of a run share; ``result(entry)`` may be called by several threads at once.

    ``renderer`` returns the one renderer, and makes it when it is first called: that loads torch. ``elsewhere``, if
    there is such a function, does as ``write`` in another process.
    """

    pipeline: Pipeline
    options: Options
    plan: OutputPlan
    writer: OutputWriter
    budget: Budget
    renderer: Callable[[], "Renderer"]
    elsewhere: Callable[[Source, dict[Key, str]], Result] | None = None

    def result(self, entry: Source | Problem) -> Result:
        """Return what became of one source, whatever that is."""
        start = time.perf_counter()
        result = attempt(entry, lambda: self._filter(entry))
        return replace(result, seconds=time.perf_counter() - start)

    def _filter(self, entry: Source | Problem) -> Result:
        if isinstance(entry, Problem):
            raise InputError(entry.reason)
        from convfilter.images.reader import check_frames, read_header

        options, file = self.options, self._open(entry)
        header = read_header(file) if options.dry_run or options.frames == "all" else None
        paths = self.plan.paths(entry, header.frames if header and options.frames == "all" else 1)
        outputs = tuple(paths.values())
        files = () if options.output == "-" else outputs  # there may be a file of that name, which is none of them
        if options.skip_existing and not entry.is_stdin and is_done(entry.path, files):
            if not options.dry_run:
                self.writer.prepare_folder(entry.folder or os.curdir)  # removes what killed runs left
            return Result(entry.path, "skipped", outputs)
        for path in files if options.no_clobber else ():
            if os.path.lexists(path):
                raise OutputError(f"{escape(path)}: exists, and --no-clobber keeps it")
        if header and options.dry_run:
            check_frames(options.frames, header)
            check_size(self.pipeline, options, header, self.budget.size)
            shape = self.pipeline.shapes((self.options.channels_in, header.height, header.width))[-1]
            return Result(entry.path, "done", outputs, header.width, header.height, shape)
        if self.elsewhere and not entry.is_stdin:
            result = self.elsewhere(entry, paths)
        else:
            result = self.write(entry, file, paths)
        return replace(result, outputs=outputs) if result.status == "done" else result

    def _open(self, source: Source) -> str | io.BytesIO:
        """Return the path of a source, or all of standard input."""
        if not source.is_stdin:
            return source.path
        data = streams.read_in(self.budget.size)
        if data is None:
            raise InputError(f"it has more than {show_bytes(self.budget.size)}; --max-memory allows more")
        return data

    def write(self, source: Source, file: str | io.BytesIO, paths: Mapping[Key, str]) -> Result:
        """Write all outputs of one picture or none, and return its result but for their paths."""
        from convfilter.images.reader import read_pictures

        options, result = self.options, Result(source.path, "done")
        notes: list[str] = []
        details: list[str] = []
        last = len(self.pipeline.layers) - 1
        with self.budget.share() as share, self.writer.transaction() as files:
            pictures = read_pictures(
                file,
                frames=options.frames,
                background=options.background,
                mode=options.mode,
                admit=lambda header: share.take(check_size(self.pipeline, options, header, self.budget.size)),
            )
            for picture in pictures:
                shape: tuple[int, int, int] | None = None
                ranges: list[tuple[float, float]] = []
                for rendered in self.renderer().render(picture, os.path.basename(source.path)):
                    key = (picture.frame if options.frames == "all" else 0, rendered.layer, rendered.channel)
                    if options.output == "-":
                        self._write_out(rendered)
                    else:
                        with files.open(self.plan.target or paths[key]) as output:
                            rendered.write(cast(BinaryIO, output))  # which has of one what writers call
                    notes += rendered.notes
                    if rendered.layer == last:
                        ranges = list(rendered.ranges) if rendered.channel is None else [*ranges, *rendered.ranges]
                        shape = rendered.shape
                _, height, width = picture.shape
                if options.frames == "first" and picture.frames > 1:
                    notes, details = [*notes, *picture.notes[:-1]], [*picture.notes[-1:]]  # which says so
                else:
                    notes += picture.notes
                result = replace(result, width=width, height=height, shape=shape, ranges=tuple(ranges))
            files.commit()
        return replace(result, notes=tuple(notes), details=tuple(details))

    def _write_out(self, rendered: "Rendered") -> None:
        """Write one output to standard output, when it is whole."""
        held = io.BytesIO()
        rendered.write(held)
        if self.budget.stopped:
            raise OutputError("standard output: not written: the run was stopped")
        try:
            streams.write_out(held.getbuffer())
        except (OSError, ValueError) as error:
            raise OutputError(f"standard output: {getattr(error, 'strerror', None) or error}", fatal=True) from None


def attempt(entry: Source | Problem, function: Callable[[], Result]) -> Result:
    """Return the function's result, or that of the error which it raises, whatever that is."""
    try:
        with torch_memory_errors():
            return function()
    except Exception as error:
        return failure(entry.path, error)

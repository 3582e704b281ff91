"""One source to its result: its outputs named, the picture looked at, admitted, read, rendered and written."""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, cast

from convfilter import streams
from convfilter.engine.memory import memory_errors
from convfilter.errors import InputError, OutputError, escape
from convfilter.files.destination import find_destination
from convfilter.files.existing import is_foreign, is_ours, is_whole
from convfilter.files.transaction import OutputWriter, exists
from convfilter.files.walk import Problem, Source
from convfilter.images import png_keys
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import Budget, check_size
from convfilter.run.options import Options
from convfilter.run.plan import Key
from convfilter.run.recipe import find_difference, write_source, write_texts
from convfilter.run.result import Result, failure

if TYPE_CHECKING:  # it loads torch
    from convfilter.run.render import Rendered, Renderer

Input = str | os.PathLike[str] | io.BytesIO  # what a picture is read from


@dataclass(frozen=True, eq=False)
class Filtering:
    """What all sources of a run share; ``result(entry)`` may be called by several threads at once.

    ``paths`` names the outputs of a source that gives so many frames, and ``target`` is the one file to write where -o
    names one. ``renderer`` returns the one renderer, and makes it when it is first called: that loads torch.
    ``elsewhere``, if there is such a function, does as ``write`` in another process.
    """

    pipeline: Pipeline
    options: Options
    paths: Callable[[Source, int], dict[Key, str]]
    target: str | None
    writer: OutputWriter
    budget: Budget
    renderer: Callable[[], "Renderer"]
    elsewhere: Callable[[Source, Input, Mapping[Key, str]], Result] | None = None

    def result(self, entry: Source | Problem) -> Result:
        """Return what became of one source, whatever that is."""
        start = time.perf_counter()
        result = attempt(entry, lambda: self._filter(entry))
        return self.finish(entry, replace(result, seconds=time.perf_counter() - start))

    def finish(self, entry: Source | Problem, result: Result) -> Result:
        """Return a result with where the outputs of a failed source would go, unless -o names one file."""
        output = self.options.output
        if result.status != "failed" or self.target is not None or output == "-":
            return result
        return replace(result, destination=find_destination(output, entry.folder, entry.labels))

    def _filter(self, entry: Source | Problem) -> Result:
        if isinstance(entry, Problem):
            raise InputError(entry.reason, kind=entry.kind)
        file = self._open(entry)
        return self.make(entry, file, self.name(entry, file))

    def name(self, source: Source, file: Input) -> dict[Key, str]:
        """Return the path of each output of a source.

        Raises:
            InputError: its frames are to be counted, and it cannot be read. UsageError: its names are all inputs'.
        """
        from convfilter.images.reader import read_header

        return self.paths(source, read_header(file).frames if self.options.frames == "all" else 1)

    def make(self, entry: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        """Return what became of a source whose outputs have these paths; ``file`` is where its bytes are.

        Raises:
            ConvfilterError, OSError: it cannot be read, filtered or written.
        """
        options, outputs = self.options, tuple(paths.values())
        files = () if options.output == "-" else outputs  # there may be a file of that name, which is none of them
        again = None
        if options.skip_existing and not entry.is_stream and files:
            if entry.root is None and self._is_marked(entry):
                return Result(entry.path, "skipped", notes=("convfilter has made it, so it is no input here",))
            again, notes = self._compare(entry, paths)
            if again is None:
                if not options.dry_run:
                    self._tidy(entry.folder or os.curdir)
                return Result(entry.path, "skipped", outputs, notes=notes)
        if files and (options.no_clobber or not options.force):
            self._check_free(files)
        if options.dry_run:
            from convfilter.images.reader import check_frames, read_header

            header = read_header(file)
            check_frames(options.frames, header)
            check_size(self.pipeline, options, header, self.budget.size)
            shape = self.pipeline.shapes((self.options.channels_in, header.height, header.width))[-1]
            return Result(entry.path, "done", outputs, header.width, header.height, shape)
        replaced = self._find_replaced(paths) if files else ()
        places = dict.fromkeys(paths, self.target) if self.target else paths
        try:
            result = self._make(entry, file, places)
        except OutputError as error:
            result = failure(entry.path, error)
        if result.status != "done":
            return self.fail_or_skip(result, outputs)
        details = (f"made again: {again}", *result.details) if again else result.details
        return replace(result, outputs=outputs, notes=(*replaced, *result.notes), details=details)

    def fail_or_skip(self, failed: Result, outputs: tuple[str, ...]) -> Result:
        """Return a failed result, or that of a source which is skipped because another run was first."""
        if failed.kind == "exists" and self.options.skip_existing and self.options.no_clobber:
            return Result(failed.source, "skipped", outputs)
        return failed

    def _compare(self, source: Source, paths: Mapping[Key, str]) -> tuple[str | None, tuple[str, ...]]:
        """Return why outputs are to be made, "" where they are not there, None where all are done; and notes.

        An output is done where its texts say that the same was made of the same source, and it is whole. Where it has
        no texts, its date is not before the source's.
        """
        from convfilter.images.png import read_text

        only_dates = False
        for (frame, layer, _), path in paths.items():
            try:
                with self._made(path) as made:
                    if made is None:
                        return "", ()
                    if not is_whole(made):
                        return f"{escape(path)} is damaged, or not what its name says", ()
                    if path.endswith(".png") and self.options.metadata:
                        wanted = self._texts(source, frame) | write_texts(self.pipeline, self.options, layer)
                        if difference := find_difference(read_text(made), wanted):
                            return f"{escape(path)}: {difference}", ()
                    else:
                        only_dates = True
                        if os.stat(made).st_mtime_ns < self._date(source):
                            return f"{escape(path)} is older than its source", ()
            except (OSError, InputError) as error:
                return f"{escape(path)}: {error}", ()
        return None, ("only the dates of its outputs were compared: they do not say how they were made",) * only_dates

    def _find_replaced(self, paths: Mapping[Key, str]) -> tuple[str, ...]:
        """Return a note where an output of another recipe has the name of one that is to be made.

        Of the same recipe another source is no surprise, nor is a file that tells of none; only files here are read.
        """
        from convfilter.images.png import read_text

        for (_, layer, _), path in paths.items():
            with contextlib.suppress(OSError, InputError):  # a broken one is replaced in any case
                if path.endswith(".png") and os.path.isfile(path):
                    found = read_text(path)
                    difference = find_difference(found, write_texts(self.pipeline, self.options, layer))
                    if png_keys.PIPELINE in found and difference:
                        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
                        return (f"{escape(path)}{more} is replaced: {difference}",)
        return ()

    @contextlib.contextmanager
    def _made(self, path: str) -> Iterator[str | None]:
        """Give the file that holds an earlier output, with its date, or None where there is none."""
        yield path if os.path.lexists(path) else None

    def _date(self, source: Source) -> int:
        return os.stat(source.path).st_mtime_ns

    def _is_marked(self, source: Source) -> bool:
        """Return whether a source is a PNG that convfilter has made."""
        return is_ours(source.path)

    def _tidy(self, folder: str) -> None:
        """Remove what killed runs left among outputs."""
        self.writer.prepare_folder(folder)

    def _check_free(self, paths: Sequence[str]) -> None:
        """Return if the outputs may be written where they are to go."""
        for path in paths if self.options.no_clobber else ():
            if os.path.lexists(path):
                raise exists(path)
        for path in () if self.options.force else paths:
            if is_foreign(path):
                raise exists(path, is_foreign=True)

    def _make(self, source: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        """Write all outputs of one picture or none, here or in another process."""
        if self.elsewhere and not source.is_stream:
            return self.elsewhere(source, file, paths)
        return self.write(source, file, paths)

    def _texts(self, source: Source, frame: int) -> dict[str, str]:
        """Return the texts of a source's outputs that say what they are made of."""
        texts = self._texts_of_frame(frame)
        if not source.is_stream:
            with contextlib.suppress(OSError):  # reading it will say what is wrong
                texts[png_keys.SOURCE] = source.version or write_source(source.path)
        return texts

    def _texts_of_frame(self, frame: int) -> dict[str, str]:
        return {png_keys.FRAME: str(frame)} if self.options.frames == "all" else {}

    def _open(self, source: Source) -> Input:
        """Return the path of a source, or all that standard input or a pipe gives."""
        if not source.is_stream:
            return source.path
        if source.path == "-":
            data = streams.read_in(self.budget.size)
        else:
            with open(source.path, "rb") as pipe:
                data = streams.read_all(pipe, self.budget.size)
        if data is None:
            raise InputError(f"it has more than {show_bytes(self.budget.size)}; --max-memory allows more", kind="size")
        return data

    def write(self, source: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        """Write all outputs of one picture or none, and return its result but for their paths."""
        from convfilter.images.reader import read_pictures

        options, result = self.options, Result(source.path, "done")
        notes: list[str] = []
        details: list[str] = []
        before = self._texts(source, 0)  # before it is opened: if it is replaced from now on, the next run will see it
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
                frame = picture.frame if options.frames == "all" else 0
                texts = before | self._texts_of_frame(frame)
                for rendered in self.renderer().render(picture, os.path.basename(source.path)):
                    key = (frame, rendered.layer, rendered.channel)
                    if options.output == "-":
                        self._write_out(rendered, texts)
                    else:
                        with files.open(paths[key]) as output:
                            rendered.write(cast(BinaryIO, output), texts)  # which has of one what writers call
                    notes += rendered.notes
                    if rendered.layer == last:
                        ranges = list(rendered.ranges) if rendered.channel is None else [*ranges, *rendered.ranges]
                        shape = rendered.shape
                notes += self.renderer().take_warnings()
                _, height, width = picture.shape
                if options.frames == "first" and picture.frames > 1:
                    notes, details = [*notes, *picture.notes[:-1]], [*picture.notes[-1:]]  # which says so
                else:
                    notes += picture.notes
                result = replace(result, width=width, height=height, shape=shape, ranges=tuple(ranges))
            files.commit()
        return replace(result, notes=tuple(notes), details=tuple(details))

    def _write_out(self, rendered: "Rendered", texts: Mapping[str, str]) -> None:
        """Write one output to standard output, when it is whole."""
        held = io.BytesIO()
        rendered.write(held, texts)
        if self.budget.stopped:
            raise OutputError("standard output: not written: the run was stopped")
        try:
            streams.write_out(held.getbuffer())
        except (OSError, ValueError) as error:
            raise OutputError(f"standard output: {getattr(error, 'strerror', None) or error}", fatal=True) from None


def attempt(entry: Source | Problem, function: Callable[[], Result]) -> Result:
    """Return the function's result, or that of the error which it raises, whatever that is."""
    try:
        with memory_errors():
            return function()
    except Exception as error:
        return failure(entry.path, error)

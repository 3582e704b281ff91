"""Sources to results: names, memory and files for one picture after another, until all are done or stopped."""

import contextlib
import ctypes
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import chain, islice

from convfilter import streams
from convfilter.errors import ConvfilterError, InputError, LibraryError, OutputError, PipelineError, UsageError, escape
from convfilter.files.existing import is_done
from convfilter.files.inputs import find_sources
from convfilter.files.targets import check_folder, find_single_file, find_target
from convfilter.files.template import name_outputs
from convfilter.files.transaction import OutputWriter
from convfilter.files.walk import Problem, Source
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import Budget, Share, available, predict
from convfilter.run.in_order import map_in_order
from convfilter.run.options import Options
from convfilter.run.plan import Key, check_marks, check_names, list_parts
from convfilter.run.result import Result
from convfilter.run.shards import count_beside, in_shard, parse_shard


class Work:
    """One run: the sources that its inputs name, and what becomes of each."""

    def __init__(self, pipeline: Pipeline, options: Options, inputs, passed_over=lambda path, reason: None) -> None:
        self.pipeline, self.options = pipeline, options
        self.shard = parse_shard(options.shard) if options.shard is not None else None
        self.file = find_single_file(options.output, options.suffix)
        self.sources = find_sources(
            inputs,
            is_picture=_is_picture,
            recursive=options.recursive,
            output=options.output,
            filter=pipeline.name,
            extension="{ext}" in (options.name or ""),
            metadata=options.metadata,
            passed_over=passed_over,
        )
        if self.sources.folder is not None and options.output != "-":
            check_folder(self.sources.folder)
        if self.sources.meet_outputs:
            check_marks(options)
        self.target = find_target(self.file) if self.file else None
        self.outputs = OutputWriter(no_clobber=options.no_clobber, folder=self.sources.folder)
        self.beside = count_beside(options.shard)
        self.limit = options.max_memory or available() * 3 // 4 // self.beside
        self.budget = Budget(self.limit)
        self.parts = lru_cache(4)(lambda frames: list_parts(pipeline, options, frames))
        self.threads = 1  # that compute one picture
        self.stopped = threading.Event()
        self.ending = threading.Event()  # no further picture is to begin
        self.building = threading.Lock()

    def entries(self) -> Iterator[Source | Problem]:
        """Yield this process's share of the sources, and all problems."""
        for entry in self.sources:
            if self.shard is None or isinstance(entry, Problem) or in_shard(entry.relative, *self.shard):
                yield entry

    def results(self) -> Iterator[Result]:
        """Return an iterator over the results, in the order of the sources.

        Raises:
            UsageError: the outputs' names do not fit so many pictures.
        """
        entries = self.entries()
        first = list(islice(entries, 2))  # one picture alone gets all cores; several get one each
        jobs = self.options.jobs or max(1, count_cores() // self.beside)
        self.threads, workers = (jobs, 1) if len(first) < 2 else (1, jobs)
        check_names(self.pipeline, self.options, several=len(first) > 1 or self.shard is not None)
        if self.file and self.sources.is_input(self.file):
            raise UsageError(f"-o {escape(self.file)}: is an input, and no input is replaced; choose another name")
        return self._results(chain(first, entries), workers)

    def _results(self, entries: Iterator, workers: int) -> Iterator[Result]:
        try:
            for result in map_in_order(self.process, entries, workers=workers, stopped=self.stopped):
                if result is None:
                    continue
                yield result
                if result.fatal or (self.options.fail_fast and result.status == "failed"):
                    self.stop()
        except GeneratorExit:  # nobody wants the rest
            self.stop()
            raise

    def stop(self) -> None:
        """Let no output appear from now on, and remove all temporary files; from any thread."""
        self.stopped.set()
        self.outputs.stop()
        self.budget.stop()

    def process(self, entry: Source | Problem) -> Result | None:
        """Return what became of one source, whatever that is; None where a stop came first."""
        start = time.perf_counter()
        if self.ending.is_set():
            return None
        try:
            done = self.filter(entry)
        except PipelineError as error:
            done = {"status": "failed", "error": error.reason}
        except ConvfilterError as error:
            done = {"status": "failed", "error": str(error), "fatal": getattr(error, "fatal", False)}
        except MemoryError:
            done = {"status": "failed", "error": "there is not enough memory for it"}
        except OSError as error:
            done = {"status": "failed", "error": error.strerror or str(error)}
        except Exception as error:  # a fault of ours or of a library: it costs this picture only, and is told
            words = " ".join(str(error).split())[:300]
            memory = "not enough memory" in words or "allocate memory" in words
            reason = "there is not enough memory for it" if memory else f"{type(error).__name__}: {words}"
            done = {"status": "failed", "error": reason}
        if done["status"] == "failed":
            if self.stopped.is_set():
                return None
            if done.get("fatal") or self.options.fail_fast:  # before its turn comes: the next would begin meanwhile
                self.ending.set()
        return Result(entry.path, **done, seconds=time.perf_counter() - start)

    def filter(self, entry: Source | Problem) -> dict:
        """Filter one source, and return the fields of its Result.

        Raises:
            ConvfilterError, OSError: it cannot be read, filtered or written.
        """
        if isinstance(entry, Problem):
            raise InputError(entry.reason)
        from convfilter.images.reader import check_frames, read_header

        options, file = self.options, self.open(entry)
        header = read_header(file) if options.dry_run or options.frames == "all" else None
        paths = self.paths(entry, header.frames if header and options.frames == "all" else 1)
        outputs = tuple(paths.values())
        files = () if options.output == "-" else outputs  # there may be a file of that name, which is none of them
        if options.skip_existing and not entry.is_stdin and is_done(entry.path, files):
            if not options.dry_run:
                self.outputs.prepare_folder(
                    entry.folder or os.curdir
                )  # of what killed runs left, though nothing is written
            return {"status": "skipped", "outputs": outputs}
        for path in files if options.no_clobber else ():
            if os.path.lexists(path):
                raise OutputError(f"{escape(path)}: exists, and --no-clobber keeps it")
        if header and options.dry_run:
            check_frames(options.frames, header)
            self.admit(header)
            shape = self.pipeline.shapes((1, header.height, header.width))[-1]
            size = {"width": header.width, "height": header.height, "shape": shape}
            return {"status": "done", "outputs": outputs, **size}
        return {"status": "done", "outputs": outputs, **self.develop(entry, file, paths)}

    def develop(self, source: Source, file: str | io.BytesIO, paths: dict[Key, str]) -> dict:
        """Write all outputs of one picture, and return what there is to say about them."""
        from convfilter.images.reader import read_pictures

        options, said, notes, details = self.options, {}, [], []
        last = len(self.pipeline.layers) - 1
        with self.budget.share() as share, self.outputs.transaction() as batch:
            pictures = read_pictures(
                file,
                frames=options.frames,
                background=options.background,
                admit=lambda header: self.admit(header, share),
            )
            for picture in pictures:
                shape, ranges = None, []
                for one in self.darkroom.develop(picture, os.path.basename(source.path)):
                    key = (picture.frame if options.frames == "all" else 0, one.layer, one.channel)
                    if options.output == "-":
                        self.write_out(one)
                    else:
                        with batch.open(self.target or paths[key]) as output:
                            one.write(output)
                    notes += one.notes
                    if one.layer == last:
                        ranges = list(one.ranges) if one.channel is None else [*ranges, *one.ranges]
                        shape = one.shape
                height, width = picture.values.shape
                if options.frames == "first" and picture.frames > 1:
                    notes, details = [*notes, *picture.notes[:-1]], picture.notes[-1:]  # which says so
                else:
                    notes += picture.notes
                said = {"width": width, "height": height, "shape": shape, "ranges": tuple(ranges)}
            batch.commit()
        return {**said, "notes": tuple(notes), "details": tuple(details)}

    def paths(self, source: Source, frames: int) -> dict[Key, str]:
        """Return the path of each output."""
        parts = self.parts(frames)
        if self.file or self.options.output == "-":
            return dict.fromkeys(parts, self.file or "-")
        names = name_outputs(
            source,
            list(parts.values()),
            filter=self.pipeline.name,
            template=self.options.name,
            suffix=self.options.suffix,
            is_input=self.sources.is_input,
        )
        return dict(zip(parts, names, strict=True))

    def admit(self, header, share: Share | None = None) -> None:
        """Refuse a picture that is too large or too small, before it is decoded; wait for its part of the memory.

        Raises:
            InputError: says what is needed, what is allowed, and which option raises it.
        """
        pixels, size = header.width * header.height, f"{header.width}x{header.height}"
        most = self.options.max_pixels
        if pixels > most:
            raise InputError(
                f"it has {pixels:,} pixels ({size}), and --max-pixels allows {most:,}; raise it to take this one"
            )
        need = predict(self.pipeline, header, self.options)
        for layer, (_, h, w) in zip(
            self.pipeline.layers, self.pipeline.shapes((1, header.height, header.width)), strict=True
        ):
            if h * w > most:
                made = f"{layer.name} makes {h * w:,} pixels of it ({w}x{h})"
                raise InputError(f"{made}, and --max-pixels allows {most:,}; raise it to make them")
        if need > self.limit:
            allowed = f"{show_bytes(self.limit)} are allowed; --max-memory allows more"
            raise InputError(f"it needs about {show_bytes(need)} of memory ({size}), and {allowed}")
        if share is not None:
            share.take(need)

    def open(self, source: Source) -> str | io.BytesIO:
        """Return the path of a source, or all of standard input."""
        if not source.is_stdin:
            return source.path
        data = streams.read_in(self.limit)
        if data is None:
            raise InputError(f"it has more than {show_bytes(self.limit)}; --max-memory allows more")
        return data

    def write_out(self, one) -> None:
        """Write one output to standard output, when it is whole."""
        held = io.BytesIO()
        one.write(held)
        if self.stopped.is_set():
            raise OutputError("standard output: not written: the run was stopped")
        try:
            streams.write_out(held.getbuffer())
        except (OSError, ValueError) as error:
            raise OutputError(f"standard output: {getattr(error, 'strerror', None) or error}", fatal=True) from None

    @property
    def darkroom(self):
        """What all pictures share; made when the first one needs it, for it loads torch."""
        with self.building:
            room = self._darkroom
        if self.threads == 1:
            sys.modules["torch"].set_num_threads(1)  # of this worker: the cores are shared by pictures
        return room

    @cached_property
    def _darkroom(self):
        try:
            _load_torch()
            from convfilter.run.render import Darkroom
        except (ImportError, OSError) as error:
            raise LibraryError(f"PyTorch cannot be loaded, memory or a part may be missing: {error}") from None
        return Darkroom(self.pipeline, self.options, self.threads)


def count_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _is_picture(path: str) -> bool:
    from convfilter.images.reader import is_picture

    return is_picture(path)


def _load_torch() -> None:
    """Load torch's large library in a way that lets other threads run meanwhile, so that signals are obeyed."""
    name = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}.get(sys.platform)
    found = find_spec("torch")
    if name and "torch" not in sys.modules and found and found.submodule_search_locations:
        with contextlib.suppress(OSError):
            ctypes.CDLL(os.path.join(found.submodule_search_locations[0], "lib", name))

"""Sources to results: each on a worker thread, in order, with bounded memory, until it is done or stopped."""

import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from itertools import chain, islice

from convfilter.errors import ConvfilterError, InputError, OutputError, PipelineError, UsageError, escape
from convfilter.finished import is_done
from convfilter.memory import Budget, Share, available, predict, show_bytes
from convfilter.names import Part, check_template, name_outputs
from convfilter.outputs import Outputs
from convfilter.pipeline import Pipeline
from convfilter.places import is_file_name
from convfilter.run import Options, Result
from convfilter.shards import in_shard, parse_shard
from convfilter.sources import Problem, Source, find_sources

OTHERS = (".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pnm")  # not written


class Work:
    """One run: the sources that its inputs name, and what becomes of each."""

    def __init__(self, pipeline: Pipeline, options: Options, inputs, passed_over=lambda path, reason: None) -> None:
        self.pipeline, self.options = pipeline, options
        self.shard = parse_shard(options.shard) if options.shard is not None else None
        self.file = self.single_file()
        folder = os.path.dirname(self.file) or "." if self.file else options.output
        folder = None if folder == "-" else folder
        self.outputs = Outputs(no_clobber=options.no_clobber, folder=folder)
        self.sources = find_sources(
            inputs,
            is_picture=_is_picture,
            recursive=options.recursive,
            output=folder,
            filter=pipeline.name,
            extension="{ext}" in (options.name or ""),
            passed_over=passed_over,
        )

    def single_file(self) -> str | None:
        """Return the output where it is one file's name, and not a folder's.

        Raises:
            UsageError: it is the name of a picture of another format.
        """
        output = self.options.output
        if output in (None, "-") or output.endswith(("/", os.sep)) or os.path.isdir(output):
            return None
        suffix = os.path.splitext(output)[1].lower()
        if suffix in OTHERS:
            raise UsageError(f"-o {escape(output)}: pictures are written as PNG; give it the suffix .png")
        if not is_file_name(output):
            return None
        if suffix != self.options.suffix:
            raise UsageError(
                f"-o {escape(output)}: --format {self.options.format} needs the suffix {self.options.suffix}"
            )
        return output

    def entries(self) -> Iterator[Source | Problem]:
        """Yield this process's share of the sources, and all problems."""
        for entry in self.sources:
            if self.shard is None or isinstance(entry, Problem) or in_shard(entry.relative, *self.shard):
                yield entry

    def results(self, stop: threading.Event) -> Iterator[Result]:
        """Return an iterator over the results, in the order of the sources.

        Raises:
            UsageError: the outputs' names do not fit so many pictures.
        """
        entries = self.entries()
        first = list(islice(entries, 2))  # one picture alone gets all cores; several get one each
        alone = len(first) < 2
        self.check_names(several=not alone)
        jobs = self.options.jobs or os.cpu_count() or 1
        self.threads = jobs if alone else 1
        return self.in_order(chain(first, entries), 1 if alone else jobs, stop)

    def check_names(self, several: bool) -> None:
        """Refuse names that several outputs would share."""
        options = self.options
        count = len(options.channels or range(self.pipeline.channels(1)))
        single = not options.keep and (count == 1 or options.grid)
        if options.output == "-" or self.file:
            what = f"-o {escape(options.output)}"
            if several or not single or options.steps or options.frames == "all":
                why = "pictures" if several else "channels" if not single else "layers" if options.steps else "frames"
                raise UsageError(f"{what} takes one output, and there are several {why}; give a folder, or choose one")
            if options.output == "-" and sys.stdout is not None and sys.stdout.isatty():
                raise UsageError("-o -: standard output is a terminal; send it to a file or a pipe")
        elif options.name is not None:
            check_template(
                options.name,
                several_sources=several,
                several_channels=not single,
                frames=options.frames == "all",
                steps=options.steps,
            )

    def in_order(self, entries: Iterator, jobs: int, stop: threading.Event) -> Iterator[Result]:
        """Run the sources on ``jobs`` threads, a few ahead of the one whose turn it is."""
        pool = ThreadPoolExecutor(jobs, "convfilter-picture", initializer=_compute_alone if self.threads == 1 else None)
        waiting: deque[Future] = deque()
        ended = False
        try:
            for entry in entries:
                waiting.append(pool.submit(self.process, entry) if isinstance(entry, Source) else _failed(entry))
                while waiting and not ended and (len(waiting) > 2 * jobs or waiting[0].done()):
                    if not _done(waiting[0], stop):
                        break
                    result = waiting.popleft().result()
                    yield result
                    ended = result.fatal or (self.options.fail_fast and result.status == "failed")
                if ended or stop.is_set():
                    break
            while waiting and not ended and _done(waiting[0], stop):
                result = waiting.popleft().result()
                yield result
                ended = result.fatal or (self.options.fail_fast and result.status == "failed")
            if ended or stop.is_set():  # what is finished by now is told; nothing else will be
                self.outputs.stop()
                for future in waiting:
                    future.cancel()
                wait([future for future in waiting if not future.cancelled()], timeout=0.2)
                for future in waiting:
                    if future.done() and not future.cancelled() and future.result().status == "done":
                        yield future.result()
        finally:
            self.outputs.stop()
            pool.shutdown(wait=not stop.is_set(), cancel_futures=True)

    def process(self, source: Source) -> Result:
        """Return what became of one source, whatever that is."""
        start = time.perf_counter()
        try:
            done = self.dry_run(source) if self.options.dry_run else self.develop(source)
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
        return Result(source.path, **done, seconds=time.perf_counter() - start)

    def develop(self, source: Source) -> dict:
        from convfilter.images import read_header, read_pictures

        options, file = self.options, _open(source)
        frames = read_header(file).frames if options.frames == "all" else 1
        paths = self.paths(source, frames)
        if options.skip_existing and not source.is_stdin and is_done(source.path, paths.values()):
            return {"status": "skipped", "outputs": tuple(paths.values())}
        if options.no_clobber:
            for path in paths.values():
                if os.path.lexists(path):
                    raise OutputError(f"{escape(path)}: exists, and --no-clobber keeps it")
        done: dict = {"notes": ()}
        with self.budget.share() as share, self.outputs.batch() as batch:
            pictures = read_pictures(
                file,
                frames=options.frames,
                background=options.background,
                admit=lambda header: self.admit(header, share),
            )
            for picture in pictures:
                ranges = []
                for one in self.darkroom.develop(picture, os.path.basename(source.path)):
                    key = (picture.frame if options.frames == "all" else 0, one.layer, one.channel)
                    if options.output == "-":
                        self.to_stdout(one)
                    else:
                        one.write(batch.open(paths[key]))
                    done["notes"] += tuple(note for note in one.notes)
                    if one.layer == len(self.pipeline.layers) - 1:
                        ranges, shape = one.ranges if one.channel is None else [*ranges, *one.ranges], one.shape
                height, width = picture.values.shape
                done |= {"width": width, "height": height, "shape": shape, "ranges": tuple(ranges)}
                done["notes"] += picture.notes
            batch.commit()
        return {"status": "done", "outputs": tuple(paths.values()), **done}

    def dry_run(self, source: Source) -> dict:
        from convfilter.images import read_header

        header = read_header(_open(source))
        self.admit(header)
        paths = self.paths(source, header.frames if self.options.frames == "all" else 1)
        if self.options.skip_existing and is_done(source.path, paths.values()):
            return {"status": "skipped", "outputs": tuple(paths.values())}
        shape = self.pipeline.shapes((1, header.height, header.width))[-1]
        size = {"width": header.width, "height": header.height, "shape": shape}
        return {"status": "done", "outputs": tuple(paths.values()), **size}

    def paths(self, source: Source, frames: int) -> dict[tuple[int, int, int | None], str]:
        """Return the path of each output, by frame, layer and channel (None: the sheet)."""
        options, layers = self.options, self.pipeline.layers
        parts, count = {}, 1
        for index, layer in enumerate(layers):
            count = layer.effect.channels(count)
            if index < len(layers) - 1 and not options.steps:
                continue
            step = f"{index + 1:0{len(str(len(layers)))}}-{layer.name}" if options.steps else ""
            chosen = [channel for channel in options.channels or range(count) if channel < count]
            single = [] if options.grid and not options.keep else chosen
            for channel in [*single, *([None] if options.grid else [])]:
                for frame in range(frames):
                    label = "grid" if channel is None else channel
                    parts[frame, index, channel] = Part(label, count, frame, frames, step)
        parts = dict(sorted(parts.items(), key=lambda item: item[0][:2]))
        if self.file or options.output == "-":
            path = self.file or "-"
            if self.file and self.sources.holds(path):
                raise OutputError(
                    f"{escape(path)}: is an input, and no input is replaced; choose another -o", fatal=True
                )
            return dict.fromkeys(parts, path)
        names = name_outputs(
            source,
            list(parts.values()),
            filter=self.pipeline.name,
            template=options.name,
            suffix=options.suffix,
            is_input=self.sources.holds,
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
        if need > self.limit:
            allowed = f"{show_bytes(self.limit)} are allowed; --max-memory allows more"
            raise InputError(f"it needs about {show_bytes(need)} of memory ({size}), and {allowed}")
        if share is not None:
            share.take(need)

    def to_stdout(self, one) -> None:
        held = io.BytesIO()
        one.write(held)
        try:
            sys.stdout.buffer.write(held.getbuffer())
            sys.stdout.buffer.flush()
        except (OSError, ValueError) as error:
            raise OutputError(f"standard output: {getattr(error, 'strerror', None) or error}", fatal=True) from None

    @cached_property
    def budget(self) -> Budget:
        return Budget(self.limit)

    @cached_property
    def limit(self) -> int:
        return self.options.max_memory or available() * 3 // 4

    @property
    def darkroom(self):
        with _BUILDING:
            return self._darkroom

    @cached_property
    def _darkroom(self):
        from convfilter.develop import Darkroom

        return Darkroom(self.pipeline, self.options, self.threads)


_BUILDING = threading.Lock()


def _is_picture(path: str) -> bool:
    from convfilter.images import is_picture

    return is_picture(path)


def _compute_alone() -> None:
    import torch

    torch.set_num_threads(1)


def _open(source: Source):
    return io.BytesIO(sys.stdin.buffer.read()) if source.is_stdin else source.path


def _failed(problem: Problem) -> Future:
    future: Future = Future()
    future.set_result(Result(problem.path, "failed", error=problem.reason))
    return future


def _done(future: Future, stop: threading.Event) -> bool:
    """Wait for the future, and return whether it is done before the run is stopped."""
    while not stop.is_set():
        if wait([future], timeout=0.1).done:
            return True
    return False

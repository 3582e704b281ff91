"""Sources to results, in order: the workers of a run, their share of the memory, and how it is stopped."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from convfilter.errors import UsageError
from convfilter.files.inputs import Sources, find_sources
from convfilter.files.listed import FileList, ListedSources
from convfilter.files.patterns import Patterns
from convfilter.files.transaction import OutputWriter
from convfilter.files.walk import Problem, Search, Source
from convfilter.in_order import map_in_order, without_waiting
from convfilter.language.pipeline import Pipeline
from convfilter.remote.urls import hide_secrets, is_url, to_path
from convfilter.run.budget import Budget, available, count_cores
from convfilter.run.filtering import Filtering
from convfilter.run.loading import find_device, load_renderer, once
from convfilter.run.option_values import find_count
from convfilter.run.options import Options
from convfilter.run.plan import OutputPlan
from convfilter.run.result import PASSED_OVER, Result
from convfilter.run.shards import count_beside, in_shard, parse_shard
from convfilter.run.workers import Workers, can_fork

if TYPE_CHECKING:  # they load dask.distributed and fsspec
    from convfilter.run.cluster import Cluster
    from convfilter.run.remote import RemoteParts

LATE = 0.05  # seconds after which a name counts as not there yet: results are told meanwhile
AHEAD = 32  # pictures a worker that may be done before their turn: one slow picture should not let the others wait


class Runner:
    """The work of one run: ``results()`` are those of its sources, in order, and ``stop()`` ends it.

    Raises:
        UsageError, PipelineError: when it is made; nothing has been written then.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: Options,
        inputs: Sequence[str] | FileList,
        passed_over: Callable[[str, str], None],
    ) -> None:
        if not isinstance(inputs, FileList):
            inputs = [to_path(path) for path in inputs]
        if options.output is not None:
            options = replace(options, output=to_path(options.output))
        self._passed_over = passed_over
        self._remote = _open_remote(options, inputs)
        options = self._remote.options if self._remote else options
        self._options = options.check(pipeline)
        pipeline = options.load(pipeline)[0]
        self._inputs, self._find_sources = inputs, partial(_find_sources, self._remote, pipeline, options, inputs)
        self._shard = parse_shard(options.shard) if options.shard is not None else None
        is_here = options.cluster is None or find_count(options.cluster) is not None
        device, what = find_device(options.device if is_here else "cpu")
        self.device = f"{device} ({what})" if is_here else "chosen by each worker of the cluster"
        sources = self._find_sources(passed_over)
        plan = OutputPlan(pipeline, options, sources)
        folder = self._remote.writes_to(sources.folder) if self._remote else sources.folder
        self._writer = OutputWriter(no_clobber=options.no_clobber, folder=folder)
        processes = count_beside(options.shard)
        self._budget = Budget(options.max_memory or available() * 3 // 4 // processes)
        self._stopped = threading.Event()
        self._ending = threading.Event()  # no further picture is to begin

        entries = self._take_share(sources)
        is_list = isinstance(inputs, FileList)  # whose second name may be long in coming
        first = [] if is_list else list(islice(entries, 2))  # one picture alone gets all cores; several get one each
        jobs = options.jobs or max(1, count_cores() // processes)
        several = is_list or len(first) > 1
        threads, workers = (1, jobs) if several else (jobs, 1)
        plan.check(several=several or self._shard is not None)
        renderer = once(partial(load_renderer, pipeline, options, threads, device))
        make = partial(self._remote.filtering, workers) if self._remote else Filtering
        self._filtering = make(pipeline, options, plan.paths, plan.target, self._writer, self._budget, renderer)
        self._processes = None
        self._cluster: Cluster | None = None
        if options.cluster is not None:
            from convfilter.run import cluster  # loaded only where it is asked for

            seen = () if isinstance(inputs, FileList) else inputs
            self._cluster = cluster.Cluster(
                options.cluster, self._filtering, seen, ends_with=self.ends_with, stopped=self._stopped
            )
        elif workers > 1 and device == "cpu" and can_fork():
            with contextlib.suppress(OSError):  # threads do it as well, only slower
                self._processes = Workers(self._filtering)
                self._filtering = replace(self._filtering, elsewhere=self._processes.write)
        if self._remote:
            workers *= self._remote.waiting
        self._entries: Iterator[Source | Problem | None] = chain(first, entries)
        self._workers, self._waits = workers, is_list

    def results(self) -> Iterator[Result]:
        """Yield the results, once; who takes no more of them stops the run."""
        entries: Iterator[Source | Problem | None] = self._entries
        if self._waits:
            entries = without_waiting(entries, LATE)
        try:
            for result in self._results(entries):
                if result is None:
                    continue
                if result.status == PASSED_OVER:
                    self._passed_over(result.source, result.error or "")
                    continue
                yield result
                if self.ends_with(result):
                    self.stop()
        except GeneratorExit:  # nobody wants the rest
            self.stop()
            raise
        finally:
            if self._processes:
                self._processes.close()
            if self._cluster:
                self._cluster.close()
            if self._remote:
                self._remote.close()

    def _results(self, entries: Iterator[Source | Problem | None]) -> Iterator[Result | None]:
        ordered = not self._options.unordered
        if self._cluster:
            return self._cluster.results(entries, ordered=ordered)
        return map_in_order(
            self._filter, entries, workers=self._workers, ahead=AHEAD, stopped=self._stopped, ordered=ordered
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know before the start, such as versions on a cluster that differ from those here."""
        return self._cluster.notes if self._cluster else ()

    @property
    def stopped(self) -> bool:
        """Whether the run was ended before all was done."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Let no output appear from now on, and remove all temporary files; any thread may call this."""
        self._stopped.set()
        if self._remote:
            self._remote.stop()
        self._writer.stop()
        self._budget.stop()
        if self._processes:
            self._processes.stop()
        if self._cluster:
            self._cluster.stop()

    def count(self) -> int | None:
        """Return how many sources there are, by walking the folders once more, slowly: the pictures come first.

        Of a list it is how many names there are, and None where that can be read once only.
        """
        if isinstance(self._inputs, FileList):
            return self._inputs.count()
        number = 0
        for number, _ in enumerate(self._take_share(self._find_sources(_tell_nobody)), 1):
            if number % 100 == 0:
                time.sleep(0.01)
        return number

    def _take_share(self, sources: Sources | ListedSources) -> Iterator[Source | Problem]:
        """Yield this process's share of the sources, and all problems."""
        for entry in sources:
            if isinstance(entry, Problem) and (shown := hide_secrets(entry.path)) != entry.path:
                entry = Problem(shown, entry.reason, entry.kind)  # a URL in a list of paths
            if self._shard is None or isinstance(entry, Problem) or in_shard(entry.relative, *self._shard):
                yield entry

    def _filter(self, entry: Source | Problem | None) -> Result | None:
        """Return what became of one source; None where there is none, or a stop came first."""
        if entry is None or self._ending.is_set():
            return None
        result = self._filtering.result(entry)
        if result.status == "failed" and self.stopped:
            return None
        if self.ends_with(result):  # before its turn comes: the next would begin meanwhile
            self._ending.set()
        return result

    def ends_with(self, result: Result) -> bool:
        """Return whether no further picture is begun after this result."""
        return result.fatal or (self._options.fail_fast and result.status == "failed")


def _find_sources(
    remote: "RemoteParts | None",
    pipeline: Pipeline,
    options: Options,
    inputs: Sequence[str] | FileList,
    passed_over: Callable[[str, str], None],
) -> Sources | ListedSources:
    patterns = Patterns(options.include, options.exclude)
    extension = "{ext}" in (options.name or "")
    if isinstance(inputs, FileList):
        unmarked = None if options.metadata else pipeline.name
        search = Search(_is_picture, options.recursive, extension, unmarked, passed_over, patterns)
        read = remote.list_sources if remote else ListedSources
        return read(inputs, search, output=options.output, filter=pipeline.name, resumed=options.skip_existing)
    find = remote.find_sources if remote else find_sources
    return find(
        inputs,
        is_picture=_is_picture,
        recursive=options.recursive,
        output=options.output,
        filter=pipeline.name,
        extension=extension,
        metadata=options.metadata,
        patterns=patterns,
        resumed=options.skip_existing,
        passed_over=passed_over,
    )


def _open_remote(options: Options, inputs: Sequence[str] | FileList) -> "RemoteParts | None":
    """Return what a run with URLs has besides, None where there is no URL: nothing of it is loaded then."""
    named = [inputs.peek() or ""] if isinstance(inputs, FileList) else inputs
    urls = [text for text in (*named, options.output or "") if is_url(text)]
    if not urls:
        return None
    if options.cluster is not None and any("memory://" in url for url in urls):
        raise UsageError("--cluster: memory:// holds what one process has; take a place that all workers see")
    from convfilter.run.remote import RemoteParts

    return RemoteParts(options)


def _is_picture(path: str) -> bool:
    from convfilter.images.reader import is_picture

    return is_picture(path)


def _tell_nobody(path: str, reason: str) -> None:
    pass

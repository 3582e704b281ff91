"""The client of a cluster: pictures go to Dask's workers in batches, and come back as results, in order.

This process walks, names and renames; ``cluster_worker`` is what the workers do. A batch is a task of Dask's. Its size
is chosen by the time that pictures take, so that what a task costs by itself stays small beside them.

A worker that is lost loses nothing: its batches are cancelled, and their pictures go to others, each alone. Where a
picture alone has been begun by three workers that were lost over it, it is the picture's failure.
"""

import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

from convfilter.errors import InputError, LibraryError, OutputError, PipelineError, UsageError, escape
from convfilter.files.temporary import make_token, remove_made, remove_stale
from convfilter.files.walk import Problem, Source
from convfilter.language.pipeline import Pipeline, parse
from convfilter.remote.urls import is_url
from convfilter.run.budget import count_cores
from convfilter.run.cluster_worker import Answer, Job, Picture, describe, find_begun, find_token, forget_begun, work
from convfilter.run.filtering import Filtering
from convfilter.run.local_cluster import LocalCluster
from convfilter.run.option_values import find_count
from convfilter.run.plan import Key
from convfilter.run.result import Result, failure

SECONDS = 0.5  # that a batch is to take: a task costs some milliseconds
MOST = 100  # pictures in a batch: each keeps a file open until it has its name
WAITING = 2  # batches a thread of a worker's that are under way: the next is there when one is done (see _takes_more)
AHEAD = 8  # batches a thread whose results may wait for those before them
MOST_DEATHS = 3  # workers that a picture may take with it
LOSSES = 12  # workers that may be lost while a picture is sent to them alone, begun or not
TRIES = 3  # times that a picture is made again because its files were gone before they got their names
FETCHING = 4  # threads of a process that is started here, where stores keep it waiting
KEPT = 200  # batches that were lost whose temporary files may yet appear
CONNECTING = 15.0  # seconds for the scheduler to answer
TICK = 0.2  # seconds from one look at the processes of this machine to the next


@dataclass(eq=False)
class _Item:
    """A source on its way: ``paths`` are those of its outputs, and ``result`` stands there when all is done."""

    source: Source | Problem
    paths: Mapping[Key, str]
    result: Result | None = None
    deaths: int = 0
    losses: int = 0
    tries: int = 0
    is_again: bool = False  # it has been sent before


@dataclass(eq=False)
class _Batch:
    """A task, with its pictures as they were sent."""

    items: list[_Item]
    pictures: list[Picture]
    future: Any = None


class Cluster:
    """The workers of one run; ``results(entries)`` are those of its sources, and ``stop()`` ends it.

    ``filtering`` names outputs, renames, and makes what only this process can read; ``inputs`` are paths that all
    workers are to see. ``ends_with`` tells whether no further picture is begun after a result, and ``stopped`` is set
    when the run is stopped. ``notes`` are what a user should know before the start.

    Raises:
        UsageError: no scheduler answers, or its workers cannot do this run.
    """

    def __init__(
        self,
        address: str,
        filtering: Filtering,
        inputs: Sequence[str],
        *,
        ends_with: Callable[[Result], bool],
        stopped: threading.Event,
    ) -> None:
        self._filtering, self._ends_with, self._stopped = filtering, ends_with, stopped
        self._here = os.getcwd()
        _load_quietly()
        has_urls = type(filtering) is not Filtering
        self._local, self._client = _connect(address, FETCHING if has_urls else 1)
        self._address = address
        self._number = f"convfilter-{secrets.token_hex(4)}"
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()  # of what stop() looks at
        self._batches: dict[str, _Batch] = {}  # under way, by their keys
        self._workers: set[str] = set()  # all that have ever been there
        self._threads = 1
        self._versions = describe()["versions"]
        self._described: set[str] = set()  # workers whose versions are known
        self.notes: tuple[str, ...] = ()
        self._tidied: set[str] = set()  # folders without what killed runs left
        self._sent = 0
        self._seconds: float | None = None  # that a picture takes, as far as is known
        self._unfinished = 0  # sources taken whose results have not been yielded
        self._ending = False  # no further picture is to begin
        self._ready: deque[_Item] = deque()
        self._lost: deque[_Batch] = deque(maxlen=KEPT)
        try:
            self._job = self._make_job()
            if self._local is None:
                self._check_workers(inputs)
            self._client.subscribe_topic("all", self._handle_event)
            self._count_threads()
        except BaseException:
            self.close()
            raise

    def results(self, entries: Iterator[Source | Problem | None], *, ordered: bool) -> Iterator[Result]:
        """Yield the results, in the entries' order or as they come; after a stop, those that are done.

        None among the entries says that the next one is not there yet.
        """
        waiting: deque[_Item] = deque()  # in order, those that have not been yielded
        more = True
        while True:
            late = False
            while more and not late and not self._ending and not self._stopped.is_set() and self._takes_more():
                batch, more, late = self._take(entries)
                waiting.extend(batch if ordered else ())
                self._send([item for item in batch if item.result is None])
            ready = waiting if ordered else self._ready
            while ready and (result := ready[0].result) is not None:
                ready.popleft()
                self._unfinished -= 1
                yield result
            if self._stopped.is_set() or not (self._batches or (more and not self._ending)):
                break
            self._wait()
        self._handle_all()
        yield from (item.result for item in (waiting if ordered else self._ready) if item.result is not None)

    def stop(self) -> None:
        """Cancel all that is under way; any thread may call this, when ``stopped`` is set and the writer stopped."""
        with self._lock:
            batches, self._batches = list(self._batches.values()), {}
        self._events.put(lambda: None)
        if self._local:
            self._local.kill()
            for batch in batches:
                for worker in list(self._workers):
                    self._remove_temporary(batch, worker)
        else:
            self._client.cancel([batch.future for batch in batches if batch.future])

    def close(self) -> None:
        """Let go of the scheduler, and of the processes that were started here."""
        if self._local:
            self._local.kill()
        elif self._sent and self._client.status == "running":
            with contextlib.suppress(Exception):  # the scheduler may go away at any time
                forget_begun(self._client, self._number)
        self._client.close(timeout=2)
        if self._local:
            self._local.close()

    def _make_job(self) -> Job:
        """Return what workers get of this run.

        Raises:
            UsageError: its pipeline cannot be written as a text.
        """
        filtering, pipeline = self._filtering, self._filtering.pipeline
        has_urls = type(filtering) is not Filtering
        text = str(pipeline)
        if not _is_text_of(text, pipeline):
            raise UsageError("--cluster: the pipeline holds weights that no text names; save them to a file first")
        return Job(
            number=self._number,
            text=text,
            name=pipeline.name,
            options=filtering.options,
            target=filtering.target and self._absolute(filtering.target),
            folder=None if has_urls else filtering.writer.folder and self._absolute(filtering.writer.folder),
            has_urls=has_urls,
            memory=filtering.budget.size // self._local.count if self._local else filtering.options.max_memory,
            weights=tuple((file.path, file.digest) for file in pipeline.files),
        )

    def _check_workers(self, inputs: Sequence[str]) -> None:
        """Look at the workers that are there, and note what is to be said of them.

        Raises:
            UsageError: one cannot do this run; says what it lacks.
        """
        paths = [self._absolute(path) for path in inputs if os.path.lexists(path)]
        found = self._client.run(describe, paths, on_error="return")
        differing: dict[str, list[str]] = {}
        for worker, answer in found.items():
            if isinstance(answer, BaseException):
                reason = escape(" ".join(str(answer).split())[:200])
                raise UsageError(
                    f"--cluster: worker {worker} cannot load convfilter ({reason}); install it on every worker, with "
                    "the versions that are here"
                )
            if answer["missing"]:
                raise UsageError(
                    f"--cluster: worker {worker} does not see {escape(answer['missing'][0])}; workers need the same "
                    "disk under the same path"
                )
            relative = [path for path, _ in self._job.weights if not os.path.isabs(path) and ":" not in path]
            if relative and answer["folder"] != self._here:
                raise UsageError(
                    f"--cluster: worker {worker} runs in {escape(answer['folder'])}, and finds no "
                    f"{escape(relative[0])} there; name the file by its whole path"
                )
            self._described.add(worker)
            if words := self._compare_versions(answer["versions"]):
                differing.setdefault(words, []).append(worker)
        for words, workers in differing.items():
            others = f" and {len(workers) - 1} more" if len(workers) > 1 else ""
            self.notes += (f"worker {workers[0]}{others}: {words}; outputs may differ from those made here",)
        if not found:
            self.notes += (f"no worker is connected to {escape(self._address)} yet; the run begins with the first",)

    def _compare_versions(self, theirs: Mapping[str, str]) -> str:
        """Return in words where a worker's versions differ from those here; empty where they are the same."""
        return ", ".join(
            f"{name} {theirs.get(name, 'none')} where this machine has {here}"
            for name, here in self._versions.items()
            if theirs.get(name) != here
        )

    def _count_threads(self) -> None:
        found = self._client.nthreads()
        self._workers |= set(found)
        self._threads = max(1, sum(found.values()))

    def _absolute(self, path: str) -> str:
        return path if is_url(path) else os.path.join(self._here, path)

    def _name(self, entry: Source | Problem) -> _Item:
        """Return a source with the paths of its outputs, or with its result where no worker is to make it."""
        if isinstance(entry, Problem) or entry.is_stream:
            return _Item(entry, {}, self._filtering.result(entry))
        try:
            return _Item(entry, self._filtering.name(entry, entry.path))
        except Exception as error:
            return _Item(entry, {}, self._filtering.finish(entry, failure(entry.path, error)))

    def _takes_more(self) -> bool:
        size, threads = self._size(), self._threads
        waiting = WAITING if size > 1 else 1  # slow pictures would wait behind others, and one worker for all of them
        return len(self._batches) < waiting * threads and self._unfinished < AHEAD * threads * size

    def _size(self) -> int:
        """How many pictures make a batch."""
        return max(1, min(MOST, round(SECONDS / self._seconds))) if self._seconds else 1

    def _take(self, entries: Iterator[Source | Problem | None]) -> tuple[list[_Item], bool, bool]:
        """Return the sources of the next batch, some with results; whether there may be more, and whether later."""
        batch: list[_Item] = []
        while len(batch) < self._size() and not self._ending:
            try:
                entry = next(entries)
            except StopIteration:
                return batch, False, False
            if entry is None:
                return batch, True, True
            item = self._name(entry)
            self._unfinished += 1
            batch.append(item)
            if item.result is not None:
                self._finish(item, item.result)
        return batch, True, False

    def _send(self, items: list[_Item], *, first: bool = False) -> None:
        """Send pictures to a worker, before those that wait if they are to be ``first``."""
        if not items:
            return
        pictures = []
        for item in items:
            assert isinstance(item.source, Source)
            source = replace(item.source, path=self._absolute(item.source.path))
            paths = {key: self._absolute(path) for key, path in item.paths.items()}
            for folder in {os.path.dirname(path) for path in paths.values()} - self._tidied:
                self._tidied.add(folder)
                remove_stale(folder)
            pictures.append(Picture(source, paths, make_token(), is_again=item.is_again))
            item.is_again = True
        self._sent += 1
        key = f"{self._number}-{self._sent}"
        batch = _Batch(items, pictures)
        with self._lock:
            if self._stopped.is_set():
                return
            self._batches[key] = batch
        future = self._client.submit(work, self._job, pictures, key=key, pure=False, priority=int(first))
        batch.future = future
        future.add_done_callback(lambda _: self._events.put(lambda: self._receive(key)))

    def _wait(self) -> None:
        """Handle what has happened, and wait for something to happen where nothing has."""
        try:
            self._events.get(timeout=TICK)()
        except Empty:
            if self._local and not self._stopped.is_set():
                self._replace_workers()
        self._handle_all()

    def _handle_all(self) -> None:
        while True:
            try:
                self._events.get_nowait()()
            except Empty:
                return

    def _replace_workers(self) -> None:
        assert self._local
        try:
            self._local.tend()
        except LibraryError as error:
            self._fail_all(error)

    def _handle_event(self, event: tuple[float, Any]) -> None:
        """Handle what the scheduler says of its workers; in a thread of Dask's."""
        message = event[1]
        if not isinstance(message, dict) or message.get("action") not in ("add-worker", "remove-worker"):
            return
        worker, lost = message["worker"], message["action"] == "remove-worker" and not message.get("expected")
        keys = [str(key) for name in ("processing-tasks", "lost-computed-tasks") for key in message.get(name, ())]
        self._events.put(lambda: self._change_workers(worker, keys if lost else None))

    def _change_workers(self, worker: str, lost: list[str] | None) -> None:
        """A worker has come, or gone in peace, or has been lost with these tasks."""
        self._workers.add(worker)
        if not self._stopped.is_set():
            if self._local:
                self._replace_workers()
            self._count_threads()
        if lost is not None:
            # of batches that were done and have not been fetched, too, and of those that Dask had moved to it meanwhile
            for batch in (*self._batches.values(), *self._lost):
                self._remove_temporary(batch, worker)
            for key in lost:
                self._handle_loss(key, worker)

    def _handle_loss(self, key: str, worker: str) -> None:
        """Have the pictures of a task made again whose worker was lost."""
        batch = self._close(key)
        if batch is None or self._stopped.is_set():
            return
        self._remove_temporary(batch, worker)
        self._lost.append(batch)
        is_alone, is_begun = len(batch.items) == 1, False
        if is_alone:
            with contextlib.suppress(Exception):  # where the scheduler is gone, too, _receive says so
                is_begun = find_begun(self._client, self._number, key) == worker
        for item in batch.items:
            item.deaths += is_begun
            item.losses += is_alone
            if item.deaths < MOST_DEATHS and item.losses < LOSSES:
                self._send([item], first=True)
                continue
            error = InputError(
                f"{max(item.deaths, item.losses)} workers were lost over it; memory may be short", kind="system"
            )
            self._finish(item, self._filtering.finish(item.source, failure(item.source.path, error)))

    def _close(self, key: str, *, is_done: bool = False) -> _Batch | None:
        """Take a task for done, or for lost; None where it is so already."""
        with self._lock:
            batch = self._batches.pop(key, None)
        if batch is not None and batch.future:
            if is_done:
                batch.future.release()
            else:
                batch.future.cancel()
        return batch

    def _remove_temporary(self, batch: _Batch, worker: str) -> None:
        for picture in batch.pictures:
            for folder in {os.path.dirname(path) for path in picture.paths.values()}:
                remove_made(folder, find_token(picture.token, worker), len(picture.paths))

    def _receive(self, key: str) -> None:
        """Take the answer of a task that is done."""
        batch = self._batches.get(key)
        if batch is None or self._stopped.is_set():
            return
        from distributed import KilledWorker

        try:
            answer = batch.future.result(timeout=1)
        except KilledWorker as error:
            self._handle_loss(key, error.last_worker.address)
        except (TimeoutError, FutureTimeoutError):
            self._events.put(lambda: self._receive(key))  # its worker is lost, and the task is done once more
        except Exception as error:
            if self._client.status == "running" and not batch.future.cancelled():
                reason = escape(" ".join(str(error).split())[:200])
                self._fail_all(
                    LibraryError(f"a worker cannot do what it is asked for: {type(error).__name__}: {reason}")
                )
            else:
                self._fail_all(LibraryError("the scheduler cannot be reached any more; --skip-existing resumes"))
        else:
            if answer.begun_by:
                self._handle_loss(key, answer.begun_by)
                return
            self._take_answer(batch, answer)
            self._close(key, is_done=True)

    def _take_answer(self, batch: _Batch, answer: Answer) -> None:
        """Give the outputs of a batch their names, and have those pictures made that were not begun."""
        if self._local:
            self._local.is_well()
        times = [result.seconds for result, _ in answer.done]
        if times:
            mean = max(sum(times) / len(times), 1e-6)
            self._seconds = mean if self._seconds is None else (mean + self._seconds) / 2
        for item, (result, written) in zip(batch.items, answer.done, strict=False):
            if written and not all(os.path.lexists(file.temporary) for file in written) and item.tries < TRIES:
                item.tries += 1
                self._send([item], first=True)
                continue
            if written:
                try:
                    self._filtering.writer.rename(written)
                except OutputError as error:
                    result = failure(item.source.path, error)
            self._finish(item, self._translate(item, result))
        rest = batch.items[len(answer.done) :]
        if rest and not self._ending:
            self._send(rest)

    def _translate(self, item: _Item, result: Result) -> Result:
        """Return a worker's result with the paths that the user knows."""
        known = {self._absolute(path): path for path in (item.source.path, *item.paths.values())}
        if target := self._filtering.target:
            known[self._absolute(target)] = target

        def say(text: str) -> str:
            for absolute, path in known.items():
                text = text.replace(escape(absolute), escape(path))
            return text

        result = replace(
            result,
            source=item.source.path,
            outputs=tuple(known.get(path, path) for path in result.outputs),
            error=result.error and say(result.error),
            details=tuple(map(say, result.details)),
        )
        if result.status == "failed":
            result = self._filtering.fail_or_skip(result, tuple(item.paths.values()))
        return self._filtering.finish(item.source, result)

    def _finish(self, item: _Item, result: Result) -> None:
        if result.status == "failed" and self._stopped.is_set():
            return  # the stop is why
        item.result = result
        self._ready.append(item)
        if self._ends_with(result):
            self._ending = True

    def _fail_all(self, error: LibraryError) -> None:
        """Let the first picture that is under way fail with what makes all others fail, too."""
        for key in list(self._batches):
            batch = self._close(key)
            for item in batch.items if batch else ():
                if item.result is None:
                    self._finish(item, self._filtering.finish(item.source, failure(item.source.path, error)))


def _connect(address: str, threads: int) -> tuple[LocalCluster | None, Any]:
    """Return the cluster that was started here, if it is a local one, and a client of its scheduler.

    A process that is started here gets so many ``threads``.

    Raises:
        UsageError: no scheduler answers.
    """
    from distributed import Client

    count = find_count(address)
    local = None
    try:
        if count is not None:
            local = LocalCluster(count or count_cores(), threads)
            where = {"address": local.scheduler}
        elif address.endswith(".json"):
            with open(address, encoding="utf-8"):
                where = {"scheduler_file": address}
        else:
            _try_connect(address)
            where = {"address": address}
        return local, Client(**where, timeout=CONNECTING, set_as_default=False, name="convfilter")
    except (OSError, ValueError, TypeError, KeyError) as error:
        if local:
            local.close()
        reason = escape(" ".join(str(error).split())[:200])
        words = "a cluster cannot be started here" if count is not None else "no scheduler answers there"
        raise UsageError(f"--cluster {escape(address)}: {words}: {reason or type(error).__name__}") from None


def _try_connect(address: str) -> None:
    """Return if something listens at an address, or OSError: Dask's client would try for many seconds."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), CONNECTING).close()


def _is_text_of(text: str, pipeline: Pipeline) -> bool:
    try:
        return parse(text) == pipeline
    except (PipelineError, UsageError):
        return False


def _load_quietly() -> None:
    """Load dask.distributed, whose loggers then say nothing, unless the program that uses us has loaded it itself.

    Raises:
        UsageError: it is not installed.
    """
    if "distributed" in sys.modules:
        return
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError("--cluster needs further packages: pip install 'convfilter[cluster]'") from None
    for name in [*logging.root.manager.loggerDict, "asyncio"]:
        if name.partition(".")[0] in ("distributed", "tornado", "bokeh", "asyncio"):
            logger = logging.getLogger(name)
            logger.handlers[:] = [logging.NullHandler()]
            logger.propagate = name.count(".") > 0

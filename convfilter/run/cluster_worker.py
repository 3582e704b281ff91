"""What a worker of a cluster does: it makes a batch of pictures, all but the names of their outputs.

The outputs lie under temporary names when a batch is done, and the client renames them: so none appears after a stop,
and none twice where a picture is made again because a worker was lost. What is sent to a worker is a Job and Pictures,
whose paths are absolute; an Answer comes back. A pipeline goes as its text, and each process makes its network once.
"""

import contextlib
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

import convfilter
from convfilter.errors import ConvfilterError, LibraryError, escape
from convfilter.files.leaving import LeavingWriter
from convfilter.files.transaction import Unnamed, Written
from convfilter.files.walk import Source
from convfilter.language.pipeline import parse
from convfilter.run.budget import Budget, available
from convfilter.run.filtering import Filtering, attempt
from convfilter.run.loading import find_device, load_renderer, once
from convfilter.run.options import Options
from convfilter.run.plan import Key
from convfilter.run.result import Result, failure

KEPT = 2  # jobs whose networks a process keeps: several clients may use one cluster at a time


@dataclass(frozen=True)
class Job:
    """What all pictures of a run share, as a worker gets it.

    ``number`` tells it from other jobs, and from what others keep at the scheduler; ``text`` and ``name`` are the
    pipeline's, and ``weights`` the SHA-256 of each file that its text names. ``target`` is the one file to write where
    -o names one, and ``folder`` that of all outputs. ``memory`` is how much a process may use, where the client says
    it. ``has_urls`` is true where sources or outputs are behind URLs: the worker fetches and puts them itself.
    """

    number: str
    text: str
    name: str
    options: Options
    target: str | None
    folder: str | None
    memory: int | None
    weights: tuple[tuple[str, str], ...] = ()
    has_urls: bool = False


@dataclass(frozen=True)
class Picture:
    """One source to make, and where its outputs go; ``token`` names their temporary files, see ``find_token``.

    ``is_again`` is true where a worker was lost that may have put outputs into a store already.
    """

    source: Source
    paths: Mapping[Key, str]
    token: str
    is_again: bool = False


@dataclass(eq=False)
class Answer:
    """What became of the pictures of a batch, in order: each a result and what is to be renamed.

    None of them was begun where ``begun_by`` is the address of another worker that had begun the task before. It keeps
    the temporary files locked in the worker for as long as the client keeps the task, and removes then those that have
    got no name.
    """

    begun_by: str | None = None
    done: list[tuple[Result, list[Written]]] = field(default_factory=list)
    left: list[Unnamed] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "left": []}

    def __del__(self) -> None:
        for file in self.left:
            file.discard()


def describe(paths: Sequence[str] = ()) -> dict[str, Any]:
    """Return the versions of what a picture's outputs depend on, this process's folder, and which paths it lacks."""
    return {
        "versions": _find_versions(),
        "folder": os.getcwd(),
        "missing": [path for path in paths if not os.path.lexists(path)],
    }


def find_token(token: str, worker: str) -> str:
    """Return what names the temporary files of a picture that the worker with this address makes."""
    return blake2b(f"{token} {worker}".encode(), digest_size=8).hexdigest()


def work(job: Job, pictures: Sequence[Picture]) -> Answer:
    """Make pictures in a worker of Dask's, and return what became of those that were begun.

    A task that another worker had begun is not begun once more, as Dask would have it when that one is lost: the client
    sends its pictures again, which alone knows what may have become of them.
    """
    from distributed import get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    answer = Answer(_begin(worker, job.number, key))
    if answer.begun_by:
        return answer
    try:
        filtering = _prepare(job, worker.memory_manager.memory_limit, worker.state.nthreads)
    except ConvfilterError as error:
        answer.done = [(failure(pictures[0].source.path, LibraryError(f"worker {worker.address}: {error}")), [])]
        return answer
    if job.has_urls:
        filtering = replace(filtering, may_put=lambda: not _is_cancelled(worker, key))  # type: ignore[call-arg]
    for picture in pictures:
        writer = _Writer(no_clobber=job.options.no_clobber, folder=job.folder)
        writer.token = find_token(picture.token, worker.address)
        own = replace(filtering, writer=writer)
        if job.has_urls:
            own = replace(own, is_again=picture.is_again)  # type: ignore[call-arg]
        result = _make(own, picture)
        answer.done.append((result, writer.written))
        answer.left += writer.left
        ends = result.fatal or (job.options.fail_fast and result.status == "failed")
        if ends or _is_cancelled(worker, key):
            break
    return answer


def find_begun(client: Any, number: str, key: str) -> str | None:
    """Return the address of the worker that has begun a task of a job, if one has; ``client`` is Dask's."""
    found: str | None = client.get_metadata([number, key], default=None)
    return found


def forget_begun(client: Any, number: str) -> None:
    """Have the scheduler forget who has begun the tasks of a job."""
    client.set_metadata([number], {})


def _begin(worker: Any, number: str, key: str) -> str | None:
    """Tell the scheduler that this worker begins a task, or return the address of one that has begun it before."""
    from distributed.utils import sync

    where = {"keys": [number, key]}
    before: str | None = sync(worker.loop, worker.scheduler.get_metadata, **where, default=None)
    if before is None:
        sync(worker.loop, worker.scheduler.set_metadata, **where, value=worker.address)
    return before


def _make(filtering: Filtering, picture: Picture) -> Result:
    start = time.perf_counter()
    source = picture.source
    result = attempt(source, lambda: filtering.make(source, source.path, picture.paths))
    return replace(result, seconds=time.perf_counter() - start)


def _is_cancelled(worker: Any, key: str) -> bool:
    """Return whether nobody wants a task any more: the client has cancelled it, or is gone."""
    task = worker.state.tasks.get(key)
    return task is None or task.state == "cancelled"


class _Writer(LeavingWriter):
    """Leaves what killed runs left to the client, which alone knows when nobody writes in a folder."""

    def prepare_folder(self, folder: str) -> None:
        with self.lock:
            self._make_folder(folder)


_lock = threading.Lock()
_prepared: dict[str, Filtering] = {}  # by the jobs' numbers


def _prepare(job: Job, limit: int | None, threads: int) -> Filtering:
    """Return what all pictures of a job share in this process, with PyTorch and the network loaded; made once.

    ``limit`` is how many bytes the cluster lets a worker have, and ``threads`` how many tasks it does at a time.

    Raises:
        ConvfilterError: this worker cannot do it, and says why.
    """
    with _lock:
        if job.number not in _prepared:
            while len(_prepared) >= KEPT:
                del _prepared[next(iter(_prepared))]
            _prepared[job.number] = _make_filtering(job, limit, threads)
        return _prepared[job.number]


def _make_filtering(job: Job, limit: int | None, threads: int) -> Filtering:
    pipeline = replace(parse(job.text), name=job.name)
    pipeline = pipeline.for_gray() if job.options.gray_weights else pipeline
    for file in pipeline.files:
        if (file.path, file.digest) not in job.weights:
            raise LibraryError(f"{escape(file.path)} is another file there than on the client's machine")
    sizes = [size for size in (job.memory, limit and limit * 3 // 4) if size]
    device, _ = find_device(job.options.device)
    renderer = once(partial(load_renderer, pipeline, job.options, 1, device))
    renderer()
    make: Callable[..., Filtering] = Filtering
    if job.has_urls:
        from convfilter.run.remote import make_worker

        make = partial(make_worker, threads)
    return make(
        pipeline=pipeline,
        options=job.options,
        paths=_name_nothing,
        target=job.target,
        writer=_Writer(),
        budget=Budget(min(sizes, default=available() * 3 // 4)),
        renderer=renderer,
    )


def _name_nothing(source: Source, frames: int) -> NoReturn:
    raise AssertionError("the client names outputs")


@cache
def _find_versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "convfilter": convfilter.__version__}
    for name in ("torch", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def main() -> None:
    """Be one worker of a cluster on this machine, until standard input ends: then the client is gone.

    Standard input says first, in one line of JSON, where the scheduler is and how to speak to it.
    """
    import json

    given = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_client, daemon=True).start()
    import asyncio

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(**given))


def _end_with_client() -> None:
    while os.read(0, 4096):
        pass
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)  # which the client has made for its workers
    os._exit(1)


async def _serve(address: str, security: Mapping[str, Any], threads: int) -> None:
    import dask
    from distributed import Security, Worker

    dask.config.set(
        {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"}
    )  # 100, 50 Hz
    async with Worker(address, nthreads=threads, memory_limit=0, security=Security(**security)) as worker:
        await worker.finished()


if __name__ == "__main__":
    main()

"""A scheduler in this process and worker processes on this machine: what ``--cluster local`` stands for.

A worker that dies is replaced. All of them end with this process, however it ends: each reads from a pipe that nobody
else holds. What they say to each other is encrypted, with a key of this run's own, so that no other user of the machine
can give them work.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import convfilter
from convfilter.errors import LibraryError

TRIES = 10  # processes that may end, one after the other, without having made a picture


class LocalCluster:
    """A scheduler and ``count`` worker processes of so many threads; ``scheduler`` is what Dask's Client takes.

    Raises:
        OSError: the system gives no port or no process.
    """

    def __init__(self, count: int, threads: int = 1) -> None:
        from distributed import LocalCluster as Scheduler
        from distributed import Security

        security = Security.temporary()
        self.count = count
        self._folder = tempfile.mkdtemp(prefix="convfilter-")  # for what the workers put on the disk for a while
        self._ended = 0
        self._lock = threading.Lock()
        self._closed = False
        self.scheduler: Any = Scheduler(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            security=security,
            scheduler_kwargs={"allowed_failures": 0},  # of a task: it is this program that has it done again
        )
        self._told = json.dumps(
            {
                "address": self.scheduler.scheduler_address,
                "security": {
                    "require_encryption": True,
                    "tls_ca_file": security.tls_ca_file,
                    "tls_worker_key": security.tls_worker_key,
                    "tls_worker_cert": security.tls_worker_cert,
                },
                "threads": threads,
            }
        ).encode()
        self._processes = [self._start() for _ in range(count)]

    def tend(self) -> None:
        """Replace the processes that have ended.

        Raises:
            LibraryError: one after the other has ended.
        """
        with self._lock:
            for number, process in enumerate(self._processes):
                status = process.poll()
                if status is None or self._closed:
                    continue
                self._ended += 1
                if self._ended > TRIES:
                    raise LibraryError(f"{TRIES} worker processes have ended without a picture, the last with {status}")
                with contextlib.suppress(OSError):  # there may be one later
                    self._processes[number] = self._start()

    def is_well(self) -> None:
        """Take note that a picture was made."""
        self._ended = 0

    def kill(self) -> None:
        """Kill all workers for good, and return when they are gone."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
            for process in self._processes:
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """End all workers and the scheduler."""
        self.kill()
        for process in self._processes:
            if process.stdin:
                process.stdin.close()
        self.scheduler.close(timeout=2)

    def _start(self) -> "subprocess.Popen[bytes]":
        paths = [str(Path(convfilter.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            [sys.executable, "-m", "convfilter.run.cluster_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": self._folder},
            start_new_session=True,  # Ctrl-C is for this process, which obeys it
        )
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended at once, which ``tend`` finds
            process.stdin.write(self._told + b"\n")
            process.stdin.flush()
        return process

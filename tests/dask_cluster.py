"""A scheduler of Dask's with two workers, as real processes."""

import os
import subprocess
import sys
from pathlib import Path

from processes import wait_for

ROOT = Path(__file__).parents[1]


class DaskCluster:
    """A scheduler and two workers, in a folder that is not the client's."""

    def __init__(self, folder, environment=()):
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict(environment)}
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes, self.workers = [], {}
        self.processes.append(self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0"))
        for _ in range(2):
            self.add_worker()
        wait_for(self.file.exists)
        from distributed import Client

        self.client = Client(scheduler_file=self.file, set_as_default=False)
        self.address = self.client.scheduler.address

    def add_worker(self, **environment):
        worker = self._start("dask_worker", "--nthreads", "1", "--no-nanny", **environment)
        self.workers[worker.pid] = worker
        return worker

    def is_busy(self):
        return any(self.client.processing().values())

    def find_holder(self):
        """Return the process of a worker that holds results."""
        address = next(address for address, keys in self.client.has_what().items() if keys)
        return self.client.run(os.getpid, workers=[address])[address]

    def replace_dead(self):
        """Start a worker for each that has died, and return how many there were."""
        dead = [number for number, worker in self.workers.items() if worker.poll() is not None]
        for number in dead:
            del self.workers[number]
            self.add_worker()
        return len(dead)

    def _start(self, command, *arguments, **environment):
        code = (
            "import os, sys; "
            "kill = lambda event, said: event == 'open' and 'poison' in str(said[0]) and os.kill(os.getpid(), 9); "
            f"sys.addaudithook(kill); from distributed.cli.{command} import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, "--scheduler-file", self.file, *arguments, "--no-dashboard"],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self):
        self.client.close()
        for process in [*self.workers.values(), *self.processes]:
            process.kill()
            process.wait()

"""The processes of a run: the same files as without them, and a killed one costs what it was doing, no more."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from processes import is_alive, wait_for

from convfilter.files.temporary import create_beside, create_locked
from convfilter.run.budget import Budget
from convfilter.run.workers import Channel, _Worker

NOISE = np.random.default_rng(0).integers(0, 256, (900, 400), np.uint8)
SLOW = " | ".join(["Conv2d(1, 16, 31, padding='same') | Conv2d(16, 1, 31, padding='same')"] * 2)


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i in range(8):
        Image.fromarray(NOISE[i:, :300]).save(f"in/{i}.png")


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def children(process):
    try:
        return [int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def begin(program, *arguments, count):
    """Start the program, and return it, the process that forks its workers, and so many workers."""
    with open("told", "wb") as told, open("said", "wb") as said:
        child = program.start(*arguments, cwd=".", stdout=told, stderr=said)
    [base] = wait_for(lambda: children(child.pid))
    workers = wait_for(lambda: children(base) if len(children(base)) == count else [])
    return child, base, workers


@pytest.mark.parametrize(
    "options",
    [
        ["tutorial"],
        ["tutorial", "--frames", "all", "--grid", "--keep", "-r"],
        ["run", "Conv2d(1, 3, 5) | ReLU", "--steps", "--format", "npy", "--exact"],
        ["tutorial", "--name", "{channel}/{stem}", "--no-clobber"],
    ],
)
def test_the_same_files_and_words_as_from_one_thread(options, program):
    frames = [Image.fromarray(NOISE[50 * i :][:40, :50]) for i in range(3)]
    frames[0].save("in/moving.gif", save_all=True, append_images=frames[1:])
    Path("in/broken.png").write_bytes(Path("in/0.png").read_bytes()[:5000])
    Path("in/tiny.pgm").write_bytes(b"P5 3 3 255 123456789")
    done = {}
    for jobs in ("1", "3"):
        done[jobs] = program.run(*options, "in", "-o", "out", "-j", jobs, "--json", cwd=".")
        os.rename("out", jobs)
    assert tree("1") == tree("3")
    assert len(tree("1")) >= 9 and done["1"].returncode == done["3"].returncode == 1
    told = [re.sub(rb'"seconds": [\d.]+', b"", one.stdout) for one in done.values()]
    assert told[0] == told[1]
    said = [re.sub(rb"\d+\.\d s", b"", one.stderr) for one in done.values()]
    assert said[0] == said[1]


def test_a_killed_worker_costs_its_picture_and_is_replaced(program):
    child, _, workers = begin(program, "run", SLOW, "in", "-o", "out", "-j2", "--json", count=2)
    time.sleep(0.2)
    os.kill(workers[0], signal.SIGKILL)
    assert child.wait() == 1
    results = [json.loads(line) for line in Path("told").read_text().splitlines()]
    failed = [one for one in results if one.get("status") == "failed"]
    assert len(failed) == 1 and "was killed" in failed[0]["error"]
    assert failed[0]["kind"] == "memory"
    assert len(os.listdir("out")) == 7 and not [name for name in os.listdir("out") if name.endswith("tmp")]
    assert len([one for one in results if one.get("status") == "done"]) == 7


def test_what_a_killed_worker_has_begun_is_removed():
    ours, theirs = socket.socketpair()
    found = []

    def begin_and_be_killed():
        channel = Channel(theirs)
        _, _, _, token = channel.receive()
        locked, file = create_locked("in", token)
        for opened in (file, create_beside(locked, 1)[1]):
            opened.close()
        found.extend(Path("in").glob(".convfilter-*"))
        channel.close()

    worker = threading.Thread(target=begin_and_be_killed)
    worker.start()
    paths = {(0, 0, channel): f"in/a_{channel}.png" for channel in range(2)}
    with pytest.raises(EOFError):
        _Worker(0, Channel(ours)).write("a.png", "a.png", paths, SimpleNamespace(budget=Budget(1)))
    worker.join()
    assert len(found) == 2 and not list(Path("in").glob(".convfilter-*"))


def test_without_the_process_that_forks_the_run_goes_on(program):
    child, base, _ = begin(program, "run", SLOW, "in", "-o", "out", "-j2", count=2)
    time.sleep(0.2)
    os.kill(base, signal.SIGKILL)
    assert child.wait() in (0, 1)
    assert len(os.listdir("out")) >= 6 and not [name for name in os.listdir("out") if name.endswith("tmp")]


def test_a_killed_run_leaves_no_process(program):
    child, base, workers = begin(program, "run", SLOW, "in", "-o", "out", "-j3", count=3)
    time.sleep(0.2)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    wait_for(lambda: not any(map(is_alive, [base, *workers])), seconds=5)
    assert program.run("edge", "in", "-o", "out", cwd=".").returncode == 0
    assert not [name for name in os.listdir("out") if name.endswith("tmp")]


def test_a_finished_run_leaves_no_process(program):
    child, base, workers = begin(program, "run", SLOW, "in/0.png", "in/1.png", "-o", "out", count=2)
    assert child.wait() == 0
    wait_for(lambda: not any(map(is_alive, [base, *workers])), seconds=5)


def test_where_all_is_done_already_no_process_loads_torch(program):
    assert program.run("edge", "in", "-o", "out", cwd=".").returncode == 0
    again = [sys.executable, "-X", "importtime", "-m", "convfilter", "edge", "in", "-o", "out", "-j2"]
    skipped, done = (
        subprocess.run([*again, *more], capture_output=True, text=True) for more in (["--skip-existing"], [])
    )
    assert skipped.returncode == done.returncode == 0
    assert not re.search(r"\| +torch\n", skipped.stderr) and re.search(r"\| +torch\n", done.stderr)

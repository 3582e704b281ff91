"""Pictures on a cluster: the same files and words as without one, and nothing is lost with a worker or a client."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from dask_cluster import DaskCluster
from PIL import Image
from processes import Child, is_alive, wait_for

NOISE = np.random.default_rng(0).integers(0, 256, (3000, 2000), np.uint8)
SLOW = " | ".join(["Conv2d(1, 16, 31, padding='same') | Conv2d(16, 1, 31, padding='same')"] * 2)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = DaskCluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in/sub").mkdir(parents=True)
    for i in range(8):
        Image.fromarray(NOISE[i:][:60, :70]).save(f"in/{i}.png")
    Image.fromarray(NOISE[:20, :30]).save("in/sub/a b.png")


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def children(process):
    """The worker processes that a client has started."""
    found = []
    for task in os.listdir(f"/proc/{process}/task"):
        found += [int(n) for n in Path(f"/proc/{process}/task/{task}/children").read_text().split()]
    return found


def begin(program, *arguments) -> Child:
    with open("told", "wb") as told, open("said", "wb") as said:
        return program.start(*arguments, cwd=".", stdout=told, stderr=said)


def outputs(folder="out"):
    return [str(path.relative_to(folder)) for path in sorted(Path(folder).rglob("*")) if path.is_file()]


def told():
    return [json.loads(line) for line in Path("told").read_text().splitlines()]


def plain(done):
    """What a run has printed, but for how long it took."""
    lines = re.sub(rb'"seconds": [\d.]+', b"", done.stdout), re.sub(rb"\d+\.\d s", b"", done.stderr)
    return done.returncode, *lines


@pytest.mark.parametrize(
    "options",
    [
        ["tutorial", "-r", "--no-clobber"],
        ["run", "Conv2d(1, 3, 5) | ReLU", "--frames", "all", "--steps", "--grid", "--keep", "--max-memory", "50M"],
        ["edge", "--fail-fast"],
    ],
)
def test_the_same_files_and_words_as_without_a_cluster(options, cluster, program):
    frames = [Image.fromarray(NOISE[50 * i :][:40, :50]) for i in range(3)]
    frames[0].save("in/moving.gif", save_all=True, append_images=frames[1:])
    Path("in/broken.png").write_bytes(Path("in/0.png").read_bytes()[:500])
    Path("in/large.pgm").write_bytes(b"P5 5000 5000 255 " + bytes(25_000_000))
    Path("before").mkdir()
    Path("before/a.txt").write_text("mine")
    Path("before/2_tutorial_1.png").write_bytes(b"mine")
    done = {}
    for name, more in (("without", ["-j1"]), ("with", ["--cluster", cluster.address])):
        shutil.copytree("before", "out")
        done[name] = program.run(*options, "in", "-o", "out", "--json", *more, cwd=".")
        os.rename("out", name)
    assert plain(done["with"]) == plain(done["without"])
    assert done["with"].returncode == (3 if "--fail-fast" in options else 1)
    if "--fail-fast" not in options:  # with it, what is under way may be finished
        assert tree("with") == tree("without") and len(tree("with")) > 10


def test_what_is_done_is_skipped_and_what_is_replaced_was_ours(cluster, program):
    run = ["edge", "in", "-o", "out", "--json", "--skip-existing", "--cluster", cluster.address]
    assert program.run(*run, cwd=".").returncode == 0
    os.unlink("out/3_edge.png")
    before = tree("out")
    again = program.run(*run, "--unordered", cwd=".")
    results = [json.loads(line) for line in again.stdout.splitlines()]
    assert results[-1]["counts"] == {"done": 1, "skipped": 7, "failed": 0, "outputs": 1}
    assert {one["source"] for one in results[:-1]} == {f"in/{i}.png" for i in range(8)}
    assert len(tree("out")) == 8 and before.items() < tree("out").items()


@pytest.mark.parametrize("here", [True, False])
def test_a_slow_picture_does_not_hold_up_the_others_where_order_does_not_matter(here, cluster, program):
    Image.fromarray(NOISE[:1200, :1000]).save("in/0.png")
    where = ["-j2"] if here else ["--cluster", cluster.address]
    done = program.run("run", SLOW, "in", "-o", "out", "--unordered", *where, cwd=".")
    names = [os.path.basename(line).partition(b"_")[0] for line in done.stdout.splitlines()]
    assert sorted(names) == [b"%d" % i for i in range(8)] and names[-1] == b"0"


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_killed_workers_lose_nothing(kills, program):
    for i in range(25 * kills):
        Image.fromarray(NOISE[i:][:130, :150]).save(f"in/{i:03}.png")
    pictures = len(os.listdir("in")) - 1
    child = begin(program, "run", SLOW, "in", "-o", "out", "--json", "--cluster", "local:2")
    killed = 0
    while killed < kills:
        written = len(outputs())
        wait_for(lambda written=written: len(outputs()) > written + 3)
        workers = wait_for(lambda: [worker for worker in children(child.pid) if is_alive(worker)])
        os.kill(workers[killed % len(workers)], signal.SIGKILL)
        killed += 1
    assert child.wait() == 0
    results = told()
    assert results[-1]["counts"] == {"done": pictures, "skipped": 0, "failed": 0, "outputs": pictures}
    sources = [one["source"] for one in results[:-1]]
    assert sources == sorted(set(sources)) and len(outputs()) == pictures
    assert Path("said").read_text().count("\n") == 1


@pytest.mark.parametrize("local", [True, False])
def test_ctrl_c_cancels_and_no_output_appears_afterwards(local, cluster, program):
    for i in range(30):
        Image.fromarray(NOISE[i:][:200, :250]).save(f"in/{i:02}.png")
    child = begin(program, "run", SLOW, "in", "-o", "out", "--cluster", "local:2" if local else cluster.address)
    wait_for(lambda: len(outputs()) >= 4)
    workers = children(child.pid)
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130
    print(f"ended after {time.monotonic() - start:.2f} s")  # the figures are for pytest -rP
    listed = Path("told").read_text().split()
    there = [name for name in outputs() if not name.endswith("tmp")]
    assert len(there) < 30 and {f"out/{name}" for name in there} >= set(listed)
    if local:
        wait_for(lambda: not any(map(is_alive, workers)))
    else:
        wait_for(lambda: not cluster.is_busy())
    wait_for(lambda: sorted(outputs()) == sorted(there))


def test_when_the_client_is_killed_its_workers_stop_and_the_next_run_goes_on(program):
    Image.fromarray(NOISE[:900, :1000]).save("in/0.png")
    run = ["run", SLOW, "in", "-o", "out", "--cluster"]
    child = begin(program, *run, "local:2")
    workers = wait_for(lambda: children(child.pid) if outputs() else [])
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert len(workers) == 2
    wait_for(lambda: not any(map(is_alive, workers)), seconds=20)
    assert program.run(*run[:-1], "-j2", "--skip-existing", cwd=".").returncode == 0
    assert sorted(outputs()) == [f"{i}_Conv2d-Conv2d-Conv2d-Conv2d.png" for i in range(8)]


def test_versions_that_differ_are_said_before_the_start(cluster, program, tmp_path):
    (tmp_path / "numpy-0.0.1.dist-info").mkdir()
    (tmp_path / "numpy-0.0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    worker = cluster.add_worker(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    wait_for(lambda: len(cluster.client.nthreads()) == len(cluster.workers))
    done = program.run("edge", "in/0.png", "-o", "out", "--cluster", cluster.address, cwd=".")
    cluster.workers.pop(worker.pid).kill()
    assert done.returncode == 0
    assert b"numpy 0.0.1 where this machine has " in done.stderr.partition(b"\n")[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cluster", "127.0.0.1:9"], "no scheduler answers there"),
        (["--cluster", "missing.json"], "no scheduler answers there"),
        (["--cluster", "x"], "'x' is no cluster; write its scheduler's address"),
        (["--cluster", "local:2", "-j2"], "say --cluster local:N"),
        (["--cluster", "local:2", "-o", "-"], "leave out one"),
        (["--cluster", "local:2", "--device", "cuda:99"], "there is no such device here"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(options, words, program):
    done = program.run("edge", "in/0.png", *options, cwd=".")
    assert done.returncode == 2 and words in done.stderr.decode() and b"Traceback" not in done.stderr
    assert not done.stdout and not outputs()


def test_pictures_that_workers_do_not_see_are_refused(cluster, program):
    done = program.run(
        "edge", "/proc/self/fd/../fd/../../self/cwd/in", "-o", "out", "--cluster", cluster.address, cwd="."
    )
    assert done.returncode == 2 and b"workers need the same disk" in done.stderr


def test_a_picture_that_kills_its_workers_is_that_pictures_failure(cluster, program):
    os.rename("in/4.png", "in/4poison.png")
    child = begin(program, "edge", "in", "-o", "out", "--json", "--cluster", cluster.address)
    dead, deadline = 0, time.monotonic() + 150
    while child.returncode is None:
        assert time.monotonic() < deadline
        dead += cluster.replace_dead()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.1)
    dead += cluster.replace_dead()
    assert child.returncode == 1 and dead >= 3
    results = {one.get("source"): one for one in told()}
    assert re.search(r"\d+ workers were lost over it", results["in/4poison.png"]["error"])
    assert results[None]["counts"] == {"done": 7, "skipped": 0, "failed": 1, "outputs": 7}
    wait_for(lambda: len(outputs()) == 7, seconds=10)  # what Dask had begun once more is removed when that ends
    assert not any(name.endswith("tmp") for name in outputs())

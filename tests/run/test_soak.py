"""What a night may bring: kills, signals, full disks and folders that vanish; a few of each, or all with --soak."""

import contextlib
import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import PROGRAM

SOAK = pytest.mark.soak
NOISE = np.random.default_rng(0).integers(0, 256, (3000, 400), np.uint8)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, seed=0, size=(60, 70)):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(NOISE[seed % 2900 :][: size[0], seed // 2900 :][:, : size[1]]).save(path)


def tree(folder="."):
    """Every file below a folder, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def without_temporary(files):
    return {name: data for name, data in files.items() if not Path(name).name.startswith(".convfilter-")}


def end(child, number):
    """Send a signal; return the exit status and the seconds that it took."""
    start = time.perf_counter()
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)
    return child.wait(20), time.perf_counter() - start


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=SOAK)])
def test_kills_break_no_file_and_the_next_run_completes(kills, program, tmp_path):
    for i in range(24):
        save(f"in/{i:02}.png", i)
    arguments = ["tutorial", "in", "-o", "out", "-j3"]
    start = time.perf_counter()
    assert program.run(*arguments, cwd=tmp_path).returncode == 0
    whole, seconds = tree("out"), time.perf_counter() - start
    moments = random.Random(kills)
    cut_short = 0
    for number in range(kills):
        if number % 2:  # half of them find earlier outputs to replace
            shutil.rmtree("out")
        child = program.start(*arguments, cwd=tmp_path)
        time.sleep(moments.uniform(0, seconds))
        cut_short += end(child, signal.SIGKILL)[0] == -signal.SIGKILL
        there = without_temporary(tree("out")) if os.path.exists("out") else {}
        assert {name: whole[name] for name in there} == there
        assert len(there) == 48 or number % 2
        assert program.run(*arguments, "--skip-existing", cwd=tmp_path).returncode == 0
        assert tree("out") == whole
    print(f"{cut_short} of {kills} kills came while it was writing")  # the figures are for pytest -rP
    assert cut_short > kills // 3


def soon(delays, signals):
    """Whether a run ends within a second; the few signals of a busy machine may take longer."""
    print(f"{len(delays)} signals, median {np.median(delays):.2f} s, at most {max(delays):.2f} s")
    return np.median(delays) < 1 and max(delays) < (1 if signals >= 50 else 3)


@pytest.mark.parametrize("signals", [4, pytest.param(50, marks=SOAK)])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_end_a_run_within_a_second_with_its_files_listed(name, signals, program, tmp_path):
    for i in range(150):
        save(f"in/{i:03}.png", i, (120, 130))
    number = getattr(signal, name)
    start = time.perf_counter()
    assert program.run("tutorial", "in", "-o", "out", cwd=tmp_path).returncode == 0
    whole, seconds = tree("out"), time.perf_counter() - start
    moments, delays, cut_short = random.Random(signals), [], 0
    for _ in range(signals):
        shutil.rmtree("out")
        os.mkdir("out")
        with open("told", "wb") as told, open("said", "wb") as said:
            child = program.start("tutorial", "in", "-o", "out", "-j3", cwd=tmp_path, stdout=told, stderr=said)
            wait_for_handlers(child)
            time.sleep(moments.uniform(0, seconds))
            status, delay = end(child, number)
        there = tree("out")
        assert {name: whole[name] for name in there} == there  # nothing temporary either
        assert sorted(f"out/{name}" for name in there) == sorted(Path("told").read_text().splitlines())
        assert status == 128 + number or (status == 0 and len(there) == 300)
        if status and 0 < len(there) < 300:
            assert Path("said").read_text().endswith(", stopped early\n")
        delays.append(delay)
        cut_short += 0 < len(there) < 300
    assert soon(delays, signals), delays
    print(f"{cut_short} of them came in the midst of it")
    assert cut_short > signals // 5


def wait_for_handlers(child):
    """Wait until a process answers SIGTERM itself: before that it is python, not yet the program."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{child.pid}/status").read_text())
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.002)


@pytest.mark.parametrize("signals", [4, pytest.param(50, marks=SOAK)])
def test_signals_while_the_program_is_loading(signals, tmp_path):
    save("in/a.png")
    save("in/b.png")
    moments, delays = random.Random(signals), []
    for i in range(signals):
        number = (signal.SIGINT, signal.SIGTERM)[i % 2]
        with open("told", "wb") as told, open("said", "wb") as said:
            child = subprocess.Popen([*PROGRAM, "edge", "in", "-o", "out"], stdout=told, stderr=said)
            wait_for_handlers(child)
            time.sleep(moments.uniform(0, 1.5))
            status, delay = end(child, number)
        lines = Path("told").read_text().splitlines()
        assert status == 128 + number or (status == 0 and len(lines) == 2)
        assert "Traceback" not in Path("said").read_text()
        assert not os.path.exists("out") or all(f"out/{name}" in lines for name in os.listdir("out"))
        shutil.rmtree("out", ignore_errors=True)
        delays.append(delay)
    assert soon(delays, signals), delays


@pytest.mark.parametrize("signals", [1, pytest.param(10, marks=SOAK)])
def test_signals_while_the_program_is_busy_or_waits(signals, program, tmp_path):
    save("large.png", size=(2900, 400))
    for i in range(40):
        save(f"in/{'long' * 50}{i}.png", i)
        Path(f"in/{'long' * 50}{i}.txt").write_text("no picture")
    never, kept = os.pipe()  # nobody writes to the one, and nobody reads from the other
    unread, full = os.pipe()
    fcntl.fcntl(full, fcntl.F_SETPIPE_SZ, 4096)
    layers = " | ".join(["Conv2d(1, 32, 31, padding='same') | Conv2d(32, 1, 31, padding='same')"] * 2)
    delays = []
    for i in range(signals):
        number = (signal.SIGTERM, signal.SIGINT)[i % 2]
        for arguments, streams in (
            (["run", layers, "large.png"], {}),
            (["run", layers, "large.png", "large.png", "--exact", "-o", "out"], {}),
            (["edge", "-"], {"stdin": never}),
            (["edge", "in", "-o", "listed"], {"stdout": full}),
            (["edge", "in", "-v", "--no-clobber", "-o", "told"], {"stderr": full}),
            (["edge", "in/" + "long" * 50 + "1.png", "-o", "-"], {"stdout": full}),
        ):
            child = program.start(*arguments, cwd=tmp_path, **streams)
            wait_for_handlers(child)
            time.sleep(0.3)
            status, delay = end(child, number)
            assert status == 128 + number, (arguments[0], streams)
            delays.append(delay)
    assert soon(delays, signals * 5), delays
    assert max(delays) < 3 and not [name for name in tree() if name.endswith(".tmp")]
    for descriptor in (never, kept, unread, full):
        os.close(descriptor)


@contextlib.contextmanager
def small_disk(path, size):
    """Mount a file system of this many bytes; skip where that is not allowed."""
    os.makedirs(path, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "convfilter-test", path]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.parametrize("sizes", [5, pytest.param(20, marks=SOAK)])
def test_a_full_disk_ends_the_run_and_costs_no_file(sizes, program, tmp_path):
    for i in range(40):
        save(f"in/{i:02}.png", i, (100, 110))
    assert program.run("tutorial", "in", "-o", "old", "--bits", "8", cwd=tmp_path).returncode == 0
    assert program.run("tutorial", "in", "-o", "new", "--bits", "16", cwd=tmp_path).returncode == 0
    old, new = tree("old"), tree("new")
    held, need = (sum(-(-len(data) // 4096) for data in files.values()) for files in (old, new))
    for number in range(sizes):
        first, last = (held, need) if number % 2 else (0, need)
        with small_disk("disk", 4096 * (first + 1 + (last - first) * number // (sizes + 1))):
            before = old if number % 2 else {}
            for name, data in before.items():
                Path("disk", name).write_bytes(data)
            done = program.run("tutorial", "in", "-o", "disk", "--bits", "16", "-j2", "--json", cwd=tmp_path)
            there = tree("disk")
            assert done.returncode == 3 and b"the disk is full" in done.stderr and b"stopped early" in done.stderr
            lines = [line for line in done.stderr.splitlines() if b" is replaced: it was made with " not in line]
            assert len(lines) <= 3  # one for each of two workers, and the closing one
            assert before.keys() <= there.keys()
            assert all(data in (old[name] if number % 2 else None, new[name]) for name, data in there.items())
            results = map(json.loads, done.stdout.splitlines())
            finished = {Path(path).name for one in results for path in one.get("outputs", ())}
            assert finished == {name for name, data in there.items() if data == new[name]}


def test_a_file_that_may_not_grow_costs_only_its_picture(program, tmp_path):
    for i in range(6):
        save(f"in/{i}.png", i, (200, 200) if i == 3 else (40, 40))
    limits = [(resource.RLIMIT_FSIZE, 20_000)]
    done = program.run("edge", "in", "-o", "out", cwd=tmp_path, limits=limits)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 5
    assert b"3_edge.png: cannot be written: larger than a file may be here" in done.stderr
    assert sorted(os.listdir("out")) == [f"{i}_edge.png" for i in range(6) if i != 3]


def test_a_read_only_folder_ends_the_run_with_one_line(program, tmp_path):
    for i in range(40):
        save(f"in/{i:02}.png", i)
    with contextlib.ExitStack() as stack:
        if os.geteuid():
            os.mkdir("disk", 0o555)
        else:
            stack.enter_context(small_disk("disk", 1 << 20))
            subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True)
        for out in ("disk", "disk/new"):
            done = program.run("edge", "in", "-o", out, "-j1", cwd=tmp_path)
            assert done.returncode == 3 and done.stdout == b""
            assert len(done.stderr.splitlines()) == 2 and b"stopped early" in done.stderr
            assert re.search(rb"read-only|ermission denied", done.stderr)
        assert program.run("edge", "disk", cwd=tmp_path).returncode == 1  # nothing in it, and nothing written to it


def test_folders_that_vanish_are_named(program, tmp_path):
    for i in range(300):
        save(f"in/{i:03}.png", i, (150, 150))
    for lost in ("in", "out"):
        shutil.copytree("in", "kept", dirs_exist_ok=True)
        with open("said", "wb") as said:
            child = program.start("edge", "in", "-o", "out", "-j1", cwd=tmp_path, stderr=said)
            deadline = time.monotonic() + 20
            while (not os.path.exists("out") or len(os.listdir("out")) < 5) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.rename(lost, "elsewhere")
            assert child.wait() == (3 if lost == "out" else 1)
        words = Path("said").read_text()
        assert len(words.splitlines()) <= 60 and re.search(r"in: |its folder is gone|No such file", words), words
        shutil.rmtree("elsewhere")
        shutil.rmtree("out", ignore_errors=True)
        shutil.rmtree("in", ignore_errors=True)
        shutil.copytree("kept", "in")


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=SOAK)])
def test_sources_that_shrink_while_they_are_read(rounds, program, tmp_path):
    for i in range(30):
        for suffix in ("bmp", "tif", "pgm", "png"):
            save(f"in/{i:02}.{suffix}", i, (300, 300))
    files = tree("in")
    moments, over = random.Random(rounds), threading.Event()

    def disturb():
        while not over.is_set():
            name = moments.choice(list(files))
            os.truncate(f"in/{name}", moments.randrange(len(files[name])))
            time.sleep(0.001)
            with open(f"in/{name}", "r+b") as file:
                file.write(files[name])

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(rounds):
            done = program.run("edge", "in", "-o", "out", "--no-metadata", cwd=tmp_path)
            failures = done.stderr.splitlines()[:-1]
            assert done.returncode == int(bool(failures)) and len(failures) + len(done.stdout.splitlines()) == 120
            assert all(line.startswith(b"convfilter: in/") for line in failures)
    finally:
        over.set()
        thread.join()
    assert program.run("edge", "in", "-o", "calm", "--no-metadata", cwd=tmp_path).returncode == 0
    calm = tree("calm")
    assert {name: calm[name] for name in tree("out")} == tree("out")


def family_of(process):
    """A process and all that it has started, and these."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in family_of(child))]


def memory_of(process):
    """The megabytes that a process takes, with its part of those that it shares."""
    return int(re.search(r"Pss:\s*(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text())[1]) / 1024


@pytest.mark.parametrize("pictures", [600, pytest.param(10_000, marks=SOAK)])
def test_memory_stays_flat(pictures, program, tmp_path):
    sizes = random.Random(0)
    for i in range(200):
        save(f"kinds/{i}.png", i, (sizes.randrange(20, 400), sizes.randrange(20, 400)))
    Path("in").mkdir()
    for i in range(pictures):
        os.link(f"kinds/{i % 200}.png", f"in/{i:05}.png")
    reader, writer = os.pipe()
    child = program.start("tutorial", "in", "-o", "out", "-j2", cwd=tmp_path, stdout=writer)
    os.close(writer)
    seen = {}
    with open(reader) as lines:
        for number, _ in enumerate(lines):
            if number % 200 == 199 and number < 2 * pictures - 200:  # at the last ones the workers are gone
                seen[number // 2] = sum(map(memory_of, family_of(child.pid)))
    assert child.wait() == 0
    last, most = seen[pictures - 201], max(seen.values())
    print(f"{seen[99]:.0f} MB after 100 pictures, {last:.0f} MB at the end, most {most:.0f} MB")
    assert abs(last - seen[99]) < 50 and most - seen[99] < 100


@pytest.mark.soak
def test_a_hundred_thousand_files_start_at_once(program, tmp_path):
    save("in/000000.png")
    for i in range(1, 100_000):
        if i % 50_000 == 0:
            save(f"in/{i:06}.png")  # a file system may allow only so many links
        os.link(f"in/{i // 50_000 * 50_000:06}.png", f"in/{i:06}.png") if i % 50_000 else None
    start = time.perf_counter()
    reader, writer = os.pipe()
    child = program.start("edge", "in", "-o", "out", cwd=tmp_path, stdout=writer)
    os.close(writer)
    with open(reader) as lines:
        assert next(lines) == "out/000000_edge.png\n"
        assert time.perf_counter() - start < 3
        child.send_signal(signal.SIGINT)
        listed = 1 + sum(1 for _ in lines)
    assert child.wait() == 130 and listed == len(os.listdir("out"))

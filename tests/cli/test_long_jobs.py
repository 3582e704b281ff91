"""What a long run tells: its log, and how far it is when a signal asks."""

import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import PROGRAM

unix = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no SIGUSR1")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(*paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 14), np.uint8)).save(path)


def test_the_log_has_a_line_a_picture_and_is_appended_to(program, tmp_path):
    save(*(f"p/{number}.png" for number in range(6)), "p/two\nlines\t.png")
    Path("p/3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Path("run.log").write_text("before\n")
    begun = datetime.now().astimezone()
    for _ in range(2):
        done = program.run("edge", "p", "-j4", "--skip-existing", "--log", "run.log", cwd=tmp_path)
        assert done.returncode == 1
    first, *lines = Path("run.log").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    assert first == "before" and len(rows) == 14 and {len(row) for row in rows} == {5}
    assert [row[1] for row in rows] == [
        *["done"] * 3,
        "failed",
        *["done"] * 3,
        *["skipped"] * 3,
        "failed",
        *["skipped"] * 3,
    ]
    assert rows[0][3:] == ["p/0.png", "p_edge/0_edge.png"] and rows[6][3] == r"p/two\nlines\t.png"
    assert rows[3][3:] == ["p/3.png", done.stderr.decode().splitlines()[0].partition("3.png: ")[2]]
    assert begun.replace(microsecond=0) <= datetime.fromisoformat(rows[0][0]) <= datetime.now().astimezone()


def test_runs_that_share_a_log_write_whole_lines(program, tmp_path):
    save(*(f"p/{'x' * 200}{number:03}.png" for number in range(60)))
    runs = [
        program.start("edge", "p", "-o", "out", "--shard", f"{i}/3", "--log", "log", cwd=tmp_path) for i in range(3)
    ]
    assert [run.wait() for run in runs] == [0, 0, 0]
    sources = [line.split("\t")[3] for line in Path("log").read_text().splitlines()]
    assert sorted(sources) == sorted(map(str, Path("p").iterdir()))


def test_a_log_that_cannot_be_written_is_refused_or_stops_the_run(program, tmp_path):
    save("a.png")
    for path, words in {
        "none/log": "--log none/log: No such file or directory",
        ".": "--log .: Is a directory",
        "-": "--log -: standard output carries the paths written; name a file, or /dev/stderr",
        "a.png": "--log a.png: is a picture's name, and the log is text; call it .log",
    }.items():
        done = program.run("edge", "a.png", "--log", path, cwd=tmp_path)
        assert (done.returncode, done.stderr.decode()) == (2, f"convfilter: {words}\n")
    assert not Path("a_edge.png").exists()
    if os.path.exists("/dev/full"):
        done = program.run("edge", "a.png", "--log", "/dev/full", cwd=tmp_path)
        assert done.returncode == 3
        assert done.stderr.startswith(b"convfilter: --log /dev/full: No space left on device\n")


def read_line(stream, wanted):
    """Wait for a line that matches."""
    while line := stream.readline():
        if re.fullmatch(wanted, line):
            return line
    raise AssertionError("it has ended without a word")


@unix
@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_signal_asks_how_far_the_run_is(quiet, program, tmp_path):
    save("a.png", "b.png")
    names, give = os.pipe()
    told, teller = os.pipe()
    child = program.start("edge", "--files-from", "-", *quiet, cwd=tmp_path, stdin=names, stderr=teller)
    os.close(names)
    os.close(teller)
    with open(give, "wb", buffering=0) as list_, open(told) as lines:
        list_.write(b"a.png\n")
        while not Path("a_edge.png").exists():
            child.send_signal(signal.SIGUSR1)
            time.sleep(0.02)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            child.send_signal(signal.SIGUSR1)
            if read_line(lines, r"convfilter: .*\n").startswith("convfilter: 1 pictures [00:0"):
                break
        child.send_signal(signal.SIGUSR1)
        assert read_line(lines, r"convfilter: 1 pictures .*; the last one: a\.png\n")
        list_.write(b"b.png\n")
        list_.close()
        assert child.wait() == 0
    assert Path("b_edge.png").exists()


@unix
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_no_such_signal_ends_a_run_at_any_time_nor_its_workers(tmp_path):
    """A process of its own, with its workers, which are asked as its group from the moment it can hear."""
    save(*(f"p/{number:02}.png" for number in range(40)))
    child = subprocess.Popen(
        [*PROGRAM, "edge", "p", "-j2", "-q"], cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CONVFILTER_WARM": "0", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    mask = 1 << (signal.SIGUSR1 - 1)
    while not int(re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{child.pid}/status").read_text())[1], 16) & mask:
        time.sleep(0.001)
    asked = 0
    while child.poll() is None:
        os.killpg(child.pid, signal.SIGUSR1)
        asked += 1
        time.sleep(0.01)
    assert child.returncode == 0 and child.stdout.read().count(b"\n") == 40 and asked > 10

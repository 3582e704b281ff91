"""The warm process's own life, and what signals do to a call that it does: real processes."""

import ast
import contextlib
import fcntl
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import PROGRAM

import convfilter
from convfilter.warm import client, protocol, server

SOAK = pytest.mark.soak
SLOW = " | ".join(["Conv2d(1, 32, 31, padding='same') | Conv2d(32, 1, 31, padding='same')"] * 2)


@pytest.fixture
def folder(tmp_path):
    """A folder with one picture, which takes long."""
    noise = np.random.default_rng(0).integers(0, 256, (1500, 400), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    return tmp_path


@pytest.fixture
def place(tmp_path_factory, monkeypatch):
    """Where a test's own warm process has its socket."""
    runtime = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.delenv("CONVFILTER_WARM")
    path = protocol.find_socket(convfilter.__version__)
    assert path.startswith(str(runtime))
    yield path
    end(path)


def end(path):
    answer = client.ask(path, "status")
    if answer:
        os.kill(answer["process"], signal.SIGTERM)
        assert is_gone(answer["process"])


def is_gone(process, seconds=10.0):
    """Whether a process, which may be no child of ours, ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            os.waitpid(process, os.WNOHANG)
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def catches(process, number):
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (number - 1) & 1


def begin(program, folder, *arguments, **how):
    """A call that the warm process does, once its worker runs and those of earlier calls are gone."""
    wait_for(lambda: not workers_of(program))
    before = program.count()
    environment = {**os.environ, "CONVFILTER_WARM": program.path}
    child = subprocess.Popen([*PROGRAM, *arguments], cwd=folder, env=environment, stdout=-1, stderr=-1, **how)
    wait_for(lambda: program.count() > before)
    return child


def wait_for(condition, seconds=20.0):
    """Wait until a function returns true, and fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(program):
    """The process numbers of the calls that run."""
    process = client.ask(program.path, "status")["process"]
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    workers = []
    for number in map(int, children):
        with contextlib.suppress(ProcessLookupError):
            workers += [number] if os.getpgid(number) == number else []
    return workers


def worker_of(program):
    """The process number of the call that runs."""
    wait_for(lambda: len(workers_of(program)) == 1)
    return workers_of(program)[0]


@pytest.mark.parametrize("signals", [2, pytest.param(50, marks=SOAK)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_call_within_a_second(number, signals, folder, program):
    moments, delays = random.Random(signals), []
    for _ in range(signals):
        child = begin(program, folder, "run", SLOW, "a.png", "-o", "out/b.png")
        time.sleep(moments.uniform(0, 0.5))
        start = time.perf_counter()
        child.send_signal(number)
        _, said = child.communicate(timeout=20)
        delays.append(time.perf_counter() - start)
        assert child.returncode == 128 + number and b"Traceback" not in said
        assert not [name for name in (os.listdir("out") if os.path.exists("out") else []) if name.endswith(".tmp")]
    assert np.median(delays) < 1, delays


def test_a_call_that_is_killed_ends_its_worker(folder, program):
    child = begin(program, folder, "run", SLOW, "a.png")
    worker = worker_of(program)
    child.kill()
    assert is_gone(worker)
    child.communicate()
    assert program.run("--version", cwd=folder).returncode == 0


def test_a_worker_that_is_killed_ends_its_call_as_a_killed_one(folder, program):
    child = begin(program, folder, "run", SLOW, "a.png")
    os.kill(worker_of(program), signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    child.communicate()


def test_a_call_stops_and_goes_on_with_its_worker(folder, program):
    child = begin(program, folder, "run", " | ".join([SLOW] * 4), "a.png", "-o", "out")

    def states():
        found = []
        for number in (child.pid, *workers_of(program)):  # that of a call before may just be ending
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0])
        return found

    wait_for(lambda: len(states()) == 2)
    wait_for(lambda: catches(child.pid, signal.SIGTSTP))
    child.send_signal(signal.SIGTSTP)
    wait_for(lambda: states() == ["T", "T"])
    child.send_signal(signal.SIGCONT)
    wait_for(lambda: len(states()) == 2 and "T" not in states())
    child.send_signal(signal.SIGTERM)
    child.communicate()
    assert child.returncode == 143


def test_ctrl_c_on_a_terminal_and_its_width(folder, program):
    environment = {**os.environ, "CONVFILTER_WARM": program.path}
    environment.pop("COLUMNS", None)  # which would count for more than the terminal
    process, terminal = pty.fork()
    if not process:
        os.chdir(folder)
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("4H", 24, 61, 0, 0))
        line = f"{' '.join(PROGRAM)} explain 'edge | ReLU' && echo ready && exec {' '.join(PROGRAM)} run \"$0\" a.png"
        os.execvpe("sh", ["sh", "-c", line, SLOW], environment)
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 4096)
    widths = {len(line.rstrip()) for line in said.decode().splitlines()}
    assert 50 < max(widths) <= 61
    before = program.count()
    wait_for(lambda: program.count() > before)
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    os.close(terminal)


def test_a_warm_process_that_is_killed_costs_the_call_under_way_alone(folder, place):
    assert subprocess.run([*PROGRAM, "warm", "start"]).returncode == 0
    said = subprocess.run([*PROGRAM, "warm", "start"], capture_output=True, text=True)
    number = client.ask(place, "status")["process"]
    assert said.returncode == 0 and f"running: process {number}" in said.stderr
    memory = subprocess.run([*PROGRAM, "warm", "status"], capture_output=True, text=True)
    assert f"process {number}, " in memory.stdout and "0 calls" in memory.stdout and memory.returncode == 0
    assert int(memory.stdout.split(" of memory")[0].split()[-2].split(".")[0]) < 300

    environment = {**os.environ, "CONVFILTER_WARM": place}  # which is waited for on a busy machine
    call = [*PROGRAM, "run", SLOW, "a.png", "-o", "b.png"]
    child = subprocess.Popen(call, cwd=folder, stdout=-1, stderr=-1, env=environment)
    wait_for(lambda: client.ask(place, "status")["calls"])
    os.kill(number, signal.SIGKILL)
    told, said = child.communicate(timeout=20)
    assert child.returncode == client.LOST and said.count(b"\n") == 1 and b"run it again" in said
    assert told == b"" and not (folder / "b.png").exists()
    done = subprocess.run([*PROGRAM, "edge", "a.png", "-o", "b.png"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "b.png\n"  # what a killed one leaves is in nobody's way

    assert subprocess.run([*PROGRAM, "warm", "start"]).returncode == 0
    stopped = subprocess.run([*PROGRAM, "warm", "stop"], capture_output=True, text=True)
    assert stopped.returncode == 0 and "ended" in stopped.stderr and not os.path.exists(place)
    asked = subprocess.run([*PROGRAM, "warm", "status"], capture_output=True, text=True)
    assert asked.returncode == 1 and asked.stdout == "no warm process is running\n"


def test_warm_run_is_for_its_command_alone(folder):
    line = "echo $CONVFILTER_WARM; $PROGRAM warm status; $PROGRAM --version; kill -9 $$"
    environment = {**os.environ, "PROGRAM": " ".join(PROGRAM)}
    done = subprocess.run(
        [*PROGRAM, "warm", "run", "--", "bash", "-c", line], cwd=folder, capture_output=True, text=True, env=environment
    )
    path, status, version = done.stdout.splitlines()
    assert done.returncode == -9 and status.startswith("process ") and version.startswith("convfilter ")
    assert is_gone(int(status.split()[1].rstrip(",")))
    assert not os.path.exists(os.path.dirname(path))
    missing = subprocess.run([*PROGRAM, "warm", "run", "no-such-command"], capture_output=True, text=True)
    assert missing.returncode == 127 and missing.stderr == "convfilter: no-such-command: No such file or directory\n"


@pytest.fixture
def light(place, monkeypatch):
    """Start a warm process that has loaded nothing and whose program prints a word."""

    def start(**settings):
        for name, value in settings.items():
            monkeypatch.setattr(server, name, value)
        return server.start(place, load=lambda: None, run=lambda: os.write(1, b"done here\n") and 0)

    return start


def ask_for_a_call(**environment):
    return subprocess.run(
        [*PROGRAM, "--version"], capture_output=True, text=True, env={**os.environ, **environment}
    ).stdout


def test_it_ends_when_it_is_idle(light):
    process = light(IDLE=0.3, LOOK=0.1)
    assert is_gone(process)


def test_it_ends_when_the_installation_changes(light, place, monkeypatch, tmp_path):
    copy = tmp_path / "convfilter"
    shutil.copytree(protocol.PACKAGE, copy)
    monkeypatch.setattr(server.protocol, "PACKAGE", str(copy))
    process = light()
    with open(copy / "errors.py", "a") as file:
        file.write("\n")
    assert client.connect(place, seconds=5) is None  # not even the next call gets the old one
    assert is_gone(process)
    process = light(LOOK=0.1)
    os.unlink(copy / "errors.py")
    assert is_gone(process)


def test_only_calls_that_would_be_the_same_are_taken(light, place, monkeypatch):
    code = "from convfilter.warm import protocol; print(protocol.describe_process())"  # of a Python that is not pytest
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    same = ast.literal_eval(told)
    monkeypatch.setattr(server.protocol, "describe_process", lambda: same)
    light()
    assert ask_for_a_call(CONVFILTER_WARM=place) == "done here\n"
    assert ask_for_a_call(CONVFILTER_WARM="0").startswith("convfilter ")
    assert ask_for_a_call(CONVFILTER_WARM=place, OMP_NUM_THREADS="7").startswith("convfilter ")


def test_the_folder_must_be_its_users_alone(place):
    os.mkdir(os.path.dirname(place), 0o755)
    with pytest.raises(server.WarmError, match="only you can enter"):
        server.start(place, load=lambda: None, run=lambda: None)
    os.chmod(os.path.dirname(place), 0o700)
    os.rename(os.path.dirname(place), os.path.dirname(place) + "x")
    os.symlink(os.path.dirname(place) + "x", os.path.dirname(place))
    assert not protocol.is_private(os.path.dirname(place))


def test_what_cannot_be_loaded_is_said(place):
    def load():
        raise ImportError("no module\nnamed torch")

    with pytest.raises(server.WarmError, match="could not be started: no module named torch"):
        server.start(place, load=load, run=lambda: None)
    assert client.connect(place) is None


def test_a_silent_one_is_not_waited_for(place):
    os.mkdir(os.path.dirname(place), 0o700)
    with contextlib.closing(protocol.open_socket()) as listener:
        listener.bind(place)
        listener.listen(1)
        start = time.perf_counter()
        assert client.connect(place) is None
        assert time.perf_counter() - start < 5
    assert ask_for_a_call().startswith("convfilter ")


def test_the_client_loads_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); import convfilter.__main__, convfilter.warm.client, resource; "
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    ours = {
        "convfilter",
        "convfilter.__main__",
        "convfilter.warm",
        "convfilter.warm.client",
        "convfilter.warm.protocol",
    }
    assert set(loaded) <= {*ours, "_socket", "resource", "zlib"}

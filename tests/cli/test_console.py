"""What a run says on standard error: a bar on a terminal, a line a minute without one, and faults."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from convfilter.cli.console import Console
from convfilter.cli.main import cli
from convfilter.run.result import Result, failure


def on_a_terminal(arguments, folder, columns):
    """Run the program with standard error on a terminal of so many columns (0: one that does not say); its output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.environ.update(TERM="xterm", CONVFILTER_WARM="0")
        os.execv(sys.executable, [sys.executable, "-m", "convfilter", *arguments])
    said = b""
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    return said.decode()


def test_a_bar_with_rate_and_time_left_on_a_terminal_and_then_the_closing_line(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (600, 600), np.uint8)
    for number in range(60):
        Image.fromarray(noise[number:]).save(tmp_path / f"{number:02}.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = on_a_terminal(["tutorial", ".", "-o", "out", "-j1"], tmp_path, 60)
    bars = re.findall(r"(\d+)/61 \[\d+:\d+<(?:\d+:\d+|\?), +(?:[\d.]+|\?) ?pictures/s", said)
    assert bars and all(0 <= int(count) <= 61 for count in bars)
    lines = said.replace("\r\n", "\n").split("\n")
    assert re.fullmatch(r"(\r +\r|\r)*60 pictures, 120 outputs, 1 failed, [\d.]+ s", lines[-2]), lines[-2]
    assert any("\x1b[31mconvfilter: ./bad.png: " in line for line in lines)
    assert max(len(piece) for line in lines for piece in line.split("\r") if "pictures/s" in piece) <= 60


@pytest.mark.parametrize("progress", ["auto", "none"])
def test_a_terminal_that_does_not_say_its_width(progress, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = on_a_terminal(["edge", "bad.png", "--progress", progress], tmp_path, 0)
    assert ("pictures/s]" in said) == (progress == "auto") and "0 pictures, 0 outputs, 1 failed" in said


def test_plain_progress_is_a_line_a_minute_without_a_terminal(capsys):
    console = Console(progress="plain", every=0.2)
    console.total = 4
    console.add(Result("a.png", "done", ("a_edge.png",)))
    assert console.show_progress() and capsys.readouterr().err == ""
    time.sleep(0.21)
    assert console.show_progress() and console.show_progress()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"convfilter: 25% 1/4 \[00:00<00:00, +[\d.]+ pictures/s\]", line), line
    console.add(failure("b.png", ValueError("x")))
    time.sleep(0.21)
    console.show_progress()
    assert "2/4" in (said := capsys.readouterr().err) and "1 failed]" in said
    console.close()
    assert not console.show_progress()
    assert re.fullmatch(r"1 picture, 1 output, 1 failed, [\d.]+ s\n", capsys.readouterr().err)


def test_without_a_terminal_nothing_is_said_of_progress(capsys):
    for options in ({}, {"progress": "plain", "quiet": True}, {"progress": "none"}):
        console = Console(every=0.0, **options)
        assert not console.counts
        console.show_progress()
        assert capsys.readouterr().err == ""


def test_a_fault_of_ours_is_named_as_one_and_its_traceback_is_shown_with_vv(capsys):
    try:
        [][3]
    except IndexError as error:
        result = failure("a.png", error)
    assert (
        result.error
        == "a fault in convfilter, please report it with what -vv shows: IndexError: list index out of range"
    )
    for verbose in (0, 1):
        Console(verbose=verbose).add(result)
        assert capsys.readouterr().err == f"convfilter: a.png: {result.error}\n"
    Console(verbose=2).add(result)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"convfilter: a.png: {result.error}" and said[-1] == "  IndexError: list index out of range"
    assert any("test_console.py" in line for line in said)


@pytest.mark.parametrize("arguments", [["-V"], ["edge", "--version"], ["kernels", "-V"], ["warm", "status", "-V"]])
def test_the_version_before_and_after_a_command(arguments):
    from convfilter import __version__

    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.output) == (0, f"convfilter {__version__}\n")


def test_the_bare_command_prints_its_help():
    bare, asked = CliRunner().invoke(cli, []), CliRunner().invoke(cli, ["--help"])
    assert bare.exit_code == 2 and bare.stderr == asked.stdout and len(asked.stdout.splitlines()) > 30

import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from processes import read_terminal

from convfilter.cli.main import cli


@pytest.fixture
def dot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((2, 2), np.uint8)
    pixels[0, 0] = 255
    Image.fromarray(pixels).save("dot.png")


def run_on_terminal(*arguments, **environ):
    """Return standard output, and what a terminal gets on standard error."""
    import pty

    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLORTERM": "truecolor", "CONVFILTER_WARM": "0", **environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "convfilter", *arguments], stdout=subprocess.PIPE, stderr=theirs, env=environ
    )
    os.close(theirs)
    written = read_terminal(ours).decode()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, written
    return out.decode(), written


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_terminal_gets_the_picture_and_standard_output_the_path(dot):
    out, err = run_on_terminal("run", "Filter2d([[1]])", "dot.png", "--show", "-o", "a.png", TERM="xterm", NO_COLOR="")
    assert out == "a.png\n"
    white, black = "\x1b[38;2;255;255;255m\x1b[48;2;255;255;255m▀", "\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m▀"
    drawn = [line.strip() for line in err.splitlines() if "▀" in line]
    side = drawn[0].count("▀")
    assert drawn[0] == white * (side // 2) + black * (side // 2) + "\x1b[0m"
    assert drawn[-1] == black * side + "\x1b[0m"
    out, err = run_on_terminal("compare", "Filter2d([[1]])", "Filter2d([[2]])", "dot.png", "--show", TERM="xterm-kitty")
    assert out == "dot_compare.png\n"
    assert "\x1b_Ga=T,f=100,q=2,m=" in err
    _, err = run_on_terminal("run", "Filter2d([[1]])", "dot.png", "--show", TERM="xterm", NO_COLOR="1")
    assert "convfilter: --show: NO_COLOR is set, and they need colours, so nothing is drawn" in err
    assert "▀" not in err


def test_without_a_terminal_nothing_is_drawn_and_that_is_said(dot):
    done = CliRunner().invoke(cli, ["run", "Filter2d([[1]])", "dot.png", "--show"])
    assert done.exit_code == 0
    assert done.stdout.endswith(".png\n")
    assert "convfilter: --show: standard error is no terminal, so nothing is drawn\n" in done.stderr
    done = CliRunner().invoke(cli, ["run", "Filter2d([[1]])", "dot.png", "--show", "-q"])
    assert done.stderr == ""
    done = CliRunner().invoke(cli, ["compare", "edge(1)", "edge(1)", "dot.png", "--show"])
    assert done.stderr == "convfilter: --show: standard error is no terminal, so nothing is drawn\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "-"], "--show draws the files that are written, and -o - writes none"),
        (["--format", "npy"], "--show draws PNGs, and npy is to be written"),
        (["--grid", "-o", "a.svg"], "--show draws PNGs, and svg is to be written"),
        (["--dry-run"], "--show draws what is written, and --dry-run writes nothing"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_refused(dot, arguments, words):
    done = CliRunner().invoke(cli, ["run", "Filter2d([[1]])", "dot.png", "--show", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr

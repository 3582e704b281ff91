"""The command that a run on a terminal suggests: one that works, and never in a script."""

import os
import pty
import re
import shlex
import shutil
import sys

import pytest
from PIL import Image

from convfilter import parse
from convfilter.cli.next_step import suggest_next
from convfilter.run.options import Options

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    Image.linear_gradient("L").resize((40, 30)).save("my photo.png")
    shutil.copy("my photo.png", "in")
    return tmp_path


def type_at_a_terminal(words: list[str]) -> str:
    """What a terminal shows where a shell starts this, in a process group of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", CONVFILTER_WARM="0", NO_COLOR="1", PYTHONPATH=HERE)
        os.execv(words[0], words)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    return shown.decode().replace("\r\n", "\n")


PROGRAM = [sys.executable, "-m", "convfilter"]


def test_who_types_a_command_gets_a_suggestion_that_works(folder, program):
    shown = type_at_a_terminal([*PROGRAM, "tutorial", "my photo.png"])
    [command] = re.findall(r"^Try next: convfilter (.*?)   ", shown, re.MULTILINE)
    assert command == "tutorial 'my photo.png' --grid" and shown.index("2 outputs") < shown.index("Try next")
    assert program.run(*shlex.split(command), cwd=folder).stdout == b"my photo_tutorial_grid.png\n"


def test_a_script_gets_none(folder):
    line = shlex.join([*PROGRAM, "edge", "my photo.png"])
    assert "Try next" not in type_at_a_terminal(["/bin/sh", "-c", f"{line}; true"])
    assert "Try next" not in type_at_a_terminal(["/bin/sh", "-c", f"exec {line} < /dev/null"])
    assert "Try next" not in type_at_a_terminal(["/bin/sh", "-c", f"exec {line} -q"])
    assert "Try next" in type_at_a_terminal(["/bin/sh", "-c", f"exec {line}"])
    (folder / "list").write_text("my photo.png\n")
    line = shlex.join([*PROGRAM, "edge", "--files-from", "list"])
    assert "1 picture" in type_at_a_terminal(["/bin/sh", "-c", f"exec {line}"])


SUGGESTED = {
    "edge 'my photo.png'": "report edge 'my photo.png'",
    "edge 'my photo.png' --white 1 --seed 3": "report edge 'my photo.png' --white 1.0 --seed 3",
    "block 'my photo.png'": "block 'my photo.png' --grid",
    "block 'my photo.png' --grid": "block 'my photo.png' --grid --steps",
    "block 'my photo.png' --grid --steps": "report block 'my photo.png'",
    "sobel 'my photo.png'": "sobel 'my photo.png' --grid --steps",
    "edge in": "edge in --skip-existing",
    "edge in --dry-run": "edge in",
    "edge in --skip-existing": None,
    "edge -o - 'my photo.png'": None,
    "edge --format npy 'my photo.png'": None,
    "edge -- 'my photo.png'": None,
}


@pytest.mark.parametrize("line", SUGGESTED)
def test_the_suggestion_suits_the_run_and_works(line, folder, program):
    words = shlex.split(line)
    options = {}
    for name in ("white", "seed", "output", "format"):
        flag = "-o" if name == "output" else f"--{name}"
        if flag in words:
            options[name] = words[words.index(flag) + 1]
    for name in ("grid", "steps", "dry_run", "skip_existing"):
        options[name] = f"--{name.replace('_', '-')}" in words
    inputs = [word for word in words if word in ("in", "my photo.png")]
    found = suggest_next(words, inputs, words[0], parse(words[0]), Options(**options))
    if SUGGESTED[line] is None:
        assert found is None
    else:
        assert found.startswith(f"convfilter {SUGGESTED[line]}   ")
        assert program.run(*shlex.split(SUGGESTED[line]), cwd=folder).returncode == 0

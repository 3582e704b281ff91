"""What needs no picture answers without torch, numpy or Pillow, and at once: real child processes."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "PIL")
MODULES = 280  # imported at most, the standard library among them: they take the time; torch alone brings 1,100
COMMANDS = {
    "help": (["--help"], 0),
    "preset help": (["blur", "--help"], 0),
    "run help": (["run", "--help"], 0),
    "version": (["--version"], 0),
    "presets": (["presets"], 0),
    "kernels": (["kernels"], 0),
    "one kernel": (["kernels", "gaussian(5)"], 0),
    "layers": (["layers"], 0),
    "one layer": (["layers", "Conv2d"], 0),
    "topics": (["help"], 0),
    "a topic": (["help", "language"], 0),
    "help of a command": (["help", "run"], 0),
    "weights of no file": (["weights", "missing.safetensors"], 2),
    "misspelt command": (["egde", "x.png"], 2),
    "misspelt option": (["edge", "--kernel", "7", "x.png"], 2),
    "picture first": (["run", "photo.png", "edge"], 2),
    "layer for a picture": (["run", "edge", "ReLU"], 2),
    "missing file": (["edge", "missing.png"], 1),
    "broken pipeline": (["run", "edge |", "missing.png"], 2),
    "wrong channel": (["edge", "--channels", "3", "missing.png"], 2),
}


def start(arguments, folder, **environment):
    """Run the program in a child that tells at its end which heavy modules it has loaded, and how many in all."""
    code = (
        f"import atexit, os, sys; tell = lambda: ','.join(name for name in {HEAVY!r} if name in sys.modules); "
        "atexit.register(lambda: os.write(2, f'modules: {len(sys.modules)}, heavy: {tell()}'.encode())); "
        "from convfilter.__main__ import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_answers_without_the_heavy_modules_and_at_once(name, tmp_path):
    arguments, status = COMMANDS[name]
    done = start(arguments, tmp_path)
    assert done.returncode == status, done.stderr
    assert done.stderr.endswith("heavy: "), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert int(done.stderr.rpartition("modules: ")[2].partition(",")[0]) < MODULES


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_answers_without_the_heavy_modules(shell, tmp_path):
    done = start([], tmp_path, _CONVFILTER_COMPLETE=f"{shell}_source")
    assert "_CONVFILTER_COMPLETE" in done.stdout
    assert done.stderr.endswith("heavy: "), done.stderr


def test_completion_knows_presets_and_commands(tmp_path):
    done = start([], tmp_path, _CONVFILTER_COMPLETE="bash_complete", COMP_WORDS="convfilter s", COMP_CWORD="1")
    words = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert {"sobel", "scharr", "sharpen"} <= words
    assert done.stderr.endswith("heavy: "), done.stderr


def test_python_m_is_the_same_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "convfilter", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("convfilter ") and done.returncode == 0

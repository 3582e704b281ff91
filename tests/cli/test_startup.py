"""What needs no picture answers without torch, numpy or Pillow, and at once: real child processes."""

import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "PIL")
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
    "weights of no file": (["weights", "missing.safetensors"], 2),
    "misspelt command": (["egde", "x.png"], 2),
    "missing file": (["edge", "missing.png"], 1),
    "broken pipeline": (["run", "edge |", "missing.png"], 2),
    "wrong channel": (["edge", "--channels", "3", "missing.png"], 2),
}


def start(arguments, folder, **environment):
    """Run the program in a child that tells at its end which heavy modules it has loaded."""
    code = (
        f"import atexit, os, sys; tell = lambda: ','.join(name for name in {HEAVY!r} if name in sys.modules); "
        "atexit.register(lambda: os.write(2, ('loaded: ' + tell()).encode())); "
        "from convfilter.__main__ import main; main()"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def python_seconds():
    """What python itself takes to start here, of a processor: the machine's speed, whatever else it is doing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5


@pytest.mark.parametrize("name", COMMANDS)
def test_answers_without_the_heavy_modules_and_at_once(name, tmp_path, python_seconds):
    arguments, status = COMMANDS[name]
    done, seconds = start(arguments, tmp_path)
    assert done.returncode == status, done.stderr
    assert done.stderr.endswith("loaded: "), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    limit = 0.3 * max(1, python_seconds / 0.02)
    assert seconds < limit or min(start(arguments, tmp_path)[1] for _ in range(4)) < limit  # a busy machine is slower


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_answers_without_the_heavy_modules(shell, tmp_path):
    done, _ = start([], tmp_path, _CONVFILTER_COMPLETE=f"{shell}_source")
    assert "_CONVFILTER_COMPLETE" in done.stdout
    assert done.stderr.endswith("loaded: "), done.stderr


def test_completion_knows_presets_and_commands(tmp_path):
    done, _ = start([], tmp_path, _CONVFILTER_COMPLETE="bash_complete", COMP_WORDS="convfilter s", COMP_CWORD="1")
    words = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert {"sobel", "scharr", "sharpen"} <= words
    assert done.stderr.endswith("loaded: "), done.stderr


def test_python_m_is_the_same_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "convfilter", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("convfilter ") and done.returncode == 0

"""What the shells complete: asked through their own completion functions, where they are installed."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete, split_arg_string

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.cli.options import Zsh
from convfilter.errors import PipelineError
from convfilter.language.continuations import complete_pipeline
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.kernels import KERNELS

CASES = {  # what is typed: some of what the last word becomes, and what it does not
    "convfilter so": ({"sobel"}, {"edge"}),
    "convfilter he": ({"help"}, set()),
    "convfilter run 'edge | MaxP": ({"edge | MaxPool2d"}, {"edge | AvgPool2d"}),
    'convfilter explain "edge | Sigm': ({"edge | Sigmoid"}, set()),
    "convfilter run 'Conv2d(1, 2, 5, weight=[scharr_": (
        {"Conv2d(1, 2, 5, weight=[scharr_x", "Conv2d(1, 2, 5, weight=[scharr_y"},
        set(),
    ),
    "convfilter run 'Conv2d(1, 2, 5, pad": (
        {"Conv2d(1, 2, 5, padding=", "Conv2d(1, 2, 5, padding_mode="},
        {"Conv2d(1, 2, 5, bias="},
    ),
    "convfilter run relu": ({"ReLU", "ReLU6"}, set()),
    "convfilter compare edge blu": ({"blur"}, set()),
    "convfilter edge --nor": ({"--norm", "--normalize"}, {"--zoom"}),
    "convfilter edge --norm s": ({"symmetric"}, {"abs"}),
    "convfilter edge --bits 1": ({"16"}, {"8"}),
    "convfilter edge --frames a": ({"all"}, {"first"}),
    "convfilter kernels sobel": ({"sobel_x", "sobel_y"}, set()),
    "convfilter layers MaxP": ({"MaxPool2d"}, set()),
    "convfilter help lang": ({"language"}, set()),
    "convfilter warm sta": ({"start", "status"}, {"stop"}),
}


@pytest.fixture
def environment(tmp_path):
    """An environment in which ``convfilter`` is this program, and completes "light" too where torch is not loaded."""
    code = (
        "import atexit, os, sys; completes = os.environ['_CONVFILTER_COMPLETE'].endswith('_complete'); "
        "atexit.register(lambda: completes and 'torch' not in sys.modules and print('plain,light')); "
        "from convfilter.__main__ import main; main()"
    )
    program = tmp_path / "bin" / "convfilter"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "photo one.png").touch()
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "CONVFILTER_WARM": "0"}


def ask(shell: str, script: str, environment, tmp_path) -> set[str]:
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.stderr == ""
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("line", CASES)
def test_the_program_answers_a_shell(line):
    wanted, unwanted = CASES[line]
    words = split_arg_string(line)
    completion = ShellComplete(cli, {}, "convfilter", "_CONVFILTER_COMPLETE")
    found = {item.value for item in completion.get_completions(words[1:-1], words[-1])}
    assert wanted <= found and not unwanted & found


def test_to_zsh_an_option_with_its_value_is_one_word():
    found = Zsh(cli, {}, "convfilter", "_CONVFILTER_COMPLETE").get_completions(["edge"], "--norm=s")
    assert [item.value for item in found] == ["--norm=symmetric"]


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash(environment, tmp_path):
    script = 'eval "$(_CONVFILTER_COMPLETE=bash_source convfilter)"\n'
    cases = list(CASES.items())[:5]
    for number, (line, _) in enumerate(cases):
        quote = next((mark for mark in "'\"" if mark in line), None)
        head, mark, tail = line.partition(quote or " ")
        words = [*head.split(), mark + tail] if quote else line.split()
        script += f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1} COMPREPLY=()\n"
        script += f"_convfilter_completion convfilter; printf '{number}:%s\\n' \"${{COMPREPLY[@]}}\"\n"
    # bash takes the = of an option for a word of its own; and paths it completes by itself
    script += "COMP_WORDS=(convfilter edge --norm = abs) COMP_CWORD=4 COMPREPLY=()\n"
    script += "_convfilter_completion convfilter; printf 'equals:%s\\n' \"${COMPREPLY[@]}\"\n"
    script += 'compopt() { echo "path:$2"; }; COMP_WORDS=(convfilter edge pho) COMP_CWORD=2 COMPREPLY=()\n'
    script += "_convfilter_completion convfilter\n"
    answers = ask("bash", script, environment, tmp_path)
    for number, (line, (wanted, unwanted)) in enumerate(cases):
        found = {answer.partition(":")[2] for answer in answers if answer.startswith(f"{number}:")}
        assert wanted | {"light"} <= found and not unwanted & found, line
    assert {"equals:abs", "path:default"} <= answers


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish(environment, tmp_path):
    script = "_CONVFILTER_COMPLETE=fish_source convfilter | source\n"
    cases = [
        *list(CASES.items())[2:6],
        ("convfilter edge --norm=s", ({"--norm=symmetric"}, set())),
        ("convfilter edge pho", ({"photo one.png"}, set())),
    ]
    for number, (line, _) in enumerate(cases):
        script += f"for one in (complete --do-complete={shlex.quote(line)}); echo {number}:$one; end\n"
    answers = ask("fish", script, environment, tmp_path)
    for number, (line, (wanted, unwanted)) in enumerate(cases):
        found = {answer.partition(":")[2].partition("\t")[0] for answer in answers if answer.startswith(f"{number}:")}
        assert wanted <= found and not unwanted & found, line


def test_every_layer_and_kernel_can_be_completed_and_then_parses():
    for name in [*LAYERS, *KERNELS]:
        assert f"edge | {name}" in complete_pipeline(f"edge | {name[:3]}")
    for text in complete_pipeline("Conv2d(1, 8, 3, "):
        with pytest.raises(PipelineError, match="expected a value after '='"):
            parse(text + ")")
    for kernel in complete_pipeline("Filter2d(sobel"):
        assert parse(kernel + ")").layers


@pytest.mark.parametrize(
    "text",
    [
        "edge ",
        "Conv2d(1, 2, 3)",
        "Conv2d(1, padding='sa",
        "# com",
        "Filter2d([[1, 2], [",
        "Conv2d((3,",
        "xyzzy",
        "ReLU)",
    ],
)
def test_nothing_is_offered_where_nothing_known_can_stand(text):
    assert complete_pipeline(text) == []


def test_files_follow_the_at_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocks").mkdir()
    for name in ("block.txt", "blocks/one.txt", "a b.txt"):
        (tmp_path / name).touch()
    assert complete_pipeline("edge | @bl") == ["edge | @block.txt", f"edge | @blocks{os.sep}"]
    assert complete_pipeline("@blocks/") == ["@blocks/one.txt"]
    assert complete_pipeline("@a") == complete_pipeline("@missing/") == []

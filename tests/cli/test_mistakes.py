"""Command lines that make no sense: each with the one line that it is answered with, in mistakes.txt."""

import re
import shlex
from pathlib import Path

import click
from click.testing import CliRunner
from PIL import Image

from convfilter.cli.main import cli
from convfilter.cli.usage import OTHER_FLAGS

FILE = Path(__file__).with_name("mistakes.txt")


def test_every_mistake_gets_its_line(tmp_path, monkeypatch, golden):
    """Each block is a command line, and what is said of it in a folder with two pictures; nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "photos").mkdir()
    for name in ("photo.png", "b.png", "photos/one.png"):
        Image.new("L", (8, 8)).save(name)
    before = sorted(tmp_path.rglob("*"))
    blocks = []
    for block in FILE.read_text(encoding="utf-8").rstrip("\n").split("\n\n$ "):
        line = block.removeprefix("$ ").split("\n")[0]
        done = CliRunner().invoke(cli, shlex.split(line)[1:], prog_name="convfilter")
        assert (done.exit_code, done.stdout) == (2, ""), line
        said = done.stderr.rstrip("\n").split("\n")
        assert said[0].startswith("convfilter: ") and all(row.startswith("  ") for row in said[1:]), line
        blocks.append(f"$ {line}\n{done.stderr}")
    assert len(blocks) > 100 and sorted(tmp_path.rglob("*")) == before
    golden(FILE, "\n".join(blocks))


def test_a_command_that_a_message_names_is_one():
    """What a message proposes after a colon or "try" is a command line that begins with a command or a preset."""
    proposed = re.findall(r": convfilter (\S+)", FILE.read_text(encoding="utf-8"))
    known = {*cli.list_commands(click.Context(cli)), "--version"}
    assert len(proposed) > 20 and set(proposed) <= known


def test_an_option_that_is_proposed_exists():
    context = click.Context(cli)
    commands = [cli.get_command(context, name) for name in cli.list_commands(context)]
    flags = {flag for command in commands for one in command.params for flag in one.opts}
    assert {flag.split()[0] for meant in OTHER_FLAGS.values() for flag in meant} <= flags

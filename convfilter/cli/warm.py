"""``convfilter warm``: starting, ending and asking the process that has PyTorch loaded."""

import contextlib
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module

import click

import convfilter
from convfilter import streams
from convfilter.cli import options
from convfilter.errors import UsageError, escape
from convfilter.numbers import show_bytes
from convfilter.warm import client, protocol


@click.group(short_help="A process that has PyTorch loaded, for shell loops.")
@options.VERSION
def warm() -> None:
    """Keep a process that has PyTorch loaded, so that a call takes a tenth of a second instead of two.

    Once it is started, every call of this convfilter by this user is done by it: a copy of that process takes over the
    call's arguments, folder, environment, streams, limits and signals, and writes what the call alone would have
    written. Where anything is in the way, the call starts PyTorch itself. CONVFILTER_WARM=0 turns it off for a call.

    \b
    Examples:
      convfilter warm start; for f in *.png; do convfilter edge "$f"; done
      convfilter warm run -- sh -c 'for f in *.png; do convfilter edge "$f"; done'
    """
    if not protocol.is_possible():
        raise UsageError("warm: needs Linux or macOS, where a process can be copied; calls work without it")


@warm.command(cls=options.Command)
def start() -> None:
    """Start the warm process, unless it runs.

    It ends by itself after 15 minutes without a call, and when convfilter or a library is updated.
    """
    path = protocol.find_socket(convfilter.__version__)
    answer = client.ask(path, "status")
    if answer:
        streams.say(f"convfilter: the warm process is running: process {answer['process']}\n")
        return
    number = _start(path)
    streams.say(f"convfilter: the warm process is started: process {number}\n")


@warm.command(cls=options.Command)
def stop() -> None:
    """End the warm process, after the calls that it is doing."""
    path = _find_path()
    answer = client.ask(path, "status")
    if answer:
        with contextlib.suppress(ProcessLookupError):
            os.kill(answer["process"], signal.SIGTERM)
        while os.path.exists(path) and client.ask(path, "status"):
            time.sleep(0.02)
    streams.say(f"convfilter: the warm process is {'ended' if answer else 'not running'}\n")


@warm.command(cls=options.Command)
def status() -> None:
    """Say whether a warm process runs, since when, how many calls it has done, and its memory.

    The exit status is 1 where none runs.
    """
    answer = client.ask(_find_path(), "status")
    if not answer:
        click.echo("no warm process is running")
        sys.exit(1)
    age = int(time.time() - answer["begun"])
    shown = f"{age} s" if age < 120 else f"{age // 60} minutes" if age < 7200 else f"{age // 3600} hours"
    calls = f"{answer['calls']} call{'s' * (answer['calls'] != 1)}"
    click.echo(
        f"process {answer['process']}, running for {shown}, {calls}, {answer['running']} of them now, "
        f"{show_bytes(_measure(answer['process']))} of memory"
    )
    different = protocol.differences(protocol.describe_process(), answer["same"])
    if different:
        click.echo(f"calls from here do not use it, for it was started with another value of {', '.join(different)}")


@warm.command(cls=options.Command, context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Run COMMAND with a warm process for its calls alone: for COMMAND and whatever it starts, and gone after them.

    The exit status is COMMAND's.

    \b
    Examples:
      convfilter warm run -- make pictures
      convfilter warm run -- sh -c 'for f in *.png; do convfilter edge "$f"; done'
    """
    folder = tempfile.mkdtemp(prefix="convfilter-")
    path = os.path.join(folder, "socket")
    if not protocol.fits(path):
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="convfilter-", dir="/tmp")
        path = os.path.join(folder, "socket")
    owner_pipe, end = os.pipe()
    try:
        _start(path, owner_pipe)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    os.close(owner_pipe)
    os.set_inheritable(end, True)  # so the warm process lives as long as the command, and what it has started
    os.environ[protocol.VARIABLE] = path
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, which the command would inherit
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        streams.say(f"convfilter: {escape(command[0])}: {error.strerror}\n")
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


def _find_path() -> str:
    own = os.environ.get(protocol.VARIABLE, "")
    return own if os.path.isabs(own) else protocol.find_socket(convfilter.__version__)


def _start(path: str, owner_pipe: int | None = None) -> int:
    from convfilter.__main__ import run
    from convfilter.warm.server import start

    return start(path, load=_load, run=run, owner_pipe=owner_pipe)


def _load() -> None:
    """Import all that any call may need, and compute nothing."""
    for module in pkgutil.walk_packages(convfilter.__path__, "convfilter."):
        with contextlib.suppress(ImportError):  # of what only some installations have
            import_module(module.name)
    from PIL import Image

    Image.init()


def _measure(process: int) -> int:
    """Return the bytes of memory that a process takes, those included that it shares with others."""
    try:
        with open(f"/proc/{process}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True).stdout
        return int(shown.strip() or 0) * 1024

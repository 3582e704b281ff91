"""What to try after a run: one command that shows more of what the run has made."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from convfilter.cli.options import COMPUTED
from convfilter.language.pipeline import Pipeline
from convfilter.run.options import DEFAULTS, Options, flags

LONGEST = 150  # characters of a command that is still worth reading


def suggest_next(
    words: Sequence[str], inputs: Sequence[str], text: str, pipeline: Pipeline, options: Options
) -> str | None:
    """Return one command to try after a run, with what it shows, or None where none comes to mind.

    ``words`` are the run's arguments, as they were typed, and ``inputs`` those of them that name pictures and folders;
    ``text`` is its pipeline as ``report`` takes it.

    >>> from convfilter import parse
    >>> suggest_next(["tutorial", "photo.png"], ["photo.png"], "tutorial", parse("tutorial"), Options())
    'convfilter tutorial photo.png --grid   all channels on one labelled sheet'
    >>> suggest_next(["edge", "a.png", "--dry-run"], ["a.png"], "edge", parse("edge"), Options(dry_run=True))
    'convfilter edge a.png   which writes what was listed'
    """
    if "--" in words or options.output == "-" or options.format not in (None, "png"):
        return None
    if options.dry_run:
        command, what = [word for word in words if word != "--dry-run"], "which writes what was listed"
    elif len(inputs) > 1 or os.path.isdir(inputs[0]):
        if options.skip_existing:
            return None
        command, what = [*words, "--skip-existing"], "again, for what is new or has changed"
    elif inputs[0] == "-":
        return None
    elif pipeline.channels(options.channels_in) > 1 and not (options.grid or options.recombine or options.channels):
        command, what = [*words, "--grid"], "all channels on one labelled sheet"
    elif len(pipeline.layers) > 1 and not (options.steps or options.recombine):
        command, what = [*words, *["--grid"] * (not options.grid), "--steps"], "what comes out of each layer"
    elif any(word.startswith("--presets") for word in words):
        return None
    else:
        command, what = ["report", text, inputs[0], *_computed(options)], "the arithmetic behind every pixel, as a page"
    shown = _join(["convfilter", *command])
    return f"{shown}   {what}" if len(shown) <= LONGEST and shown.isprintable() else None


def is_watched() -> bool:
    """Return whether somebody at a terminal has typed this very command: no script, pipe or warm process."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    try:
        if not all(stream is not None and stream.isatty() for stream in streams):
            return False
        if os.name == "nt":
            return True
        # a shell that somebody types in gives each command a process group of its own, and it the terminal
        return os.getpid() == os.getpgrp() == os.tcgetpgrp(sys.stderr.fileno())
    except (OSError, ValueError):
        return False


def _computed(options: Options) -> list[str]:
    """The options of a run that say what is computed, and are not the defaults."""
    words = []
    for name in COMPUTED:
        value = getattr(options, name)
        if value != DEFAULTS[name]:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [flags(name)[-1]] if value is True else [flags(name)[-1], shown]
    return words


def _join(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)

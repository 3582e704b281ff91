"""The manual pages, one a command, written from the commands themselves when a wheel is built (setup.py)."""

import inspect
import re
from collections.abc import Iterator

import click

import convfilter
from convfilter.cli.main import cli, preset_command
from convfilter.cli.options import list_options
from convfilter.language.presets import PRESETS

EXIT_STATUS = (
    ("0", "All was done."),
    ("1", "Some pictures failed, and all others were tried; or no picture was found."),
    ("2", "The command makes no sense; nothing was written."),
    ("3", "Stopped early: a full disk, closed output, --fail-fast."),
    ("130, 143", "Stopped by Ctrl-C or SIGTERM."),
)


def write_pages() -> dict[str, str]:
    """Return the manual pages as their source for man, by their file names.

    >>> sorted(write_pages())[:3]
    ['convfilter-block.1', 'convfilter-blur.1', 'convfilter-box.1']
    """
    root = click.Context(cli, info_name="convfilter", **cli.context_settings)
    presets = {name: preset_command(name, preset) for name, preset in PRESETS.items()}
    pages = {"convfilter.1": "".join(f"{line}\n" for line in _overview(root, presets))}
    for name, command in {**presets, **cli.commands}.items():
        pages[f"convfilter-{name}.1"] = "".join(f"{line}\n" for line in _page(root, name, command))
    return pages


def _overview(root: click.Context, presets: dict[str, click.Command]) -> Iterator[str]:
    """The lines of convfilter(1)."""
    yield from _head("convfilter", "run pictures through convolutional layers")
    yield from _synopsis(root)
    yield from _description(cli.help or "")
    for title, commands in (("PRESETS", presets), ("COMMANDS", cli.commands)):
        yield f".SH {title}"
        for name, command in commands.items():
            yield from _entry(f"convfilter-{name}(1)", command.get_short_help_str(200))
    yield ".SH OPTIONS"
    for names, text in list_options(root)[0][1]:
        yield from _entry(names, text)
    yield from _description(cli.epilog or "")
    yield ".SH EXIT STATUS"
    for status, text in EXIT_STATUS:
        yield from _entry(status, text)
    yield ".SH SEE ALSO"
    yield _escape("'convfilter help' lists pages on the pipeline language, norms, scripts and more, and prints them.")


def _page(root: click.Context, name: str, command: click.Command) -> Iterator[str]:
    """The lines of one command's page; its own commands, if it has any, are among them."""
    ctx = click.Context(command, parent=root, info_name=name)
    yield from _head(f"convfilter-{name}", command.get_short_help_str(200))
    yield from _synopsis(ctx)
    yield from _description(command.help or "")
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for inner_name, inner in command.commands.items():
            pieces = inner.collect_usage_pieces(click.Context(inner, parent=ctx, info_name=inner_name))
            words, _, _ = (inner.help or "").partition("\b")
            yield from _entry(" ".join([inner_name, *pieces[1:]]), " ".join(words.split()))
    for title, records in list_options(ctx):
        yield f".SH {_escape(title.upper())}"
        for names, text in records:
            yield from _entry(names, text)
    yield ".SH SEE ALSO"
    yield ".BR convfilter (1)"


def _head(name: str, sentence: str) -> Iterator[str]:
    yield f'.TH {name.upper()} 1 "" "convfilter {convfilter.__version__}" "convfilter"'
    yield ".SH NAME"
    yield f"{_escape(name)} \\- {_escape(sentence)}"


def _synopsis(ctx: click.Context) -> Iterator[str]:
    yield ".SH SYNOPSIS"
    yield f".B {_escape(ctx.command_path)}"
    yield _escape(" ".join(ctx.command.collect_usage_pieces(ctx)))


def _description(text: str) -> Iterator[str]:
    """A help text's paragraphs, and those that click does not wrap as they are: examples under their heading."""
    first = True
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if "\b" in paragraph:
            lines = paragraph.strip("\b\n").splitlines()
            if lines[0].rstrip() == "Examples:":
                yield ".SH EXAMPLES"
                lines = lines[1:]
            yield from (".nf", *map(_escape, lines), ".fi")
        else:
            yield ".SH DESCRIPTION" if first else ".PP"
            yield _escape(" ".join(paragraph.split()))
            first = False


def _entry(term: str, text: str) -> Iterator[str]:
    yield from (".TP", f".B {_escape(term)}", _escape(text))


def _escape(text: str) -> str:
    """Text that man shows as it is: its backslashes, hyphens, quotes and a dot at the start are plain."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith(".") else text

"""Command-line options in groups: made of ``run.options``, with those that only the command line has.

The groups of --help are ten lines of ``Command``, fewer than a library for them would save.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import click
from click.core import ParameterSource
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

import convfilter
from convfilter.cli import defaults
from convfilter.errors import ConvfilterError, escape
from convfilter.language.grammar import Constant, Items, read_value
from convfilter.language.presets import Preset, load_defaults
from convfilter.language.resolve import CONVOLUTION_OPTIONS, takes_convolution_options
from convfilter.run import option_values
from convfilter.run.options import DEFAULTS, GROUPS, PICTURES_IN, PIPELINE, RUNNING, SETTINGS, flags


class Option(click.Option):
    """An option that knows its group in --help, and where ``has_defaults`` is true takes those that users set."""

    def __init__(self, *args, section: str = RUNNING, has_defaults: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.section, self.has_defaults = section, has_defaults

    def consume_value(self, ctx: click.Context, opts):
        value, source = super().consume_value(ctx, opts)
        if not self.has_defaults or source is ParameterSource.COMMANDLINE or ctx.resilient_parsing:
            return value, source
        if found := defaults.find_in_environment(self, os.environ):
            return found[0], ParameterSource.ENVIRONMENT
        of_file, name = _defaults_of_file(ctx.find_root()), defaults.name_of(self)
        return (of_file[name], ParameterSource.DEFAULT_MAP) if name in of_file else (value, source)


def _defaults_of_file(root: click.Context) -> Mapping[str, object]:
    """Return the defaults that the file of presets holds, read once a call."""
    if __name__ not in root.meta:
        file = find_presets_file(root.params.get("presets_file"))
        table = load_defaults(file) if file else {}
        taken = [param for param in shared(lambda: None).__click_params__ if param.has_defaults] if table else []
        root.meta[__name__] = defaults.read_table(taken, table, escape(str(file)))
    return root.meta[__name__]


def find_presets_file(given: str | None) -> Path | str | None:
    """Return the path of the user's presets and defaults, where there may be some."""
    if given is not None:
        return given
    own = Path(click.get_app_dir("convfilter")) / "presets.toml"
    return own if own.is_file() else None


class Command(click.Command):
    """A command whose --help shows its options in groups, where there are several, and that knows its version."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        VERSION(self)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, records in list_options(ctx):
            with formatter.section(title):
                formatter.write_dl(records)


def list_options(ctx: click.Context) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a command's options in groups: each group's title, and its options' names and help texts."""
    grouped: dict[str, list] = {}
    for parameter in ctx.command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and not isinstance(parameter, click.Argument):
            grouped.setdefault(getattr(parameter, "section", RUNNING), []).append(record)
    return [(title if len(grouped) > 1 else "Options", grouped[title]) for title in GROUPS if title in grouped]


VERSION = click.version_option(convfilter.__version__, "-V", "--version", message="convfilter %(version)s")


class Checked(click.ParamType):
    """A type of click's made of a function that reads a value, and whose ValueError says what is wrong with it."""

    def __init__(self, read: Callable, choices: Sequence[str] = (), metavar: str = "") -> None:
        self.name, self.read, self.choices, self.metavar = "value", read, choices, metavar

    def convert(self, value, param, ctx):
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param, ctx) -> str | None:
        return f"[{'|'.join(self.choices)}]" if self.choices else None

    def shell_complete(self, ctx, param, incomplete: str) -> list[CompletionItem]:
        if self.metavar in ("PATH", "FILE"):
            return [CompletionItem(incomplete, type="file")]
        words = [word for word in self.metavar.split("|") if word.islower() and word.isalpha()]
        return [CompletionItem(word) for word in self.choices or words if word.startswith(incomplete)]


class Completed(click.ParamType):
    """A text that the shell completes: ``continuations`` returns what a text may become, with what is known so far.

    Where nothing follows and ``or_path`` is true, it may be a path. ``check`` refuses a text that was meant otherwise.
    """

    name = "text"

    def __init__(
        self,
        continuations: Callable[[click.Context, str], Iterable[str]],
        *,
        check: Callable[[str, click.Context], None] = lambda text, ctx: None,
        or_path: bool = False,
    ) -> None:
        self.continuations, self.check, self.or_path = continuations, check, or_path

    def convert(self, value, param, ctx):
        if not ctx.resilient_parsing:
            self.check(value, ctx)
        return value

    def shell_complete(self, ctx, param, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(text) for text in self.continuations(ctx, incomplete)]
        return found or [CompletionItem(incomplete, type="file")] * self.or_path


class Bash(BashComplete):
    """Click's completion for bash, which gives the ``=`` of ``--norm=cl`` as a word of its own."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return [word for word in args if word != "="], incomplete


class _Joined(ShellComplete):
    """A shell to which ``--norm=cl`` is one word, which is to be replaced as a whole."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            found = [CompletionItem(f"{option}={item.value}") if item.type == "plain" else item for item in found]
        return found


class Zsh(_Joined, ZshComplete):
    """Click's completion for zsh, with options and their values as one word."""


class Fish(_Joined, FishComplete):
    """Click's completion for fish, the same, and with commas in what is completed."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


add_completion_class(Bash)
add_completion_class(Zsh)
add_completion_class(Fish)


def one_of(names: Callable[[], Iterable[str]]) -> Completed:
    """Return the type of an argument that is completed from names."""
    return Completed(lambda ctx, begun: [name for name in names() if name.startswith(begun)])


def language_value(value: str) -> str:
    """Return the text of a number, a word or a tuple as the pipeline language writes it."""
    for attempt in (value, f"({value})"):
        try:
            node = read_value(attempt)
        except ConvfilterError:
            continue
        if isinstance(node, Constant | Items) or (re.fullmatch(r"\w+", value) and not node.called):
            return attempt
    raise ValueError(f"{value!r} is not a number, a word or a tuple, such as 2, same or 2,3")


def option(section: str, *names: str, **kwargs) -> Callable:
    """Return a decorator that adds an option to a command, in a group of --help."""
    return click.option(*names, cls=Option, section=section, **kwargs)


def of_run(*names: str) -> Callable:
    """Return a decorator that adds options of a run, as ``run.options`` has them."""

    def add(command: Callable) -> Callable:
        for name in reversed(names):
            setting, default = SETTINGS[name], DEFAULTS[name]
            shown = setting.shown if setting.shown is not None else None if isinstance(default, bool) else default
            text = f"{setting.help}  [default: {shown}]" if shown not in (None, "") else setting.help
            if isinstance(default, bool):
                kind = {"is_flag": True} if not default else {"flag_value": False}
            else:
                choices = [str(choice) for choice in setting.choices]
                read = Checked(setting.read, choices, setting.metavar)
                kind = {"type": read, "metavar": setting.metavar or None}
            if setting.multiple:
                kind |= {"multiple": True, "type": Checked(lambda value, read=setting.read: read(value)[0])}
            more = {"default": default, "help": text, "has_defaults": name in COMPUTED, **kind}
            command = option(setting.group, *flags(name), name, **more)(command)
        return command

    return add


COMPUTED = (
    "mode",
    "white",
    "mean",
    "std",
    "normalize",
    "background",
    "gray_weights",
    "seed",
    "weights",
    "prefix",
    "until",
)  # of any command

PRESETS_FILE = option(PIPELINE, "--presets", "presets_file", type=click.Path(), metavar="FILE",
                      help="Your own presets, a TOML file.")  # fmt: skip

CODE = option(RUNNING, "--code", is_flag=True,
              help="Print the pipeline as a PyTorch script for the first picture, and do nothing else.")  # fmt: skip

SHOW = option(RUNNING, "--show", is_flag=True,
              help="Draw the pictures written in the terminal, on standard error.")  # fmt: skip

FILES_FROM = option(PICTURES_IN, "--files-from", metavar="FILE",
                    help="Read the inputs' names from FILE, or - for standard input, one a line; see -0.")  # fmt: skip

PROGRESS = ("auto", "plain", "none")

PRINTING = (
    option(RUNNING, "--json", "as_json", is_flag=True, help="Print one JSON object a picture instead of paths."),
    option(RUNNING, "-0", "--null", is_flag=True,
           help="Names end with NUL: those printed, for xargs -0, and those of --files-from, for find -print0."),
    SHOW,
    CODE,
    option(RUNNING, "--progress", type=Checked(option_values.one_of(PROGRESS), PROGRESS), default="auto",
           show_default=True, help="auto: a bar on a terminal; plain: a line a minute."),
    option(RUNNING, "--log", metavar="FILE",
           help="Append a line a picture to FILE: time, status, seconds, source, and outputs or what was wrong."),
    option(RUNNING, "-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error."),
    option(RUNNING, "-v", "--verbose", count=True,
           help="Say more: what is passed over, and what was noted; -vv: where a fault arose."),
)  # fmt: skip


def shared(command: Callable) -> Callable:
    """Add the options that presets and ``run`` share."""
    for add in reversed([FILES_FROM, of_run(*SETTINGS), PRESETS_FILE, *PRINTING]):
        command = add(command)
    for parameter in command.__click_params__:
        parameter.has_defaults = parameter.name not in ("files_from", "presets_file", "code")
    return command


MEANINGS = {
    "size": "Rows and columns of the kernel.",
    "sigma": "Width of the Gaussian, in pixels.",
    "amount": "How much is added: 1 as much as the blur takes away.",
    "angle": "Degrees, counter-clockwise from the right.",
    "wavelength": "Pixels from one stripe to the next.",
    "pool": "Step of the pooling window: 2 halves the picture.",
    "stride": "Step of the window, in pixels.",
    "padding": "'same', 'valid', or pixels around the picture.",
    "padding_mode": "zeros, reflect, replicate or circular.",
    "dilation": "Pixels between the kernel's elements.",
}


def preset_options(preset: Preset) -> list[click.Option]:
    """Return a preset's own options, and those of its layer where it is one convolution."""
    extra = CONVOLUTION_OPTIONS if takes_convolution_options(preset) else ()
    return [
        Option(
            [_flag(name), f"option_{name}"],
            type=Checked(language_value),
            metavar="VALUE",
            section=PIPELINE,
            help=" ".join(filter(None, [MEANINGS.get(name), _default(preset, name)])),
        )
        for name in dict.fromkeys([*preset.options, *extra])
    ]


def preset_values(kwargs: dict) -> Mapping[str, str]:
    """Take the preset's options out of a command's keyword arguments; those given, as text."""
    names = [name for name in kwargs if name.startswith("option_")]
    taken = {name.removeprefix("option_"): kwargs.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _default(preset: Preset, name: str) -> str:
    return f" [default: {preset.options[name]}]" if name in preset.options else ""

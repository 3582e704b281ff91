"""Command-line options in groups: what the commands share, declared once, and how --help shows them."""

import re
from collections.abc import Callable, Mapping

import click

from convfilter.errors import ConvfilterError
from convfilter.gray.norm import MODES
from convfilter.language.grammar import Constant, Items, read_value
from convfilter.language.presets import Preset
from convfilter.language.resolve import CONVOLUTION_OPTIONS, takes_convolution_options
from convfilter.run.options import is_white

PICTURES_IN, PIPELINE, PICTURES_OUT, RUNNING = "Pictures in", "Pipeline", "Pictures out", "Running"
SECTIONS = (PICTURES_IN, PIPELINE, PICTURES_OUT, RUNNING)


class Option(click.Option):
    """An option that knows its group in --help."""

    def __init__(self, *args, section: str = RUNNING, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class Command(click.Command):
    """A command whose --help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped: dict[str, list] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                grouped.setdefault(getattr(parameter, "section", RUNNING), []).append(record)
        for section in SECTIONS:
            if section in grouped:
                with formatter.section(section):
                    formatter.write_dl(grouped[section])


class Value(click.ParamType):
    """A number, a word or a tuple, as the pipeline language writes it; kept as text."""

    name = "value"

    def convert(self, value, param, ctx) -> str:
        text = str(value)
        for attempt in (text, f"({text})"):
            try:
                node = read_value(attempt)
            except ConvfilterError:
                continue
            if isinstance(node, Constant | Items) or (re.fullmatch(r"\w+", text) and not node.called):
                return attempt
        self.fail(f"{text!r} is not a number, a word or a tuple", param, ctx)


class Size(click.ParamType):
    """A number of bytes, such as 800M or 2.5G; kept as a whole number."""

    name = "size"

    def convert(self, value, param, ctx) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE)
        size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else 0
        if not 1 <= size < 2**63:
            what = "not a size" if size < 1 else "too large a size"
            self.fail(f"{value!r} is {what}; write bytes, or 800M, or 2.5G", param, ctx)
        return int(size)


MOST = 9_999_999  # rows, columns and channels that a number on the command line may name


class Numbers(click.ParamType):
    """Two whole numbers (or as many as ``counts`` has), such as 640x480 or 3,5; kept as a tuple."""

    def __init__(self, name: str, mark: str, example: str, *, least: int = 0, counts: tuple[int, ...] = (2,)) -> None:
        self.name, self.mark, self.example, self.least, self.counts = name, mark, example, least, counts

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = str(value).lower().split(self.mark)
        if len(words) in self.counts and all(re.fullmatch(r"\s*[0-9]{1,9}\s*", word) for word in words):
            numbers = tuple(map(int, words))
            if min(numbers) >= self.least and max(numbers) <= MOST:
                return numbers
        numbers = f"whole numbers from {self.least} to {MOST:,}"
        self.fail(f"{value!r} is no {self.name}; write {numbers}, such as {self.example}", param, ctx)


class Channels(click.ParamType):
    """Channel numbers and ranges, such as 0,3-5; kept as a sorted tuple of numbers."""

    name = "channels"

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        chosen: set[int] = set()
        for part in str(value).split(","):
            match = re.fullmatch(r"\s*(\d{1,7})(?:\s*-\s*(\d{1,7}))?\s*", part)
            if not match or int(match[2] or match[1]) < int(match[1]):
                self.fail(
                    f"{value!r} is no list of channels; write numbers from 0 and ranges, such as 0,3-5", param, ctx
                )
            chosen.update(range(int(match[1]), int(match[2] or match[1]) + 1))
        return tuple(sorted(chosen))


class Frames(click.ParamType):
    """``first``, ``all`` or a frame's number from 0."""

    name = "frames"

    def convert(self, value, param, ctx) -> str | int:
        text = str(value)
        if text in ("first", "all"):
            return text
        if not re.fullmatch(r"\d{1,9}", text):
            self.fail(f"{text!r} is not first, all or a frame's number from 0", param, ctx)
        return int(text)


class Finite(click.ParamType):
    """A finite number."""

    name = "float"

    def convert(self, value, param, ctx) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if number - number != 0:
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def option(section: str, *names: str, **kwargs) -> Callable:
    """Return a decorator that adds an option to a command, in a group of --help."""
    return click.option(*names, cls=Option, section=section, **kwargs)


def _white(ctx, param, value: float) -> float:
    if not is_white(value):
        raise click.BadParameter(f"{value!r} is not from 1.2e-38 to 3.4e38, such as 255 or 1", ctx, param)
    return value


def _colour(ctx, param, value: str) -> str:
    if value != "white":  # the default needs no Pillow to be known as a colour
        from convfilter.images.to_gray import parse_background

        parse_background(value)
    return value


def _whole(ctx, param, value: str) -> int:
    return int(value)


SEED = option(PIPELINE, "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="N",
              help="Seed of the random weights.")  # fmt: skip
WHITE = option(PICTURES_IN, "--white", type=Finite(), default=255.0, callback=_white, metavar="FLOAT",
               help="Tensor value of a white pixel: 255 unless said, as in the tutorial; or 1.")  # fmt: skip
NORM = option(PICTURES_OUT, "--norm", type=click.Choice(MODES), default="minmax", show_default=True,
              help="How floats become gray: each channel from its minimum to its maximum; 0 to white; absolute values; "
              "0 as mid-gray.")  # fmt: skip
VMIN = option(PICTURES_OUT, "--vmin", type=Finite(), metavar="FLOAT", help="The value that is black, in every picture.")
VMAX = option(PICTURES_OUT, "--vmax", type=Finite(), metavar="FLOAT", help="The value that is white, in every picture.")
BACKGROUND = option(PICTURES_IN, "--background", default="white", show_default=True, callback=_colour, metavar="COLOR",
                    help="What shows through transparency: a name, or #rrggbb.")  # fmt: skip
PRESETS_FILE = option(PIPELINE, "--presets", "presets_file", type=click.Path(), metavar="FILE",
                      help="Your own presets, a TOML file.")  # fmt: skip

CODE = option(RUNNING, "--code", is_flag=True,
              help="Print the pipeline as a PyTorch script for the first picture, and do nothing else.")  # fmt: skip

SHARED = (
    option(PICTURES_IN, "-r", "--recursive", is_flag=True, help="Go into sub-folders; the tree is kept in the output."),
    option(PICTURES_IN, "--frames", type=Frames(), default="first", show_default=True, metavar="first|all|N",
           help="Pages of a TIFF, frames of a GIF; N counts from 0."),
    WHITE,
    BACKGROUND,
    option(PICTURES_IN, "--max-memory", type=Size(), metavar="SIZE",
           help="Refuse a picture that would need more, such as 2G.  [default: three quarters of what is available]"),
    option(PICTURES_IN, "--max-pixels", type=click.IntRange(1), default=1_000_000_000, show_default=True, metavar="N",
           help="Refuse a picture that has, or gets in a layer, more pixels than this."),
    SEED,
    option(PIPELINE, "--exact", is_flag=True,
           help="Plain nn.Sequential on the whole picture: slower, and the reference for everything else."),
    PRESETS_FILE,
    option(PICTURES_OUT, "-o", "--output", metavar="PATH",
           help="A folder (made if missing), a file name for a single output, or - for standard output."),
    option(PICTURES_OUT, "--name", metavar="TEMPLATE",
           help="Output name, from {stem}, {filter}, {channel}, {step}, {frame} and {ext}.  [default: {stem}_{filter}, "
           "and _{channel} where there are several]"),
    NORM,
    VMIN,
    VMAX,
    option(PICTURES_OUT, "--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, callback=_whole,
           help="Depth of a PNG."),
    option(PICTURES_OUT, "--format", type=click.Choice(["png", "npy"]),
           help="A picture, or the raw float32 values (HxW a channel) for numpy.load.  [default: png, or -o's suffix]"),
    option(PICTURES_OUT, "--channels", type=Channels(), metavar="0,3-5", help="Only these output channels."),
    option(PICTURES_OUT, "--grid", is_flag=True,
           help="One contact sheet a picture: the input and all channels, labelled."),
    option(PICTURES_OUT, "--keep", is_flag=True, help="With --grid: the single pictures too."),
    option(PICTURES_OUT, "--steps", is_flag=True, help="Save what comes out of every layer, not only the last."),
    option(PICTURES_OUT, "--compress", type=click.IntRange(0, 9), metavar="0..9",
           help="Effort of the PNG's compression: 0 none, 9 the smallest file.  [default: fast]"),
    option(PICTURES_OUT, "--no-metadata", "metadata", flag_value=False, default=True,
           help="Leave the pipeline and the values of black and white out of the PNG."),
    option(PICTURES_OUT, "--skip-existing", is_flag=True, help="Skip what is done already: resume a stopped run."),
    option(PICTURES_OUT, "--no-clobber", is_flag=True, help="Never replace a file."),
    option(RUNNING, "-j", "--jobs", type=click.IntRange(1, 1024), metavar="N", help="Workers.  [default: all cores]"),
    option(RUNNING, "--shard", metavar="I/N|auto",
           help="Only every Nth picture; auto reads torchrun's and Slurm's environment."),
    option(RUNNING, "--dry-run", is_flag=True, help="Say what would be written; read only headers."),
    option(RUNNING, "--json", "as_json", is_flag=True, help="Print one JSON object a picture instead of paths."),
    option(RUNNING, "-0", "--null", is_flag=True, help="End each printed path with NUL, for xargs -0."),
    option(RUNNING, "--fail-fast", is_flag=True, help="Stop at the first picture that fails."),
    CODE,
    option(RUNNING, "-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error."),
    option(RUNNING, "-v", "--verbose", count=True, help="Say more: what is passed over, and what was noted."),
)  # fmt: skip


def shared(command: Callable) -> Callable:
    """Add the options that presets and ``run`` share."""
    for add in reversed(SHARED):
        command = add(command)
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
            type=Value(),
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

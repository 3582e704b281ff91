"""What a run may be asked for: the one place of every option's name, type, default, check and help.

``Options`` is made of them; the command line is made from its fields (``cli.options``), and so are the keywords of
``run_files`` (``run.keywords``, written by ``pytest tests/run/test_options.py --rewrite``). A new option is a new
field, and needs nothing else.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from convfilter.errors import UsageError, did_you_mean, escape
from convfilter.figures.themes import THEMES
from convfilter.files.labels import SUFFIXES
from convfilter.files.patterns import EVERYTHING
from convfilter.files.targets import OTHERS
from convfilter.gray.input_values import NORMALIZE, InputValues
from convfilter.gray.norm import MODES, Norm
from convfilter.gray.scale import SCALES
from convfilter.language.load_weights import Match, load_weights
from convfilter.language.pipeline import Pipeline
from convfilter.run import option_values as values
from convfilter.run.shards import parse_shard

PICTURES_IN, PIPELINE, PICTURES_OUT, RUNNING = "Pictures in", "Pipeline", "Pictures out", "Running"
GROUPS = (PICTURES_IN, PIPELINE, PICTURES_OUT, RUNNING)  # of --help

Default = TypeVar("Default")


@dataclass(frozen=True)
class Setting:
    """What is known of an option besides its name, type and default.

    ``read`` takes a text or a Python value and returns what the option holds; its ValueError says what is wrong.
    ``flags`` are the command line's where they are not the name alone. ``shown`` is what --help says of the default
    where it is not the default itself. ``takes`` is the type of what Python callers may give where it is not the
    field's own. ``multiple`` is true where the command line may give it several times, and ``read`` takes all of them.
    """

    group: str
    help: str
    read: Callable[[Any], Any]
    flags: tuple[str, ...] = ()
    metavar: str = ""
    choices: tuple[str | int, ...] = ()
    shown: str | None = None
    takes: str = ""
    multiple: bool = False


def option(
    default: Default,
    group: str,
    help: str,
    read: Callable[[Any], Any] = values.switch,
    *flags: str,
    choices: tuple[str | int, ...] = (),
    metavar: str = "",
    shown: str | None = None,
    takes: str = "",
    multiple: bool = False,
    hints: Mapping[str, str] | None = None,
) -> Default:
    """Return a field of Options; for the rest see Setting."""
    read = values.one_of(choices, hints) if choices else read
    setting = Setting(group, help, read, flags, metavar, choices, shown, takes, multiple)
    return field(default=default, metadata={"": setting})


def _shard(value: Any) -> str:
    text = values.text(value)
    parse_shard(text)
    return text


def _weights(value: Any) -> str:
    path = values.path(value)
    if not path:
        raise ValueError("no file is named")
    return path


def _output(value: Any) -> str:
    path = values.path(value)
    if not path:
        raise UsageError("-o is empty; name a folder (. is the current one), a file, or - for standard output")
    if path.startswith("="):  # which a long option has
        raise UsageError(
            f"-o{escape(path)}: write -o {escape(path[1:]) or 'PATH'}; a folder of this name is ./{escape(path)}"
        )
    return path


@dataclass(frozen=True, kw_only=True)
class Options:
    """How pictures are read, filtered and written: each field is the command's long option of that name.

    Raises:
        UsageError: a value is none that its option may have; in the words of the command line.

    >>> Options(max_memory="2G", channels="0,2-3").channels
    (0, 2, 3)
    >>> Options(norm="max")
    Traceback (most recent call last):
    convfilter.errors.UsageError: --norm: 'max' is not one of 'minmax', 'clip', 'abs', 'symmetric'
    """

    recursive: bool = option(
        False, PICTURES_IN, "Go into sub-folders; the tree is kept in the output.", values.switch, "-r"
    )
    include: tuple[str, ...] = option(
        (), PICTURES_IN, "In folders and lists: only these files, such as '*.jpg'; may be given several times.",
        values.patterns, metavar="PATTERN", shown="", takes="str | Iterable[str]", multiple=True,
    )  # fmt: skip
    exclude: tuple[str, ...] = option(
        (), PICTURES_IN, "In folders and lists: none of these files or, with a / at its end, folders: 'thumbs/'.",
        values.patterns, metavar="PATTERN", shown="", takes="str | Iterable[str]", multiple=True,
    )  # fmt: skip
    frames: Literal["first", "all"] | int = option(
        "first",
        PICTURES_IN,
        "Pages of a TIFF, frames of a GIF; N counts from 0.",
        values.frames,
        metavar="first|all|N",
        takes='Literal["first", "all"] | int',
    )
    white: float = option(
        255.0, PICTURES_IN, "Tensor value of a white pixel; 1 as torchvision has it.", values.white, metavar="FLOAT",
        shown="255, as in the tutorial",
    )  # fmt: skip
    background: str = option(
        "white", PICTURES_IN, "What shows through transparency: a name, or #rrggbb.", values.colour, metavar="COLOR"
    )
    mode: Literal["L", "RGB"] = option(
        "L",
        PICTURES_IN,
        "How pictures are loaded: L is gray, one channel; RGB is colour, three.",
        choices=("L", "RGB"),
        hints={
            **dict.fromkeys(["gray", "grey", "grayscale", "1"], "write L"),
            **dict.fromkeys(["color", "colour", "3"], "write RGB"),
        },
    )
    mean: tuple[float, ...] | None = option(
        None, PICTURES_IN, "Subtract this from the input, one number or one a channel.", values.numbers,
        metavar="M[,M,M]", takes="float | str | Iterable[float] | None",
    )  # fmt: skip
    std: tuple[float, ...] | None = option(
        None, PICTURES_IN, "Divide the input by this after --mean, one number or one a channel.", values.positive,
        metavar="S[,S,S]", takes="float | str | Iterable[float] | None",
    )  # fmt: skip
    normalize: str | None = option(
        None, PICTURES_IN, "With --mode RGB: the mean and the std that torchvision's models take.",
        choices=tuple(NORMALIZE),
    )  # fmt: skip
    max_memory: int | None = option(
        None, PICTURES_IN, "Refuse a picture that would need more, such as 2G.", values.size, metavar="SIZE",
        shown="three quarters of what is available", takes="int | str | None",
    )  # fmt: skip
    max_pixels: int = option(  # the bombs are larger, and the scans smaller
        1_000_000_000, PICTURES_IN, "Refuse a picture that has, or gets in a layer, more pixels than this.",
        values.whole(1, 2**63 - 1), metavar="N",
    )  # fmt: skip

    gray_weights: bool = option(
        False, PIPELINE, "Sum the first layer's colour kernels over red, green and blue, to take gray pictures."
    )
    seed: int = option(0, PIPELINE, "Seed of the random weights.", values.whole(0, 2**63 - 1), metavar="N")
    weights: str | None = option(
        None, PIPELINE, "A trained network's weights, for all layers: .safetensors, .pt, .pth or .npz.", _weights,
        metavar="FILE", takes="str | PathLike[str] | None",
    )  # fmt: skip
    prefix: str | None = option(
        None, PIPELINE, "With --weights: what stands there before the layers' names, such as features.", values.text,
        metavar="TEXT", shown="it is found",
    )  # fmt: skip
    until: str | None = option(
        None, PIPELINE, "Stop after this layer: its index, from 0, or its name in a printed model: features.6.",
        values.layer, metavar="LAYER", takes="int | str | None",
    )  # fmt: skip
    exact: bool = option(
        False, PIPELINE, "Plain nn.Sequential on the whole picture: slower, and the reference for everything else."
    )

    output: str | None = option(
        None, PICTURES_OUT, "A folder (made if missing), a file name for a single output, or - for standard output; "
        "the first two also in s3://, gs:// or az://.", _output, "-o", metavar="PATH",
        takes="str | PathLike[str] | None",
    )  # fmt: skip
    name: str | None = option(
        None, PICTURES_OUT, "Output name, from {stem}, {filter}, {channel}, {step}, {frame} and {ext}.", values.text,
        metavar="TEMPLATE", shown="{stem}_{filter}, and _{channel} where there are several",
    )  # fmt: skip
    norm: str | None = option(
        None, PICTURES_OUT, "How floats become gray: minmax, a channel's minimum to its maximum; clip, 0 to "
        "white; abs, absolute values; symmetric, 0 as mid-gray.", choices=MODES, shown="minmax; clip with --recombine",
        hints=dict.fromkeys(["none", "raw", "off", "no"], "--format npy writes the values as they are"),
    )  # fmt: skip
    vmin: float | None = option(
        None, PICTURES_OUT, "The value that is black, in every picture.", values.number, metavar="FLOAT"
    )
    vmax: float | None = option(
        None, PICTURES_OUT, "The value that is white, in every picture.", values.number, metavar="FLOAT"
    )
    scale: str | None = option(
        None, PICTURES_OUT, "What has one black and one white: each channel, a layer's channels together, or all "
        "outputs of the run, which is then of one picture.", choices=SCALES,
        shown="channel; with --steps, an activation or pool that of the layer before it",
    )  # fmt: skip
    bits: int = option(
        8, PICTURES_OUT, "Depth of a PNG.", choices=(8, 16), hints={"32": "--format npy writes the 32-bit values"}
    )
    format: str | None = option(
        None, PICTURES_OUT, "A picture, a contact sheet as SVG, or the float32 values (HxW a channel) for numpy.load.",
        choices=tuple(suffix[1:] for suffix in SUFFIXES), shown="png, or -o's suffix",
        hints=dict.fromkeys([suffix[1:] for suffix in OTHERS], "pictures are written as PNG: write png"),
    )  # fmt: skip
    channels: tuple[int, ...] | None = option(
        None, PICTURES_OUT, "Only these output channels.", values.channels, metavar="0,3-5",
        takes="str | int | Iterable[int] | None",
    )  # fmt: skip
    recombine: bool = option(
        False,
        PICTURES_OUT,
        "Save the three output channels as one colour PNG, in one scale.",
    )
    grid: bool = option(False, PICTURES_OUT, "One contact sheet a picture: the input and all channels, labelled.")
    keep: bool = option(False, PICTURES_OUT, "With --grid: the single pictures too.")
    steps: bool = option(
        False, PICTURES_OUT, "Save what comes out of every layer, not only the last; with --grid, a row a layer."
    )
    columns: int | None = option(
        None, PICTURES_OUT, "With --grid: the most pictures side by side.", values.whole(1, 64), metavar="N",
        shown="as many as suit a screen",
    )  # fmt: skip
    zoom: bool = option(False, PICTURES_OUT, "With --grid: draw all pictures equally large, pooled ones too.")
    theme: str = option("light", PICTURES_OUT, "With --grid: the colours around the pictures.", choices=tuple(THEMES))
    compress: int | None = option(
        None, PICTURES_OUT, "Effort of the PNG's compression: 0 none, 9 the smallest file.", values.whole(0, 9),
        metavar="0..9", shown="fast",
    )  # fmt: skip
    metadata: bool = option(
        True, PICTURES_OUT, "Leave the pipeline and the values of black and white out of the PNG.", values.switch,
        "--no-metadata",
    )  # fmt: skip
    skip_existing: bool = option(False, PICTURES_OUT, "Skip what is done already: resume a stopped run.")
    no_clobber: bool = option(False, PICTURES_OUT, "Never replace a file.")
    force: bool = option(False, PICTURES_OUT, "Replace also what convfilter has not made: a picture of your own.")

    jobs: int | None = option(
        None, RUNNING, "Workers; 0 is all cores.", lambda value: values.whole(0, 1024)(value) or None, "-j",
        metavar="N", shown="all cores",
    )  # fmt: skip
    device: str = option(
        "cpu", RUNNING, "Where PyTorch computes; auto takes a GPU if there is one.", values.device,
        metavar="cpu|cuda[:N]|mps|auto",
    )  # fmt: skip
    shard: str | None = option(
        None, RUNNING, "Only every Nth picture; auto reads torchrun's and Slurm's environment.", _shard,
        metavar="I/N|auto",
    )  # fmt: skip
    cluster: str | None = option(
        None, RUNNING, "Have Dask's workers do it: a scheduler's address or file, or N processes here.",
        values.cluster, metavar="ADDRESS|local[:N]",
    )  # fmt: skip
    unordered: bool = option(False, RUNNING, "Print results as they come, not in the order of the inputs.")
    dry_run: bool = option(False, RUNNING, "Say what would be written; read only headers.")
    fail_fast: bool = option(False, RUNNING, "Stop at the first picture that fails.")

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            given = getattr(self, name)
            if given is None and DEFAULTS[name] is None:
                continue
            try:
                object.__setattr__(self, name, setting.read(given))
            except ValueError as error:
                raise UsageError(f"{flags(name)[-1]}: {error}") from None

    @property
    def suffix(self) -> str:
        """The suffix of the files written."""
        named = os.path.splitext(self.output or "")[1].lower()
        return f".{self.format}" if self.format else named if named in SUFFIXES else ".png"

    def check(self, pipeline: Pipeline) -> "Options":
        """Return these options, or refuse what makes no sense before anything is read.

        Raises:
            UsageError: two options do not go together, or not with the pipeline.
            PipelineError: the pipeline does not take a grayscale picture.
        """
        if everything := next((pattern for pattern in self.exclude if pattern in EVERYTHING), None):
            raise UsageError(
                f"--exclude '{everything}' leaves nothing; --include alone takes only what its patterns match"
            )
        if self.vmin is not None and self.vmax is not None and not self.vmin < self.vmax:
            raise UsageError(f"--vmin {self.vmin:g} must be less than --vmax {self.vmax:g}")
        if self.suffix == ".npy" and self.grid:
            raise UsageError("--grid draws a picture, and npy holds numbers; choose one of them")
        if self.suffix == ".svg" and not self.grid:
            raise UsageError("svg is for contact sheets; add --grid, or take png")
        if self.suffix == ".svg" and self.keep:
            raise UsageError("--keep keeps single pictures, and svg is for contact sheets; choose one of them")
        for name in ("columns", "zoom", "theme"):
            if not self.grid and getattr(self, name) != DEFAULTS[name]:
                raise UsageError(f"{flags(name)[-1]} goes with --grid: it says how the contact sheet is drawn")
        if self.keep and not self.grid:
            raise UsageError("--keep goes with --grid: it keeps the single pictures beside the sheet")
        if self.cluster is not None and self.jobs is not None:
            raise UsageError("-j counts workers of this process, and --cluster has its own; say --cluster local:N")
        if self.cluster is not None and self.output == "-":
            raise UsageError("-o - is this process's standard output, and --cluster has others write; leave out one")
        for name, numbers in (("--mean", self.mean), ("--std", self.std)):
            if numbers and len(numbers) not in (1, self.channels_in):
                raise UsageError(f"{name} takes one number, or {self.channels_in} for --mode {self.mode}")
            if numbers and self.normalize:
                raise UsageError(f"--normalize {self.normalize} sets {name} already; choose one of them")
        if self.normalize and self.mode != "RGB":
            raise UsageError(f"--normalize {self.normalize} holds numbers for three channels; add --mode RGB")
        if self.gray_weights and self.mode == "RGB":
            raise UsageError("--gray-weights takes gray pictures, and --mode RGB loads colour; choose one of them")
        pipeline = self.cut(pipeline)
        count = pipeline.channels(self.channels_in)
        if self.recombine:
            self._check_recombine(pipeline)
        for channel in self.channels or ():
            if not 0 <= channel < count:
                last = f"channels 0 to {count - 1}" if count > 1 else "channel 0 only"
                raise UsageError(f"--channels {channel}: the pipeline gives {last}")
        return self

    def _check_recombine(self, pipeline: Pipeline) -> None:
        for option, given in (("--channels", self.channels), ("--grid", self.grid and not self.keep)):
            if given:
                raise UsageError(f"--recombine makes one picture of all three channels; leave out {option}")
        if self.suffix == ".npy":
            raise UsageError("--recombine makes a picture, and npy holds numbers; choose one of them")
        count = self.channels_in
        for number, layer in enumerate(pipeline.layers):
            count = layer.effect.channels(count)
            if count != 3 and (self.steps or number == len(pipeline.layers) - 1):
                where = f"layer {number} gives" if self.steps else "the pipeline gives"
                raise UsageError(f"--recombine makes a colour picture of three channels, and {where} {count}")

    def cut(self, pipeline: Pipeline) -> Pipeline:
        """Return the pipeline up to ``until``, taking gray where ``gray_weights`` says so.

        Raises:
            UsageError: it has no such layer, or its first one takes no colour.
        """
        pipeline = pipeline if self.until is None else pipeline.until(self.until)
        return pipeline.for_gray() if self.gray_weights else pipeline

    @property
    def channels_in(self) -> int:
        """How many channels a picture is loaded with."""
        return 3 if self.mode == "RGB" else 1

    @property
    def inputs(self) -> InputValues:
        """Which tensor values a picture becomes.

        >>> Options(mode="RGB", normalize="imagenet").inputs.interval
        (-2.1179039301310043, 2.64)
        """
        mean, std = self.mean or (0.0,), self.std or (1.0,)
        if self.normalize is not None:
            mean, std = (tuple(number * self.white for number in numbers) for numbers in NORMALIZE[self.normalize])
        each = self.channels_in
        mean, std = (numbers if len(numbers) == each else (numbers[0],) * each for numbers in (mean, std))
        return InputValues(each, self.white, mean, std)

    @property
    def levels(self) -> Norm:
        """How floats become gray levels."""
        return Norm(self.norm or ("clip" if self.recombine else "minmax"), self.vmin, self.vmax)

    def load(self, pipeline: Pipeline) -> tuple[Pipeline, tuple[Match, ...]]:
        """Return the pipeline up to ``until`` with the weights of a file, and which of its tensors went where.

        Raises:
            UsageError: the file cannot be read, or does not fit.
        """
        if self.weights is None:
            if self.prefix is not None:
                raise UsageError("--prefix goes with --weights: it says what stands before the layers' names there")
            return self.cut(pipeline), ()
        pipeline = pipeline if self.until is None else pipeline.until(self.until)
        channels = 3 if self.gray_weights else self.channels_in
        pipeline, matches = load_weights(pipeline, self.weights, self.prefix, channels=channels)
        return (pipeline.for_gray() if self.gray_weights else pipeline), matches


SETTINGS: Mapping[str, Setting] = {field.name: field.metadata[""] for field in fields(Options)}
DEFAULTS: Mapping[str, object] = {field.name: field.default for field in fields(Options)}


def flags(name: str) -> tuple[str, ...]:
    """Return an option's flags on the command line, the long one last.

    >>> flags("max_memory"), flags("output"), flags("metadata")
    (('--max-memory',), ('-o', '--output'), ('--no-metadata',))
    """
    given = SETTINGS[name].flags
    return given if given and given[-1].startswith("--") else (*given, "--" + name.replace("_", "-"))


def make_options(given: Mapping[str, Any]) -> Options:
    """Return the options that keywords give.

    Raises:
        UsageError: there is no such option, or it has no such value.

    >>> make_options({"backgruond": "black"})
    Traceback (most recent call last):
    convfilter.errors.UsageError: there is no option 'backgruond'; did you mean background?
    """
    for name in given:
        if name not in SETTINGS:
            hint = did_you_mean(name, SETTINGS) or f"; there are {', '.join(SETTINGS)}"
            raise UsageError(f"there is no option {escape(name)!r}{hint}")
    return Options(**given)

"""The command line: words in, run_files, words out."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

import click
from click.exceptions import NoArgsIsHelpError

from convfilter import streams
from convfilter.cli import listing, options
from convfilter.cli.bundled import find_topics
from convfilter.cli.markdown import lay_out
from convfilter.cli.next_step import is_watched, suggest_next
from convfilter.cli.usage import (
    check_inputs,
    check_pipeline,
    explain_missing_input,
    explain_unknown_command,
    explain_usage,
    is_picture,
)
from convfilter.cli.warm import warm
from convfilter.errors import ConvfilterError, InputError, OutputError, UsageError, did_you_mean, escape, tidy
from convfilter.files.listed import FileList
from convfilter.files.targets import check_ending
from convfilter.gray.scale import SCALES
from convfilter.language.continuations import complete_pipeline
from convfilter.language.pipeline import Pipeline, parse, parse_preset
from convfilter.language.presets import PRESETS, Preset, load_presets
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.kernels import KERNELS
from convfilter.numbers import show_number
from convfilter.run.option_values import whole_numbers
from convfilter.run.options import PICTURES_IN, PICTURES_OUT, PIPELINE, RUNNING, SETTINGS, Options

EPILOG = """\b
Examples:
  convfilter edge photo.png              photo_edge.png beside it
  convfilter blur --sigma 2 photos/      photos_blur/
  convfilter run 'Conv2d(1, 8, 3) | ReLU | MaxPool2d(2)' photo.png
  convfilter tutorial photo.png --grid   the tutorial's figure
  convfilter demo                        begin without a picture of your own
"""


def main() -> None:
    """Run the program on the process's arguments; the process ends with its exit status."""
    if sys.stdout is None:
        _say("standard output is closed; the paths written could not be told")
        sys.exit(3)  # stopped early: none was tried
    cli(prog_name="convfilter")


class Group(click.Group):
    """Presets and commands as two groups of --help; presets become commands as they are asked for."""

    command_class = options.Command

    def presets(self, ctx: click.Context) -> Mapping[str, Preset]:
        own = _user_presets(ctx.params.get("presets_file"))
        for name in own:
            if name in self.commands:
                raise UsageError(f"preset {name}: 'convfilter {name}' is a command; give the preset another name")
        return {**PRESETS, **own}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.presets(ctx), *self.commands]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self.commands:
            return self.commands[name]
        presets = self.presets(ctx)
        return preset_command(name, presets[name]) if name in presets else None

    def resolve_command(self, ctx: click.Context, args: list[str]):
        for here, there in zip(args, [*args[1:], None], strict=True):  # --presets may also stand after the command
            file = there if here == "--presets" else here.removeprefix("--presets=")
            if here.startswith("--presets") and file and file != here:
                ctx.params["presets_file"] = file
        known = args[0] in self.commands or args[0] in self.presets(ctx) or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:  # which is where a shell completes
            raise UsageError(explain_unknown_command(args, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in (("Presets", self.presets(ctx)), ("Commands", self.commands)):
            with formatter.section(title):
                commands = [(name, self.get_command(ctx, name)) for name in names]
                formatter.write_dl([(name, command.get_short_help_str(100)) for name, command in commands])

    def make_context(self, *args, **kwargs) -> click.Context:
        with _short_messages():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context):
        with _short_messages():
            return super().invoke(ctx)

    def main(self, *args, **kwargs):
        try:
            return super().main(*args, **kwargs)
        except ConvfilterError as error:  # the one place where errors are shown
            _say(str(error))
            sys.exit(1 if isinstance(error, InputError | OutputError) else 2)


def _continue_pipeline(ctx: click.Context, begun: str) -> list[str]:
    """Return what the shell can make of an unfinished pipeline; a broken file of presets is said when it runs."""
    try:
        known = _presets(ctx, ctx.params.get("presets_file"))
    except ConvfilterError:
        known = PRESETS
    return complete_pipeline(begun, known)


PIPELINE_ARGUMENT = click.argument("pipeline", type=options.Completed(_continue_pipeline, check=check_pipeline))
PIPELINE_OR_PATH = options.Completed(_continue_pipeline, check=check_pipeline, or_path=True)


@click.group(
    cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--presets", "presets_file", type=click.Path(), metavar="FILE", is_eager=True,
              help="Your own presets, a TOML file; each becomes a command.")  # fmt: skip
@options.VERSION
def cli(presets_file: str | None) -> None:
    """Run pictures through convolutional layers, and save what comes out.

    INPUT is a picture, a folder of pictures, or - for standard input. 'convfilter help urls' tells of s3://, https://
    and other places.
    """


@cli.command(short_help="Any pipeline of layers.")
@PIPELINE_ARGUMENT
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=False, type=click.Path())
@options.shared
@click.pass_context
def run(ctx: click.Context, pipeline: str, inputs: tuple[str, ...], presets_file: str | None, **kwargs) -> None:
    """Run pictures through PIPELINE and save each output channel.

    Layers are written as PyTorch writes them and joined by |. A preset's or a kernel's name stands for its layers, and
    @FILE reads the pipeline from a file.

    \b
    Examples:
      convfilter run 'edge | ReLU | MaxPool2d(2)' photo.png
      convfilter run "Conv2d(1, 8, 3, padding='same') | ReLU()" photos/ -o out/
      convfilter run @blocks.txt *.png
    """
    _run(ctx, parse(pipeline, presets=_presets(ctx, presets_file)), pipeline, inputs, kwargs)


@cli.command(short_help="What each layer of a pipeline does, and the sums behind a pixel.")
@PIPELINE_ARGUMENT
@click.argument("picture", metavar="[IMAGE]", required=False, type=click.Path())
@options.option(PICTURES_IN, "--size", type=options.Checked(whole_numbers("size", "x", "640x480", least=1)),
                metavar="WxH", help="The picture's width and height.  [default: 512x512]")  # fmt: skip
@options.option(
    PICTURES_IN, "--image", type=click.Path(), metavar="FILE", help="Take this picture, or its size; as IMAGE."
)
@options.option(PIPELINE, "--pixel", type=options.Checked(
                    whole_numbers("pixel", ",", "100,50", counts=(2, 3))), metavar="X,Y[,CHANNEL]",
                help="With --image: the arithmetic behind this pixel of the output, "
                "through every layer. Column, row and channel count from 0.")  # fmt: skip
@options.option(RUNNING, "--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@options.CODE
@options.of_run(*options.COMPUTED)
@options.PRESETS_FILE
@click.pass_context
def explain(ctx: click.Context, pipeline: str, picture: str | None, presets_file: str | None, **kwargs) -> None:
    """Show what each layer of PIPELINE does to a picture: the output's size with the sum that gives it, parameters,
    multiply-adds, receptive field, and the range of values that can come out. No picture is needed.

    \b
    Examples:
      convfilter explain 'Conv2d(1, 8, 3, stride=2) | ReLU | MaxPool2d(2)' --size 640x480
      convfilter explain tutorial --image photo.png --pixel 100,50
      convfilter explain 'edge | ReLU' --code
    """
    from convfilter.cli.answers import answer

    if picture is not None:
        if kwargs["image"] is not None:
            raise UsageError("explain: one picture is enough: leave out --image, or the picture after the pipeline")
        if not is_picture(picture):
            check_inputs(ctx, pipeline, [picture], _presets(ctx, presets_file))
        kwargs["image"] = picture
    chosen = _take_options(kwargs)
    parsed = _prepare(parse(pipeline, presets=_presets(ctx, presets_file)), chosen)
    for text in answer(parsed, chosen, **kwargs):
        click.echo(text)


@cli.command(short_help="A web page that shows a picture layer by layer.")
@PIPELINE_ARGUMENT
@click.argument("image", metavar="IMAGE", type=click.Path())
@options.of_run(*options.COMPUTED)
@options.PRESETS_FILE
@options.option(PICTURES_OUT, "-o", "--output", metavar="PATH",
                type=options.Checked(SETTINGS["output"].read, (), "PATH"),
                help="A file name, a folder, or - for standard output.  [default: beside the picture]")  # fmt: skip
@options.option(PICTURES_OUT, "--pixel", type=options.Checked(whole_numbers("pixel", ",", "100,50")),
                metavar="X,Y",
                help="Begin at this pixel; a very large picture keeps its exact values around it.")  # fmt: skip
@options.of_run("device", "no_clobber")
@click.pass_context
def report(ctx: click.Context, pipeline: str, image: str, presets_file: str | None, **kwargs) -> None:
    """Write a web page that shows what each layer of PIPELINE does to IMAGE, a picture or - for standard input: its
    formula, its kernels, every channel that comes out, and under the pointer the arithmetic of each pixel.

    The page is one file that needs no network.

    \b
    Examples:
      convfilter report tutorial photo.png
      convfilter report 'Conv2d(1, 8, 3) | ReLU | MaxPool2d(2)' photo.png -o page.html
    """
    chosen = _take_options(kwargs)
    parsed = _prepare(parse(pipeline, presets=_presets(ctx, presets_file)), chosen)
    from convfilter.report.write import write_report

    path = write_report(parsed, image, chosen.output, text=pipeline, options=chosen, warn=_say, **kwargs)
    if path != "-":
        click.echo(path)


@cli.command(short_help="One figure of several pipelines on one picture.")
@click.argument("pipelines", metavar="PIPELINE PIPELINE...", nargs=-1, required=True, type=PIPELINE_OR_PATH)
@click.argument("image", metavar="IMAGE", type=click.Path())
@options.of_run(*options.COMPUTED)
@options.PRESETS_FILE
@options.option(PICTURES_OUT, "-o", "--output", metavar="PATH",
                type=options.Checked(SETTINGS["output"].read, (), "PATH"),
                help="A .png, .svg or .html file (a page whose pixels are linked), a folder, or - for standard "
                "output.  [default: beside the picture]"
                )  # fmt: skip
@options.of_run("device", "norm", "vmin", "vmax")
@options.option(PICTURES_OUT, "--scale", type=options.Checked(SETTINGS["scale"].read, SCALES), default="run",
                help="What has one black and one white: each channel, a pipeline's channels together (layer), or all "
                "pipelines (run).  [default: run]")  # fmt: skip
@options.of_run("format", "channels", "columns", "zoom", "theme", "compress", "metadata", "no_clobber", "max_memory")
@options.SHOW
@click.pass_context
def compare(
    ctx: click.Context, pipelines: tuple[str, ...], image: str, presets_file: str | None, show: bool, **kwargs
) -> None:
    """Draw what several pipelines make of IMAGE, a picture or - for standard input: one figure, the picture first, then
    a row a PIPELINE, all on one scale.

    \b
    Examples:
      convfilter compare 'AvgPool2d(4)' 'MaxPool2d(4)' photo.png
      convfilter compare 'edge | ReLU' 'edge | Softplus' photo.png -o figure.svg
      convfilter compare 'blur(sigma=1)' 'blur(sigma=2)' 'blur(sigma=4)' photo.png
    """
    chosen = _take_options(kwargs)
    known = _presets(ctx, presets_file)
    parsed = [parse(text, presets=known) for text in pipelines]
    if any(pipeline.takes_weights for pipeline in parsed):  # a network may be compared with layers that have no weights
        without = replace(chosen, weights=None, prefix=None)
        parsed = [_prepare(pipeline, chosen if pipeline.takes_weights else without) for pipeline in parsed]
    else:
        parsed = [_prepare(pipeline, chosen) for pipeline in parsed]
    from convfilter.run.compare import write_comparison

    texts = [
        str(pipeline) if text.startswith("@") or "\n" in text else text
        for text, pipeline in zip(pipelines, parsed, strict=True)
    ]
    from convfilter.cli.show import Terminal, check_show

    if show:
        check_show(chosen)
    check_ending(chosen.output, (".png", ".svg", ".html"))
    if (chosen.output or "").lower().endswith(".html"):
        if chosen.format or show:
            raise UsageError("-o names a web page; leave out --format and --show, or name a .png")
        from convfilter.report.comparison import write_comparison_page

        path = write_comparison_page(parsed, image, chosen, texts=texts, warn=_say)
    else:
        path = write_comparison(parsed, image, chosen, texts=texts, warn=_say)
    if path != "-":
        click.echo(path)
    if show:
        terminal = Terminal()
        terminal.show([path], lambda text: streams.say(f"{text}\n"))
        if terminal.why_not:
            _say(f"--show: {terminal.why_not}, so nothing is drawn")


@cli.command(cls=options.Command, short_help="Learn a pipeline's weights from pictures before and after.")
@PIPELINE_ARGUMENT
@click.argument("pictures", metavar="BEFORE AFTER [BEFORE AFTER]...", nargs=-1, required=True, type=click.Path())
@options.option(PICTURES_OUT, "-o", "--output", metavar="FILE", required=True, type=click.Path(),
                help="The file of weights to write, a .safetensors.")  # fmt: skip
@options.option(RUNNING, "--steps", type=click.IntRange(1, 100_000), default=300, show_default=True, metavar="N",
                help="The most steps; it ends earlier where they no longer help.")  # fmt: skip
@options.of_run(
    "mode", "white", "mean", "std", "normalize", "background", "weights", "prefix", "until", "seed", "device",
    "no_clobber",
)  # fmt: skip
@options.PRESETS_FILE
@options.option(RUNNING, "-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error.")
@click.pass_context
def fit(
    ctx: click.Context, pipeline: str, pictures: tuple[str, ...], output: str, presets_file: str | None, steps: int,
    quiet: bool, **kwargs
) -> None:  # fmt: skip
    """Learn the weights with which PIPELINE makes AFTER of BEFORE, and write them to a file that --weights takes.

    A picture that this program has written counts as the floats that it was made of. Where PIPELINE gives several
    channels, each BEFORE is followed by a picture for each, or by one in colour for three. The weights begin as
    PIPELINE gives them, else with PyTorch's random ones.

    \b
    Examples:
      convfilter edge photo.png
      convfilter fit 'Conv2d(1, 1, 5)' photo.png photo_edge.png -o learned.safetensors
      convfilter run 'Conv2d(1, 1, 5)' other.png --weights learned.safetensors
      convfilter fit 'Conv2d(3, 3, 3)' photo.png warmer.png --mode RGB -o warm.safetensors
    """
    chosen = _take_options(kwargs)
    parsed = _prepare(parse(pipeline, presets=_presets(ctx, presets_file)), chosen, quiet=quiet)
    from convfilter.fit.write import fit_files, write_kernels

    def on_step(step: int, error: float) -> None:
        if not quiet and (step == 1 or step % 10 == 0):
            _say(f"step {step:,} of at most {steps:,}: error {show_number(error)}")

    learnt = fit_files(parsed, pictures, output, chosen, steps=steps, on_step=on_step)
    if not quiet:
        columns = shutil.get_terminal_size().columns
        for line in write_kernels(learnt, columns):
            streams.say(f"{line}\n")
        count = f"{learnt.steps:,} step{'s' * (learnt.steps > 1)}"
        _say(f"{count}, error {show_number(learnt.error)} (root of the mean square)")
    click.echo(output)


@cli.command(cls=options.Command, short_help="A pipeline's weights or network as a file for other programs.")
@PIPELINE_ARGUMENT
@options.option(PICTURES_OUT, "-o", "--output", metavar="FILE", required=True, type=click.Path(),
                help="Its ending says what is written: .safetensors, .onnx or .pt2.")  # fmt: skip
@options.option(PICTURES_IN, "--size", type=options.Checked(whole_numbers("size", "x", "640x480", least=1)),
                default="512x512", show_default=True, metavar="WxH",
                help="The pictures that an .onnx or .pt2 takes.")  # fmt: skip
@options.of_run("mode", "weights", "prefix", "until", "gray_weights", "seed", "no_clobber")
@options.PRESETS_FILE
@click.pass_context
def export(
    ctx: click.Context, pipeline: str, output: str, size: tuple[int, int], presets_file: str | None, **kwargs
) -> None:
    """Write PIPELINE's weights as a .safetensors file, or its network as .onnx or .pt2 (torch.export).

    \b
    Examples:
      convfilter export tutorial -o tutorial.safetensors
      convfilter export 'edge | ReLU' -o edge.onnx --size 640x480
    """
    chosen = _take_options(kwargs)
    parsed = _prepare(parse(pipeline, presets=_presets(ctx, presets_file)), chosen)
    from convfilter.export.network import export_network

    export_network(parsed, output, chosen, size)
    click.echo(output)


@cli.command()
@click.argument("name", required=False, type=options.one_of(lambda: PRESETS))
@options.PRESETS_FILE
@click.pass_context
def presets(ctx: click.Context, name: str | None, presets_file: str | None) -> None:
    """List the presets, or show one: what it does, its options, and its pipeline.

    \b
    Examples:
      convfilter presets blur
    """
    root = ctx.find_root()
    known = root.command.presets(root)  # with those of --presets, wherever it stands
    click.echo(listing.show_preset(name, known) if name else listing.list_presets(known))


@cli.command()
@click.argument("name", required=False, type=options.one_of(lambda: KERNELS))
def kernels(name: str | None) -> None:
    """List the kernels, or show one: its numbers as a table and as a pipeline takes them.

    \b
    Examples:
      convfilter kernels sobel_x
      convfilter kernels 'gaussian(5, sigma=1.2)'
    """
    click.echo(listing.show_kernel(name) if name else listing.list_kernels())


@cli.command()
@click.argument("name", required=False, type=options.one_of(lambda: LAYERS))
def layers(name: str | None) -> None:
    """List the layers, or show one: its signature, what it does, and an example.

    \b
    Examples:
      convfilter layers Conv2d
    """
    click.echo(listing.show_layer(name) if name else listing.list_layers())


@cli.command()
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def weights(file: str, as_json: bool) -> None:
    """List the tensors in a file of weights: names, types and shapes, without reading any numbers.

    FILE is a .safetensors, .npz, .npy, or what torch.save has written (.pt, .pth). Nothing in it is ever run: a file
    that needs more than tensors is refused, with the lines of Python that take the tensors out of it.

    \b
    Examples:
      convfilter weights model.safetensors
    """
    click.echo(json.dumps(listing.weights_to_dict(file)) if as_json else listing.show_weights(file))


@cli.command(short_help="How PNGs written by convfilter were made: pipeline, options, black and white.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
def info(files: tuple[str, ...]) -> None:
    """Print what the PNGs written by convfilter say of how they were made: the pipeline, the options on which pixels
    depend, the files of weights with their SHA-256, seed, channel, and the values of black and white.

    \b
    Examples:
      convfilter info photo_edge.png
    """
    failed = False
    for file in files:
        try:
            click.echo(listing.show_texts(file))
        except InputError as error:
            _say(f"{escape(file)}: {error}")
            failed = True
    sys.exit(1 if failed else 0)


@cli.command(cls=options.Command, short_help="A first figure, of a picture that comes with the program.")
@options.option(PICTURES_OUT, "-o", "--output", type=click.Path(), metavar="FOLDER",
                help="Where to write, made if missing.  [default: the current folder]")  # fmt: skip
@options.option(RUNNING, "-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error.")
def demo(output: str | None, quiet: bool) -> None:
    """Write a sample picture, camera.png, and the tutorial's figure of it; say what it shows, and what to try next.

    \b
    Examples:
      convfilter demo
    """
    from convfilter.cli.demo import make_demo

    for path in make_demo(output, (lambda text: None) if quiet else streams.say):
        click.echo(path)


@cli.command(name="help", short_help="Pages on the language, norms, scripts and more; or a command's --help.")
@click.argument("topic", required=False, type=options.one_of(
    lambda: [*find_topics(), *cli.commands, *PRESETS, *LAYERS, *KERNELS]))  # fmt: skip
@click.pass_context
def show_help(ctx: click.Context, topic: str | None) -> None:
    """Print a page of the documentation, the help of a command or preset, or what a layer or a kernel is.

    Without TOPIC, list the pages.

    \b
    Examples:
      convfilter help language
      convfilter help run
      convfilter help MaxPool2d
    """
    root = ctx.find_root()
    pages = find_topics()
    if topic is None:
        click.echo(listing.list_topics(pages))
    elif topic in pages:
        click.echo(lay_out(pages[topic].read_text(encoding="utf-8"), listing.page_width()))
    elif topic in LAYERS:
        click.echo(listing.show_layer(topic))
    elif command := cli.get_command(root, topic):
        with click.Context(command, parent=root, info_name=topic, max_content_width=100) as inner:
            click.echo(command.get_help(inner))
    elif topic in KERNELS:
        click.echo(listing.show_kernel(topic))
    else:
        hint = did_you_mean(topic, [*pages, *cli.list_commands(root), *LAYERS, *KERNELS])
        hint = hint or "; 'convfilter help' lists what there is"
        raise UsageError(f"there is no help on {escape(topic)!r}{hint}")


cli.add_command(warm)


def preset_command(name: str, preset: Preset) -> click.Command:
    """Return the command that a preset is."""

    @options.shared
    @click.argument("inputs", metavar="INPUT...", nargs=-1, required=False, type=click.Path())
    @click.pass_context
    def command(ctx: click.Context, inputs: tuple[str, ...], presets_file: str | None, **kwargs) -> None:
        values = options.preset_values(kwargs)
        text = f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})" if values else name
        _run(ctx, parse_preset(name, values, presets=_presets(ctx, presets_file)), text, inputs, kwargs)

    text = preset.write({})
    made = options.Command(
        name,
        callback=command,
        params=[*options.preset_options(preset), *reversed(command.__click_params__)],
        help=f"{preset.help}\n\nThe pipeline: {text}\n\n\b\nExamples:\n  convfilter {name} photo.png",
        short_help=preset.help,
    )
    clash = {flag for p in made.params for flag in p.opts if sum(flag in other.opts for other in made.params) > 1}
    if clash:
        raise UsageError(f"preset {escape(name)}: its option {min(clash)} is one that every preset has; rename it")
    return made


def _presets(ctx: click.Context, file: str | None) -> Mapping[str, Preset]:
    return {**PRESETS, **_user_presets(file or ctx.find_root().params.get("presets_file"))}


def _user_presets(file: str | None) -> Mapping[str, Preset]:
    found = options.find_presets_file(file)
    return load_presets(found) if found else {}


def _run(ctx: click.Context, pipeline: Pipeline, text: str, inputs: tuple[str, ...], kwargs: dict) -> None:
    chosen = _take_options(kwargs)
    pipeline = _prepare(pipeline, chosen, quiet=kwargs["quiet"], verbose=kwargs["verbose"])
    files_from = kwargs.pop("files_from")
    if files_from is not None and inputs:
        raise UsageError(f"--files-from names the inputs; leave out {escape(inputs[0])}, or put it into the list")
    if files_from is not None and is_picture(files_from):
        shown = escape(files_from)
        raise UsageError(f"--files-from {shown}: it is a picture, not a list of names; leave --files-from out")
    if kwargs.pop("code"):
        if files_from is not None:
            raise UsageError("--code prints a script for one picture; name it instead of --files-from")
        from convfilter.export.script import write_script

        click.echo(write_script(pipeline, *inputs, options=chosen), nl=False)
        return
    if files_from is not None:
        inputs = FileList(files_from, null=kwargs["null"])
    elif not inputs:
        raise UsageError(explain_missing_input(ctx))
    else:
        check_inputs(ctx, text, inputs, ctx.find_root().command.presets(ctx.find_root()))
    from convfilter.cli.batch import run_batch

    status = run_batch(pipeline, inputs, chosen, **kwargs)
    is_terse = kwargs["quiet"] or kwargs["as_json"] or kwargs["null"]
    if status == 0 and not is_terse and files_from is None and is_watched():
        command = suggest_next(sys.argv[1:], inputs, text, pipeline, chosen)
        streams.say(f"Try next: {command}\n" if command else "")
    sys.exit(status)


def _prepare(pipeline: Pipeline, chosen: Options, *, quiet: bool = False, verbose: int = 0) -> Pipeline:
    """Return the pipeline up to ``--until`` with its ``--weights``, and say what is to be noted of it."""
    pipeline, matches = chosen.load(pipeline)
    for note in () if quiet else pipeline.notes:
        _say(f"note: {note}")
    if verbose and matches and not quiet:
        from convfilter.language.load_weights import write_matches

        for line in write_matches(pipeline, matches):
            _say(line)
    return pipeline


def _take_options(kwargs: dict) -> Options:
    """Take what is an option of a run out of a command's keyword arguments."""
    return Options(**{name: kwargs.pop(name) for name in SETTINGS if name in kwargs})


@contextlib.contextmanager
def _short_messages() -> Iterator[None]:
    """Let click's own messages show what they quote as ours do: short, and without what a terminal would obey."""
    try:
        yield
    except NoArgsIsHelpError:  # its message is the help
        raise
    except click.UsageError as error:
        raise UsageError(explain_usage(error)) from None
    except click.ClickException as error:
        error.message = tidy(error.message)
        raise


def _say(text: str) -> None:
    if "://" in text:  # a command that reads no URLs names the one that it is given
        from convfilter.remote.urls import hide_in

        text = hide_in(text)
    streams.say(f"convfilter: {text}\n")

"""What a run writes of each picture: one output a frame, layer and channel, or sheets; and if names can hold it."""

import sys
from functools import lru_cache

from convfilter.errors import UsageError, escape
from convfilter.files.inputs import Sources
from convfilter.files.listed import ListedSources
from convfilter.files.targets import check_ending, check_folder, find_single_file, find_target
from convfilter.files.template import Part, check_template, name_outputs
from convfilter.files.walk import Source
from convfilter.language.pipeline import Pipeline
from convfilter.remote.urls import is_url
from convfilter.run.options import Options

KEPT = 4  # numbers of frames whose lists of parts are kept: all pictures of most runs have the same

Key = tuple[int, int, int | None]  # frame, layer, and channel (None: the sheet of all), each counted from 0


class OutputPlan:
    """Where the outputs of a run go: what each source gives, and the paths of that; checked before anything is read.

    ``sources`` are the run's. ``target`` is the one file to write where -o names one on this disk.

    Raises:
        UsageError: -o names what can be no output, or no place for them.
    """

    def __init__(self, pipeline: Pipeline, options: Options, sources: Sources | ListedSources) -> None:
        self._pipeline, self._options, self._sources = pipeline, options, sources
        self._file = find_single_file(options.output, options.suffix)
        if sources.folder is not None and options.output != "-" and not is_url(sources.folder):
            check_folder(sources.folder)
        if sources.meet_outputs:
            check_marks(options)
        self.target = find_target(self._file) if self._file and not is_url(self._file) else None
        self._parts = lru_cache(KEPT)(lambda frames: list_parts(pipeline, options, frames))

    def check(self, *, several: bool) -> None:
        """Return if every output can have a place of its own; ``several`` is true where there are several pictures.

        Raises:
            UsageError: they cannot, or an input would be replaced.
        """
        check_names(self._pipeline, self._options, several=several)
        if self._file and self._sources.is_input(self._file):
            raise UsageError(f"-o {escape(self._file)}: is an input, and no input is replaced; choose another name")

    def paths(self, source: Source, frames: int) -> dict[Key, str]:
        """Return the path of each output of a source that gives so many frames; "-" is standard output.

        Raises:
            UsageError: every name that it could have is an input's.
        """
        parts = self._parts(frames)
        if self._file or self._options.output == "-":
            return dict.fromkeys(parts, self._file or "-")
        names = name_outputs(
            source,
            list(parts.values()),
            filter=self._pipeline.name,
            template=self._options.name,
            suffix=self._options.suffix,
            is_input=self._sources.is_input,
        )
        return dict(zip(parts, names, strict=True))


def check_marks(options: Options) -> None:
    """Return if outputs that lie among inputs can be told from them by a later run.

    Raises:
        UsageError: neither their metadata nor their names tell.
    """
    marked = options.metadata or options.suffix != ".png"  # others are no pictures to it
    if not marked and options.name is not None and "_{filter}" not in options.name.rpartition("/")[2]:
        raise UsageError(
            "--no-metadata and --name: outputs go into an input folder, where the next run would take them for inputs; "
            "put _{filter} into the name, leave the metadata in, or choose another folder with -o"
        )


def list_parts(pipeline: Pipeline, options: Options, frames: int = 1) -> dict[Key, Part]:
    """Return what each output of a picture holds, in the order in which they are listed: frames, then layers.

    >>> from convfilter import parse
    >>> list(list_parts(parse("tutorial | ReLU"), Options(grid=True, keep=True)))
    [(0, 1, 0), (0, 1, 1), (0, 1, None)]
    """
    parts, count, layers = {}, options.channels_in, pipeline.layers
    for index, layer in enumerate(layers):
        count = layer.effect.channels(count)
        if index < len(layers) - 1 and not options.steps:
            continue
        step = f"{index + 1:0{len(str(len(layers)))}}-{layer.name}" if options.steps else ""
        chosen = [channel for channel in options.channels or range(count) if channel < count]
        if options.recombine:  # one picture of all three
            chosen, count = [0], 1
        single = [] if options.grid and not options.keep else chosen
        figure = [None] if options.grid and index == len(layers) - 1 else []
        for channel in [*single, *figure]:
            for frame in range(frames):
                label, of_step = ("grid", "steps" * options.steps) if channel is None else (channel, step)
                parts[frame, index, channel] = Part(label, count, frame, frames, of_step)
    return dict(sorted(parts.items(), key=lambda item: item[0][:2]))


def check_names(pipeline: Pipeline, options: Options, *, several: bool) -> None:
    """Return if every output can have a place of its own; ``several`` is true where there are several pictures.

    Raises:
        UsageError: -o names one file, or --name gives one name, for what are several outputs.
    """
    layers = [layer for _, layer, _ in list_parts(pipeline, options)]
    many = {
        "pictures": several,
        "layers": len(set(layers)) > 1,
        "channels": len(set(layers)) < len(layers),
        "frames": options.frames == "all",
    }
    if options.scale == "run" and options.levels.needs_range and (several or options.frames == "all"):
        what = "pictures" if several else "frames"
        raise UsageError(
            f"--scale run: what is black and white in several {what} would be known only after all of them; "
            "say it with --vmin and --vmax"
        )
    if options.output == "-" or find_single_file(options.output, options.suffix):
        why = next((what for what, found in many.items() if found), None)
        if why:
            raise UsageError(
                f"-o {escape(options.output or '')} takes one output, and there are several {why}; give a folder"
            )
        if options.output == "-" and sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("-o -: standard output is a terminal; send it to a file or a pipe")
        return
    if not any(many.values()):
        check_ending(options.output)
    if options.name is not None:
        check_template(
            options.name,
            several_sources=several,
            several_channels=many["channels"],
            frames=many["frames"],
            steps=options.steps,
            several_layers=many["layers"],
        )

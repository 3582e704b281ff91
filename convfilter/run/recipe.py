"""What an output was made by, as its PNG says it: the pipeline, the options that its pixels depend on, and the source.

A later run compares these texts with its own, and takes an output for done only where nothing differs.
"""

import os
from collections.abc import Mapping

import convfilter
from convfilter.errors import shorten
from convfilter.images import png_keys
from convfilter.language.pipeline import Pipeline
from convfilter.run.options import DEFAULTS, Options

# options on which no pixel depends, or whose value other texts or the file's name say
ELSEWHERE = frozenset(
    {
        *("include", "exclude"),
        *("recursive", "max_memory", "max_pixels", "output", "name", "format", "keep", "compress", "metadata", "jobs"),
        *("skip_existing", "no_clobber", "force", "shard", "cluster", "unordered", "dry_run", "fail_fast", "exact"),
        *("seed", "until", "weights", "prefix", "grid", "channels"),
    }
)

LONGEST = 200  # characters of a text that a difference quotes
STATED = frozenset({"mode", "norm", "white"})  # what every picture depends on is said even where it is the default


def write_texts(pipeline: Pipeline, options: Options, layer: int) -> dict[str, str]:
    """Return the texts that say how the outputs of a layer (counted from 0) are made.

    >>> from convfilter import parse
    >>> write_texts(parse("edge | ReLU"), Options(norm="clip", white=1), 1)["convfilter:options"]
    '--mode L --norm clip --white 1'
    """
    part = Pipeline(pipeline.layers[: layer + 1])
    texts = {
        png_keys.SOFTWARE: f"convfilter {convfilter.__version__}",
        png_keys.PIPELINE: str(part),
        png_keys.SEED: str(options.seed),
        png_keys.OPTIONS: write_options(options),
    }
    if part.files:
        texts[png_keys.WEIGHTS] = ", ".join(f"{file.path} (SHA-256 {file.digest})" for file in part.files)
    return texts


def write_options(options: Options) -> str:
    """Return the options that the pixels of an output depend on, as on the command line.

    They are those that are not the defaults, and the few that say how a picture becomes a tensor and that gray.

    >>> write_options(Options(bits=16, jobs=2))
    '--bits 16 --mode L --norm minmax --white 255'
    """
    words = []
    for name in sorted(DEFAULTS.keys() - ELSEWHERE | ({"channels"} if options.grid else set())):
        value = options.levels.mode if name == "norm" else getattr(options, name)
        if name in STATED or value != DEFAULTS[name]:
            shown = ",".join(map(_shown, value)) if isinstance(value, tuple) else _shown(value)
            words.append(f"--{name.replace('_', '-')}{'' if value is True else f' {shown}'}")
    return " ".join(words)


def _shown(value: object) -> str:
    return str(value).removesuffix(".0")


def write_source(path: str) -> str:
    """Return what tells a source from another version of it: bytes and modification time, taken before it is opened.

    OSError where there is no such file.
    """
    found = os.stat(path)
    return f"{found.st_size} bytes, {found.st_mtime_ns} ns"


def find_difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """Return in words what an output was made by otherwise than is wanted, or None; the version does not count.

    >>> find_difference({"convfilter:seed": "1"}, {"convfilter:seed": "2"})
    'it was made with seed 1, and now it is 2'
    """
    for key, value in wanted.items():
        name, was = key.removeprefix("convfilter:"), found.get(key, "")
        if key != png_keys.SOFTWARE and was != value:
            if key == png_keys.SOURCE:
                return "its source has changed"
            was, value = (shorten(text, LONGEST) or "none" for text in (was, value))
            return f"it was made with {name} {was}, and now it is {value}"
    return None

"""The text of docs/gallery.md and docs/commands.md, made from the presets, kernels and commands that there are."""

import os
from pathlib import Path

import click

import convfilter
from convfilter.cli.listing import show_kernel
from convfilter.cli.main import cli
from convfilter.export.script import write_script
from convfilter.language.pipeline import parse_preset
from convfilter.language.presets import PRESETS
from convfilter.layers.kernels import KERNELS
from convfilter.run.options import Options

HERE = os.path.join(Path(convfilter.__file__).parents[1], "")  # of the weights that come with the program: it differs

GALLERY = """\
# Gallery

Every preset and every kernel on one small picture. Each picture on this page is what the command beside it has written.
The names lead to the commands.

{overview}

The small picture is a part of `sample_images/camera.png`, half as large:

```console
$ convfilter run 'AvgPool2d(2) | ZeroPad2d((-40, -24, -16, -48))' camera.png --norm clip -o small.png
```

![a man with a camera](img/small.png)

Some presets give negative values or several channels: `--norm` says how values become gray, and `--grid` draws all
channels on one sheet ([figures](figures.md)). Below each preset is the same as a PyTorch script, which `--code` prints.

## Presets
{presets}
## Kernels

A kernel's name stands for `Filter2d` of it: `convfilter run sobel_x photo.png`. `convfilter kernels NAME` prints its
numbers. The sheets show what each one gives.
{kernels}"""

# How each preset is shown best; the others as they are.
SHOWN = {
    **dict.fromkeys(["blur", "box", "sharpen", "unsharp", "emboss", "motion", "denoise"], "--norm clip"),
    **dict.fromkeys(["tutorial", "compass", "gabor", "block"], "--grid"),
    "laplace": "--norm symmetric",
    "log": "--norm symmetric",
}
VALUES = {"blur": "--sigma 2", "box": "--size 7", "motion": "--size 15 --angle 30"}

FAMILIES = {
    "Blur": ["identity", "box", "gaussian", "binomial3", "binomial5", "motion"],
    "Sharpen": ["sharpen", "sharpen8", "unsharp", "emboss"],
    "Edges and second derivatives": ["edge", "outline", "laplace4", "laplace8", "log", "dog"],
    "Gradients": [f"{name}_{axis}" for name in ("sobel", "prewitt", "scharr", "freichen") for axis in "xy"]
    + ["roberts_a", "roberts_b"],
    "Lines": ["line_h", "line_v", "line_45", "line_135"],
    "Kirsch's bank": ["kirsch"],
    "Robinson's bank": ["robinson"],
    "Prewitt's bank": ["prewitt_compass"],
    "A bank of Gabor filters": ["gabor"],
}
CALLS = {"gabor": ", ".join(f"gabor(theta={angle})" for angle in (0, 45, 90, 135))}


def write_gallery() -> str:
    """Return the page without what the commands print."""
    assert sorted(KERNELS) == sorted(name for names in FAMILIES.values() for name in names)
    return GALLERY.format(
        overview=_overview(),
        presets="".join(map(_preset, PRESETS)),
        kernels="".join(_family(*family) for family in FAMILIES.items()),
    )


def _picture(name: str) -> str:
    return f"small_{name}{'_grid' * (SHOWN.get(name) == '--grid')}.png"


def _overview() -> str:
    cells = [f'[<img src="img/{_picture(name)}" width="150" alt=""><br>{name}](#{name})' for name in PRESETS]
    cells += [""] * (-len(cells) % 4)
    rows = [f"| {' | '.join(cells[at : at + 4])} |" for at in range(0, len(cells), 4)]
    return "\n".join([rows[0], "|---|---|---|---|", *rows[1:]])


def _preset(name: str) -> str:
    preset = PRESETS[name]
    given = f"{name} {VALUES.get(name, '')}".strip()
    options = ", ".join(f"`--{option} {preset.default(option)}`" for option in preset.options)
    how = SHOWN.get(name, "")
    code = write_script(parse_preset(name, {}), "photo.png", options=Options()).replace(HERE, "")
    text = preset.write({})
    return f"""
### {name}

{preset.help}{f" Options, with their defaults: {options}." if options else ""}

```console
$ convfilter {f"{given} small.png {how}".strip()}
```

![small.png after {name}](img/{_picture(name)})

<details><summary>Its pipeline, and the same in PyTorch: <code>convfilter {name} --code photo.png</code></summary>

```text
{text}
```

```py
{code}```

</details>
"""


def _family(title: str, names: list[str]) -> str:
    sheet = f"{names[0]}_sheet.png"
    kernels = ", ".join(CALLS.get(name, name) for name in names)
    rows = "\n".join("| `{}` | {} |".format(*show_kernel(name).splitlines()[:2]) for name in names)
    return f"""
### {title}

| kernel | what it does |
|---|---|
{rows}

```console
$ convfilter run 'Filter2d({kernels})' small.png --grid -o {sheet}
```

![{title}: the sheet](img/{sheet})
"""


COMMANDS = """\
# Commands and options

What each command's `--help` prints. A preset is a command too, `convfilter blur photo.png`: it takes the options of
`run` and a few of its own, which [the gallery](gallery.md) lists.

```console
$ convfilter --help
```
{commands}"""


def write_commands() -> str:
    """Return the page without what the commands print."""
    calls: list[str] = []
    for name, command in cli.commands.items():
        calls.append(name)
        if isinstance(command, click.Group):
            calls += [f"{name} {inner}" for inner in command.commands]
    return COMMANDS.format(
        commands="".join(f"\n## {call}\n\n```console\n$ convfilter {call} --help\n```\n" for call in calls)
    )

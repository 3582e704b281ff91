"""The Pipeline that Python code holds: the language's, with what explains it, runs it and shows it."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from convfilter.errors import PipelineError, UsageError, shorten
from convfilter.explain import layer_table
from convfilter.explain.text_table import write_bounds, write_table
from convfilter.gray.input_values import InputValues
from convfilter.language import pipeline as language
from convfilter.language.presets import PRESETS, Preset
from convfilter.layers.shapes import Shape
from convfilter.run.options import Options

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image
    from torch import nn

    from convfilter.engine.tiles import Output
    from convfilter.run.render import Activation

    PictureLike = Image.Image | NDArray[Any] | torch.Tensor

WIDTH = 100  # characters of a table


@dataclass(frozen=True)
class Explanation(layer_table.Explanation):
    """What each layer does to a picture; ``str()`` is the table that ``convfilter explain`` prints."""

    def __str__(self) -> str:
        return write_table(self, WIDTH)

    def _repr_html_(self) -> str:
        titles = ("layer", "output", "parameters", "multiply-adds", "receptive field", "range")
        rows = [("input", _times(self.input), "", "", "", write_bounds(self.interval))]
        rows += [
            (
                str(row.layer),
                _times(row.output),
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
                _times(row.receptive_field),
                write_bounds(row.bounds),
            )
            for row in self.rows
        ]
        head = "".join(f"<th>{title}</th>" for title in titles)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Pipeline(language.Pipeline):
    """Layers in order, made by ``parse``; equal where the layers and their arguments are.

    >>> parse("edge") | "ReLU"
    Pipeline('Conv2d(1, 1, 5, bias=False, weight=[edge(5)]) | ReLU()')
    >>> len(parse("blur | sobel"))
    3
    """

    def __repr__(self) -> str:
        return f"Pipeline({shorten(str(self), 80)!r})"

    def _repr_html_(self) -> str:
        try:
            return self.explain()._repr_html_()
        except PipelineError:  # it takes no picture of 512x512
            return f"<code>{escape(str(self))}</code>"

    def __len__(self) -> int:
        return len(self.layers)

    def __or__(self, other: "Pipeline | str") -> "Pipeline":
        """Return the pipeline of both, one after the other.

        Raises:
            PipelineError: the second does not take what the first gives.
        """
        if not isinstance(other, str | language.Pipeline):
            return NotImplemented
        second = parse(other) if isinstance(other, str) else other
        joined = Pipeline((*self.layers, *second.layers), f"{self.name}-{second.name}"[:60])
        joined.channels(self._channels_in)
        return joined

    def __ror__(self, other: str) -> "Pipeline":
        return parse(other) | self if isinstance(other, str) else NotImplemented

    def until(self, name: str) -> "Pipeline":
        """Return the layers up to one of them and with it: its index from 0, or its name in a printed model."""
        return _as_face(super().until(name))

    def explain(self, shape: Shape | None = None, *, white: float = 255.0) -> Explanation:
        """Return what each layer does to a picture of ``shape`` (C, H, W), 512x512 unless said; print it as a table.

        ``white`` is the value of a white pixel.

        Raises:
            PipelineError: a layer does not take its input.

        >>> parse("edge | MaxPool2d(2)").explain((1, 60, 60)).output
        (1, 28, 28)
        """
        shape = shape or (self._channels_in, 512, 512)
        found = layer_table.explain(self, shape, self._inputs(shape[0], white))
        if found.error:
            raise found.error
        return Explanation(**{field.name: getattr(found, field.name) for field in fields(found)})

    def module(self, *, seed: int = 0) -> "nn.Sequential":
        """Return the pipeline as an ``nn.Sequential`` in eval mode, for tensors (N, C, H, W) of float32.

        Random weights are those of ``torch.manual_seed(seed)`` and building the layers in order.

        >>> parse("Conv2d(1, 2, 5) | ReLU").module(seed=1)[1]
        ReLU()
        """
        from convfilter.engine.build import build

        return build(self, seed=seed, channels=self._channels_in)

    def __call__(
        self,
        x: "Image.Image | NDArray[Any] | torch.Tensor",
        *,
        seed: int = 0,
        white: float = 255.0,
        device: str = "cpu",
    ) -> "torch.Tensor":
        """Return what comes out of the last layer, a float32 tensor (C, H, W).

        ``x`` is one picture. A Pillow image, and an array or tensor of whole numbers from 0, HxW or CxHxW, is loaded as
        the program loads files: black is 0 and white ``white`` (of uint8, 255 is white; of uint16, 65535). Floats, HxW,
        CxHxW or 1xCxHxW, are taken as they are. ``device`` is where to compute, as the command's ``--device``.

        Raises:
            PipelineError: a layer does not take a picture of this shape.
            UsageError: ``x`` is no picture, or there is no such device.

        >>> import numpy as np
        >>> parse("box(3)")(np.full((4, 6), 9, np.uint8)).shape
        torch.Size([1, 4, 6])
        """
        import torch

        values, meaning, inputs = self._load(x, white)
        return torch.from_numpy(self._filter(values, meaning, inputs, seed, device).floats())

    def images(
        self,
        x: "PictureLike",
        *,
        norm: str = "minmax",
        vmin: float | None = None,
        vmax: float | None = None,
        seed: int = 0,
        white: float = 255.0,
        device: str = "cpu",
    ) -> "list[Image.Image]":
        """Return each output channel as a gray Pillow image, as the program would save it.

        For ``x``, ``seed``, ``white`` and ``device`` see the call; ``norm``, ``vmin`` and ``vmax`` are options of the
        command.

        Raises:
            UsageError: an option has no such value. PipelineError: a layer does not take the picture.
            InputError: NaN or infinity comes out of a layer.

        >>> import numpy as np
        >>> [image.size for image in parse("Filter2d(sobel_x, sobel_y)").images(np.zeros((4, 6), np.uint8))]
        [(6, 4), (6, 4)]
        """
        from PIL import Image

        levels = Options(norm=norm, vmin=vmin, vmax=vmax, white=white).check(parse("Identity")).levels
        from convfilter.engine.build import explain_nonfinite, to_tensor
        from convfilter.gray.rounding import rounding_noise
        from convfilter.gray.scale import shade_channels

        values, meaning, inputs = self._load(x, white)
        output = self._filter(values, meaning, inputs, seed, device)
        if any(end - end != 0 for ends in output.ranges for end in ends):
            raise explain_nonfinite(self, self.module(seed=seed), to_tensor(values, meaning, inputs))
        noise = (
            rounding_noise(self, inputs, values.dtype.kind in "ui" and white % meaning == 0)[-1] if len(self) else 0.0
        )
        shades = shade_channels(levels, output.ranges, white=white, noise=noise)
        return [Image.fromarray(pixels) for pixels in output.picture([shade.scale for shade in shades])]

    @property
    def _channels_in(self) -> int:
        """How many channels a picture has for the first layer that says it: 1, or 3 where that takes colour."""
        return next((c for layer in self.layers if (c := layer.effect.in_channels)), 1)

    @staticmethod
    def _inputs(channels: int, white: float) -> InputValues:
        return InputValues(channels, white, (0.0,) * channels, (1.0,) * channels)

    @cached_property
    def _plans(self) -> dict[tuple[int, int, str], Any]:
        """What the engine has prepared, for each seed, number of channels and device."""
        return {}

    def _load(self, x: Any, white: float) -> "tuple[NDArray[np.generic], float, InputValues]":
        """Return a picture's values, HxW or CxHxW, the one that means white, and what becomes of it."""
        import numpy as np
        from PIL import Image, ImageOps

        from convfilter.images.to_gray import to_colour, to_gray

        if isinstance(x, Image.Image):
            load = to_colour if self._channels_in == 3 else to_gray
            values, meaning, _ = load(ImageOps.exif_transpose(x), background=(255, 255, 255))
            return values, meaning, self._inputs(values.shape[0] if values.ndim == 3 else 1, white)
        values = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
        values = values[0] if values.ndim == 4 and len(values) == 1 else values
        kind = values.dtype.kind
        if values.ndim not in (2, 3) or kind not in "uif" or 0 in values.shape:
            raise UsageError(
                f"expected one picture, HxW or CxHxW, of numbers; got shape {values.shape}, {values.dtype}"
            )
        values = values[0] if values.ndim == 3 and len(values) == 1 else values
        inputs = self._inputs(values.shape[0] if values.ndim == 3 else 1, white)
        if kind == "f":
            return np.ascontiguousarray(values, np.float32), white, inputs
        if values.dtype not in (np.uint8, np.uint16):
            raise UsageError(f"whole numbers must be uint8 or uint16, which say what white is, not {values.dtype}")
        return np.ascontiguousarray(values), 255 if values.dtype == np.uint8 else 65535, inputs

    def _filter(
        self, values: "NDArray[np.generic]", meaning: float, inputs: InputValues, seed: int, device: str
    ) -> "Output | Activation":
        from convfilter.engine import tiles
        from convfilter.engine.build import build
        from convfilter.engine.threads import Threads
        from convfilter.run.loading import find_device

        self.shapes((inputs.channels, *values.shape[-2:]))
        where, _ = find_device(Options(device=device).device)
        key = (seed, inputs.channels, where)
        if key not in self._plans:
            network = build(self, seed=seed, channels=inputs.channels)
            if where == "cpu":
                self._plans[key] = tiles.plan(self, network, inputs.channels), Threads(os.cpu_count() or 1)
            else:
                from convfilter.engine.device import DeviceFilter

                self._plans[key] = DeviceFilter(self, network, where, inputs.channels)
        if where == "cpu":
            segments, threads = self._plans[key]
            return tiles.filter_picture(segments, values, meaning, inputs, threads=threads)
        from convfilter.run.render import Activation

        output = Activation(self._plans[key].filter_picture(values, meaning, inputs))
        for warning in self._plans[key].take_warnings():
            warnings.warn(warning, stacklevel=4)
        return output


def parse(model: "str | nn.Sequential | language.Pipeline", *, presets: Mapping[str, Preset] = PRESETS) -> Pipeline:
    """Return the pipeline that a text writes, or that an ``nn.Sequential`` is, with its own weights.

    Nothing in a text is ever evaluated as Python.

    Raises:
        PipelineError: the text is wrong, or the model has a layer that is no image layer; shows the line, with a caret
            under the place, and says what would fit.

    >>> [layer.name for layer in parse("blur(sigma=2) | ReLU | MaxPool2d(2)").layers]
    ['Filter2d', 'ReLU', 'MaxPool2d']
    """
    if isinstance(model, language.Pipeline):
        return _as_face(model)
    if isinstance(model, str):
        return _as_face(language.parse(model, presets=presets))
    from convfilter.notebook.own_weights import read_module

    return _as_face(read_module(model))


def _as_face(pipeline: language.Pipeline) -> Pipeline:
    return pipeline if isinstance(pipeline, Pipeline) else Pipeline(pipeline.layers, pipeline.name)


def _times(numbers: tuple[int, ...]) -> str:
    return "x".join(map(str, numbers))

"""One picture through the network: activations out, and how each channel of them is written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

import convfilter
from convfilter.engine import tiles
from convfilter.engine.build import activations, build, explain_nonfinite, to_tensor
from convfilter.engine.threads import ONE, Cores, one_thread
from convfilter.gray.norm import GrayScale, Norm
from convfilter.gray.quantise import level_type, quantise
from convfilter.gray.rounding import rounding_noise
from convfilter.images import png
from convfilter.images.contact_sheet import Panel, draw_sheet, fit, name_channel, plan_sheet
from convfilter.images.reader import Picture
from convfilter.language.pipeline import Pipeline
from convfilter.layers.entry import Computes, Kernels


@dataclass(frozen=True, eq=False)
class Output:
    """One file to write: which layer and channel it shows (None: a sheet of all), their ranges, and how to write it."""

    layer: int
    channel: int | None
    shape: tuple[int, int, int]
    ranges: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]
    write: Callable[[BinaryIO], None]


@dataclass(frozen=True)
class Shade:
    """How one channel becomes gray: its number, minimum, maximum and gray scale."""

    channel: int
    low: float
    high: float
    scale: GrayScale


class Whole:
    """An activation (C, H, W) that plain PyTorch computed, read as ``tiles.Output`` is."""

    def __init__(self, y: np.ndarray) -> None:
        self.y, self.shape = y, y.shape
        self.ranges = [(float(channel.min()), float(channel.max())) for channel in y]

    def floats(self) -> np.ndarray:
        return self.y

    def pixels(self, scales, bits: int = 8) -> Iterator[np.ndarray]:
        """Yield bands (C, n, W) of about a megapixel."""
        tall = max(1, (1 << 20) // (self.shape[0] * self.shape[2]))
        for top in range(0, self.shape[1], tall):
            band = self.y[:, top : top + tall]
            yield np.stack([quantise(x.copy(), scale, bits) for x, scale in zip(band, scales, strict=True)])


class Darkroom:
    """What all pictures of a run share: the pipeline, its network, the threads, and how floats become gray."""

    def __init__(self, pipeline: Pipeline, options, threads: int) -> None:
        self.pipeline, self.options, self.threads = pipeline, options, threads
        self.norm = Norm(options.norm, options.vmin, options.vmax)
        self.network = build(pipeline, seed=options.seed)
        self.noise = [rounding_noise(pipeline, options.white, whole) for whole in (False, True)]
        self.plain = options.exact or options.steps
        self.segments = None if self.plain else tiles.plan(pipeline, self.network)
        self.cores = ONE if self.plain else Cores(threads)

    def develop(self, picture: Picture, title: str) -> Iterator[Output]:
        """Yield what is to be written of one picture, each to be written before the next is asked for.

        Raises:
            InputError: NaN or infinity comes out of a layer.
        """
        white = self.options.white
        if self.plain:
            layers = activations(self.network, to_tensor(picture.values, picture.white, white))
            with one_thread():  # the same answer for every --jobs
                for layer, y in enumerate(layers):
                    if self.options.steps or layer == len(self.pipeline.layers) - 1:
                        yield from self.outputs(picture, layer, Whole(y[0].numpy()), title)
        else:
            output = tiles.filter_picture(self.segments, picture.values, picture.white, white, cores=self.cores)
            yield from self.outputs(picture, len(self.pipeline.layers) - 1, output, title)

    def outputs(self, picture: Picture, layer: int, output: tiles.Output | Whole, title: str) -> Iterator[Output]:
        """Yield the single channels, or the sheet, or both, of what comes out of one layer."""
        shades = self.shades(picture, layer, output.ranges)
        if not self.options.grid or self.options.keep:
            yield from self.singles(layer, output, shades)
        if self.options.grid:
            ranges = tuple((shade.low, shade.high) for shade in shades)
            notes = () if self.options.keep else self.notes(layer, shades)
            yield Output(layer, None, output.shape, ranges, notes, self.sheet(picture, layer, output, shades, title))

    def shades(self, picture: Picture, layer: int, ranges) -> list[Shade]:
        """Return how each channel that is to be written becomes gray."""
        if not np.isfinite(ranges).all():
            raise explain_nonfinite(
                self.pipeline, self.network, to_tensor(picture.values, picture.white, self.options.white)
            )
        whole = picture.values.dtype.kind in "ui" and self.options.white % picture.white == 0
        noise = self.noise[whole][layer]
        return [
            Shade(channel, *ranges[channel], self.norm.scale(*ranges[channel], self.options.white, noise))
            for channel in self.options.channels or range(len(ranges))
            if channel < len(ranges)
        ]

    def singles(self, layer: int, output: tiles.Output | Whole, shades: list[Shade]) -> Iterator[Output]:
        """Yield one output a channel: its bands as they are made where it is the only one, else all kept as pixels."""
        bits, count = self.options.bits, output.shape[0]
        if self.options.suffix == ".npy":
            floats = output.floats()
            rows = [[floats[shade.channel]] for shade in shades]
        elif count == 1:
            rows = [(band[0] for band in self.bands(output, shades))]
        else:
            pixels = np.empty(output.shape, level_type(bits))
            top = 0
            for band in self.bands(output, shades):
                pixels[:, top : top + band.shape[1]] = band
                top += band.shape[1]
            rows = [[pixels[shade.channel]] for shade in shades]
        for shade, bands in zip(shades, rows, strict=True):
            notes = self.notes(layer, [shade])
            write = self.single(layer, output.shape, shade, bands)
            yield Output(layer, shade.channel, output.shape, ((shade.low, shade.high),), notes, write)

    def single(self, layer: int, shape, shade: Shade, bands) -> Callable[[BinaryIO], None]:
        """Return how one channel is written: as a PNG, or as numbers."""

        def write(file: BinaryIO) -> None:
            if self.options.suffix == ".npy":
                np.lib.format.write_array(file, np.ascontiguousarray(bands[0]), allow_pickle=False)
                return
            text = {
                png.CHANNEL: str(shade.channel),
                png.BLACK: repr(shade.scale.black),
                png.WHITE: repr(shade.scale.white),
            }
            self.write_png(file, bands, shape[2], shape[1], layer, text, bits=self.options.bits)

        return write

    def sheet(self, picture: Picture, layer: int, output: tiles.Output | Whole, shades: list[Shade], title: str):
        """Return how the contact sheet is written: the input, then every channel."""

        def write(file: BinaryIO) -> None:
            height, width = (max(pair) for pair in zip(output.shape[1:], picture.values.shape, strict=True))
            layout = plan_sheet(len(shades) + 1, width, height)
            names = channel_names(self.pipeline, layer)
            floats = output.floats()

            def panels() -> Iterator[Panel]:
                scale = self.options.white / picture.white
                low, high = float(picture.values.min()) * scale, float(picture.values.max()) * scale
                shown = quantise(picture.values.astype(np.float32), GrayScale(0.0, picture.white))
                yield Panel(fit(shown, layout.box), "input", (low, high), is_input=True)
                for shade in shades:
                    shown = quantise(floats[shade.channel].copy(), shade.scale)
                    label = name_channel(layout, shade.channel, names[shade.channel])
                    yield Panel(fit(shown, layout.box), label, (shade.low, shade.high))

            image = draw_sheet(panels(), title=title, subtitle=self.text(layer), layout=layout)
            self.write_png(file, [np.asarray(image)], image.width, image.height, layer, {}, channels=3)

        return write

    def bands(self, output: tiles.Output | Whole, shades: list[Shade]) -> Iterator[np.ndarray]:
        scales = [GrayScale(0.0, 0.0)] * output.shape[0]  # channels that are not written are not computed with
        for shade in shades:
            scales[shade.channel] = shade.scale
        return output.pixels(scales, self.options.bits)

    def notes(self, layer: int, shades: list[Shade]) -> tuple[str, ...]:
        where = f"layer {layer + 1}, " if self.options.steps else ""
        return tuple(
            f"{where}channel {shade.channel} is flat: every value is {shade.low:g}"
            for shade in shades
            if shade.scale.flat
        )

    def text(self, layer: int) -> str:
        return str(Pipeline(self.pipeline.layers[: layer + 1]))

    def write_png(self, file: BinaryIO, rows, width: int, height: int, layer: int, text: dict, **kind) -> None:
        """Write rows with the texts that say where they come from."""
        said = {}
        if self.options.metadata:
            said = {
                png.SOFTWARE: f"convfilter {convfilter.__version__}",
                png.PIPELINE: self.text(layer),
                png.SEED: str(self.options.seed),
                **text,
            }
        png.write_png(file, rows, width, height, text=said, level=self.options.compress, workers=self.threads, **kind)


def channel_names(pipeline: Pipeline, layer: int) -> list[str]:
    """Return what each channel after a layer (counted from 0) shows: its kernel's name, or an empty text.

    >>> from convfilter import parse
    >>> channel_names(parse("Filter2d(sobel_x, sobel_y) | ReLU"), 1)
    ['sobel_x', 'sobel_y']
    """
    names, count = [""], 1
    for one in pipeline.layers[: layer + 1]:
        before, count = count, one.effect.channels(count)
        own = [name for kernel in one.kernels for name in _bank(kernel)]
        if own:
            own = own * before if one.entry.kernels is Kernels.EACH_CHANNEL else own + ["random"] * (count - len(own))
        elif one.entry.computes in (Computes.CONVOLUTION, Computes.TRANSPOSED) or count != before:
            own = [""] * count
        names = own or names
    return names


def _bank(kernel) -> list[str]:
    many = len(kernel.matrices) > 1
    text = kernel.text if len(kernel.text) <= 30 else "kernel"
    return [f"{text} {number}" if many else text for number in range(len(kernel.matrices))]

"""One picture through the network: activations out, and how each channel of them is written."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch

from convfilter.engine import tiles
from convfilter.engine.build import activations, build, explain_nonfinite, to_tensor
from convfilter.engine.device import DeviceFilter
from convfilter.engine.threads import ONE_THREAD, Threads, one_thread
from convfilter.explain.channel_names import channel_names
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import level_type, quantise
from convfilter.gray.rounding import rounding_noise
from convfilter.gray.scale import Shade, describe_scale, join_ranges, shade_channels
from convfilter.images import png, png_keys
from convfilter.images.reader import Picture
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_number
from convfilter.run.figure import Figure, choose, has_scale_of_input, plan_rows, shows_kernels
from convfilter.run.options import Options
from convfilter.run.recipe import write_texts

Write = Callable[[BinaryIO, Mapping[str, str]], None]  # to a file, with the texts that say what it is made of


@dataclass(frozen=True, eq=False)
class Rendered:
    """One file to write: which layer and channel it shows (None: a sheet of all), their ranges, and how to write it."""

    layer: int
    channel: int | None
    shape: tuple[int, int, int]
    ranges: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]
    write: Write


class Activation:
    """An activation (C, H, W) that plain PyTorch computed, read as ``tiles.Output`` is."""

    def __init__(self, y: np.ndarray) -> None:
        self.y, self.shape = y, y.shape
        self.ranges = [(float(channel.min()), float(channel.max())) for channel in y]

    def floats(self) -> np.ndarray:
        return self.y

    def picture(self, scales, bits: int = 8) -> np.ndarray:
        return np.concatenate(list(self.pixels(scales, bits)), 1)

    def pixels(self, scales, bits: int = 8) -> Iterator[np.ndarray]:
        """Yield bands (C, n, W) of about a megapixel."""
        tall = max(1, (1 << 20) // (self.shape[0] * self.shape[2]))
        for top in range(0, self.shape[1], tall):
            band = self.y[:, top : top + tall]
            yield np.stack([quantise(x.copy(), scale, bits) for x, scale in zip(band, scales, strict=True)])


class Renderer:
    """What all pictures of a run share: the pipeline, its network, the threads, and how floats become gray."""

    def __init__(self, pipeline: Pipeline, options: Options, threads: int, device: str = "cpu") -> None:
        self.pipeline, self.options, self.threads = pipeline, options, threads
        self.norm = options.levels
        self.network = build(pipeline, seed=options.seed, channels=options.channels_in)
        self.noise = [rounding_noise(pipeline, options.inputs, whole) for whole in (False, True)]
        self.plain = options.exact or options.steps
        self.device = DeviceFilter(pipeline, self.network, device, options.channels_in) if device != "cpu" else None
        on_cpu = not self.plain and not self.device
        self.segments = tiles.plan(pipeline, self.network, options.channels_in) if on_cpu else None
        self.tile_threads = Threads(threads) if on_cpu else ONE_THREAD

    def take_warnings(self) -> tuple[str, ...]:
        """Return what users should know of how the device did, each once."""
        return self.device.take_warnings() if self.device else ()

    def render(self, picture: Picture, title: str) -> Iterator[Rendered]:
        """Yield what is to be written of one picture, each to be written before the next is asked for.

        Raises:
            InputError: NaN or infinity comes out of a layer.
        """
        options = self.options
        if self.threads == 1:
            torch.set_num_threads(1)  # of this worker, for good: the cores are shared by pictures
        shared = None
        if options.scale == "run" and options.steps:  # what is black and what is white is known at the end only
            shared = join_ranges(
                ends
                for _, output in self.activations(picture)
                for ends in choose(self.ranges(picture, output), options)
            )
        figure = self.figure_of_steps(picture, title, shared) if options.grid and options.steps else None
        scales = [
            GrayScale(-mean / std, (options.white - mean) / std, self.norm.mode == "abs")
            for mean, std in zip(options.inputs.mean, options.inputs.std, strict=True)
        ]  # the input's
        notes: list[str] = []
        for layer, output in self.activations(picture):
            shades = self.shades(picture, layer, self.ranges(picture, output), shared, scales)
            scales = [shade.scale for shade in shades]
            shades = choose(shades, options)
            if not options.grid or options.keep:
                yield from self.singles(layer, output, shades)
            elif options.grid:
                notes += self.notes(layer, shades)
            if figure:
                self.add_row(figure, picture, layer, output, shades)
            if options.grid and (not figure or layer == len(self.pipeline.layers) - 1):
                write = self.write_figure(figure) if figure else self.figure(picture, layer, output, shades, title)
                ranges = tuple((shade.low, shade.high) for shade in shades)
                yield Rendered(layer, None, output.shape, ranges, tuple(notes), write)

    def activations(self, picture: Picture) -> Iterator[tuple[int, tiles.Output | Activation]]:
        """Yield each layer that is to be written, counted from 0, with what comes out of it."""
        inputs, last = self.options.inputs, len(self.pipeline.layers) - 1
        if self.plain:
            x = to_tensor(picture.values, picture.white, inputs)
            layers = self.device.activations(x) if self.device else activations(self.network, x)
            with one_thread():  # the same answer for every --jobs
                for layer, y in enumerate(layers):
                    if self.options.steps or layer == last:
                        yield layer, Activation(y[0].numpy())
        elif self.device:
            yield last, Activation(self.device.filter_picture(picture.values, picture.white, inputs))
        else:
            yield (
                last,
                tiles.filter_picture(self.segments, picture.values, picture.white, inputs, threads=self.tile_threads),
            )

    def ranges(self, picture: Picture, output: tiles.Output | Activation) -> list[tuple[float, float]]:
        """Return the minimum and maximum of each channel; InputError where one is NaN or infinite."""
        if not np.isfinite(output.ranges).all():
            raise explain_nonfinite(
                self.pipeline, self.network, to_tensor(picture.values, picture.white, self.options.inputs)
            )
        return output.ranges

    def shades(self, picture: Picture, layer: int, ranges, shared, before: list[GrayScale]) -> list[Shade]:
        """Return how each channel of a layer becomes gray.

        ``shared`` is the range that all layers share, if they do, and ``before`` the scales of the layer before.
        """
        options = self.options
        together = options.scale in ("layer", "run") or options.recombine
        if shared is None and together and (chosen := choose(ranges, options)):
            shared = join_ranges(chosen)
        whole = picture.values.dtype.kind in "ui" and options.white % picture.white == 0
        whole = whole and not options.inputs.is_normalized
        return shade_channels(
            self.norm,
            ranges,
            white=options.white,
            noise=self.noise[whole][layer],
            shared=shared,
            before=before if has_scale_of_input(self.pipeline.layers[layer], options) else None,
        )

    def singles(self, layer: int, output: tiles.Output | Activation, shades: list[Shade]) -> Iterator[Rendered]:
        """Yield one output a channel: its bands as they are made where it is the only one, else all kept as pixels."""
        bits, count = self.options.bits, output.shape[0]
        if self.options.recombine:
            yield self.colour(layer, output, shades)
            return
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
            yield Rendered(layer, shade.channel, output.shape, ((shade.low, shade.high),), notes, write)

    def colour(self, layer: int, output: tiles.Output | Activation, shades: list[Shade]) -> Rendered:
        """Return the one output that a layer's three channels are as red, green and blue."""
        _, height, width = output.shape
        text = {
            png_keys.CHANNEL: "RGB",
            png_keys.BLACK: repr(shades[0].scale.black),
            png_keys.WHITE: repr(shades[0].scale.white),
        }

        def write(file: BinaryIO, source: Mapping[str, str]) -> None:
            rows = (np.moveaxis(band, 0, -1) for band in self.bands(output, shades))
            self.write_png(file, rows, width, height, layer, text | source, bits=self.options.bits, channels=3)

        ranges = tuple((shade.low, shade.high) for shade in shades)
        return Rendered(layer, 0, output.shape, ranges, self.notes(layer, shades), write)

    def single(self, layer: int, shape, shade: Shade, bands) -> Write:
        """Return how one channel is written: as a PNG, or as numbers."""

        def write(file: BinaryIO, source: Mapping[str, str]) -> None:
            if self.options.suffix == ".npy":
                np.lib.format.write_array(file, np.ascontiguousarray(bands[0]), allow_pickle=False)
                return
            text = {
                png_keys.CHANNEL: str(shade.channel),
                png_keys.BLACK: repr(shade.scale.black),
                png_keys.WHITE: repr(shade.scale.white),
            }
            self.write_png(file, bands, shape[2], shape[1], layer, text | source, bits=self.options.bits)

        return write

    def figure(self, picture: Picture, layer: int, output: tiles.Output | Activation, shades: list[Shade], title: str):
        """Return how the contact sheet of one layer is written: the input, then every channel."""

        def write(file: BinaryIO, source: Mapping[str, str]) -> None:
            ends = {(shade.scale.black, shade.scale.white) for shade in shades}
            note = describe_scale(
                self.norm, self.options.scale or "channel", self.options.white, ends.pop() if len(ends) == 1 else None
            )
            rows = plan_rows(self.pipeline, picture.shape, self.options)
            texts = {"title": title, "subtitle": self.text(layer), "note": note}
            figure = self.add_kernels(Figure(picture, rows, self.options, **texts))
            self.add_row(figure, picture, layer, output, shades)
            self.write_figure(figure)(file, source)

        return write

    def figure_of_steps(self, picture: Picture, title: str, shared: tuple[float, float] | None) -> Figure:
        """Return a contact sheet that has a row for each layer, which are still to be drawn."""
        rows = plan_rows(self.pipeline, picture.shape, self.options)
        scale = self.norm.scale(*shared, self.options.white) if shared else None
        note = describe_scale(
            self.norm, self.options.scale or "channel", self.options.white, scale and (scale.black, scale.white)
        )
        return self.add_kernels(
            Figure(picture, rows, self.options, title=title, subtitle=str(self.pipeline), note=note)
        )

    def add_kernels(self, figure: Figure) -> Figure:
        """Draw the first layer's kernels, if ``plan_rows`` has a row for them, and return the sheet."""
        if shows_kernels(self.pipeline, self.options):
            kernels = self.network[0].weight.numpy()
            figure.add_kernels(choose(list(enumerate(kernels)), self.options))
        return figure

    def add_row(
        self, figure: Figure, picture: Picture, layer: int, output: tiles.Output | Activation, shades: list[Shade]
    ) -> None:
        if shades:
            floats = output.floats()
            names = channel_names(self.pipeline, layer, picture.shape[0])
            figure.add_row(((shade, floats[shade.channel]) for shade in shades), names)

    def write_figure(self, figure: Figure) -> Write:
        """Return how a contact sheet is written that has all its rows."""

        def write(file: BinaryIO, source: Mapping[str, str]) -> None:
            texts = self.texts(len(self.pipeline.layers) - 1, {png_keys.SCALE: figure.note, **source})
            figure.write(file, texts, level=self.options.compress, workers=self.threads)

        return write

    def bands(self, output: tiles.Output | Activation, shades: list[Shade]) -> Iterator[np.ndarray]:
        scales = [GrayScale(0.0, 0.0)] * output.shape[0]  # channels that are not written are not computed with
        for shade in shades:
            scales[shade.channel] = shade.scale
        return output.pixels(scales, self.options.bits)

    def notes(self, layer: int, shades: list[Shade]) -> tuple[str, ...]:
        where = f"layer {layer + 1}, " if self.options.steps else ""
        return tuple(
            f"{where}channel {shade.channel} is flat: every value is {show_number(shade.low)}"
            for shade in shades
            if shade.scale.flat
        )

    def text(self, layer: int) -> str:
        return str(Pipeline(self.pipeline.layers[: layer + 1]))

    def write_png(self, file: BinaryIO, rows, width: int, height: int, layer: int, text: dict, **kind) -> None:
        """Write rows with the texts that say where they come from."""
        texts = self.texts(layer, text)
        png.write_png(file, rows, width, height, text=texts, level=self.options.compress, workers=self.threads, **kind)

    def texts(self, layer: int, text: Mapping[str, str]) -> dict[str, str]:
        """Return the texts of an output of a layer: where it comes from, and those given; none without metadata."""
        if not self.options.metadata:
            return {}
        texts = {**write_texts(self.pipeline, self.options, layer), **text}
        return {key: value for key, value in texts.items() if value}

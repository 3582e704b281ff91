"""One picture through the network: activations out, and how each channel of them is written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from convfilter.gray.scale import Shade, common_ends, describe_scale, join_ranges, shade_channels
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
        figure = None
        if options.grid and options.steps:
            common = self.norm.scale(*shared, options.white) if shared else None
            figure = self.start_figure(picture, title, common and (common.black, common.white))
        scales = [
            GrayScale(-mean / std, (options.white - mean) / std, self.norm.mode == "abs")
            for mean, std in zip(options.inputs.mean, options.inputs.std, strict=True)
        ]  # the input's
        notes: tuple[str, ...] = ()
        for layer, output in self.activations(picture):
            shades = self.shades(picture, layer, self.ranges(picture, output), shared, scales)
            scales = [shade.scale for shade in shades]
            shades = choose(shades, options)
            if not options.grid or options.keep:
                yield from self.singles(layer, output, shades)
            else:
                notes += self.notes(layer, shades)
            if options.grid:
                figure = figure or self.start_figure(picture, title, common_ends(shades))
                self.add_row(figure, picture, layer, output, shades)
                if layer == len(self.pipeline.layers) - 1:
                    yield Rendered(layer, None, output.shape, _ranges(shades), notes, self.write_figure(figure))

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
        shape, is_npy = output.shape, self.options.suffix == ".npy"
        if self.options.recombine:  # one output of all three channels
            rows = (np.moveaxis(band, 0, -1) for band in self.bands(output, shades))
            write = self.write_pixels(layer, "RGB", shades[0].scale, rows, shape)
            yield Rendered(layer, 0, shape, _ranges(shades), self.notes(layer, shades), write)
            return
        if is_npy:
            channels = output.floats()
        elif shape[0] > 1:
            channels, top = np.empty(shape, level_type(self.options.bits)), 0
            for band in self.bands(output, shades):
                channels[:, top : top + band.shape[1]] = band
                top += band.shape[1]
        for shade in shades:
            if is_npy:
                write = _write_floats(channels[shade.channel])
            else:
                rows = [channels[shade.channel]] if shape[0] > 1 else (band[0] for band in self.bands(output, shades))
                write = self.write_pixels(layer, str(shade.channel), shade.scale, rows, shape)
            yield Rendered(layer, shade.channel, shape, _ranges([shade]), self.notes(layer, [shade]), write)

    def write_pixels(self, layer: int, channel: str, scale: GrayScale, rows: Iterable[np.ndarray], shape) -> Write:
        """Return how bands of rows are written as a PNG: of a ``channel``'s number, or "RGB"."""

        def write(file: BinaryIO, source: Mapping[str, str]) -> None:
            text = {png_keys.CHANNEL: channel, png_keys.BLACK: repr(scale.black), png_keys.WHITE: repr(scale.white)}
            png.write_png(
                file,
                rows,
                shape[2],
                shape[1],
                bits=self.options.bits,
                channels=3 if channel == "RGB" else 1,
                text=self.texts(layer, text | source),
                level=self.options.compress,
                workers=self.threads,
            )

        return write

    def start_figure(self, picture: Picture, title: str, ends: tuple[float, float] | None) -> Figure:
        """Return a contact sheet whose channels are still to be drawn; ``ends`` are all channels' black and white."""
        note = describe_scale(self.norm, self.options.scale or "channel", self.options.white, ends)
        rows = plan_rows(self.pipeline, picture.shape, self.options)
        figure = Figure(picture, rows, self.options, title=title, subtitle=str(self.pipeline), note=note)
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

    def texts(self, layer: int, text: Mapping[str, str]) -> dict[str, str]:
        """Return the texts of an output of a layer: where it comes from, and those given; none without metadata."""
        if not self.options.metadata:
            return {}
        texts = {**write_texts(self.pipeline, self.options, layer), **text}
        return {key: value for key, value in texts.items() if value}


def _write_floats(values: np.ndarray) -> Write:
    """Return how one channel is written as numbers."""

    def write(file: BinaryIO, source: Mapping[str, str]) -> None:
        np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)

    return write


def _ranges(shades: list[Shade]) -> tuple[tuple[float, float], ...]:
    return tuple((shade.low, shade.high) for shade in shades)

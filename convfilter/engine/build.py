"""Build a pipeline as a plain nn.Sequential, and take pictures into tensors and through its layers."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from convfilter.errors import InputError
from convfilter.gray.input_values import GRAY, InputValues
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.convolutions import same_size
from convfilter.layers.entry import Kernels
from convfilter.layers.given import TENSORS, Given
from convfilter.layers.shapes import Window


class Magnitude(nn.Module):
    """The square root of the sum of squares over channels: (N, C, H, W) -> (N, 1, H, W).

    >>> Magnitude()(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).item()
    5.0
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(1, keepdim=True).sqrt_()


OWN = {"Magnitude": Magnitude}  # modules that torch.nn lacks


def build(pipeline: Pipeline, *, seed: int = 0, channels: int = 1) -> nn.Sequential:
    """Return the pipeline as modules, one a layer, in eval mode, for inputs (N, channels, H, W) of float32.

    Random weights are those that ``torch.manual_seed(seed)`` and building the layers in order gives; ``weight=`` and a
    number as ``bias=`` then replace what they name. ``Filter2d`` draws nothing. The window places of
    ``FractionalMaxPool2d`` are those that the first call of a network built by hand would draw. The global random
    state is left as it was.

    Raises:
        PipelineError: a layer does not take so many channels.

    >>> from convfilter import parse
    >>> build(parse("Filter2d(sobel_x, sobel_y) | Magnitude"))
    Sequential(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False, padding_mode=replicate)
      (1): Magnitude()
    )
    """
    pipeline.channels(channels)
    modules, inputs = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in pipeline.layers:
            filters = layer.entry.kernels is Kernels.EACH_CHANNEL
            modules.append(_filter(layer, channels) if filters else _module(layer, channels))
            inputs.append(channels)
            channels = layer.effect.channels(channels)
        for module, c in zip(modules, inputs, strict=True):
            if isinstance(module, nn.FractionalMaxPool2d):
                module._random_samples = torch.rand(1, c, 2)
    if pipeline.layers and pipeline.layers[0].sums_colours:
        modules[0].weight = nn.Parameter(modules[0].weight.sum(1, keepdim=True))
        modules[0].in_channels = 1
    return nn.Sequential(*modules).eval().requires_grad_(False)


def to_tensor(values: np.ndarray, white: float, inputs: InputValues = GRAY) -> torch.Tensor:
    """Return a picture's values, HxW or 3xHxW, as a float32 tensor 1xCxHxW.

    0 becomes 0 and the value ``white`` what ``inputs`` calls white, before the mean is taken off.

    >>> to_tensor(np.array([[0, 255]], np.uint8), 255, InputValues(white=1)).tolist()
    [[[[0.0, 1.0]]]]
    """
    scale = inputs.white
    if scale == white:
        x = values.astype(np.float32)
    elif values.dtype == np.uint8:
        x = (np.arange(256) * (scale / white) if scale != 1 else np.arange(256) / white).astype(np.float32)[values]
    else:
        x = (values * (scale / white) if scale != 1 else values / white).astype(np.float32)
    x = torch.from_numpy(x)
    x = x[None, None] if x.ndim == 2 else x[None]
    if inputs.is_normalized:
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (inputs.mean, inputs.std))
        x.sub_(mean).div_(std)
    return x


@torch.inference_mode()
def activations(network: nn.Sequential, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the activation (N, C, H, W) after each layer, for an input (N, C, H, W)."""
    for module in network:
        x = module(x)
        yield x


def explain_nonfinite(pipeline: Pipeline, network: nn.Sequential, x: torch.Tensor) -> InputError:
    """Return the error that names the first layer, and its channel, in which NaN or infinity comes out for ``x``."""
    for number, (layer, y) in enumerate(zip(pipeline.layers, activations(network, x), strict=True), start=1):
        finite = torch.isfinite(y[0]).flatten(1).all(1)
        if not finite.all():
            channel = int((~finite).nonzero()[0])
            kind = "NaN" if y[0, channel].isnan().any() else "infinity"
            return InputError(f"{kind} comes out of layer {number}, {layer.name}, in channel {channel}", kind="values")
    return InputError("NaN or infinity comes out of the pipeline", kind="values")


def _module(layer: Layer, channels: int) -> nn.Module:
    """A layer for ``channels`` input channels; ``inplace`` is left out, for the activations must stay apart."""
    args, named = layer.constructor(channels)
    kwargs = {name: value for name, value in named if name not in ("inplace", *TENSORS)}
    bias = dict(named).get("bias")
    if bias is not None:
        kwargs["bias"] = bias is not False
    make = OWN.get(layer.entry.module) or getattr(nn, layer.entry.module)
    module = make(*args, **kwargs)
    with torch.no_grad():
        matrices = [m for kernel in layer.kernels for m in kernel.matrices]
        if matrices:
            module.weight[: len(matrices)] = torch.tensor(matrices, dtype=torch.float64)[:, None]
        if bias is not None and not isinstance(bias, bool | Given):
            module.bias[:] = torch.tensor(bias, dtype=torch.float64)
        for name, given in layer.given.items():
            getattr(module, name).data = torch.from_numpy(given.array)  # shared: they may be hundreds of megabytes
    return module


def _filter(layer: Layer, channels: int) -> nn.Module:
    """A Filter2d as a grouped Conv2d without random weights; padding that torch's own cannot say stands before it."""
    matrices = same_size([m for kernel in layer.kernels for m in kernel.matrices])
    weight = torch.tensor(matrices, dtype=torch.float32)[:, None].repeat(channels, 1, 1, 1)
    rows, columns = layer.effect.rows, layer.effect.columns
    symmetric = all(axis.before == axis.after for axis in (rows, columns))
    conv = nn.utils.skip_init(
        nn.Conv2d, channels, len(weight), tuple(weight.shape[2:]), bias=False, groups=channels,
        stride=(rows.stride, columns.stride), dilation=(rows.dilation, columns.dilation),
        padding=(rows.before, columns.before) if symmetric else 0,
        padding_mode=rows.mode if symmetric else "zeros",
    )  # fmt: skip
    with torch.no_grad():
        conv.weight[:] = weight
    return conv if symmetric else nn.Sequential(_padding(rows, columns), conv)


def _padding(rows: Window, columns: Window) -> nn.Module:
    kind = {"zeros": "ZeroPad2d", "reflect": "ReflectionPad2d", "replicate": "ReplicationPad2d"}
    return getattr(nn, kind.get(rows.mode, "CircularPad2d"))((columns.before, columns.after, rows.before, rows.after))

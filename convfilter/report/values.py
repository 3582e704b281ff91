"""What a report carries: exact values packed without loss, pictures of a byte a pixel, and each layer in numbers."""

import base64
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from convfilter.gray.scale import keeps_scale
from convfilter.images.png import SIGNATURE
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Computes
from convfilter.layers.shapes import Adaptive, Axis, Resize, Shape, Transposed, Whole, Window

BINS = 40
RULES = {  # what the page's script computes
    *(Computes.CONVOLUTION, Computes.TRANSPOSED, Computes.MAXIMUM, Computes.MEAN, Computes.POWER_MEAN, Computes.BLEND),
    *(Computes.SHUFFLE, Computes.UNSHUFFLE, Computes.PADDING, Computes.MAGNITUDE, Computes.SOFTMAX, Computes.RESPONSE),
    *(Computes.SOFTMIN, Computes.LOG_SOFTMAX, Computes.GATE, Computes.CHANNELS, Computes.CROSS_RESPONSE),
    *(Computes.NORMALISED, Computes.LAYER_NORM, Computes.ROOT_MEAN_SQUARE, Computes.CURVE),
}
OF_ONE_VALUE = ("curve", "affine", "layer norm", "root mean square")  # once a normalisation's numbers are known


@dataclass(frozen=True)
class Packed:
    """An array (C, H, W) as the page's script unpacks it: base64 of deflated bytes, and how they are laid out.

    ``coding`` is "u8" or "u16" (numbers of a palette of float32 that stands in front, or plain where ``palette`` is 0)
    or "f32"; bytes of the same weight stand together, and those of integers are Paeth residuals.
    """

    shape: tuple[int, ...]
    coding: str
    palette: int
    data: str

    @property
    def layout(self) -> dict:
        return {"shape": list(self.shape), "coding": self.coding, "palette": self.palette}


def pack_exact(values: np.ndarray) -> Packed:
    """Return float32 values (C, H, W) packed without loss; a gray picture of 8 bits takes about half a byte a pixel.

    >>> packed = pack_exact(np.zeros((1, 2, 2), np.float32))
    >>> packed.coding, packed.palette
    ('u8', 1)
    """
    values = np.ascontiguousarray(values, np.float32)
    some = values.reshape(-1)[:: max(1, values.size // 70_000)]
    known = np.unique(values) if np.unique(some).size < 60_000 else None
    if known is None or known.size > min(65536, values.size // 4):
        planes = values.astype("<f4").reshape(-1, 1).view(np.uint8).T
        return Packed(values.shape, "f32", 0, _deflate(planes.tobytes()))
    index = np.searchsorted(known, values)
    planes = [index & 255] if known.size <= 256 else [index >> 8, index & 255]
    coded = b"".join(_residuals(plane.astype(np.uint8)).tobytes() for plane in planes)
    coding = "u8" if known.size <= 256 else "u16"
    return Packed(values.shape, coding, known.size, _deflate(known.astype("<f4").tobytes() + coded))


def pack_png(values: np.ndarray, palette: np.ndarray | None = None) -> str:
    """Return bytes (H, W) as the address of a PNG that holds them: gray levels, or the numbers of a palette (n, 3).

    Bytes (H, W, 3) are red, green and blue.

    >>> pack_png(np.zeros((2, 3), np.uint8))[:22]
    'data:image/png;base64,'
    """
    h, w = values.shape[:2]
    planes = _residuals(np.moveaxis(values.reshape(h, w, -1), -1, 0))
    rows = np.concatenate([np.full((h, 1), 4, np.uint8), np.moveaxis(planes, 0, -1).reshape(h, -1)], axis=1)  # 4: Paeth
    head = struct.pack(">IIBBBBB", w, h, 8, 2 if len(planes) == 3 else 0 if palette is None else 3, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.astype(np.uint8).tobytes()))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(SIGNATURE + body).decode("ascii")


def pack_crop(values: torch.Tensor, place: tuple[float, float], limit: int) -> tuple[list[int], Packed]:
    """Return the largest part of the values (C, H, W) that packs into ``limit`` bytes, as [top, left, H, W] and packed.

    The part lies around ``place``, a row and a column in shares of the height and width.
    """
    _, h, w = values.shape
    height, width = h, w
    while True:
        top, left = _start(place[0], height, h), _start(place[1], width, w)
        packed = pack_exact(values[:, top : top + height, left : left + width].numpy())
        if len(packed.data) <= limit or height * width <= 1:
            return [top, left, height, width], packed
        shrink = max(0.1, min(0.95, math.sqrt(limit / len(packed.data))))
        square = max(1, int(math.sqrt(height * width) * shrink))
        height, width = min(h, square), min(w, square)


def reduce_picture(values: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return values (C, H, W) as bytes, and what 0 and 255 stand for in each channel; blocks become their means."""
    values = torch.nan_to_num(values, 0.0, 0.0, 0.0)
    if factor > 1:
        values = nn.functional.avg_pool2d(values, factor, ceil_mode=True, count_include_pad=False)
        values = torch.nan_to_num(values, 0.0)  # the sum of a block may be more than a float holds
    low, high = values.flatten(1).min(1).values, values.flatten(1).max(1).values
    scale = torch.where(high > low, 255 / (high.double() - low.double()), 0.0)
    return ((values.double() - low.double()[:, None, None]) * scale[:, None, None]).round().to(torch.uint8), low, high


def summarise(values: torch.Tensor) -> dict:
    """Return what a channel (H, W) of values comes to: range, spread (what 99 of 100 do not pass), histogram."""
    low, high = (end.item() for end in values.aminmax())
    finite, bad = values.flatten(), 0
    if not math.isfinite(low) or not math.isfinite(high):
        finite = values[torch.isfinite(values)]
        bad = values.numel() - finite.numel()
        if not finite.numel():
            return {"low": 0.0, "high": 0.0, "mean": 0.0, "spread": 0.0, "bad": bad, "bars": [0] * BINS}
        low, high = (end.item() for end in finite.aminmax())
    some = finite[:: max(1, finite.numel() // 50_000)].abs()
    spread = some.kthvalue(max(1, math.ceil(0.99 * some.numel()))).values.item()
    counts = torch.histc(finite, BINS, low, high) if high > low else torch.ones(1)
    bars = (counts.sqrt() * (99 / counts.max().sqrt())).ceil().int().tolist()
    return {
        "low": low,
        "high": high,
        "mean": finite.mean(dtype=torch.float64).item(),
        "spread": spread,
        "bad": bad,
        "bars": bars,
    }


def describe(layer: Layer, module: nn.Module, x: torch.Tensor, shape: Shape) -> dict:
    """Return a layer in the numbers from which the page's script computes it, its weights left out.

    ``x`` is the layer's input (C, H, W), ``shape`` its output's.
    """
    kind = rule(layer)
    rows, columns = layer.effect.rows, layer.effect.columns
    if kind in OF_ONE_VALUE:  # not what normalising takes into account, but what it is done to
        rows = columns = Window()
    about = {"kind": kind, "keeps_scale": keeps_scale(layer), **_numbers(kind, layer, module, x)}
    if kind == "shuffle":
        return {**about, "rows": _blocks(about["factor"]), "columns": _blocks(about["factor"])}
    return {**about, "rows": _axis(rows, x.shape[1], shape[1]), "columns": _axis(columns, x.shape[2], shape[2])}


def weights_of(module: nn.Module) -> np.ndarray | None:
    """Return the weights that the page carries apart from a layer's other numbers, or None where there are none.

    They are a convolution's, and the weight and the bias of a ``LayerNorm`` or ``RMSNorm`` that has learnt any.
    """
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return _learnt(module)
    conv = _convolution(module) if isinstance(module, nn.Sequential) else module
    return conv.weight.numpy() if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) else None


def rule(layer: Layer) -> str:
    """Return the rule by which the page's script computes a layer, "unknown" where it has none.

    >>> from convfilter import parse
    >>> [rule(layer) for layer in parse("edge | ReLU | MaxPool2d(2)").layers]
    ['convolution', 'curve', 'maximum']
    """
    computes, axes = layer.entry.computes, (layer.effect.rows, layer.effect.columns)
    if computes is Computes.BLEND and isinstance(layer.effect.rows, Adaptive):
        computes = Computes.MEAN
    return computes.value if computes in RULES and not any(map(_wraps_a_part, axes)) else "unknown"


def _wraps_a_part(axis: Axis) -> bool:
    """Whether circular padding repeats a picture that is cropped on the other side, which the script cannot do."""
    return isinstance(axis, Window) and axis.mode == "circular" and min(axis.before, axis.after) < 0


def _numbers(kind: str, layer: Layer, module: nn.Module, x: torch.Tensor) -> dict:
    given = layer.arguments
    match kind:
        case "convolution" | "transposed":
            conv = _convolution(module)
            return {"groups": conv.groups, "bias": [] if conv.bias is None else conv.bias.tolist()}
        case "mean":
            return {"padded": given.get("count_include_pad", False), "divisor": given.get("divisor_override") or 0}
        case "power":
            return {"power": float(given["norm_type"])}
        case "padding":
            return {"value": given.get("value", 0)}
        case "shuffle" | "unshuffle":
            return {"factor": given.get("upscale_factor") or given["downscale_factor"]}
        case "channels":
            return {"groups": given["groups"]}
        case "response" | "cross response":
            return {name: given[name] for name in ("size", "alpha", "beta", "k")}
        case "affine":
            return _affine(module, x)
        case "layer norm" | "root mean square":
            return _over_values(module, x)
        case "curve":
            numbers = {name: value for name, value in given.items() if isinstance(value, int | float | str)}
            if hasattr(module, "weight"):
                numbers["weight"] = module.weight.tolist()
            return {"curve": layer.name, "arguments": numbers}
    return {}


def _convolution(module: nn.Module) -> nn.Module:
    return module if hasattr(module, "weight") else module[-1]  # a padding of its own may stand before it


def _affine(module: nn.Module, x: torch.Tensor) -> dict:
    """What a normalisation comes to for this picture: subtract, divide, and the learnt scale and shift."""
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    together = 0  # channels that are normalised together; none where mean and variance are kept
    if mean is None:
        together = len(x) // getattr(module, "num_groups", len(x))
        groups = x.double().unflatten(0, (-1, together)).flatten(1)
        mean, variance = groups.mean(1).repeat_interleave(together), groups.var(1, unbiased=False)
        variance = variance.repeat_interleave(together)
    root = _root(variance, module.eps)
    weight = torch.ones(len(root)) if module.weight is None else module.weight.detach()
    bias = torch.zeros(len(root)) if module.bias is None else module.bias.detach()
    numbers = {"mean": mean, "root": root, "weight": weight, "bias": bias}
    return {"eps": module.eps, "together": together, **{name: each.tolist() for name, each in numbers.items()}}


def _over_values(module: nn.LayerNorm | nn.RMSNorm, x: torch.Tensor) -> dict:
    """What is subtracted from each ``length`` values next to each other, if anything, and what they are divided by."""
    length = math.prod(module.normalized_shape)
    values = x.double().reshape(-1, length)
    mean = values.mean(1) if isinstance(module, nn.LayerNorm) else torch.zeros(len(values), dtype=torch.double)
    eps = torch.finfo(torch.float32).eps if module.eps is None else module.eps
    root = _root((values - mean[:, None]).square().mean(1), eps)
    return {"length": length, "eps": eps, "mean": mean.tolist(), "root": root.tolist()}


def _root(variance: torch.Tensor, eps: float) -> torch.Tensor:
    return (variance.float().double() + eps).sqrt()  # a float's infinity, where PyTorch's overflows


def _learnt(module: nn.LayerNorm | nn.RMSNorm) -> np.ndarray | None:
    """The weight and the bias, one after the other, or None where they change nothing."""
    if module.weight is None:
        return None
    bias = getattr(module, "bias", None)
    bias = torch.zeros_like(module.weight) if bias is None else bias
    if (module.weight == 1).all() and not bias.any():
        return None
    return torch.stack([module.weight, bias]).flatten(1).detach().numpy()


def _axis(axis: Axis, n: int, m: int) -> dict:
    match axis:
        case Window():
            return {
                "kind": "window", "size": axis.size, "stride": axis.stride, "dilation": axis.dilation,
                "before": axis.before, "after": axis.after, "mode": axis.mode,
            }  # fmt: skip
        case Transposed():
            return {
                "kind": "transposed", "size": axis.size, "stride": axis.stride, "dilation": axis.dilation,
                "padding": axis.padding,
            }  # fmt: skip
        case Resize():
            scale = {"scale": axis.scale(n), "align": axis.align, "exact": axis.exact}
            return {"kind": "resize", "taps": axis.taps, **scale}
        case Adaptive():
            return {"kind": "parts", "count": m}
        case Whole() if n == m:
            return {"kind": "window", "size": 1, "stride": 1, "dilation": 1, "before": 0, "after": 0, "mode": "zeros"}
    return {"kind": "parts", "count": 1}


def _blocks(size: int) -> dict:
    return {"kind": "blocks", "size": size}


def _start(share: float, part: int, whole: int) -> int:
    return max(0, min(whole - part, round(share * whole - part / 2)))


def _residuals(planes: np.ndarray) -> np.ndarray:
    """Each byte of (C, H, W) less Paeth's guess from its left, upper and upper left neighbour, as in PNG."""
    padded = np.pad(planes.astype(np.int16), ((0, 0), (1, 0), (1, 0)))
    left, up, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    from_left, from_up, from_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    guess = np.where(from_up <= from_corner, up, corner)
    guess = np.where((from_left <= from_up) & (from_left <= from_corner), left, guess)
    return (planes - guess).astype(np.uint8)


def _deflate(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")

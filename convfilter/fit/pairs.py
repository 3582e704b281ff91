"""Pictures before and after as tensors: what a pipeline gets, and what it should give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convfilter.engine.build import to_tensor
from convfilter.errors import InputError, PipelineError, UsageError, escape
from convfilter.explain.layer_table import peak_bytes
from convfilter.images import png
from convfilter.images.reader import Mode, Picture, read_header, read_pictures
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import available
from convfilter.run.options import Options

TIMES = 4  # how many times the memory of the plain computation its gradients take
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True, eq=False)
class Pair:
    """An input (1, C, H, W), and the output that it should give; ``black`` and ``white`` are where that is cut off.

    They are numbers, or one a channel.
    """

    before: Tensor
    after: Tensor
    black: float | Tensor
    white: float | Tensor

    def residual(self, y: Tensor) -> Tensor:
        """Return how far an output is from what it should be: 0 where that lies beyond black or white, as it does."""
        beyond = ((self.after <= self.black) & (y < self.black)) | ((self.after >= self.white) & (y > self.white))
        return (y - self.after).masked_fill(beyond, 0.0)

    def to(self, device: str) -> "Pair":
        """Return the pair with its tensors on a device, which PyTorch knows by this name."""
        black, white = (end.to(device) if isinstance(end, Tensor) else end for end in (self.black, self.white))
        return Pair(self.before.to(device), self.after.to(device), black, white)


def group_pictures(channels: int, pictures: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each BEFORE with its AFTERs: one for each of so many ``channels``, or for three of them one in colour.

    Raises:
        UsageError: the pictures do not come out even. InputError: one cannot be read; names the file.
    """
    groups = []
    left = list(pictures)
    while left:
        before, *left = left
        count = 1 if channels == 3 and left and _is_colour(left[0]) else channels
        if len(left) < count:
            if channels == 1:
                raise UsageError(f"fit takes pictures in pairs, BEFORE and AFTER, and there are {len(pictures)}")
            needed = f"{channels} pictures AFTER, one a channel{', or by one in colour' if channels == 3 else ''}"
            raise UsageError(
                f"fit: the pipeline gives {channels} channels, so BEFORE is followed by {needed}; {escape(before)} is "
                f"followed by {len(left)}"
            )
        groups.append((before, tuple(left[:count])))
        left = left[count:]
    return groups


def read_pair(pipeline: Pipeline, before: str, afters: Sequence[str], options: Options) -> Pair:
    """Return a pair of pictures: a PNG of this program as the floats that it was made of, others as they are.

    ``afters`` is a picture for each channel that the pipeline gives, or one in colour. Where the pipeline gives a
    smaller picture, for it does not pad, the middle of these is taken.

    Raises:
        InputError: one cannot be read, they do not fit, or memory is too small for them; names the file.
    """
    first = _read(before, options, options.mode)
    try:
        channels, height, width = pipeline.shapes(first.shape)[-1]
    except PipelineError as error:
        raise InputError(f"{escape(before)}: {error.reason}") from None
    need, limit = TIMES * peak_bytes(pipeline, first.shape), available() * 3 // 4
    if need > limit:
        raise InputError(
            f"{escape(before)}: learning from it takes {show_bytes(need)}, and {show_bytes(limit)} can be used; "
            "cut a part out of both pictures"
        )
    planes, ends = [], []
    for path in afters:
        values, black, white = _floats(path, options, "L" if len(afters) == channels else "RGB")
        if len(values) * len(afters) != channels:
            raise InputError(
                f"{escape(path)}: is in colour and holds floats of three channels, where those of one are learnt from"
            )
        (_, high, wide), whole = values.shape, first.shape[1:]
        top, left = high - height, wide - width
        if min(top, left) < 0 or top % 2 or left % 2 or (high, wide) not in (whole, (height, width)):
            raise InputError(
                f"{escape(path)}: is {wide}x{high}, and the pipeline makes {width}x{height} of {escape(before)}; "
                "both pictures must show the same place"
            )
        planes.append(values[:, top // 2 : top // 2 + height, left // 2 : left // 2 + width])
        ends += [(black, white)] * len(values)
    target = torch.from_numpy(np.ascontiguousarray(np.concatenate(planes), np.float32))[None]
    black, white = torch.tensor(ends).T[:, :, None, None]
    return Pair(to_tensor(first.values, first.white, options.inputs), target, black, white)


def _is_colour(path: str) -> bool:
    try:
        mode = read_header(path).mode
    except InputError as error:
        raise InputError(f"{escape(path)}: {error}") from None
    return mode not in GRAY_MODES and not mode.startswith("I;16")


def _read(path: str, options: Options, mode: Mode) -> Picture:
    try:
        return next(read_pictures(path, background=options.background, mode=mode))
    except InputError as error:
        raise InputError(f"{escape(path)}: {error}") from None


def _floats(path: str, options: Options, mode: Mode) -> tuple[np.ndarray, float, float]:
    """What a picture shows (C, H, W), and the values of its black and its white."""
    picture = _read(path, options, mode)
    try:
        texts = png.read_text(path)
    except InputError:  # no PNG
        texts = {}
    if png.BLACK in texts and png.WHITE in texts:
        floats, _ = png.read_floats(path)
        return floats.reshape(-1, *floats.shape[-2:]), float(texts[png.BLACK]), float(texts[png.WHITE])
    values = picture.values.reshape(picture.shape)
    return values * (options.white / picture.white), 0.0, options.white

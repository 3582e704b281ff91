"""Pictures before and after as tensors: what a pipeline gets, and what it should give."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convfilter.engine.build import to_tensor
from convfilter.errors import InputError, UsageError, escape
from convfilter.explain.layer_table import peak_bytes
from convfilter.gray.input_values import InputValues
from convfilter.images import png
from convfilter.images.reader import Picture, read_pictures
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import available

TIMES = 4  # how many times the memory of the plain computation its gradients take


@dataclass(frozen=True, eq=False)
class Pair:
    """An input 1x1xHxW, and the output that it should give; ``black`` and ``white`` are where that is cut off."""

    before: Tensor
    after: Tensor
    black: float
    white: float

    def residual(self, y: Tensor) -> Tensor:
        """Return how far an output is from what it should be: 0 where that lies beyond black or white, as it does."""
        beyond = ((self.after <= self.black) & (y < self.black)) | ((self.after >= self.white) & (y > self.white))
        return (y - self.after).masked_fill(beyond, 0.0)


def read_pair(pipeline: Pipeline, before: str, after: str, inputs: InputValues, background: str) -> Pair:
    """Return a pair of pictures: a PNG of this program as the floats that it was made of, others as they are.

    Where the pipeline gives a smaller picture, for it does not pad, the middle of ``after`` is taken.

    Raises:
        InputError: one cannot be read, they do not fit, or memory is too small for them; names the file.
        UsageError: the pipeline gives several channels, or a larger picture.
    """
    first = _read(before, background)
    shape = (1, *first.values.shape)
    channels, height, width = pipeline.shapes(shape)[-1]
    if channels != 1:
        raise UsageError(f"fit: the pipeline gives {channels} channels, and AFTER is one; let it end with one")
    need, limit = TIMES * peak_bytes(pipeline, shape), available() * 3 // 4
    if need > limit:
        raise InputError(
            f"{escape(before)}: learning from it takes {show_bytes(need)}, and {show_bytes(limit)} can be used; "
            "cut a part out of both pictures"
        )
    values, black, white = _floats(after, background, inputs.white)
    top, left = values.shape[0] - height, values.shape[1] - width
    if min(top, left) < 0 or top % 2 or left % 2 or values.shape not in (shape[1:], (height, width)):
        raise InputError(
            f"{escape(after)}: is {values.shape[1]}x{values.shape[0]}, and the pipeline makes {width}x{height} of "
            f"{escape(before)}; both pictures must show the same place"
        )
    middle = values[top // 2 : top // 2 + height, left // 2 : left // 2 + width]
    target = torch.from_numpy(np.ascontiguousarray(middle, np.float32))[None, None]
    return Pair(to_tensor(first.values, first.white, inputs), target, black, white)


def _read(path: str, background: str) -> Picture:
    try:
        return next(read_pictures(path, background=background))
    except InputError as error:
        raise InputError(f"{escape(path)}: {error}") from None


def _floats(path: str, background: str, white: float) -> tuple[np.ndarray, float, float]:
    """What a picture shows, and the values of its black and its white."""
    picture = _read(path, background)
    try:
        said = png.read_text(path)
    except InputError:  # no PNG
        said = {}
    if png.BLACK in said and png.WHITE in said:
        floats, _ = png.read_floats(path)
        return floats, float(said[png.BLACK]), float(said[png.WHITE])
    return picture.values * (white / picture.white), 0.0, white

"""Padding and cropping at every small size, against torch: what it takes, and which pixel stands where."""

import pytest
import torch
from torch import nn

from convfilter import parse
from convfilter.engine.build import build
from convfilter.engine.tiles import filter_picture, plan

LAYERS = ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d")


def torch_says(name, n, before, after):
    """The rows of 1 to n that PyTorch gives, 0 for a pad of zeros; None where it refuses or gives nothing."""
    x = torch.arange(1.0, n + 1).view(1, 1, n, 1)
    try:
        return getattr(nn, name)((0, 0, before, after))(x).flatten().tolist() or None
    except RuntimeError:
        return None


@pytest.mark.parametrize("name", LAYERS)
def test_padding_and_cropping_are_torchs(name):
    for n in range(1, 6):
        for before in range(-n - 1, n + 2):
            for after in range(-n - 1, n + 2):
                expected = torch_says(name, n, before, after)
                text = f"{name}((0, 0, {before}, {after}))"
                layer = parse(text).layers[0]
                try:
                    count = layer.effect.output((1, n, 1))[1]
                except ValueError:
                    assert expected is None or max(before, after) > n + min(before, 0) + min(after, 0), text
                    assert expected is None or name == "CircularPad2d"  # it reads memory that nobody has written
                    continue
                rows = layer.effect.rows
                found = [rows.source(i - before, n) for i in range(count)]
                assert [0 if row is None else row + 1 for row in found] == expected, (text, n)


@pytest.mark.parametrize(
    "text",
    [
        "ZeroPad2d((2, -3, -1, 4))", "ConstantPad2d((1, 2), 7)", "ReflectionPad2d((-2, 3, 4, -5))",
        "ReplicationPad2d((-9, 12, 3, -1))", "CircularPad2d((-2, 3, 4, -5))", "ReLU | CircularPad2d((3, -1, -1, 2))",
        "Filter2d(sobel_x) | ReflectionPad2d((-2, 3, 4, -5)) | MaxPool2d(2)", "ZeroPad2d((0, 0, 9, -120))",
    ],
)  # fmt: skip
def test_tiles_pad_and_crop_as_torch_does(text):
    pipeline = parse(text)
    network = build(pipeline)
    values = torch.randint(0, 256, (120, 130), generator=torch.Generator().manual_seed(1)).to(torch.uint8).numpy()
    expected = network(torch.from_numpy(values).float()[None, None])[0].numpy()
    found = filter_picture(plan(pipeline, network), values, 255).floats()
    assert found.shape == expected.shape and abs(found - expected).max() <= 1e-4

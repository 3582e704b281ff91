"""Receptive fields and effective strides, against what single pixels change, measured on random pipelines."""

import random

import pytest
import torch
from torch import nn

from convfilter import parse
from convfilter.engine.build import build
from convfilter.explain.layer_table import explain
from convfilter.explain.receptive_field import Field


def random_layer(rng) -> str:
    k, s, d = rng.randint(1, 5), rng.randint(1, 4), rng.choice([1, 1, 2, 3])
    mode = rng.choice(["bilinear", "bicubic", "nearest", "nearest-exact"])
    align = rng.choice(["", ", align_corners=True"]) if mode in ("bilinear", "bicubic") else ""
    window = f"({k}, 1), stride=({s}, 1), dilation=({d}, 1), padding=({rng.randint(0, 2)}, 0)"
    return rng.choice(
        [
            f"Conv2d(1, 1, {window}, padding_mode='{rng.choice(['zeros', 'replicate', 'reflect'])}')",
            f"ConvTranspose2d(1, 1, {window})",
            f"AvgPool2d(({k}, 1), stride=({s}, 1), ceil_mode={rng.random() < 0.3})",
            f"Upsample(scale_factor=({rng.choice([2, 3, 0.5, 1.5, 0.75, 1.1, 0.3])}, 1), mode='{mode}'{align})",
            f"Upsample(size=({rng.randint(1, 60)}, 1), mode='{mode}'{align})",
            f"AdaptiveAvgPool2d(({rng.randint(1, 20)}, None))",
            f"ZeroPad2d((0, 0, {rng.randint(-2, 3)}, {rng.randint(-2, 3)}))",
        ]
    )


@torch.inference_mode()
def measure(text: str, length: int) -> int:
    """How many pixels of a column an output pixel spans at most: those whose change alone changes it.

    By changing them: PyTorch 2.13's gradient of a bicubic Upsample that keeps the size is that of a copy.
    """
    network = build(parse(text)).double()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.fill_(1.0)
    pixels = torch.eye(length, dtype=torch.float64)[:, None, :, None]
    changes = (network(pixels) - network(torch.zeros_like(pixels))).abs()[:, 0, :, 0]
    places = [(one > 1e-12).nonzero().flatten().tolist() for one in changes.T]
    return max(seen[-1] - seen[0] + 1 if seen else 0 for seen in places)


def sees_inside(text: str, length: int) -> bool:
    """Whether some output's window lies in the picture: of other pipelines there is nothing to measure."""
    field = Field(length)
    for layer in parse(text).layers:
        field, length = field.through(layer.effect.rows, length), layer.effect.rows.length(length)
    return any(output.whole and output.seen for output in field.outputs or ())


@pytest.mark.parametrize("batch", range(3))
def test_random_pipelines_see_what_single_pixels_change(batch):
    rng, compared, padded = random.Random(f"field {batch}"), 0, 0
    while compared < 60:
        text = " | ".join(random_layer(rng) for _ in range(rng.randint(1, 4)))
        length = rng.choice([rng.randint(1, 8), rng.randint(8, 40), rng.randint(40, 90)])
        explanation = explain(parse(text), (1, length, 1))
        if explanation.error or max(row.output[1] for row in explanation.rows) > 500:
            continue
        if sees_inside(text, length):
            compared += 1
            assert explanation.rows[-1].receptive_field[0] == measure(text, length), f"{text} on {length}"
        else:
            padded += 1
    assert padded < compared / 5


@pytest.mark.parametrize(
    ("text", "length", "field", "stride"),
    [
        ("Upsample(size=9, mode='bilinear', align_corners=True)", 5, 2, 0.5),
        ("Upsample(size=10, mode='bilinear')", 5, 2, 0.5),
        ("Upsample(size=9, mode='bicubic', align_corners=True)", 5, 4, 0.5),
        ("Upsample(size=5, mode='bilinear', align_corners=True)", 9, 1, 2.0),
        ("Upsample(scale_factor=1.1)", 7, 1, 1.0),
        ("ConvTranspose2d(1, 1, 2, stride=2, dilation=2)", 9, 2, 0.5),
        ("ConvTranspose2d(1, 1, 1, stride=3) | MaxPool2d(3)", 9, 1, 1.0),
        (
            "Upsample(scale_factor=0.5, mode='bilinear', align_corners=True) | "
            "ConvTranspose2d(1, 1, 4, stride=3, dilation=2, padding=1)",
            12,
            6,
            11 / 15,
        ),
        ("ConvTranspose2d(1, 1, 4, stride=3, dilation=2)", 2, 1, 1 / 3),  # too few pixels for two under one kernel
        (
            "Conv2d(1, 1, (3, 3), dilation=2) | Upsample(scale_factor=3, mode='bilinear', align_corners=True) | "
            "Upsample(size=58, mode='bilinear', align_corners=True) | AdaptiveAvgPool2d(14)",
            90,
            13,
            6.177944862,
        ),
        ("Conv2d(1, 1, 5, padding=2)", 3, 5, 1.0),  # as if the picture went on
    ],
)
def test_fields_and_strides_by_hand(text, length, field, stride):
    row = explain(parse(text), (1, length, length)).rows[-1]
    assert row.receptive_field == (field, field)
    assert row.jump == pytest.approx((stride, stride))

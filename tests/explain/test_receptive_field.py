"""Receptive fields and effective strides, against gradients that are measured on random pipelines."""

import random

import pytest
import torch
from torch import nn

from convfilter import parse
from convfilter.engine.build import build
from convfilter.explain.layer_table import explain

LENGTH = 90


def random_layer(rng) -> str:
    k, s, d = rng.randint(1, 4), rng.randint(1, 3), rng.choice([1, 1, 2, 3])
    mode = rng.choice(["bilinear", "bicubic", "nearest", "nearest-exact"])
    align = rng.choice(["", ", align_corners=True"]) if mode in ("bilinear", "bicubic") else ""
    return rng.choice(
        [
            f"Conv2d(1, 1, ({k}, 1), stride=({s}, 1), dilation=({d}, 1), padding=({rng.randint(0, 2)}, 0))",
            f"ConvTranspose2d(1, 1, ({k}, 1), stride=({s}, 1), dilation=({d}, 1), padding=({rng.randint(0, 2)}, 0))",
            f"AvgPool2d(({k}, 1), stride=({s}, 1))",
            f"Upsample(scale_factor=({rng.choice([2, 3, 0.5, 1.5, 0.75])}, 1), mode='{mode}'{align})",
            f"Upsample(size=({rng.randint(20, 120)}, 1), mode='{mode}'{align})",
        ]
    )


def measure(text: str) -> list[int]:
    """Of each output pixel along a column, how many pixels of the picture it spans, but those near the border."""
    network = build(parse(text)).double()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.fill_(1.0)
    x = torch.zeros(1, 1, LENGTH, 1, dtype=torch.float64, requires_grad=True)
    y = network(x)[0, 0, :, 0]
    spans = []
    for number in range(len(y)):
        (gradient,) = torch.autograd.grad(y[number], x, retain_graph=True)
        seen = (gradient[0, 0, :, 0].abs() > 1e-4 * gradient.abs().max()).nonzero().flatten().tolist()
        if seen and seen[0] > 8 and seen[-1] < LENGTH - 9:
            spans.append(seen[-1] - seen[0] + 1)
    return spans


@pytest.mark.parametrize("batch", range(3))
def test_random_pipelines_see_what_their_gradients_say(batch):
    rng, compared = random.Random(f"field {batch}"), 0
    while compared < 25:
        text = " | ".join(random_layer(rng) for _ in range(rng.randint(1, 3)))
        explanation = explain(parse(text), (1, LENGTH, 1))
        if explanation.error or not 20 <= explanation.output[1] <= 300:
            continue
        spans = measure(text)
        row = explanation.rows[-1]
        if len(spans) < 12 or row.receptive_field[0] > LENGTH / 3:
            continue
        assert row.receptive_field[0] == max(spans), text
        compared += 1


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
    ],
)
def test_fields_and_strides_by_hand(text, length, field, stride):
    row = explain(parse(text), (1, length, length)).rows[-1]
    assert (row.receptive_field, row.jump) == ((field, field), (stride, stride))

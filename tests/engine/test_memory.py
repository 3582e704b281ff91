"""The memory that is predicted against what is held: by torch's own allocator, and by the tiles."""

import random

import numpy as np
import pytest
import torch
from random_pipelines import random_pipeline

from convfilter import parse
from convfilter.engine import memory, tiles
from convfilter.engine.build import build
from convfilter.engine.segments import split_layers
from convfilter.gray.input_values import InputValues


def test_an_output_is_kept_as_long_as_the_prediction_counts_it(monkeypatch):
    made = []
    compute = tiles.compute_tile
    monkeypatch.setattr(tiles, "compute_tile", lambda plan, part: made.append(plan) or compute(plan, part))
    pipeline, values = parse("edge"), np.zeros((64, 84), np.uint8)
    output = 4 * 60 * 80
    for limit, times in ((output, 1), (output - 1, 2)):
        monkeypatch.setattr(memory, "KEPT", limit)
        made.clear()
        tiles.filter_picture(tiles.plan(pipeline, build(pipeline)), values, 255).floats()
        assert len(made) == times
        predicted = memory.tiled_peak_bytes(pipeline, (1, 64, 84)) - memory.TILES
        assert predicted == (output if times == 1 else 0)


def test_three_channels_are_kept_as_long_as_there_is_room_for_all(monkeypatch):
    made = []
    compute = tiles.compute_tile
    monkeypatch.setattr(tiles, "compute_tile", lambda plan, part: made.append(plan) or compute(plan, part))
    pipeline, values = parse("blur"), np.zeros((3, 60, 80), np.uint8)
    segments = tiles.plan(pipeline, build(pipeline, channels=3), 3)
    inputs = InputValues(3, 255.0, (0.0,) * 3, (1.0,) * 3)
    for limit, times in ((4 * 3 * 60 * 80, 1), (4 * 3 * 60 * 80 - 1, 2)):
        monkeypatch.setattr(memory, "KEPT", limit)
        made.clear()
        tiles.filter_picture(segments, values, 255, inputs).floats()
        assert len(made) == 3 * times


@pytest.mark.parametrize(
    ("text", "options", "held"),
    [
        ("edge | InstanceNorm2d(1)", {}, 4 * (96 * 96 + 2 * 96 * 96)),  # its input, its output, and as much again
        ("InstanceNorm2d(1) | edge", {}, 4 * 3 * 100 * 100),
        ("edge | Upsample(scale_factor=3, mode='bilinear')", {}, 4 * (96 * 96 + 2 * 288 * 288)),  # not cut: not local
        ("Conv2d(1, 2, 5)", {}, 2 * 96 * 96),  # the levels of all channels, written one after the other
        ("Conv2d(1, 2, 5)", {"bits": 16}, 2 * 2 * 96 * 96),
        ("edge", {"floats": True}, 4 * 96 * 96),
        ("edge", {}, 0),
    ],
)
def test_what_is_held_besides_tiles(text, options, held, monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 0)
    assert memory.tiled_peak_bytes(parse(text), (1, 100, 100), **options) == held + memory.TILES


def test_the_prediction_cuts_where_the_tiles_are_cut():
    whole = 0
    for seed in range(60):
        pipeline = random_pipeline(random.Random(seed))
        segments = split_layers([layer.effect for layer in pipeline.layers])
        planned = tiles.plan(pipeline, build(pipeline))
        assert [(segment.cut, len(segment.layers)) for segment in segments] == [
            (segment.cut, len(segment.algorithms)) for segment in planned
        ]
        whole += sum(not segment.cut for segment in segments)
    assert whole > 10


def allocated(text: str, channels: int, size: int = 256) -> tuple[int, int]:
    """The most bytes that torch's allocator gives while a layer computes, and what is predicted of them."""
    pipeline = parse(text)
    network, x = build(pipeline, channels=channels), torch.rand(1, channels, size, size)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.inference_mode(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        y = network(x)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    (layer,), output = pipeline.layers, tuple(y.shape[1:])
    scratch = layer.entry.scratch(layer.effect, layer.arguments, (channels, size, size), output)
    return most, 4 * (y.numel() + scratch)


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        *(("MaxPool2d(2)", 4), ("MaxPool2d(3, 1)", 1), ("AdaptiveMaxPool2d(200)", 4)),
        *(("FractionalMaxPool2d(2, output_ratio=0.8)", 4), ("LPPool2d(2, 2)", 4), ("LPPool2d(2, 2, 1)", 4)),
        *(("LPPool2d(inf, 2)", 4), ("AvgPool2d(2, 1)", 4), ("AdaptiveAvgPool2d(20)", 4), ("Magnitude", 4)),
        *((name, 4) for name in ("ReLU", "GELU", "Tanhshrink", "LogSigmoid", "Softsign", "RReLU", "Mish", "Softmax2d")),
        *(("InstanceNorm2d(4)", 4), ("LocalResponseNorm(3)", 4), ("GroupNorm(2, 4)", 4)),
        *(("Upsample(scale_factor=2)", 4), ("CircularPad2d(3)", 4), ("PixelShuffle(2)", 4)),
        *((f"Conv2d({c}, {out}, {rest})", c) for c in (1, 4, 20, 64) for out in (1, 20) for rest in (3, "5, 2")),
        ("Conv2d(4, 4, 3, padding=1, padding_mode='reflect')", 4),
        *(("Conv2d(16, 16, 3, groups=16)", 16), ("Conv2d(32, 32, 3, groups=2)", 32), ("Filter2d(sobel_x)", 3)),
        *((f"ConvTranspose2d({c}, {out}, 3)", c) for c in (1, 4, 20) for out in (1, 4, 20)),
        *(("ConvTranspose2d(4, 20, 3, stride=2)", 4), ("ConvTranspose2d(8, 8, 3, groups=4)", 8)),
    ],
)
def test_the_scratch_of_a_layer_is_what_torch_takes(text, channels):
    most, predicted = allocated(text, channels)
    assert most <= 1.04 * predicted  # oneDNN's blocks may be of 8 channels or of 16
    assert predicted <= 4.2 * most

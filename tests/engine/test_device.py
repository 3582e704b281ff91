"""Pictures through a network on a device: on the CPU as on any other, and on a GPU where there is one."""

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from random_pipelines import random_pipeline
from torch import nn

from convfilter import UsageError, parse, run_files
from convfilter.cli.main import cli
from convfilter.engine.build import activations, build, to_tensor
from convfilter.engine.device import DeviceFilter, choose_device
from convfilter.fit.learn import learn
from convfilter.fit.pairs import Pair
from convfilter.gray.input_values import InputValues
from convfilter.report.page import make_report

HAS_CUDA = torch.cuda.is_available()
GPU = pytest.param("cuda:0", marks=pytest.mark.skipif(not HAS_CUDA, reason="there is no CUDA device here"))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def assert_close(found, expected, text):
    assert found.dtype == np.float32 and found.shape == expected.shape, text
    if np.isfinite(expected).all():
        assert np.abs(found - expected).max() <= 1e-4 * max(1e-9, np.abs(expected).max()), text
    else:
        assert not np.isfinite(found).all(), text


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("bands", [1, 4, 16])
def test_random_pipelines_give_what_the_network_gives(device, bands):
    for seed in range(40):
        pipeline = random_pipeline(random.Random(seed))
        network = build(pipeline)
        values = picture(30, 34, seed)
        with torch.inference_mode():
            expected = network(to_tensor(values, 255))[0].numpy()
        device_filter = DeviceFilter(pipeline, network, device)
        x = to_tensor(values, 255).repeat(3, 1, 1, 1).to(device)
        x[1:] += 1  # other pictures of the batch
        with torch.inference_mode():
            y = device_filter._run(x, bands).cpu().numpy()
        assert_close(y[0], expected, pipeline)
        assert_close(device_filter.filter_picture(values, 255), expected, pipeline)
        *_, last = device_filter.activations(to_tensor(values, 255))
        assert_close(last[0].numpy(), expected, pipeline)
        assert device_filter.take_warnings() == ()


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_colour_and_other_whites_are_taken_as_elsewhere(device):
    pipeline = parse("Conv2d(3, 4, 3, padding=1) | ReLU")
    network, inputs = build(pipeline, channels=3), InputValues(3, 1.0, (0.5,) * 3, (0.25,) * 3)
    values = np.stack([picture(20, 30, seed) for seed in range(3)])
    expected = network(to_tensor(values, 255, inputs))[0].numpy()
    found = DeviceFilter(pipeline, network, device, channels=3).filter_picture(values, 255, inputs)
    assert_close(found, expected, pipeline)


class Counting(nn.Identity):
    """Counts the pictures of each batch, and lets the first one wait until others are there."""

    def __init__(self):
        super().__init__()
        self.batches, self.full = [], threading.Event()

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        self.batches.append(len(x))
        self.full.wait(5)
        return x


def test_pictures_of_one_size_are_computed_in_batches():
    pipeline = parse("Identity | edge")
    network = build(pipeline)
    network[0] = counting = Counting()
    device_filter = DeviceFilter(pipeline, network, "cpu")
    values = [picture(40, 50 if seed % 4 else 60, seed) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(device_filter.filter_picture, one, 255) for one in values]
        while len(device_filter._waiting) < 11:
            pass
        counting.full.set()
        found = [future.result() for future in futures]
    assert sum(counting.batches) == 12 and len(counting.batches) == 3
    for one, floats in zip(values, found, strict=True):
        assert np.array_equal(floats, network[1](to_tensor(one, 255))[0].numpy())


class Scarce(nn.Identity):
    """A layer whose copy on a device has memory for so many values only."""

    def __init__(self, limit, scarce=False, error=torch.OutOfMemoryError):
        super().__init__()
        self.limit, self.scarce, self.error = limit, scarce, error

    def __deepcopy__(self, memo):
        return Scarce(self.limit, True, self.error)

    def forward(self, x):
        if self.scarce and x.numel() > self.limit:
            scarce = self.error is not NotImplementedError
            raise self.error("CUDA out of memory. Tried to allocate 9 bytes." if scarce else "not on this device")
        return x


@pytest.mark.parametrize(
    ("limit", "error", "warns"),
    [
        (40 * 50, torch.OutOfMemoryError, False),  # a picture alone
        (700, torch.OutOfMemoryError, False),  # four bands of it
        (200, RuntimeError, False),  # sixteen
        (10, torch.OutOfMemoryError, True),
        (10, NotImplementedError, True),
    ],
)
def test_less_is_computed_at_once_where_memory_ends(limit, error, warns):
    pipeline = parse("edge(3) | Identity | InstanceNorm2d(1)")
    network = build(pipeline)
    network[1] = Scarce(limit, error=error)
    device_filter = DeviceFilter(pipeline, network, "cpu")
    values = [picture(40, 50, seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda one: device_filter.filter_picture(one, 255), values))
    for one, floats in zip(values, found, strict=True):
        with torch.inference_mode():
            assert_close(floats, network(to_tensor(one, 255))[0].numpy(), limit)
        steps = device_filter.activations(to_tensor(one, 255))
        for y, expected in zip(steps, activations(network, to_tensor(one, 255)), strict=True):
            assert torch.allclose(y, expected, atol=1e-5)
    warnings = device_filter.take_warnings()
    assert len(warnings) == (limit < 40 * 48)  # the activations of --steps are not computed in bands
    assert device_filter.take_warnings() == ()
    if warns:
        words = "lacks one of the layers" if error is NotImplementedError else "has too little memory"
        assert warnings == (f"computed on the CPU, for cpu {words}; so may further ones be",)


def test_an_error_costs_its_batch_only():
    pipeline = parse("edge")
    device_filter = DeviceFilter(pipeline, build(pipeline), "cpu")
    with pytest.raises(Exception, match="larger than"):
        device_filter.filter_picture(picture(3, 3), 255)
    assert device_filter.filter_picture(picture(9, 9), 255).shape == (1, 5, 5)


@pytest.mark.skipif(HAS_CUDA, reason="there is a CUDA device here")
def test_a_device_that_is_not_here_is_an_error_that_says_what_is():
    Image.fromarray(picture(9, 9)).save("a.png")
    done = CliRunner().invoke(cli, ["edge", "a.png", "--device", "cuda:3"])
    assert (done.exit_code, done.stdout, os.listdir()) == (2, "", ["a.png"])
    assert "--device cuda:3: there is no such device here; there is cpu (the processor)" in done.stderr
    with pytest.raises(UsageError, match="--device cuda: there is no such device"):
        run_files("edge", "a.png", device="cuda")


COMMANDS = [
    ["run", "Conv2d(1, 1, 3)", "a.png"],
    ["edge", "a.png"],
    ["report", "edge", "a.png"],
    ["compare", "edge", "blur", "a.png"],
    ["compare", "edge", "blur", "a.png", "-o", "b.html"],
    ["fit", "Conv2d(1, 1, 3)", "a.png", "a.png", "-o", "w.safetensors"],
]


@pytest.mark.skipif(HAS_CUDA, reason="there is a CUDA device here")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_that_computes_says_that_a_device_is_not_here(command):
    Image.fromarray(picture(9, 9)).save("a.png")
    done = CliRunner().invoke(cli, [*command, "--device", "cuda"])
    assert (done.exit_code, done.stdout, os.listdir()) == (2, "", ["a.png"]), done.output
    assert "convfilter: --device cuda: there is no such device here; there is cpu (the processor)" in done.stderr


@pytest.mark.skipif(HAS_CUDA, reason="there is a CUDA device here")
def test_a_pipeline_in_python_says_that_a_device_is_not_here():
    pipeline = parse("edge")
    for call in (pipeline, pipeline.images):
        with pytest.raises(UsageError, match="--device cuda: there is no such device here"):
            call(picture(9, 9), device="cuda")
    with pytest.raises(UsageError, match="'gpu' is none of cpu, cuda"):
        pipeline(picture(9, 9), device="gpu")
    assert torch.equal(pipeline(picture(9, 9), device="cpu"), pipeline(picture(9, 9)))


@pytest.mark.skipif(not HAS_CUDA, reason="there is no CUDA device here")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_computes_on_a_gpu(command):
    Image.fromarray(picture(40, 50)).save("a.png")
    done = CliRunner().invoke(cli, [*command, "--device", "cuda"])
    assert done.exit_code == 0 and all(os.path.exists(path) for path in done.stdout.split()), done.output


@pytest.mark.skipif(not HAS_CUDA, reason="there is no CUDA device here")
def test_a_pipeline_in_python_computes_on_a_gpu():
    pipeline, values = parse("Conv2d(1, 4, 5) | Tanh"), picture(40, 50)
    assert_close(pipeline(values, device="cuda").numpy(), pipeline(values).numpy(), pipeline)
    for one, other in zip(pipeline.images(values, device="cuda"), pipeline.images(values), strict=True):
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_pages_and_learnt_weights_are_the_same_on_a_device(device):
    pipeline = parse("Conv2d(1, 2, 5, bias=False) | ReLU")
    network, x = build(pipeline), to_tensor(picture(30, 40), 255)
    given = {"source_name": "a.png", "text": str(pipeline)}
    page = make_report(pipeline, network, x, **given)
    other = make_report(pipeline, network, x, **given, compute=DeviceFilter(pipeline, network, device).activations)
    assert len(page) == pytest.approx(len(other), abs=2000)  # pictures that differ by a level are packed otherwise
    if device == "cpu":
        assert page == other
    pair = Pair(x, network(x)[:, :1], -1e9, 1e9)
    learnt, again = (learn(parse("Conv2d(1, 1, 5)"), [pair], steps=20, device=one) for one in ("cpu", device))
    assert torch.allclose(learnt.last["0.weight"], again.last["0.weight"], atol=1e-2)
    assert {tensor.device.type for tensors in (again.first, again.last) for tensor in tensors.values()} == {"cpu"}


def test_a_word_that_is_no_device_is_an_error():
    done = CliRunner().invoke(cli, ["edge", "a.png", "--device", "gpu"])
    assert done.exit_code == 2 and "'gpu' is none of cpu, cuda, cuda:N, mps and auto" in done.stderr


def test_auto_says_with_v_what_it_took():
    Image.fromarray(picture(9, 9)).save("a.png")
    device, what = choose_device("auto")
    done = CliRunner().invoke(cli, ["edge", "a.png", "--device", "auto", "-v"])
    assert done.exit_code == 0 and f"convfilter: --device auto: {device} ({what})" in done.stderr
    assert CliRunner().invoke(cli, ["edge", "a.png", "--device", "auto"]).stderr.count("device") == 0


def test_cpu_is_no_reason_to_load_torch():
    Image.fromarray(picture(9, 9)).save("a.png")
    code = (
        "import sys; from convfilter import run_files; list(run_files('edge', 'a.png', device='cpu', dry_run=True)); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not HAS_CUDA, reason="there is no CUDA device here")
def test_a_gpu_gives_the_cpus_pictures():
    os.mkdir("in")
    for seed in range(20):
        Image.fromarray(picture(300, 200 + 100 * (seed % 2), seed)).save(f"in/{seed:02}.png")
    for text in ("edge | ReLU | MaxPool2d(2)", "Conv2d(1, 8, 5, padding=2, padding_mode='reflect') | Tanh", "sobel"):
        for more in ({}, {"steps": True}, {"exact": True}):
            cpu, gpu = (list(run_files(text, "in", device=device, output=device, **more)) for device in ("cpu", "cuda"))
            for one, other in zip(cpu, gpu, strict=True):
                assert one.status == other.status == "done" and not other.notes, other.error
                for path, twin in zip(one.outputs, other.outputs, strict=True):
                    difference = np.asarray(Image.open(path)).astype(int) - np.asarray(Image.open(twin))
                    assert np.abs(difference).max() <= 1


@pytest.mark.skipif(not HAS_CUDA, reason="there is no CUDA device here")
def test_a_full_gpu_computes_in_bands_and_then_leaves_it_to_the_cpu():
    pipeline = parse("Conv2d(1, 64, 5) | ReLU | Conv2d(64, 1, 5)")
    network, values = build(pipeline), picture(1000, 1000)
    with torch.inference_mode():
        expected = network(to_tensor(values, 255))[0].numpy()
    total = torch.cuda.get_device_properties(0).total_memory
    for megabytes, warns in ((200, False), (8, True)):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(megabytes * 2**20 / total)
        try:
            device_filter = DeviceFilter(pipeline, network, "cuda:0")
            assert_close(device_filter.filter_picture(values, 255), expected, megabytes)
            assert bool(device_filter.take_warnings()) == warns
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

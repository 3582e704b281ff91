"""What export writes gives, loaded back by others, the pipeline's own output."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.engine.build import build

TEXT = (
    "Conv2d(1, 4, 3, padding=1) | ReLU | MaxPool2d(2) | Filter2d(gaussian(5)) | Conv2d(4, 2, 3, padding_mode='reflect')"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def export(*arguments):
    return CliRunner().invoke(cli, ["export", TEXT, "--size", "40x30", "--seed", "3", *arguments])


def expected():
    x = torch.rand(1, 1, 30, 40) * 255
    return x, build(parse(TEXT), seed=3)(x).numpy()


@pytest.mark.parametrize("ending", ["safetensors", "pt2", "onnx"])
def test_each_kind_of_file_gives_the_same_output(ending):
    done = export("-o", f"w.{ending}")
    assert done.exit_code == 0 and done.stdout == f"w.{ending}\n", done.output
    x, y = expected()
    if ending == "safetensors":
        network = build(parse(TEXT), seed=0)
        network.load_state_dict(load_file("w.safetensors"))
        found = network(x).numpy()
    elif ending == "pt2":
        found = torch.export.load("w.pt2").module()(x).detach().numpy()
    else:
        [found] = onnxruntime.InferenceSession("w.onnx").run(["output"], {"input": x.numpy()})
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-3)


def test_what_cannot_be_written_is_said():
    done = export("-o", "w.pt")
    assert done.exit_code == 2 and "give it the ending .safetensors, .onnx or .pt2" in done.stderr
    done = CliRunner().invoke(cli, ["export", "ReLU", "-o", "w.safetensors"])
    assert done.exit_code == 2 and "has no weights" in done.stderr
    assert not list(Path().iterdir())


def test_without_the_packages_for_onnx_it_says_which_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = export("-o", "w.onnx")
    assert done.exit_code == 2 and "pip install 'convfilter[onnx]'" in done.stderr


def test_a_layer_that_onnx_lacks_is_named_and_nothing_else_is_said():
    command = [sys.executable, "-m", "convfilter", "export", "RReLU", "-o", "w.onnx", "--size", "9x9"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and not Path("w.onnx").exists()
    [line] = done.stderr.splitlines()
    assert line.startswith("convfilter: export to .onnx: PyTorch has no ONNX for this pipeline: it has none for rrelu")

"""Pipelines whose weights come from files give what PyTorch gives with these weights, wherever they are used."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import stacks
import torch
from click.testing import CliRunner
from PIL import Image

from convfilter import PipelineError, parse, run_files
from convfilter.cli.main import cli
from convfilter.engine import tiles
from convfilter.engine.build import activations, build
from convfilter.engine.threads import Threads
from convfilter.explain.layer_table import explain
from convfilter.gray.input_values import InputValues
from convfilter.images.png import read_floats, read_text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def layer_by_layer(network, x):
    for module in network:
        x = module(x.clone())  # the activations are in place
        yield x


def picture(height=120, width=135, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", stacks.KINDS)
@pytest.mark.parametrize("make", [stacks.alexnet, stacks.vgg])
def test_every_layers_activations_are_torchs(make, kind, channels, folder):
    theirs = make(channels)
    path = stacks.save(kind, folder, {f"features.{name}": x for name, x in theirs.state_dict().items()})
    ours = build(parse(stacks.write(theirs, path, "features.")), channels=channels, seed=99)
    x = torch.rand(1, channels, 100, 120) * 255
    for mine, expected in zip(activations(ours, x), layer_by_layer(theirs, x), strict=True):
        assert torch.equal(mine, expected)


@pytest.mark.parametrize("make", [stacks.alexnet, stacks.vgg])
def test_tiles_give_the_same(make, folder):
    theirs = make()
    pipeline = parse(stacks.write(theirs, stacks.save("safetensors", folder, theirs.state_dict())))
    network, values = build(pipeline), picture(700, 500)
    found = tiles.filter_picture(tiles.plan(pipeline, network), values, 255, threads=Threads(2)).floats()
    expected = theirs(torch.from_numpy(values.astype(np.float32))[None, None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def given(layer, shape, tensors, folder):
    """The layer with its tensors from a file and written out, and as PyTorch has it."""
    path = stacks.save("safetensors", folder, tensors)
    text = {name: json.dumps(x.tolist()) for name, x in tensors.items()}
    for write in (lambda name: f"'{path}:{name}'", text.get):
        words = ", ".join(f"{name}={write(name)}" for name in tensors)
        yield parse(f"{layer[:-1]}, {words})")


LAYERS = {
    "Conv2d(2, 4, (3, 2), groups=2, padding=1)": {"weight": (4, 1, 3, 2), "bias": (4,)},
    "Conv2d(2, 3, 3, padding=1, padding_mode='reflect', bias=False)": {"weight": (3, 2, 3, 3)},
    "ConvTranspose2d(2, 4, 3, stride=2, groups=2)": {"weight": (2, 2, 3, 3), "bias": (4,)},
    "ConvTranspose2d(2, 3, (2, 4), bias=False)": {"weight": (2, 3, 2, 4)},
    "PReLU(1)": {"weight": (1,)},
    "PReLU(2)": {"weight": (2,)},
    "InstanceNorm2d(2, affine=True)": {"weight": (2,), "bias": (2,)},
    "InstanceNorm2d(2, affine=True, bias=False)": {"weight": (2,)},
    "InstanceNorm2d(2, track_running_stats=True)": {"running_mean": (2,), "running_var": (2,)},
    "BatchNorm2d(2)": {"weight": (2,), "bias": (2,), "running_mean": (2,), "running_var": (2,)},
    "BatchNorm2d(2, affine=False)": {"running_mean": (2,), "running_var": (2,)},
    "GroupNorm(1, 2)": {"weight": (2,), "bias": (2,)},
    "LayerNorm((9, 11))": {"weight": (9, 11), "bias": (9, 11)},
    "RMSNorm(11)": {"weight": (11,)},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_takes_its_tensors_from_a_file_and_written_out(layer, folder):
    generator = torch.Generator().manual_seed(3)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in LAYERS[layer].items()}
    if "running_var" in tensors:
        tensors["running_var"] = tensors["running_var"].square()
    theirs = eval(f"torch.nn.{layer}").eval()
    theirs.load_state_dict(tensors, strict=False)
    x = torch.randn(1, 2, 9, 11, generator=generator) * 50
    for pipeline in given(layer, (2, 9, 11), tensors, folder):
        y = build(pipeline, channels=2)(x)
        assert torch.equal(y, theirs(x).detach())
        assert parse(str(pipeline)) == pipeline
        values = pipeline.layers[0].effect.values(float(x.min()), float(x.max()), (2, 9, 11))
        assert values is not None and values[0] - 1e-3 <= y.min() and y.max() <= values[1] + 1e-3
        assert set(dict(pipeline.layers[0].effect.tensors)) == set(tensors)


def test_the_interval_is_that_of_the_real_weights(folder):
    np.save("w.npy", np.array([[[[0, -1.0], [3, 0.5]]]], np.float32))
    (row,) = explain(parse("Conv2d(1, 1, 2, bias=[2], weight='w.npy')"), (1, 8, 8), inputs=InputValues(white=1.0)).rows
    assert row.range == (1.0, 5.5)
    transposed = parse("ConvTranspose2d(1, 1, 2, stride=2, bias=False, weight='w.npy')")
    assert explain(transposed, (1, 8, 8), inputs=InputValues(white=1.0)).rows[0].range == (-1.0, 3.5)
    assert explain(parse("Conv2d(1, 1, 2, weight='w.npy')"), (1, 8, 8)).rows[0].range is None  # its bias is random


def test_an_array_of_two_or_three_axes_is_a_kernel_or_a_list_of_them(folder):
    bank = np.arange(18.0).reshape(2, 3, 3)
    np.save("bank.npy", bank)
    np.savez("k.npz", one=bank[1])
    assert torch.equal(build(parse("Filter2d('bank.npy')"))[0].weight[:, 0], torch.from_numpy(bank).float())
    weight = build(parse("Conv2d(2, 3, 3, weight=['bank.npy', edge(3)])"), channels=2)[0].weight
    assert torch.equal(weight[1, 0], torch.from_numpy(bank[1]).float()) and torch.equal(weight[1, 0], weight[1, 1])
    assert weight[2, 0].sum() == 0
    assert torch.equal(build(parse("Conv2d(1, 1, 3, weight='k.npz:one')"))[0].weight[0, 0], weight[1, 0])
    assert torch.equal(build(parse("Filter2d(flip('k.npz:one'))"))[0].weight[0, 0], weight[1, 0].flip(0, 1))


def test_a_file_is_looked_for_from_where_its_pipeline_stands(folder):
    (folder / "inner").mkdir()
    np.save("inner/w.npy", np.ones((1, 1, 2, 2)))
    (folder / "inner" / "p.txt").write_text("Conv2d(1, 1, 2, bias=False, weight='w.npy')")
    pipeline = parse("@inner/p.txt")
    assert str(pipeline) == "Conv2d(1, 1, 2, bias=False, weight='inner/w.npy')" and parse(str(pipeline)) == pipeline


ERRORS = {
    "Conv2d(1, 2, 3, weight='w.npz:a')": "Conv2d: weight has the shape (4, 1, 3, 3), and that of this layer is (2,",
    "Conv2d(1, 4, 3, bias='w.npz:b', weight='w.npz:a')": "Conv2d: bias has the shape (3,), and that of this layer is ",
    "Conv2d(1, 4, 3, weight='w.npz:c')": "Conv2d: weight: w.npz: holds no tensor 'c'; near to it are ",
    "Conv2d(1, 4, 3, weight='w.npz')": "Conv2d: weight: w.npz: holds 4 tensors; name one behind a colon: a, b, nan",
    "Conv2d(1, 4, 3, weight='no.pt:a')": "Conv2d: weight: no.pt: cannot be read: No such file or directory",
    "Conv2d(1, 4, 3, weight='edge')": "'edge' names no weights; write 'FILE:NAME'; a kernel's name stands without quot",
    "Conv2d(1, 1, 3, bias='w.npz:nan')": "w.npz: tensor nan holds NaN, first at (0,)",
    "Filter2d('w.npz:b')": "a kernel is an array of (height, width), or (kernels, height, width), of up to 999",
    "Filter2d(@w.npz)": "w.npz holds no text; write it in quotes, without @: 'w.npz'",
    "ConvTranspose2d(1, 4, 3, weight=edge)": "ConvTranspose2d: weight: expected 'FILE:NAME', or a list of numbers",
    "Conv2d(1, 1, 2, weight=[[[[1, 2], [3]]]])": "expected a list of 2 items, as its neighbour is, and this is 1 item",
    "Conv2d(1, 1, 1, weight=[[[[1e39]]]])": "no weight is larger than 3.4e+38",
    "Conv2d(1, 1, 1, weight=[[[[x]]]])": "expected a number",
    "Conv2d(1, 1, 2, weight=[[[[1]]]])": "Conv2d: weight has the shape (1, 1, 1, 1), and that of this layer is (1",
    "InstanceNorm2d(3, bias='w.npz:b')": "InstanceNorm2d: bias goes with affine=True",
    "InstanceNorm2d(3, running_var='w.npz:b')": "InstanceNorm2d: running_var goes with track_running_stats=True",
    "PReLU(2, weight='w.npz:b')": "PReLU: weight has the shape (3,), and that of this layer is (2,)",
}


@pytest.mark.parametrize("text", ERRORS)
def test_what_does_not_fit_is_said_under_the_argument(text, folder):
    np.savez("w.npz", a=np.ones((4, 1, 3, 3)), b=np.ones(3), nan=np.array([np.nan]), d=np.ones(1))
    with pytest.raises(PipelineError) as error:
        parse(text)
    assert ERRORS[text] in error.value.reason
    place = text[error.value.start : error.value.end]
    assert re.search(r"w\.npz|no\.pt|'edge'|^weight=|^\[3\]$|1e39|^x$|^edge$", place), place


def start(*arguments):
    """Run the program in a process of its own, which prints at its end which large modules it has loaded."""
    code = (
        "import atexit, sys; from convfilter.__main__ import main; "
        "atexit.register(lambda: print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])); main()"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_a_wrong_shape_is_said_without_torch_and_before_any_picture(folder):
    np.savez("w.npz", a=np.ones((4, 1, 3, 3)))
    done = start("run", "Conv2d(1, 2, 3, weight='w.npz:a')", "missing.png")
    assert done.returncode == 2 and "has the shape" in done.stderr and done.stdout == "[]\n"
    np.savez("w.npz", a=np.full((2, 1, 3, 3), np.nan))
    done = start("run", "Conv2d(1, 2, 3, weight='w.npz:a')", "missing.png")
    assert done.returncode == 2 and "holds NaN" in done.stderr and done.stdout == "['numpy']\n"
    assert [path.name for path in folder.iterdir()] == ["w.npz"]


def test_flat_pictures_stay_flat(folder):
    Image.fromarray(np.full((20, 30), 7, np.uint8)).save("flat.png")
    np.save("w.npy", np.random.default_rng(0).standard_normal((1, 1, 9, 9)))
    [result] = run_files("Conv2d(1, 1, 9, bias=False, weight='w.npy')", "flat.png", jobs=1)
    assert any("is flat" in note for note in result.notes)


def test_a_png_says_which_files_the_weights_are_from(folder):
    import hashlib

    Image.fromarray(picture(20, 30)).save("a.png")
    np.save("w.npy", np.ones((1, 1, 2, 2)))
    np.savez("k.npz", a=np.ones((2, 2)))
    text = "Conv2d(1, 1, 2, bias=False, weight='w.npy') | Filter2d('k.npz:a')"
    [result] = run_files(text, "a.png", jobs=1)
    said = read_text(result.outputs[0])
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("w.npy", "k.npz")]
    assert said["convfilter:weights"] == f"w.npy (SHA-256 {digests[0]}), k.npz (SHA-256 {digests[1]})"
    assert said["convfilter:pipeline"] == str(parse(text))
    assert len(read_floats(result.outputs[0])) == 2
    [result] = run_files("edge", "a.png", jobs=1)
    assert "convfilter:weights" not in read_text(result.outputs[0])


def test_explain_and_report_take_weights_from_files(folder):
    Image.fromarray(picture(20, 30)).save("a.png")
    np.save("w.npy", np.ones((1, 1, 2, 2)))
    text = "Conv2d(1, 1, 2, bias=False, weight='w.npy') | PReLU(1, weight=[0.5]) | Filter2d(flip('w.npy'))"
    np.save("w.npy", np.ones((1, 1, 2, 2)))
    done = CliRunner().invoke(cli, ["explain", text.rpartition(" |")[0], "--json"])
    assert json.loads(done.stdout)["layers"][0]["range"] == [0, 1020]
    np.save("k.npy", np.ones((2, 2)))
    text = text.replace("flip('w.npy')", "flip('k.npy'), 'k.npy'")
    done = CliRunner().invoke(cli, ["explain", text, "--image", "a.png", "--pixel", "3,4"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(cli, ["report", text, "a.png"])
    assert done.exit_code == 0 and (folder / done.stdout.strip()).stat().st_size > 10_000, done.output
    for command in (["run", text, "a.png", "--grid"], ["run", text, "a.png", "--steps"]):
        assert CliRunner().invoke(cli, command).exit_code == 0

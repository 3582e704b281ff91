"""--weights: which tensor of a file goes to which layer, and what is said where one is missing."""

import json

import numpy as np
import pytest
import stacks
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from convfilter import UsageError, parse, run_files
from convfilter.cli.main import cli
from convfilter.engine.build import activations, build
from convfilter.images.png import read_text
from convfilter.language.load_weights import load_weights
from convfilter.weights.tensors import WeightsError

ALEXNET = " | ".join(
    [
        *("Conv2d({}, 8, 11, stride=4, padding=2)", "ReLU", "MaxPool2d(3, 2)"),
        *("Conv2d(8, 24, 5, padding=2)", "ReLU", "MaxPool2d(3, 2)", "Conv2d(24, 48, 3, padding=1)", "ReLU"),
        *("Conv2d(48, 32, 3, padding=1)", "ReLU", "Conv2d(32, 32, 3, padding=1)", "ReLU", "MaxPool2d(3, 2)"),
    ]
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tensors(network, rename="features.{}"):
    found = {rename.format(name): x for name, x in network.state_dict().items()}
    return found | {"classifier.1.weight": torch.zeros(10, 32), "classifier.1.bias": torch.zeros(10)}


def check(pipeline, network, channels=1):
    """That every layer gives what torch's gives."""
    x = torch.rand(1, channels, 90, 110) * 255
    y = x
    for mine, module in zip(activations(build(pipeline, channels=channels, seed=5), x), network, strict=True):
        y = module(y.clone())
        assert torch.equal(mine, y)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", stacks.KINDS)
def test_a_network_gets_its_weights_from_every_kind_of_file(kind, channels, folder):
    network = stacks.alexnet(channels)
    path = stacks.save(kind, folder, tensors(network))
    printed = f"AlexNet((features): {network})"
    for text in (ALEXNET.format(channels), printed):
        pipeline, matches = load_weights(parse(text), path)
        assert [match.name for match in matches] == [f"features.{name}" for name in network.state_dict()]
        assert parse(str(pipeline)) == pipeline
        check(pipeline, network, channels)


@pytest.mark.parametrize(
    ("rename", "prefix"),
    [
        ("{}", None), ("model.features.{}", None), ("features.{}", "features."), ("module.features.{}", "features."),
        ("_orig_mod.features.{}", None),
    ],
)  # fmt: skip
def test_prefixes_are_found_or_given(rename, prefix, folder):
    network = stacks.vgg()
    file = {rename.format(name): x for name, x in network.state_dict().items()}
    torch.save(file, "w.pt")
    pipeline, _ = load_weights(parse(str(network)), "w.pt", prefix)
    check(pipeline, network)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_names_that_say_nothing_are_taken_in_order(kind, folder):
    network = nn.Sequential(*[module for _ in range(6) for module in (nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())])
    network = nn.Sequential(*network, nn.Conv2d(1, 2, 3, bias=False)).requires_grad_(False)
    convolutions = [module for module in network if isinstance(module, nn.Conv2d)]
    file = {f"block{2 * i + 1}.c.{name}": x for i, m in enumerate(convolutions) for name, x in m.state_dict().items()}
    extra = {"head.weight": torch.zeros(3, 3), "block0.running": torch.ones(1), "block3.other": torch.ones(9)}
    path = stacks.save(kind, folder, {**extra, **file} if kind == "pt" else file)
    pipeline, matches = load_weights(parse(str(network)), path)
    assert [match.name for match in matches] == list(file)
    check(pipeline, network)


def test_in_order_a_module_with_a_bias_is_not_that_of_a_layer_without():
    torch.save({"a.weight": torch.ones(1, 1, 3, 3), "a.bias": torch.ones(1), "b.weight": torch.zeros(1, 1, 3, 3)}, "w")
    _, [match] = load_weights(parse("Conv2d(1, 1, 3, bias=False)"), "w")
    assert match.name == "b.weight"


def test_what_the_text_gives_stays():
    torch.save({"0.weight": torch.ones(1, 1, 3, 3), "0.bias": torch.ones(1)}, "w.pt")
    pipeline, matches = load_weights(parse("Conv2d(1, 1, 3, weight=[sharpen])"), "w.pt")
    assert [match.tensor for match in matches] == ["bias"] and len(pipeline.layers[0].kernels) == 1
    assert str(pipeline) == "Conv2d(1, 1, 3, bias='w.pt:0.bias', weight=[sharpen])"
    assert load_weights(pipeline, "w.pt") == (pipeline, ())
    with pytest.raises(UsageError, match="no layer of this pipeline has weights that could be loaded"):
        load_weights(parse("sobel | ReLU"), "w.pt")


ERRORS = {
    ("Conv2d(1, 8, 5) | ReLU | Conv2d(8, 4, 3) | Conv2d(4, 4, 1)", None): (
        r"w.pt: holds no tensor features\.2\.weight of the shape \(4, 8, 3, 3\) for layer 2, Conv2d; near to it are "
        r"features\.3\.weight, features\.0\.weight, features\.3\.bias; --prefix says what stands before"
    ),
    ("Conv2d(1, 4, 5) | ReLU | Identity | Conv2d(4, 4, 3)", None): (
        r"w.pt: features\.0\.weight has the shape \(8, 1, 5, 5\), and that of layer 0, Conv2d is \(4, 1, 5, 5\)$"
    ),
    ("Conv2d(1, 8, 5)", "feature."): r"holds no tensor feature\.0\.weight .* near to it are features\.0\.weight",
    ("PReLU(7)", None): r"features\.0\.weight has the shape \(8, 1, 5, 5\), and that of layer 0, PReLU is \(7,\)$",
    ("ReLU | PReLU(7)", None): r"holds no tensor 1\.weight of the shape \(7,\) for layer 1, PReLU; near to it are feat",
}


@pytest.mark.parametrize(("text", "prefix"), ERRORS)
def test_a_missing_tensor_is_an_error_that_lists_names_near_to_it(text, prefix):
    network = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.ReLU(), nn.Conv2d(8, 4, 3))
    torch.save({f"features.{name}": x for name, x in network.state_dict().items()}, "w.pt")
    with pytest.raises(WeightsError, match=ERRORS[text, prefix]):
        load_weights(parse(text), "w.pt", prefix)


def test_nan_is_refused_before_any_picture():
    torch.save({"0.weight": torch.full((1, 1, 3, 3), torch.nan), "0.bias": torch.ones(1)}, "w.pt")
    done = CliRunner().invoke(cli, ["run", "Conv2d(1, 1, 3)", "--weights", "w.pt", "missing.png"])
    assert done.exit_code == 2 and done.stderr == "convfilter: w.pt: tensor 0.weight holds NaN, first at (0, 0, 0, 0)\n"


def test_the_command_line_takes_them_everywhere(folder):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)).requires_grad_(False)
    torch.save({f"net.{name}": x for name, x in network.state_dict().items()}, "w.pt")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)).save("a.png")
    text = "Conv2d(1, 2, 3) | ReLU | Conv2d(2, 2, 3)"
    weights = ["--weights", "w.pt"]
    invoke = CliRunner().invoke
    done = invoke(cli, ["run", text, "a.png", "-v", "--prefix", "net.", *weights])
    assert "layer 2, Conv2d: bias is net.2.bias (2,)\n" in done.stderr, done.output
    written = str(load_weights(parse(text), "w.pt")[0])
    assert read_text(done.stdout.split()[0])["convfilter:pipeline"] == written
    [result] = run_files(text, "a.png", weights=folder / "w.pt", format="npy", exact=True, jobs=1)
    x = torch.from_numpy(np.array(Image.open("a.png"), np.float32))[None, None]
    np.testing.assert_array_equal(np.load(result.outputs[1]), network(x)[0, 1].numpy())
    done = invoke(cli, ["run", text, "a.png", "--until", "0", "-v", *weights])
    assert done.exit_code == 0 and "net.0.bias" in done.stderr and "is net.2.bias" not in done.stderr
    done = invoke(cli, ["explain", text, "--json", *weights])
    assert json.loads(done.stdout)["layers"][2]["range"] is not None
    done = invoke(cli, ["explain", text, "--code", *weights])
    assert 'network[2].bias[:] = weights["net.2.bias"]' in done.stdout
    assert invoke(cli, ["report", text, "a.png", *weights]).exit_code == 0
    done = invoke(cli, ["block", "a.png", *weights])
    assert done.exit_code == 2 and "and that of layer 0, LazyConv2d is (8, 1, 3, 3)" in done.stderr
    done = invoke(cli, ["run", text, "a.png", "--prefix", "net."])
    assert done.exit_code == 2 and "--prefix goes with --weights" in done.stderr


def test_a_block_with_batch_normalisation_gets_all_its_tensors():
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    network.requires_grad_(False).train()
    for _ in range(5):
        network(torch.rand(8, 1, 20, 20) * 255)  # so that it has numbers of its own
    network.eval()
    torch.save({f"net.{name}": x for name, x in network.state_dict().items()}, "w.pt")
    for text in (str(network), "LazyConv2d(4, 3, bias=False) | LazyBatchNorm2d | ReLU | LazyConv2d(2, 1)"):
        pipeline, matches = load_weights(parse(text), "w.pt")
        assert [match.name for match in matches] == [f"net.{n}" for n in network.state_dict() if "batches" not in n]
        check(pipeline, network)
        assert parse(str(pipeline)) == pipeline and not any(layer.is_untrained for layer in pipeline.layers)


def test_colour_weights_of_a_file_are_summed_for_gray_pictures(folder):
    network = stacks.vgg(3)
    torch.save(network.state_dict(), "w.pt")
    values = np.random.default_rng(0).integers(0, 256, (60, 70), np.uint8)
    Image.fromarray(values).save("a.png")
    options = {"weights": "w.pt", "gray_weights": True, "format": "npy", "exact": True, "jobs": 1}
    [result] = run_files(str(network), "a.png", **options)
    expected = network(torch.from_numpy(values.astype(np.float32)).expand(1, 3, -1, -1))
    np.testing.assert_allclose(np.load(result.outputs[1]), expected[0, 1], rtol=1e-4, atol=1e-3)


def test_a_name_that_nearly_matches_is_listed_first_where_its_shape_fits():
    weight, other = torch.zeros(4, 1, 3, 3), torch.zeros(2, 4, 3, 3)
    torch.save({"2.weight": other, "3.weight": other, "0.weigth": weight, "0.bias": torch.zeros(4)}, "w.pt")
    with pytest.raises(WeightsError, match=r"no tensor 0\.weight .*; near to it are 0\.weigth, "):
        load_weights(parse("Conv2d(1, 4, 3)"), "w.pt")


def test_no_file_is_said_so():
    done = CliRunner().invoke(cli, ["run", "Conv2d(1, 4, 3)", "a.png", "--weights", ""])
    assert done.exit_code == 2 and "no file is named" in done.stderr
    for text in ("''", "':0.weight'", "':'"):
        done = CliRunner().invoke(cli, ["run", f"Conv2d(1, 4, 3, weight={text})", "a.png"])
        assert done.exit_code == 2 and f"{text} names no weights; write 'FILE:NAME'" in done.stderr, done.stderr

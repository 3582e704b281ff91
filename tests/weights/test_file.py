"""Files as PyTorch, numpy and safetensors write them, read without them and compared with what they read."""

import argparse
import pickle
import textwrap
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from torch import nn

from convfilter.weights.file import open_weights, split_name
from convfilter.weights.tensors import WeightsError
from convfilter.weights.values import read_values


def state_dict():
    """Tensors of many types, dense and strided, of no axis and of no number."""
    torch.manual_seed(1)
    return {
        "conv.weight": torch.randn(4, 2, 3, 3),
        "conv.bias": torch.randn(4).half(),
        "turned": torch.randn(5, 7).t(),
        "part": torch.randn(6, 6)[1:5:2, ::3],
        "brain": torch.randn(3, 5).bfloat16(),
        "expanded": torch.ones(1).expand(3, 2),
        "double": torch.randn(3).double(),
        "bn.num_batches_tracked": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "nothing": torch.zeros(0, 3),
        "nan-free": torch.full((2, 2), -0.0),
    }


def write(kind, path, tensors):
    if kind == "pt":
        torch.save(tensors, path)
    elif kind == "protocol 5":
        torch.save(tensors, path, pickle_protocol=5)
    elif kind == "legacy":
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    elif kind == "safetensors":
        safetensors.torch.save_file({name: x.contiguous() for name, x in tensors.items()}, path)
    else:
        arrays = {name: x.float().numpy() if x.dtype == torch.bfloat16 else x.numpy() for name, x in tensors.items()}
        (np.savez_compressed if kind == "compressed" else np.savez)(open(path, "wb"), **arrays)  # noqa: SIM115


@pytest.mark.parametrize("kind", ["pt", "protocol 5", "legacy", "safetensors", "npz", "compressed"])
def test_every_kind_of_file_gives_the_tensors_that_were_saved(kind, tmp_path):
    tensors, path = state_dict(), tmp_path / ("w.safetensors" if kind == "safetensors" else "w.bin")
    write(kind, path, tensors)
    file = open_weights(path)
    assert set(file.tensors) == set(tensors)
    if kind != "safetensors":  # which sorts by type
        assert list(file.tensors) == list(tensors)
    for name, tensor in tensors.items():
        found = file.find(name)
        assert found.shape == tuple(tensor.shape)
        if kind not in ("npz", "compressed"):
            assert f"torch.{found.dtype}" == str(tensor.dtype)
        values = read_values(file, found)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, tensor.float().numpy(), strict=True)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_wrappers_are_opened(wrapper, tmp_path):
    torch.save({"epoch": 3, wrapper: {"0.weight": torch.ones(2)}, "optimizer": {"state": {}}}, tmp_path / "w.pt")
    file = open_weights(tmp_path / "w.pt")
    assert (list(file.tensors), file.opened, file.left_out) == (["0.weight"], wrapper, ("epoch", "optimizer"))


def test_a_module_called_model_is_no_wrapper_where_it_is_part_of_the_names(tmp_path):
    torch.save({"model.0.weight": torch.ones(2), "model": "resnet"}, tmp_path / "w.pt")
    assert list(open_weights(tmp_path / "w.pt").tensors) == ["model.0.weight"]


def test_dictionaries_inside_each_other_give_names_with_dots(tmp_path):
    torch.save({"encoder": {"w": torch.ones(1)}, "layers": [torch.ones(2)]}, tmp_path / "w.pt")
    assert list(open_weights(tmp_path / "w.pt").tensors) == ["encoder.w", "layers.0"]


def test_what_training_puts_before_the_names_is_left_off(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    compiled = {f"module._orig_mod.{name}": x for name, x in network.state_dict().items()}
    torch.save(compiled, tmp_path / "w.pt")
    file = open_weights(tmp_path / "w.pt")
    assert list(file.tensors) == ["0.weight", "0.bias"]
    assert file.find("module._orig_mod.0.weight") is file.find("0.weight")


def test_module_stays_where_only_some_names_begin_so(tmp_path):
    torch.save({"module.w": torch.ones(1), "other.w": torch.ones(1)}, tmp_path / "w.pt")
    assert list(open_weights(tmp_path / "w.pt").tensors) == ["module.w", "other.w"]


def test_parameters_modules_state_dicts_and_plain_values_beside_them_are_read(tmp_path):
    import collections

    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    rest = {"p": nn.Parameter(torch.ones(2)), "c": collections.Counter("aab"), "s": {1, 2}, "b": b"bytes", "x": 2j}
    rest |= {"device": torch.device("cpu"), "dtype": torch.float16, "size": torch.Size([2]), "tuple": (1, [None, True])}
    torch.save({"model": network.state_dict(), **rest}, tmp_path / "w.pt")
    assert list(open_weights(tmp_path / "w.pt").tensors) == list(network.state_dict())
    torch.save(rest, tmp_path / "r.pt")
    assert list(open_weights(tmp_path / "r.pt").tensors) == ["p"]


def test_one_tensor_needs_no_name_and_several_do(tmp_path):
    np.save(tmp_path / "w.npy", np.asfortranarray(np.arange(6.0).reshape(2, 3).astype(">f8")))
    file = open_weights(tmp_path / "w.npy")
    np.testing.assert_array_equal(read_values(file, file.find()), [[0, 1, 2], [3, 4, 5]])
    np.savez(tmp_path / "w.npz", a=np.ones(1), b=np.ones(1))
    with pytest.raises(WeightsError, match="holds 2 tensors; name one behind a colon: a, b"):
        open_weights(tmp_path / "w.npz").find()


def test_a_wrong_name_is_answered_with_names_near_to_it(tmp_path):
    torch.save({"conv1.weight": torch.ones(1), "conv2.weight": torch.ones(1), "fc.bias": torch.ones(1)}, tmp_path / "w")
    with pytest.raises(WeightsError, match=r"no tensor 'conv3\.weight'; near to it are conv2\.weight, conv1\.weight$"):
        open_weights(tmp_path / "w").find("conv3.weight")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("kind", ["npy", "safetensors", "pt"])
def test_numbers_that_no_weight_can_be_are_refused(value, kind, tmp_path):
    path, values = tmp_path / f"w.{kind}", np.array([[0.0, 1.0], [value, 0.0]])
    if kind == "npy":
        np.save(path, values)
    elif kind == "pt":
        torch.save({"w": torch.from_numpy(values)}, path)
    else:
        safetensors.numpy.save_file({"w": values}, path)
    file = open_weights(path)
    with pytest.raises(WeightsError, match=r"w\.(npy|pt|safetensors): .*holds (NaN|infinity, .*), first at \(1, 0\)"):
        read_values(file, file.find())


def test_a_file_that_changes_after_it_was_looked_at_is_refused(tmp_path):
    np.save(tmp_path / "w.npy", np.ones(4))
    file = open_weights(tmp_path / "w.npy")
    np.save(tmp_path / "w.npy", np.ones(5))
    with pytest.raises(WeightsError, match="has changed"):
        read_values(file, file.find())


def test_the_lines_that_an_error_gives_take_the_tensors_out(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    tied = network.state_dict() | {"tied": network[0].weight}
    for name, content in {
        "args.pt": {"args": argparse.Namespace(lr=1), "state_dict": tied},
        "module.pt": network,
        "wrapped.pt": {"model": network, "epoch": 1},
    }.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(WeightsError) as refused:
            open_weights(tmp_path / name)
        lines = [line.removeprefix("  ") for line in str(refused.value).splitlines()[2:]]
        exec("\n".join(lines), {})
        file = open_weights((tmp_path / name).with_suffix(".safetensors"))
        np.testing.assert_array_equal(read_values(file, file.find("0.weight")), network[0].weight.detach().numpy())


def test_the_digest_is_that_of_the_whole_file(tmp_path):
    import hashlib

    np.save(tmp_path / "w.npy", np.ones(4))
    assert open_weights(tmp_path / "w.npy").digest == hashlib.sha256((tmp_path / "w.npy").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "parts"),
    {
        "model.pth.tar:conv1.weight": ("model.pth.tar", "conv1.weight"),
        "a:b.safetensors:w": ("a:b.safetensors", "w"),
        "w.npy": ("w.npy", ""),
        "noending:w": ("noending", "w"),
        "noending": ("noending", ""),
    }.items(),
)
def test_a_file_and_a_name_are_told_apart(text, parts):
    assert split_name(text) == parts


@pytest.mark.parametrize("kind", ["zip", "legacy", "wrapped", "pickle", "arrays"])
def test_the_lines_that_take_tensors_out_of_a_file_work(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3))
    network = network.to(memory_format=torch.channels_last).requires_grad_(False)  # safetensors takes no such strides
    if kind in ("zip", "legacy"):
        torch.save(network, "w.pt", _use_new_zipfile_serialization=kind == "zip")
    elif kind == "wrapped":
        torch.save({"model": network, "epoch": 3}, "w.pt")
    else:
        tensors = {name: x.numpy() if kind == "arrays" else x for name, x in network.state_dict().items()}
        Path("w.pt").write_bytes(pickle.dumps({"state_dict": tensors}))
    with pytest.raises(WeightsError, match="nothing that a file names is run here") as error:
        open_weights("w.pt")
    lines = str(error.value).partition("Python:\n")[2]
    exec(textwrap.dedent(lines), {})
    found = open_weights("w.safetensors")
    for name, x in network.state_dict().items():
        assert np.array_equal(read_values(found, found.find(name)), x)

"""Scripts whose weights come from files, or are written out, give the program's own pixels."""

import numpy as np
import pytest
import stacks
from PIL import Image
from torch import nn

from convfilter import parse, run_files
from convfilter.export.script import write_script
from convfilter.run.options import Options


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    Image.fromarray(values).save("a.png")
    return tmp_path


def compare(text):
    """Run the program and its script; return the script, and how many files both wrote, with the same pixels."""
    [result] = run_files(text, "a.png", exact=True, jobs=1)
    theirs = {path: np.array(Image.open(path)) for path in result.outputs}
    for path in theirs:
        Image.new("L", (1, 1)).save(path)
    code = write_script(parse(text), "a.png", options=Options())
    exec(compile(code, "script", "exec"), {})
    for path, pixels in theirs.items():
        np.testing.assert_array_equal(np.array(Image.open(path)), pixels, err_msg=code)
    return code, len(theirs)


@pytest.mark.parametrize("kind", [*stacks.KINDS, "npy"])
def test_the_script_loads_the_file_and_writes_the_same_pixels(kind, folder):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(4), nn.ConvTranspose2d(4, 1, 2, stride=2)).requires_grad_(
        False
    )
    tensors = network.state_dict()
    if kind == "npy":
        for name, x in tensors.items():
            np.save(name, x.numpy())
        find = "{}.npy".format
    else:
        path = stacks.save(kind, folder, tensors)
        find = f"{path}:{{}}".format
    text = (
        f"Conv2d(1, 4, 3, weight='{find('0.weight')}', bias='{find('0.bias')}') | PReLU(4, weight='{find('1.weight')}')"
        f" | ConvTranspose2d(4, 1, 2, stride=2, weight='{find('2.weight')}', bias='{find('2.bias')}')"
    )
    code, count = compare(text)
    assert count == 1 and code.count("weights = ") == (kind != "npy") and "weights_only=False" not in code


def test_the_script_holds_weights_that_are_written_out(folder):
    code, count = compare("Conv2d(1, 2, 2, bias=False, weight=[[[[0.1, 1e-7], [3, 4]]], [[[5, 6], [7, 8.5]]]])")
    assert (
        count == 2 and "network[0].weight[:] = torch.tensor([0.1, 1e-07, 3, 4, 5, 6, 7, 8.5]).view(2, 1, 2, 2)" in code
    )

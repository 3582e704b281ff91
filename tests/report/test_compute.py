"""The layers' arithmetic in the page's script, on whole tensors: against torch, on random layers of every kind."""

import os
import random
import shutil

import numpy as np
import pytest
import torch
from random_layers import LAYERS as MAKERS
from random_layers import write

from convfilter import PipelineError, parse
from convfilter.engine.build import build
from convfilter.layers.catalogue import LAYERS
from convfilter.report.scripts import read_script
from convfilter.report.values import describe, weights_of

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("chromium is not installed", allow_module_level=True)
sync_api = (
    pytest.importorskip("playwright.sync_api")
    if not os.environ.get("CI")
    else __import__("playwright.sync_api").sync_api
)

EACH = 8  # random layers of each kind
RUN = """cases => cases.map(({layer, input, shape, output, weights}) =>
    [...TENSORS.forward(layer, {shape, data: Float32Array.from(input)}, output, Float32Array.from(weights)).data])"""


@pytest.fixture(scope="module")
def page():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page()
        page.goto("about:blank")
        for name in ("axes.js", "curves.js", "compute.js"):
            page.add_script_tag(content=read_script(name))
        yield page
        chromium.close()


def test_random_layers_of_every_kind_are_torchs(page):
    rng, cases, expected = random.Random(5), [], []
    generator = torch.Generator().manual_seed(5)
    for name in LAYERS:
        made = 0
        while made < EACH and name != "FractionalMaxPool2d":
            shape = (rng.randint(1, 6), rng.randint(4, 17), rng.randint(4, 17))
            text = write(rng, name, MAKERS[name](rng, *shape))
            try:
                output = parse(text).shapes(shape)[0]
            except PipelineError:
                continue
            x = torch.rand(1, *shape, generator=generator) * 8 - 4
            layer, network = parse(text).layers[0], build(parse(text), channels=shape[0])
            weights = weights_of(network[0])
            cases.append(
                {
                    "layer": describe(layer, network[0], x[0], output),
                    "input": x.flatten().tolist(),
                    "shape": shape,
                    "output": output,
                    "weights": [] if weights is None else weights.flatten().tolist(),
                }
            )
            expected.append((text, shape, network(x)[0].flatten().numpy()))
            made += 1
    for result, (text, shape, values) in zip(page.evaluate(RUN, cases), expected, strict=True):
        np.testing.assert_allclose(np.array(result), values, rtol=1e-5, atol=1e-5, err_msg=f"{text} on {shape}")

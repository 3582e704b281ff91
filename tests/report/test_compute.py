"""The page's scripts without the page: pipelines, shapes, sums, errors and values as Python and torch have them."""

import random

import numpy as np
import pytest
import torch
from random_layers import LAYERS as MAKERS
from random_layers import spoil, write
from random_pipelines import random_pipeline

from convfilter import PipelineError, parse
from convfilter.engine.build import activations, build
from convfilter.explain.channel_names import channel_names, label_channel
from convfilter.explain.layer_table import explain
from convfilter.gray.scale import keeps_scale
from convfilter.layers.catalogue import LAYERS
from convfilter.report.page import _json
from convfilter.report.scripts import read_script
from convfilter.report.vocabulary import write_vocabulary

EACH = 8  # random layers of each kind
SCRIPTS = ("axes.js", "curves.js", "compute.js", "random.js", "pipeline.js")
FOLLOW = """([vocabulary, cases]) => {
    const pipelines = makePipelines(JSON.parse(vocabulary));
    return cases.map(([text, shape, values, seed]) => {
        let layers;
        try {
            layers = pipelines.parse(text);
        } catch (problem) {
            if (!(problem instanceof Problem)) throw problem;
            return { rows: [], error: { reason: problem.message } };
        }
        const { rows, error } = pipelines.follow(layers, shape, seed);
        let tensor = values && { shape, data: Float32Array.from(values) };
        const outputs = [];
        for (const { about, shape, weights } of values ? rows : []) {
            tensor = TENSORS.forward(about, tensor, shape, weights);
            outputs.push([...tensor.data]);
        }
        return {
            rows: rows.map(({ layer, shape, sums, field, names, parameters, about: { keeps_scale } }) => (
                { text: pipelines.writeLayer(layer), shape, sums, field, names, parameters, keeps_scale })),
            error, outputs, text: pipelines.write(layers),
        };
    });
}"""


@pytest.fixture(scope="module")
def follow(browser):
    """Return a function that gives for each (text, shape, values, seed) what the page's scripts make of it."""
    page = browser.new_page()
    page.goto("about:blank")
    page.add_script_tag(content="\n".join(map(read_script, SCRIPTS)))
    yield lambda cases, known="ReLU": page.evaluate(FOLLOW, [_json(write_vocabulary(parse(known))), cases])
    page.close()


def random_texts(rng, name, *, spoiled: bool):
    """Texts of one layer with the shapes that it is to take; most of them fit."""
    for _ in range(EACH):
        shape = (rng.randint(1, 6), rng.randint(4, 17), rng.randint(4, 17))
        arguments = MAKERS[name](rng, *shape)
        arguments = spoil(rng, arguments) if spoiled else arguments
        if not isinstance(arguments.get("bias"), str):  # that names a file, which a page cannot open
            yield write(rng, name, arguments), shape


def python_says(text, shape) -> dict:
    try:
        parse(text).shapes(shape)
        explained = explain(parse(text), shape)
    except PipelineError as problem:
        return {"rows": [], "error": problem.reason.replace(".0", "")}  # JavaScript has no 1.0
    rows = [
        {
            "text": str(row.layer),
            "shape": list(row.output),
            "sums": list(row.sums),
            "field": list(row.receptive_field),
            "names": [label_channel(*pair) for pair in enumerate(channel_names(parse(text), number, shape[0]))],
            "parameters": row.parameters,
            "keeps_scale": keeps_scale(row.layer),
        }
        for number, row in enumerate(explained.rows)
    ]
    return {"rows": rows, "error": None}


def arguments_of(text) -> list:
    """What a text means; 1 and 1.0 are alike, which JavaScript does not tell apart."""
    return [(layer.name, layer.args, layer.arguments) for layer in parse(text).layers]


@pytest.mark.parametrize("spoiled", [False, True])
def test_what_is_said_of_random_layers_is_what_python_says(follow, spoiled):
    rng, cases = random.Random(3 + spoiled), []
    for name in LAYERS:
        cases += [(text, shape, None, 0) for text, shape in random_texts(rng, name, spoiled=spoiled)]
    errors = 0
    for (text, shape, *_), said in zip(cases, follow(cases, "edge | roberts_a | box(2)"), strict=True):
        expected = python_says(text, shape)
        reason = said["error"] and said["error"]["reason"].replace(".0", "")
        errors += reason is not None
        assert (reason is None) == (expected["error"] is None), f"{text} on {shape}"
        assert (expected["error"] or "").startswith(reason or ""), f"{text} on {shape}"  # it may say what to write, too
        for row, python in zip(said["rows"], expected["rows"], strict=True):
            assert arguments_of(row.pop("text")) == arguments_of(python.pop("text")), text
            assert row == python, f"{text} on {shape}"
    assert errors > 100 if spoiled else errors < 150


def test_random_layers_of_every_kind_are_torchs(follow):
    rng, cases, expected = random.Random(5), [], []
    generator = torch.Generator().manual_seed(5)
    for name in LAYERS:
        for text, shape in random_texts(rng, name, spoiled=False):
            try:
                parse(text).shapes(shape)
            except PipelineError:
                continue
            x, seed = torch.rand(1, *shape, generator=generator) * 8 - 4, rng.randrange(1 << 40)
            cases.append((text, shape, x.flatten().tolist(), seed))
            expected.append(build(parse(text), channels=shape[0], seed=seed)(x)[0].flatten().numpy())
    assert len(cases) > 5 * len(LAYERS)
    for (text, shape, *_), said, values in zip(cases, follow(cases), expected, strict=True):
        assert said["error"] is None, text
        np.testing.assert_allclose(said["outputs"][0], values, rtol=1e-5, atol=1e-5, err_msg=f"{text} on {shape}")


def test_given_tensors_and_cropped_circles_are_torchs(follow):
    generator, cases, expected = torch.Generator().manual_seed(7), [], []
    given = "weight=[2, -1], bias=[3, 0.5]"
    for text in (
        f"BatchNorm2d(2, running_mean=[1, 2], running_var=[4, 0.25], {given})",
        f"InstanceNorm2d(2, affine=True, {given})",
        f"GroupNorm(1, 2, {given})",
        "PReLU(2, weight=[0.5, -2])",
        "CircularPad2d((3, -2, -1, 4))",
        "CircularPad2d((-2, 3, 4, -1))",
    ):
        x = torch.rand(1, 2, 7, 6, generator=generator) * 8 - 4
        cases.append((text, (2, 7, 6), x.flatten().tolist(), 0))
        expected.append(build(parse(text), channels=2)(x)[0].flatten().detach().numpy())
    for (text, *_), answer, values in zip(cases, follow(cases), expected, strict=True):
        assert answer["error"] is None, text
        np.testing.assert_allclose(answer["outputs"][0], values, rtol=1e-5, atol=1e-5, err_msg=text)


def test_random_pipelines_are_pythons_and_torchs(follow):
    rng, shape = random.Random(11), (1, 30, 34)
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(2)) * 4
    pipelines = [random_pipeline(rng, shape, most=6) for _ in range(60)]
    known = " | ".join(f"Filter2d({text})" for text in ("roberts_a", "box(2)", "gaussian(3)", "emboss", "edge"))
    said = follow([(str(one), shape, x.flatten().tolist(), 7) for one in pipelines], known)
    for pipeline, one in zip(pipelines, said, strict=True):
        expected = python_says(str(pipeline), shape)
        assert [row["sums"] for row in one["rows"]] == [row["sums"] for row in expected["rows"]], pipeline
        assert [row["field"] for row in one["rows"]] == [row["field"] for row in expected["rows"]], pipeline
        assert arguments_of(one["text"]) == arguments_of(str(pipeline))
        largest = 4.0  # of all values so far: what rounding is of
        for values, tensor in zip(one["outputs"], activations(build(pipeline, seed=7), x), strict=True):
            largest = max(largest, tensor[tensor.isfinite()].abs().max().item())
            np.testing.assert_allclose(values, tensor.flatten(), rtol=1e-5, atol=1e-5 * largest, err_msg=str(pipeline))

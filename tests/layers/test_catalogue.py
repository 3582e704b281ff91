import inspect
import random
import re
import warnings

import pytest
import random_layers
import torch
from torch import nn

from convfilter import PipelineError, parse
from convfilter.engine.build import build
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.entry import Computes
from convfilter.layers.given import TENSORS

OWN = {"Filter2d", "Magnitude"}
SIZES = (1, 2, 3, 5, 7, 9, 13), (1, 2, 3, 5, 8, 11, 15)

# What PyTorch takes and this program refuses, and why.
DELIBERATE = (
    "must be True or False",  # PyTorch takes 1, "no" and None for a flag
    "not (True|False|None)$",  # and a flag, or nothing, for a number
    r"must be one number or a pair .*, not \(\d+,\)$",  # (3,), where a pair is meant
    r"must be one number or four .*, not \(",  # (left, right) pads a row of pixels only
    "InstanceNorm2d: it takes",  # PyTorch warns, and goes on with other channels
    "(GroupNorm|BatchNorm2d|SyncBatchNorm): it takes",  # as do those that neither keep nor learn numbers
    "size must be a whole number",  # and not 1e30
    "dim must be 1",  # over rows, columns or the batch
    "(num_features|num_channels|num_groups) must be a whole number",
    "beta must not be 0",  # a Softplus of infinity
    "eps must be at least 0",  # a root of a negative number on a flat picture
    "kernel_size must be a whole number .*, not (0|-1)$",  # windows that see nothing
    r"bias holds 1 number,",  # one number for all: that is bias=0.5
    "num_parameters must be a whole number",
    "must be no larger than",
)


def torch_says(name, arguments, shape):
    """The shape that PyTorch gives, or None where it refuses or gives nothing."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = random_layers.by_hand(name, arguments).eval()
            y = module(torch.rand(1, *shape))
    except (RuntimeError, ValueError, TypeError, ZeroDivisionError, OverflowError, AssertionError, IndexError):
        return None, 0
    count = (
        sum(p.numel() for p in module.parameters()) + sum(k.numel() for k in getattr(module, "kernels", ())) * shape[0]
    )
    return (tuple(y.shape[1:]) if y.numel() else None), count


def test_every_family_of_the_design_is_there():
    names = """Conv2d ConvTranspose2d Filter2d Magnitude
        MaxPool2d AvgPool2d LPPool2d FractionalMaxPool2d AdaptiveMaxPool2d AdaptiveAvgPool2d
        ELU Hardshrink Hardsigmoid Hardtanh Hardswish LeakyReLU LogSigmoid PReLU ReLU ReLU6 RReLU SELU CELU GELU Sigmoid
        SiLU Mish Softplus Softshrink Softsign Tanh Tanhshrink Threshold Softmax2d
        ZeroPad2d ReflectionPad2d ReplicationPad2d ConstantPad2d CircularPad2d
        Upsample PixelShuffle PixelUnshuffle InstanceNorm2d LocalResponseNorm Identity Dropout Dropout2d
        GroupNorm UpsamplingNearest2d UpsamplingBilinear2d ChannelShuffle Softmax LogSoftmax Softmin GLU LayerNorm
        RMSNorm AlphaDropout FeatureAlphaDropout Dropout3d CrossMapLRN2d BatchNorm2d SyncBatchNorm LazyConv2d
        LazyConvTranspose2d LazyInstanceNorm2d LazyBatchNorm2d"""
    assert sorted(LAYERS) == sorted(names.split()) == sorted(random_layers.LAYERS)
    pooling = [n for n in dir(nn) if n.endswith("Pool2d") and not n.startswith("MaxUnpool")]
    assert set(pooling) <= set(LAYERS)
    curves = {name for name, entry in LAYERS.items() if entry.computes is Computes.CURVE}
    assert len([name for name in curves if name != "Identity" and "Dropout" not in name]) == 23


@pytest.mark.parametrize("name", sorted(set(LAYERS) - OWN))
def test_a_signature_is_that_of_torch(name):
    ours = [(p.name, p.default, p.kind) for p in inspect.signature(LAYERS[name].function).parameters.values()]
    torchs = [(p.name, p.default, p.kind) for p in inspect.signature(getattr(nn, name)).parameters.values()]
    if [p[0] for p in torchs] == ["args", "kwargs"] and name != "Identity":
        torchs = []  # nn.Module's own, which takes nothing
    own = [(name, None, inspect.Parameter.KEYWORD_ONLY) for name in TENSORS]  # weights that a pipeline gives
    ours = [one for one in ours if one in torchs or one not in own]
    assert ours == torchs


@pytest.mark.parametrize("name", sorted(set(LAYERS) - OWN))
def test_every_constructor_line_of_torchs_documentation_parses(name):
    lines = re.findall(rf"^.*\bnn\.{name}\(.*$", inspect.getdoc(getattr(nn, name)), re.MULTILINE)
    assert lines or name in ("CircularPad2d", "CrossMapLRN2d") or name.startswith("Lazy")
    for line in lines:
        if "GLU()" in line or "(embedding_dim)" in line or "[C, H, W]" in line:  # columns in half; names for numbers
            continue
        if line.lstrip().startswith(">>>"):
            (layer,) = parse(line).layers
            assert layer.name == name
            built = eval(line.partition("=")[2], {"nn": nn})  # torch's own line, not a user's
            assert repr(random_layers.by_hand(name, bound(layer))) == repr(built)


def bound(layer):
    names = [p.name for p in inspect.signature(LAYERS[layer.name].function).parameters.values()]
    return dict(zip(names, layer.args, strict=False)) | dict(layer.kwargs) if layer.name != "Identity" else {}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_one_describing_sentence_and_an_example_that_parses(name):
    sentence, *_, example = inspect.getdoc(LAYERS[name].function).splitlines()
    assert sentence.endswith(".") and len(sentence) < 115 and "`" not in sentence
    assert example.startswith(f"Example: {name}(")
    assert parse(example.removeprefix("Example: ")).layers[0].name == name


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_and_parameters_are_those_of_torch(name):
    rng, taken = random.Random(name), 0
    for _ in range(40):
        shape = (rng.choice([1, 1, 2, 3, 4]), *map(rng.choice, SIZES))
        arguments = random_layers.LAYERS[name](rng, *shape)
        text = random_layers.write(rng, name, arguments)
        expected, parameters = torch_says(name, arguments, shape)
        if expected is None:
            with pytest.raises(PipelineError, match=name):
                parse(text).shapes(shape)
            continue
        pipeline = parse(text)
        assert pipeline.shapes(shape) == [expected], text
        if (
            name != "Filter2d"
            or len({(len(k.matrices[0]), len(k.matrices[0][0])) for k in pipeline.layers[0].kernels}) < 2
        ):
            assert pipeline.layers[0].effect.parameters_for(shape[0]) == parameters, text
        taken += 1
    assert taken >= (10 if name == "GLU" else 20)  # else the sampler has lost its aim


@pytest.mark.parametrize("name", sorted(set(LAYERS) - OWN - {"Identity"}))
def test_what_torch_refuses_is_refused_in_words_and_little_else(name):
    rng = random.Random(name)
    for _ in range(40):
        shape = (rng.choice([1, 1, 2, 3, 4]), *map(rng.choice, SIZES))
        arguments = random_layers.spoil(rng, random_layers.LAYERS[name](rng, *shape))
        text = random_layers.write(rng, name, arguments)
        expected, _ = torch_says(name, arguments, shape)
        try:
            found = parse(text).shapes(shape)[0]
        except PipelineError as error:
            assert error.reason.startswith(name), text
            assert expected is None or any(re.search(why, error.reason) for why in DELIBERATE), (text, error.reason)
        else:
            assert found == expected, text


@pytest.mark.parametrize(
    "text, shape, reason",
    [
        ("Conv2d(4, 6, 3, groups=3)", (4, 9, 9), "groups must divide in_channels 4 and out_channels 6, and 3 does not"),
        ("Conv2d(3, 6, 3)", (1, 9, 9), "it takes 3 channels, and 1 comes in; write Conv2d(1, ...)"),
        ("Conv2d(1, 1, 3, stride=2, padding='same')", (1, 9, 9), "'same' goes with stride 1 only, and stride is 2"),
        ("Conv2d(1, 1, 7)", (1, 9, 5), "the picture is 5 wide here: the window of 7 is larger than the 5 pixels"),
        ("Conv2d(1, 1, 3, dilation=4)", (1, 8, 20), "the picture is 8 high here: the window of 9 is larger"),
        ("Conv2d(1, 1, 3, padding=5, padding_mode='reflect')", (1, 5, 9), "at most 4 pixels can be padded"),
        ("Conv2d(1, 1, 3, padding=6, padding_mode='circular')", (1, 5, 9), "at most 5 pixels can be padded"),
        ("Conv2d(1, 100000, 999)", (1, 9, 9), "999x999 makes 99,800,100,000 weights"),
        ("ConvTranspose2d(1, 1, 3, output_padding=1)", (1, 9, 9), "must be smaller than stride or dilation, 1"),
        ("ConvTranspose2d(1, 1, 1, padding=3)", (1, 5, 9), "no output is left of 5 pixels after padding 3"),
        ("MaxPool2d(3, padding=2)", (1, 9, 9), "padding must be at most 1, half of kernel_size 3, and it is 2"),
        ("MaxPool2d(10)", (1, 9, 9), "the window of 10 is larger than the 9 pixels"),
        ("MaxPool2d(2, return_indices=True)", (1, 9, 9), "return_indices must be False: a pipeline"),
        ("ReflectionPad2d(9)", (1, 9, 30), "the picture is 9 high here: at most 8 pixels can be padded"),
        ("ZeroPad2d(-5)", (1, 9, 30), "the picture is 9 high here: at most 9 pixels can be cropped, and 10 are"),
        ("FractionalMaxPool2d(3, output_size=8)", (1, 9, 9), "8 windows of 3 do not fit; at most 7 do"),
        ("FractionalMaxPool2d(2, output_ratio=0.1)", (1, 9, 9), "no output is left of 9 pixels"),
        ("FractionalMaxPool2d(2)", (1, 9, 9), "output_size or output_ratio must be given, and not both"),
        ("AdaptiveAvgPool2d(0)", (1, 9, 9), "output_size must be a whole number from 1 to 1,000,000, not 0"),
        ("Upsample(scale_factor=0.1)", (1, 9, 9), "no output is left of 9 pixels"),
        ("Upsample(scale_factor=2, align_corners=True)", (1, 9, 9), "goes with mode='bilinear' or 'bicubic'"),
        ("PixelShuffle(2)", (3, 9, 9), "it takes a multiple of 4 channels, and 3 come in"),
        ("PixelUnshuffle(2)", (1, 8, 9), "the picture is 9 wide here: that is no multiple of 2"),
        ("InstanceNorm2d(1)", (1, 1, 1), "it needs at least 2 pixels, and the picture is 1x1 here"),
        ("PReLU(2)", (3, 9, 9), "it takes 2 channels, and 3 come in"),
        ("Hardtanh(1, -1)", (1, 9, 9), "max_val must be greater than 1, not -1"),
        ("Conv2d(1, 2, 3, weight=[[[1, 2], [3, 4]]])", (1, 9, 9), "holds a kernel of 2x2, and kernel_size is 3x3"),
        ("Conv2d(1, 2, 3, weight=[kirsch])", (1, 9, 9), "weight holds 8 kernels, and out_channels is 2"),
        ("Conv2d(1, 2, 3, bias=[1, 2, 3])", (1, 9, 9), "bias holds 3 numbers, and out_channels is 2"),
        ("Conv2d(1, 2, 3, device='meta')", (1, 9, 9), "device must be None, 'cpu', 'cuda' or 'mps', not 'meta'"),
        ("Conv2d(1, 2, 3, dtype=torch.half)", (1, 9, 9), "dtype must be torch.float32, which everything is"),
        ("ZeroPad2d((1, 1, 4, -2))", (1, 1, 1), "the picture is 1 high here: at most 1 pixels can be cropped, and 2"),
        ("ReplicationPad2d((1, 2))", (1, 9, 9), "must be one number or four (left, right, top, bottom), not (1, 2)"),
        ("CircularPad2d((3, -4, 0, 0))", (1, 9, 6), "the picture is 6 wide here: at most 2 pixels can be padded in a"),
        ("LazyConv2d(4, 3, groups=2)", (3, 9, 9), "it takes a multiple of 2 channels, and 3 come in"),
        ("LazyConv2d(3, 3, groups=2)", (2, 9, 9), "groups must divide out_channels 3, and 2 does not"),
        ("ChannelShuffle(2)", (3, 9, 9), "it takes a multiple of 2 channels, and 3 come in"),
        ("GLU()", (2, 9, 9), "dim must be 1, the channels, not -1: GLU halves the channels; write GLU(dim=1)"),
        ("GLU(1)", (3, 9, 9), "it takes a multiple of 2 channels, and 3 come in"),
        ("Softmax(dim=2)", (2, 9, 9), "dim must be 1, the channels, not 2: "),
        ("GroupNorm(2, 3)", (3, 9, 9), "num_groups must divide num_channels 3, and 2 does not"),
        ("GroupNorm(1, 3)", (1, 9, 9), "it takes 3 channels, and 1 comes in"),
        ("LayerNorm((9, 8))", (1, 9, 9), "the picture is 9 wide here: normalized_shape says 8"),
        ("RMSNorm((2, 9, 9))", (1, 9, 9), "it takes 2 channels, and 1 comes in"),
        ("LayerNorm((1, 1, 9, 9))", (1, 9, 9), "normalized_shape must be W, (H, W) or (C, H, W), not (1, 1, 9, 9)"),
        ("BatchNorm2d(3)", (1, 9, 9), "it takes 3 channels, and 1 comes in; write BatchNorm2d(1, ...)"),
        ("GLU(dim=1.0)", (2, 9, 9), "dim must be 1, the channels, not 1.0: "),  # as PyTorch, which takes no float
        ("FractionalMaxPool2d(2, output_ratio=())", (1, 9, 9), "must be between 0 and 1, or two such, not ()"),
        ("AvgPool2d(2, divisor_override=0)", (1, 9, 9), "divisor_override must not be 0"),
        ("BatchNorm2d(1, eps=0, track_running_stats=False)", (1, 9, 9), "eps must be greater than 0, not 0"),
        ("CELU(1e-45)", (1, 9, 9), "alpha is too near to 0 to divide by, 1e-45"),
        ("Softplus(beta=1e39)", (1, 9, 9), "beta must be no larger than 3.4e+38, and it is 1e+39"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_layer_the_numbers_and_what_would_fit(text, shape, reason):
    with pytest.raises(PipelineError) as caught:
        parse(text).shapes(shape)
    assert reason in caught.value.reason and caught.value.reason.startswith(text.split("(")[0])


def test_the_caret_stands_under_the_layer_that_does_not_fit():
    with pytest.raises(PipelineError) as caught:
        parse("edge | MaxPool2d(2) | Conv2d(1, 1, 30)").shapes((1, 32, 64))
    assert str(caught.value).splitlines()[1:] == [
        "  edge | MaxPool2d(2) | Conv2d(1, 1, 30)",
        "                        ^^^^^^^^^^^^^^^^",
    ]


def test_every_class_of_torchs_that_is_no_layer_here_is_refused_with_a_reason():
    classes = [
        name for name in dir(nn) if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    ]
    containers = ("Module", "Container", "DataParallel", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
    for name in classes:
        if name in LAYERS or "Loss" in name or "Base" in name or name in containers:
            continue
        with pytest.raises(PipelineError) as caught:
            parse(f"{name}(2)")
        assert caught.value.reason.startswith(f"{name}") or name == "Sequential", caught.value.reason


def test_the_tensors_that_training_sets_are_those_of_a_state_dict():
    rng = random.Random(1)
    for name in sorted(set(LAYERS) - OWN):
        for _ in range(10):
            shape = (rng.choice([2, 4]), 9, 8)
            pipeline = parse(random_layers.write(rng, name, random_layers.LAYERS[name](rng, *shape)))
            found = {key: tuple(x.shape) for key, x in build(pipeline, channels=shape[0])[0].state_dict().items()}
            if not LAYERS[name].lazy:
                known = {key: size for key, size in found.items() if key in TENSORS}
                assert dict(pipeline.layers[0].effect.tensors) == known, pipeline


def test_what_pytorch_does_not_print_is_known():
    rng = random.Random(2)
    for name in sorted(set(LAYERS) - OWN - {"Identity"}):
        entry, unprinted = LAYERS[name], set()
        for _ in range(60):
            c = rng.choice([1, 2, 4])
            arguments = random_layers.LAYERS[name](rng, c, 9, 8)
            module = random_layers.by_hand(name, arguments, c)
            for argument in set(arguments) - {"inplace", "weight", "kernel_size", "output_size", "output_ratio"}:
                try:
                    other = random_layers.by_hand(name, {k: v for k, v in arguments.items() if k != argument}, c)
                except (ValueError, TypeError):  # it cannot be left out
                    continue
                if repr(other) == repr(module) and content(other) != content(module):
                    unprinted.add(argument)
        known = set(entry.unprinted) - {"kernel_size", "output_size", "output_ratio"}  # of FractionalMaxPool2d
        assert unprinted - {"bias"} == known, name  # whose numbers are our own


def content(module):
    plain = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    return plain, {
        key: value.tolist() for key, value in module.state_dict().items() if key == "weight" and value.ndim == 1
    }


def test_a_lazy_layer_is_torchs():
    for text in ("LazyConv2d(6, 3, groups=2)", "LazyConvTranspose2d(4, 3, stride=2)", "LazyInstanceNorm2d()"):
        x = torch.rand(1, 4, 9, 8)
        torch.manual_seed(5)
        lazy = eval(f"nn.{text}", {"nn": nn}).eval()
        assert torch.equal(build(parse(text), seed=5, channels=4)(x), lazy(x))

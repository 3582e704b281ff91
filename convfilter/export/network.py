"""A pipeline as a file that other programs load: its weights, or the whole network as torch.export or ONNX has it."""

import io
import logging
import os
import re

import torch
from safetensors.torch import save
from torch import nn

from convfilter.engine.build import build
from convfilter.errors import UsageError, escape
from convfilter.files.targets import check_folder, find_target
from convfilter.language.pipeline import Pipeline
from convfilter.run.one_file import write_file
from convfilter.run.options import Options

ENDINGS = (".safetensors", ".onnx", ".pt2")


def export_network(pipeline: Pipeline, output: str, options: Options, size: tuple[int, int] = (512, 512)) -> None:
    """Write the pipeline's weights (.safetensors), or its network for pictures of one size (.onnx, .pt2).

    The network takes a float32 tensor 1xCxHxW, called ``input``, of values from 0 to ``options.white``, and gives
    ``output``. ``size`` is the pictures' (width, height). Weights are named as ``nn.Sequential`` names them.

    Raises:
        UsageError: the file has another ending, or a package that writes it is missing. PipelineError: the pipeline
            does not take such a picture. OutputError: the file cannot be written.
    """
    ending = os.path.splitext(output)[1].lower()
    if ending not in ENDINGS:
        raise UsageError(f"-o {escape(output)}: give it the ending {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    check_folder(os.path.dirname(output))
    find_target(output)
    shape = options.channels_in, size[1], size[0]
    pipeline.shapes(shape)
    network = build(pipeline, seed=options.seed, channels=options.channels_in)
    if ending == ".safetensors":
        data = _weights(network)
    else:
        data = (_onnx if ending == ".onnx" else _program)(network, torch.zeros(1, *shape))
    write_file(output, lambda file: file.write(data), no_clobber=options.no_clobber)


def _weights(network: nn.Sequential) -> bytes:
    tensors = {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}
    if not tensors:
        raise UsageError("export: the pipeline has no weights; write the network itself, as .onnx or .pt2")
    return save(tensors)


def _program(network: nn.Sequential, x: torch.Tensor) -> bytes:
    held = io.BytesIO()
    try:
        torch.export.save(torch.export.export(network, (x,)), held)
    except Exception as error:  # of whatever kind, from many parts of PyTorch
        raise UsageError(f"export to .pt2: PyTorch cannot export this pipeline: {_first_line(error)}") from None
    return held.getvalue()


def _onnx(network: nn.Sequential, x: torch.Tensor) -> bytes:
    try:
        import onnxscript  # noqa: F401, the exporter needs it
    except ImportError:
        raise UsageError("export to .onnx needs further packages: pip install 'convfilter[onnx]'") from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # or it says that torchvision is not there
    try:
        program = torch.onnx.export(
            network, (x,), dynamo=True, verbose=False, input_names=["input"], output_names=["output"]
        )
    except Exception as error:  # the exporter's own, and of whatever kind from the parts that it uses
        lacking = re.search(r"op='aten\.(\w+)'", str(error))
        reason = f"it has none for {lacking[1]}, which a layer computes" if lacking else _first_line(error)
        raise UsageError(f"export to .onnx: PyTorch has no ONNX for this pipeline: {reason}") from None
    assert program is not None
    return program.model_proto.SerializeToString()


def _first_line(error: Exception) -> str:
    """What an error of PyTorch says first, without the colours that terminals show."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return escape(text.partition("\n")[0]) or type(error).__name__

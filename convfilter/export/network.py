"""A pipeline as a file that other programs load: its weights, or the whole network as torch.export or ONNX has it."""

import io
import os

import torch
from safetensors.torch import save
from torch import nn

from convfilter.engine.build import build
from convfilter.errors import UsageError, escape
from convfilter.files.targets import check_folder, find_target
from convfilter.files.transaction import OutputWriter
from convfilter.language.pipeline import Pipeline
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
    target = find_target(output)
    shape = options.channels_in, size[1], size[0]
    pipeline.shapes(shape)
    network = build(pipeline, seed=options.seed, channels=options.channels_in)
    if ending == ".safetensors":
        data = _weights(network)
    else:
        data = (_onnx if ending == ".onnx" else _program)(network, torch.zeros(1, *shape))
    with OutputWriter(no_clobber=options.no_clobber).transaction() as files:
        files.open(target).write(data)
        files.commit()


def _weights(network: nn.Sequential) -> bytes:
    tensors = {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}
    if not tensors:
        raise UsageError("export: the pipeline has no weights; write the network itself, as .onnx or .pt2")
    return save(tensors)


def _program(network: nn.Sequential, x: torch.Tensor) -> bytes:
    held = io.BytesIO()
    torch.export.save(torch.export.export(network, (x,)), held)
    return held.getvalue()


def _onnx(network: nn.Sequential, x: torch.Tensor) -> bytes:
    try:
        import onnxscript  # noqa: F401, the exporter needs it
    except ImportError:
        raise UsageError("export to .onnx needs further packages: pip install 'convfilter[onnx]'") from None
    try:
        program = torch.onnx.export(
            network, (x,), dynamo=True, verbose=False, input_names=["input"], output_names=["output"]
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"export to .onnx: PyTorch has no ONNX for this pipeline: {reason}") from None
    assert program is not None
    return program.model_proto.SerializeToString()

"""An ``nn.Sequential`` as a pipeline: its layers by its printed form, and the numbers that it holds itself."""

from dataclasses import replace
from hashlib import blake2b
from typing import Any

import torch
from torch import nn

from convfilter.errors import UsageError
from convfilter.language.pipeline import Pipeline, parse
from convfilter.language.resolve import give
from convfilter.layers.given import Given
from convfilter.numbers import quote


def read_module(module: Any) -> Pipeline:
    """Return the pipeline that a module's printed form writes, with copies of its weights.

    The text of the pipeline names each tensor with a hash of its numbers, such as ``weight='model:0.weight~1a2b3c4d'``:
    it tells pipelines apart, and cannot be parsed, for the numbers are in memory only.

    Raises:
        UsageError: it is no ``nn.Sequential``. PipelineError: a layer of it is none that takes an image.

    >>> print(read_module(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))))
    ReLU() | MaxPool2d(2, stride=2)
    """
    if not isinstance(module, nn.Sequential):
        raise UsageError(f"expected a pipeline's text or an nn.Sequential, not {type(module).__name__}")
    pipeline = parse(str(module))
    layers = []
    for layer in pipeline.layers:
        state = module.get_submodule(layer.path or "").state_dict()
        tensors = {
            name: _give(f"{layer.path}.{name}", state[name].detach().to("cpu", torch.float32, copy=True))
            for name, _ in layer.effect.tensors
            if name in state and layer.arguments.get(name) in (None, True)
        }
        layers.append(give(layer, tensors) if tensors else layer)
    return replace(pipeline, layers=tuple(layers))


def _give(name: str, tensor: torch.Tensor) -> Given:
    array = tensor.contiguous().numpy()
    mark = blake2b(array.tobytes(), digest_size=4).hexdigest()
    return Given(quote(f"model:{name}~{mark}"), tuple(array.shape), lambda: array)

"""The statements of a script that load the files of weights, and put them into its layers."""

import textwrap
from collections.abc import Iterable, Iterator

from convfilter.language.resolve import Layer
from convfilter.layers.given import Given
from convfilter.numbers import quote, write_number
from convfilter.weights.file import locate

LINE = 100  # characters


class Files:
    """The files of weights that a script loads: what it calls each, and the statements that load them.

    >>> from convfilter.language.pipeline import parse
    >>> Files(parse("Conv2d(1, 1, 1, weight=[[[[2]]]])").layers).loads
    []
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        found = {
            given.origin[0].path: given.origin[0] for layer in layers for given in layer.given.values() if given.origin
        }
        numbers = [""] if len(found) == 1 else [f"_{number}" for number in range(1, len(found) + 1)]
        self.names = {path: f"weights{number}" for path, number in zip(found, numbers, strict=True)}
        self.loads = [f"{self.names[path]} = {_load(file)}" for path, file in found.items()]
        safetensors = any(file.kind == "safetensors" for file in found.values())
        self.imports = ["from safetensors.torch import load_file"] if safetensors else []

    def assign(self, layer: Layer, module: str) -> Iterator[str]:
        """Yield the statements that put a layer's tensors into a module."""
        for name, given in layer.given.items():
            if given.origin:
                yield f"{module}.{name}[:] = {self._expression(given)}"
                continue
            start, end = f"{module}.{name}[:] = torch.tensor([", f"]).view{given.shape}"
            text = start + ", ".join(map(write_number, given.array.flatten().tolist())) + end
            yield from textwrap.wrap(text, LINE, subsequent_indent="    ")

    def _expression(self, given: Given) -> str:
        file, tensor = given.origin
        keys = "".join(f"[{quote(key) if isinstance(key, str) else key}]" for key in tensor.keys)
        array = f"{self.names[file.path]}{keys}"
        return f"torch.from_numpy({array}.astype(np.float32))" if file.kind in ("npz", "npy") else array


def _load(file) -> str:
    path = quote(locate(file.path))
    if file.kind == "safetensors":
        return f"load_file({path})"
    if file.kind in ("npz", "npy"):
        return f"np.load({path})"
    return f'torch.load({path}, map_location="cpu", weights_only=True)'

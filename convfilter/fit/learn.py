"""Gradient descent: the weights with which a network gives, of each input, the output that it should.

The steps are those of L-BFGS (``torch.optim.LBFGS``), which learns from all pictures at once how the loss bends: the
neighbouring pixels of a photo are so much alike that plain steps along the gradient, and Adam's, need thousands.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convfilter.engine.build import build
from convfilter.engine.device import compute_exactly, move
from convfilter.engine.memory import memory_errors
from convfilter.errors import InputError, UsageError
from convfilter.fit.pairs import Pair
from convfilter.language.pipeline import Pipeline

STILL, PATIENCE = 1e-4, 5  # the share of the loss that so many steps must take away
SEARCH = 25  # evaluations that one step may take
LEARNT = (".weight", ".bias")


@dataclass(frozen=True, eq=False)
class Learnt:
    """Tensors before and after, by the names that a state dict gives them, and how the last step left the loss.

    ``fixed`` are those that are not learnt, such as ``running_mean``. ``error`` is the root of the mean square of what
    the outputs are off.
    """

    first: dict[str, Tensor]
    last: dict[str, Tensor]
    fixed: dict[str, Tensor]
    error: float
    steps: int


def learn(
    pipeline: Pipeline,
    pairs: Sequence[Pair],
    *,
    seed: int = 0,
    steps: int = 300,
    device: str = "cpu",
    on_step: Callable[[int, float], object] = lambda step, error: None,
) -> Learnt:
    """Return the weights and biases with which the pipeline comes nearest to the outputs of all pairs.

    They begin as the text gives them, or as PyTorch draws them with ``seed``; the kernels of ``Filter2d`` stay as they
    are. It ends after so many ``steps``, or where these no longer make the loss smaller. ``on_step(step, error)``
    is called after every step. ``device`` is PyTorch's name of where to compute; what is returned lies on the CPU.

    Raises:
        UsageError: the pipeline has no weights that could be learnt.
        InputError: the loss has become NaN or infinite, or the device has too little memory.
    """
    compute_exactly()
    try:
        with memory_errors():
            return _learn(pipeline, [pair.to(device) for pair in pairs], seed, steps, device, on_step)
    except MemoryError:
        where = "memory" if device == "cpu" else f"the memory of {device}"
        raise InputError(f"{where} does not suffice to learn from it; cut a part out of both pictures") from None


def _learn(
    pipeline: Pipeline,
    pairs: Sequence[Pair],
    seed: int,
    steps: int,
    device: str,
    on_step: Callable[[int, float], object],
) -> Learnt:
    channels = pairs[0].before.shape[1]
    pipeline = pipeline.materialize(channels)
    network = move(build(pipeline, seed=seed, channels=channels), torch.device(device))
    tensors = {
        f"{number}.{name}": getattr(network[number], name).detach().clone()
        for number, layer in enumerate(pipeline.layers)
        for name, _ in layer.effect.tensors
    }
    chosen = {name: nn.Parameter(tensor) for name, tensor in tensors.items() if name.endswith(LEARNT)}
    fixed = {name: tensor.cpu() for name, tensor in tensors.items() if name not in chosen}
    if not chosen:
        raise UsageError("fit: the pipeline has no weights to learn; use Conv2d, ConvTranspose2d or PReLU")
    for name, parameter in chosen.items():
        number, tensor = name.split(".")
        setattr(network[int(number)], tensor, parameter)
    first = _copy(chosen)
    count = sum(pair.after.numel() for pair in pairs)
    scale = max(sum(pair.after.square().sum().item() for pair in pairs) / count, 1e-12)
    optimizer = torch.optim.LBFGS(
        chosen.values(), max_iter=1, max_eval=SEARCH, history_size=50, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros((), device=device)
        for pair in pairs:
            part = pair.residual(network(pair.before)).square().sum() / (count * scale)
            part.backward()
            total += part.detach()
        return total

    losses: list[float] = []
    best, error = {}, math.inf
    for step in range(1, steps + 1):
        before = _copy(chosen)
        losses.append(float(optimizer.step(loss)))  # that of the weights before the step
        if not math.isfinite(losses[-1]):
            raise InputError(f"the loss is {losses[-1]} after {step - 1} steps; try another --seed, or --white 1")
        if losses[-1] <= min(losses):
            best, error = before, (losses[-1] * scale) ** 0.5
        on_step(step, error)
        if len(losses) > PATIENCE and min(losses[-PATIENCE:]) >= min(losses[:-PATIENCE]) * (1 - STILL):
            break
    with torch.no_grad():
        last = sum(pair.residual(network(pair.before)).square().sum().item() for pair in pairs) / count
    if last**0.5 <= error:  # after the last step
        best, error = _copy(chosen), last**0.5
    return Learnt(first, best, fixed, error, len(losses))


def _copy(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}

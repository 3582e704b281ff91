"""Pictures through a network on a GPU: those of one size in batches, and less at once where its memory ends."""

import copy
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convfilter.engine import tiles
from convfilter.engine.build import to_tensor
from convfilter.engine.memory import memory_errors
from convfilter.engine.tile_plan import TilePlan, plan_tile
from convfilter.errors import UsageError
from convfilter.gray.input_values import GRAY, InputValues
from convfilter.language.pipeline import Pipeline
from convfilter.layers.shapes import Shape

BATCH = 1 << 26  # values of a batch in the layer that has most of them: larger ones are hardly quicker
BANDS = (4, 16, 64)  # that a picture is computed in, where the memory does not suffice for fewer
UNDER_WAY = 2  # batches: one is computed while the next is copied


def choose_device(name: str) -> tuple[str, str]:
    """Return PyTorch's name of a device and what it is; ``name`` is cpu, cuda, cuda:N, mps, or auto: a GPU if any.

    Raises:
        UsageError: there is no such device here; says which there are.

    >>> choose_device("cpu")
    ('cpu', 'the processor')
    """
    gpus = {f"cuda:{number}": torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
    mps = {"mps": "the GPU of an Apple processor"} if torch.backends.mps.is_available() else {}
    here = {**gpus, **mps, "cpu": "the processor"}
    wanted = next(iter(here)) if name == "auto" else "cuda:0" if name == "cuda" else name
    if wanted not in here:
        known = " and ".join(f"{device} ({what})" for device, what in here.items())
        raise UsageError(f"--device {name}: there is no such device here; there is {known}")
    return wanted, here[wanted]


def compute_exactly() -> None:
    """Let GPUs compute with all digits of float32, which PyTorch otherwise cuts in convolutions (TF32)."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


@dataclass(eq=False)
class _Request:
    """A picture as a tensor 1xCxHxW on the CPU, and what becomes of it: an output (C, H, W), or an error.

    On CUDA the output is there when the copying of its batch, which ``copied`` tells, is done.
    """

    x: Tensor
    output: Tensor | None = None
    copied: torch.cuda.Event | None = None
    error: Exception | None = None


class DeviceFilter:
    """A network on a device. Several threads may call its methods at once: that is what fills batches.

    What the device has no memory for, or no way to compute, is computed on the CPU, and ``take_warnings`` says so once.
    """

    def __init__(self, pipeline: Pipeline, network: nn.Sequential, device: str, channels: int = 1) -> None:
        self._pipeline, self._network, self._device = pipeline, network, torch.device(device)
        self._moved = move(network, self._device)
        self._segments = tiles.plan(pipeline, self._moved, channels, plain=True)
        self._segments_on_cpu = tiles.plan(pipeline, network, channels)
        self._turn = threading.Lock()  # of the thread that computes for all
        self._waiting: deque[_Request] = deque()
        self._under_way: deque[torch.cuda.Event] = deque()
        self._warnings: list[str] = []
        self._warned = False
        self._is_cuda = self._device.type == "cuda"
        compute_exactly()
        if self._is_cuda:
            self._uploads, self._downloads = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def filter_picture(
        self, values: NDArray[np.generic], white: float, inputs: InputValues = GRAY
    ) -> NDArray[np.float32]:
        """Return the network's output (C, H, W) for a picture, HxW or 3xHxW, in which ``white`` means white."""
        request = _Request(to_tensor(values, white, inputs))
        self._waiting.append(request)
        with self._turn:  # who has it computes a batch, in which the pictures of those who wait may be
            if request.output is None and request.error is None:
                self._compute(self._take_batch(request))
        if isinstance(request.error, MemoryError | NotImplementedError):
            self._warn(request.error)
            return tiles.filter_picture(self._segments_on_cpu, values, white, inputs).floats()
        if request.error:
            raise request.error
        if request.copied:
            request.copied.synchronize()
        return request.output.numpy()

    @torch.inference_mode()
    def activations(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the activation (N, C, H, W) after each layer, on the CPU, for an input (N, C, H, W)."""
        on_device = True
        for moved, module in zip(self._moved, self._network, strict=True):
            if on_device:
                try:
                    with memory_errors():
                        x = moved(x.to(self._device))
                except (MemoryError, NotImplementedError) as error:
                    self._warn(error)
                    on_device = False
            if not on_device:
                x = module(x.cpu())
            yield x.cpu()

    def take_warnings(self) -> tuple[str, ...]:
        """Return what users should know of how it went, each once."""
        warnings, self._warnings = self._warnings, []
        return tuple(warnings)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = "has too little memory" if isinstance(error, MemoryError) else "lacks one of the layers"
            self._warnings.append(f"computed on the CPU, for {self._device} {reason}; so may further ones be")

    def _take_batch(self, request: _Request) -> list[_Request]:
        """A request, and those that wait with pictures of its size, as many as are worth computing at once."""
        while len(self._under_way) >= UNDER_WAY:  # meanwhile more requests come
            self._under_way.popleft().synchronize()
        shape = tuple(request.x.shape[1:])
        most = max(1, BATCH // max(map(prod, [shape, *self._pipeline.shapes(shape)])))
        alike = [other for other in list(self._waiting) if other is not request and other.x.shape == request.x.shape]
        batch = [request, *alike[: most - 1]]
        for request in batch:
            self._waiting.remove(request)
        return batch

    def _compute(self, batch: list[_Request]) -> None:
        """Compute a batch: if there is no memory for that, picture by picture, and if need be in bands."""
        if self._start(batch, bands=1):
            return
        if len(batch) > 1:
            for request in batch:
                self._compute([request])
        elif not any(self._start(batch, bands) for bands in BANDS):
            batch[0].error = MemoryError()

    def _start(self, batch: list[_Request], bands: int) -> bool:
        """Let the device compute a batch, and return whether it has the memory; another error is the requests' own."""
        try:
            with memory_errors(), torch.inference_mode():
                self._download(batch, self._run(self._upload(batch), bands))
        except MemoryError:
            if self._is_cuda:
                torch.cuda.empty_cache()  # blocks of other sizes
            return False
        except Exception as error:
            for request in batch:
                request.error = error
        return True

    def _upload(self, batch: list[_Request]) -> Tensor:
        x = torch.cat([request.x for request in batch])
        if not self._is_cuda:
            return x.to(self._device)
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._uploads):
            x = x.pin_memory().to(self._device, non_blocking=True)
        computing.wait_stream(self._uploads)
        x.record_stream(computing)
        return x

    def _run(self, x: Tensor, bands: int) -> Tensor:
        """The network's output for a batch; ``x`` may be overwritten."""
        for segment in self._segments:
            if not segment.cut:
                (algorithm,) = segment.algorithms
                x = algorithm.apply(x)
                continue
            shape, plans = _plan_bands(segment, tuple(x.shape[1:]), bands, self._device)
            if len(plans) == 1:
                x = _apply(plans[0], x)
                continue
            y = x.new_empty(len(x), *shape)
            for plan in plans:
                y[:, :, plan.output_rows] = _apply(plan, x[:, :, plan.rows, plan.columns].clone())
            x = y
        return x

    def _download(self, batch: list[_Request], y: Tensor) -> None:
        copied = None
        if self._is_cuda:
            outputs = torch.empty(y.shape, pin_memory=True)
            self._downloads.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._downloads):
                outputs.copy_(y, non_blocking=True)
            y.record_stream(self._downloads)
            copied = self._downloads.record_event()
            self._under_way.append(copied)
        else:
            outputs = y.cpu()
        for request, output in zip(batch, outputs, strict=True):
            request.output, request.copied = output, copied


@lru_cache(maxsize=32)
def _plan_bands(
    segment: tiles.SegmentPlan, shape: Shape, bands: int, device: torch.device
) -> tuple[Shape, list[TilePlan]]:
    """The output's shape for an input of ``shape``, and a plan for each band of its rows."""
    output = segment.shapes(shape)[-1]
    with torch.device(device):  # where the plans hold what means are divided by
        rows = tiles.split_evenly(output[1], bands)
        return output, [plan_tile(segment.stages, shape, band, slice(0, output[2])) for band in rows]


def _apply(plan: TilePlan, x: Tensor) -> Tensor:
    for stage in plan.stages:
        for step in stage.steps:
            x = step.apply(x)
    return x


def move(network: nn.Sequential, device: torch.device) -> nn.Sequential:
    """Return a copy of a network on a device."""
    moved = copy.deepcopy(network).to(device)
    for module in moved:
        if isinstance(module, nn.FractionalMaxPool2d):
            module._random_samples = module._random_samples.to(device)
    return moved

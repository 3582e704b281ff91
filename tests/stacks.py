"""Feature stacks as torchvision builds them, without torchvision, and the files that their weights are saved to."""

import numpy as np
import safetensors.torch
import torch
from torch import nn

KINDS = ("safetensors", "pt", "legacy.pth", "wrapped.pt", "npz", "compressed.npz")


def alexnet(channels: int = 1) -> nn.Sequential:
    """AlexNet's features with an eighth of its channels, and random weights of PyTorch's own."""
    torch.manual_seed(channels)
    return nn.Sequential(
        nn.Conv2d(channels, 8, kernel_size=11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(8, 24, kernel_size=5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(24, 48, kernel_size=3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(48, 32, kernel_size=3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, kernel_size=3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
    ).requires_grad_(False).eval()  # fmt: skip


def vgg(channels: int = 1) -> nn.Sequential:
    """VGG-11's features with an eighth of its channels."""
    torch.manual_seed(10 + channels)
    layers: list[nn.Module] = []
    for out in (8, "M", 16, "M", 32, 32, "M", 64, 64, "M"):
        if out == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*layers).requires_grad_(False).eval()


def save(kind: str, folder, tensors: dict, name: str = "w") -> str:
    """Write a state dict to a file of a kind, and return its path."""
    path = str(folder / f"{name}.{kind}")
    if kind == "safetensors":
        safetensors.torch.save_file({key: x.contiguous() for key, x in tensors.items()}, path)
    elif kind == "pt":
        torch.save(tensors, path)
    elif kind == "legacy.pth":
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    elif kind == "wrapped.pt":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": x for key, x in tensors.items()}}, path)
    else:
        write = np.savez_compressed if kind.startswith("compressed") else np.savez
        write(path, **{key: x.numpy() for key, x in tensors.items()})
    return path


def write(network: nn.Sequential, path: str, prefix: str = "") -> str:
    """Return the network as a pipeline that takes its weights from a file."""
    words = []
    for number, module in enumerate(network):
        text = repr(module).replace(", inplace=True", "").replace("inplace=True", "")
        if isinstance(module, nn.Conv2d):
            given = f"weight='{path}:{prefix}{number}.weight', bias='{path}:{prefix}{number}.bias'"
            text = f"{text[:-1]}, {given})"
        words.append(text)
    return " | ".join(words)

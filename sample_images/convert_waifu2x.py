"""Convert the denoiser of the PyPI package waifu2x to the file of weights that the preset denoise uses.

``python convert_waifu2x.py anime_style_noise3_y.npz denoise.safetensors`` takes a file of waifu2x 2024.0.1 (vgg7),
whose network works on values from 0 to 1. Its biases are multiplied by 255 here: as LeakyReLU keeps a factor, the
network then takes and gives values from 0 to 255. The numbers are stored in 16 bits.
"""

import sys

import numpy as np
from safetensors.numpy import save_file


def convert(path: str) -> dict[str, np.ndarray]:
    """Return the tensors by their names in ``ReplicationPad2d(7) | Conv2d(1, 32, 3) | LeakyReLU(0.1) | ...``."""
    tensors = {}
    with np.load(path, allow_pickle=False) as found:
        for number in range(1, 8):
            tensors[f"{2 * number - 1}.weight"] = found[f"conv{number}/W"].astype(np.float16)
            tensors[f"{2 * number - 1}.bias"] = (255 * found[f"conv{number}/b"]).astype(np.float16)
    return tensors


if __name__ == "__main__":
    licence = "MIT, Copyright (c) 2021 FredHappyface, (c) 2016 tsurumeso"
    save_file(convert(sys.argv[1]), sys.argv[2], {"source": "PyPI waifu2x 2024.0.1", "license": licence})

"""Small data sets in the layout of the official files."""

import struct

import numpy as np


def write_mnist(folder, images=100):
    """Write MNIST's two test files. Each class of the random images has its own brightness."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    labels = (np.arange(images) % 10).astype(np.uint8)
    pixels = rng.integers(0, 60, (images, 28, 28)) + 20 * labels[:, None, None]
    (folder / "t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">4I", 0x803, images, 28, 28) + pixels.astype(np.uint8).tobytes())
    (folder / "t10k-labels-idx1-ubyte").write_bytes(
        struct.pack(">2I", 0x801, images) + labels.tobytes())
    return folder

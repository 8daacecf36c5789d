"""Small files in MNIST's layout."""

import gzip
import struct

import numpy as np

from tf1cifar.data import mnist


def idx(*dimensions, values, kind=0x08):
    """An IDX file, written from the description of the format."""
    return (bytes([0, 0, kind, len(dimensions)]) +
            b"".join(struct.pack(">i", length) for length in dimensions) + bytes(values))


def pixels(count, seed=0):
    """Random pixels, uint8 [count, 28, 28]."""
    return np.random.default_rng((seed, count)).integers(0, 256, (count, 28, 28)).astype(np.uint8)


def images_file(count, seed=0):
    return idx(count, 28, 28, values=pixels(count, seed).tobytes())


def labels_file(count):
    return idx(count, values=[(3 * i + 1) % 10 for i in range(count)])


def zipped(content):
    return gzip.compress(content, 1, mtime=0)


def contents(train=7, test=4):
    """A dictionary from the name of each of the four official files to its gzipped bytes."""
    return dict(zip(mnist.FILES, map(zipped, (
        images_file(train, 1), labels_file(train), images_file(test), labels_file(test)))))


def write_data_set(folder, names=mnist.FILES, **counts):
    """Write the files called `names` and return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents(**counts).items():
        if name in names:
            (folder / name).write_bytes(content)
    return folder

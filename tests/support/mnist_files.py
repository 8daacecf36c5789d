"""Small files in MNIST's layout."""

import gzip
import io
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


def labels(count):
    """Labels, uint8 [count]."""
    return np.array([(3 * i + 1) % 10 for i in range(count)], np.uint8)


def labels_file(count):
    return idx(count, values=labels(count).tobytes())


def zipped(content):
    return gzip.compress(content, 1, mtime=0)


def contents(train=7, test=4):
    """A dictionary from the name of each of the four official files to its gzipped bytes."""
    return dict(zip(mnist.FILES, map(zipped, (
        images_file(train, 1), labels_file(train), images_file(test), labels_file(test)))))


def arrays(train=7, test=4):
    """The arrays of Keras's mnist.npz."""
    return {"x_train": pixels(train, 1), "y_train": labels(train),
            "x_test": pixels(test), "y_test": labels(test)}


def npz(content, compressed=True):
    """The bytes of a file that NumPy writes of a dictionary of arrays."""
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **content)
    return out.getvalue()


def csv(count, seed=0, titles="label,1x1", labelled=True):
    """The text of a CSV file, with `titles` for the first columns ('' for none)."""
    lines = [titles + ",pixel" * (784 + labelled - len(titles.split(",")))] if titles else []
    for label, image in zip(labels(count), pixels(count, seed)):
        lines.append(",".join(map(str, ([label] if labelled else []) + list(image.ravel()))))
    return "\n".join(lines) + "\n"


def write_data_set(folder, names=mnist.FILES, **counts):
    """Write the files called `names` and return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents(**counts).items():
        if name in names:
            (folder / name).write_bytes(content)
    return folder

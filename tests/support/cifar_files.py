"""Small files in CIFAR-10's layout."""

import numpy as np

from support import py2_pickle
from tf1cifar.data import cifar10, cifar100

# Pieces of pickles, which hypothesis inserts.
PICKLE_SNIPPETS = [
    b"cos\nsystem\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n"
    b"_reconstruct\n", b"U\x06labels", b"U\x04data", b"h\x01", b"(", b")", b"]", b"}", b"t",
    b"\x85", b"\x86", b"R", b"b", b"u", b"e", b"0", b"2", b"r\xff\xff\xff\x7f", b"N", b"."]


def batch(images=2, **changes):
    """The dictionary in a file of `images` images, with some of its items replaced."""
    data = np.random.default_rng(images).integers(0, 256, (images, 3072)).astype(np.uint8)
    return {"data": data, "labels": [i % 10 for i in range(images)], **changes}


def written(path, value):
    """Write a value as a pickle, or bytes as they are, and return `path`."""
    path.write_bytes(value if isinstance(value, bytes) else py2_pickle.dumps(value))
    return path


def write_data_set(folder, images):
    """Write all seven files, of `images` images each, and return `folder`."""
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        written(folder / name, batch(images))
    written(folder / cifar10.META_FILE, {"label_names": list(cifar10.CLASS_NAMES), "n": 1})
    return folder


def write_cifar100(folder, images=100):
    """Write CIFAR-100's three files. An image of fine label 7 has the coarse label 7 % 20."""
    folder.mkdir(parents=True)
    for name in (cifar100.TRAIN_FILE, cifar100.TEST_FILE):
        fine = [i % 100 for i in range(images)]
        written(folder / name, {
            "data": batch(images)["data"], "fine_labels": fine,
            "coarse_labels": [label % 20 for label in fine]})
    written(folder / cifar100.META_FILE, {
        "fine_label_names": [f"fine {i}" for i in range(100)],
        "coarse_label_names": [f"coarse {i}" for i in range(20)]})
    return folder


def write_binary(folder, images):
    """Write the binary version of `write_data_set`."""
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        content = batch(images)
        rows = np.concatenate([np.uint8(content["labels"])[:, None], content["data"]], axis=1)
        written(folder / f"{name}.bin", rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(cifar10.CLASS_NAMES) + "\n\n")
    return folder

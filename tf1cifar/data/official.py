"""The published sizes and checksums of the official files.

    cifar     a note if CIFAR files are not the official ones
    mnist     a note if MNIST's images are not the official ones
    size      the published size of a file

A data set counts as official by its checksums. The files may have been written again: then the
MD5 checksums of the binary version of CIFAR and of MNIST's unpacked IDX files tell whether the
pixels and labels are the official ones.
"""

import concurrent.futures
import hashlib
import struct

import numpy as np

from tf1cifar import machine

# Of the files that Python reads: name -> (size in bytes, MD5).
PICKLES = {
    "data_batch_1": (31035704, "c99cafc152244af753f735de768cd75f"),
    "data_batch_2": (31035320, "d4bba439e000b95fd0a9bffe97cbabec"),
    "data_batch_3": (31035999, "54ebc095f3ab1f0389bbae665268c751"),
    "data_batch_4": (31035696, "634d18415352ddfa80567beed471001a"),
    "data_batch_5": (31035623, "482c414d41f54cd18b22e5b47cb7c3cb"),
    "test_batch": (31035526, "40351d587109b95175f43aff81a1287e"),
    "train": (155249918, "16019d7e3df5f24257cddd939b257f8d"),
    "test": (None, "f0ef6b0ae62326f3e7ffdfab6717acfc"),
}
# Of the files of the binary version, each the records of an image: labels, then pixels.
RECORDS = {
    "data_batch_1": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch": "803d5f7f4d78ea53de84dbe85f74fb6d",
    "train": "6172c7755cfe09b2fe270c85cebc1b15",
    "test": "4499cfba6c016c1be1438163640a0898",
}
# Of the unpacked IDX files: training images, training labels, test images, test labels.
IDX = {
    "MNIST": ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
              "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    "Fashion-MNIST": ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
                      "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
}
OTHER = "compare accuracies only with runs on the same data"
FASHION = ("these are the images of Fashion-MNIST under MNIST's names: class 0 is T-shirt/top, "
           "then trouser, pullover, dress, coat, sandal, shirt, sneaker, bag and ankle boot")


def size(name):
    """The published size of a pickle in bytes, None if it is not known."""
    return PICKLES.get(name, (None,))[0]


def cifar(title, parts):
    """A note if CIFAR files are not the official ones.

    Args:
      title: name of the data set for the note.
      parts: list of (path of a file, its labels uint8 [N, 1 or 2], its pixels uint8 [N, 3072]).

    Returns:
      A str, '' for the official images and labels in any form.
    """
    counts = [10_000 if len(parts) > 2 or path.stem == "test" else 50_000 for path, *_ in parts]
    if counts != [len(pixels) for _, _, pixels in parts]:
        found = " and ".join(f"{number:,}" for number in (
            sum(len(pixels) for _, _, pixels in parts[:-1]), len(parts[-1][2])))
        return (f"these are not the official images of {title}, but {found} for training and "
                f"testing: {OTHER}")
    if _all(_is_official_pickle, [path for path, *_ in parts]) or _all(_is_official_content, parts):
        return ""
    return f"these are not the official files of {title} (their checksums differ): {OTHER}"


def _all(check, items):
    """Whether `check` holds for all items. The first one spares the work for the others."""
    if not check(items[0]):
        return False
    with concurrent.futures.ThreadPoolExecutor(machine.cores()) as threads:
        return all(threads.map(check, items[1:]))


def _is_official_pickle(path):
    length, checksum = PICKLES.get(path.name, (0, ""))
    if length not in (None, path.stat().st_size):
        return False
    return _md5(path.read_bytes()).hexdigest() == checksum


def _is_official_content(part):
    path, labels, pixels = part
    records = np.concatenate([labels, pixels], axis=1)
    return _md5(records).hexdigest() == RECORDS[path.stem]


def _md5(content=b""):
    return hashlib.md5(content, usedforsecurity=False)


def mnist(splits):
    """A note if MNIST's images are not the official ones.

    Args:
      splits: list of `base.Split`: training and test images, or the test images alone.

    Returns:
      A str, '' for the official images and labels in any form.
    """
    found = []
    for split in splits:
        count = len(split.labels)
        for magic, array in ((0x803, split.images[..., 0]), (0x801, split.labels)):
            digest = _md5(struct.pack(">4I" if magic == 0x803 else ">2I", magic, count,
                                      *array.shape[1:]))
            digest.update(np.ascontiguousarray(array, np.uint8))
            found.append(digest.hexdigest())
    if tuple(found) == IDX["Fashion-MNIST"][-len(found):]:
        return FASHION
    if tuple(found) == IDX["MNIST"][-len(found):]:
        return ""
    return f"these are not the official images of MNIST (their checksums differ): {OTHER}"

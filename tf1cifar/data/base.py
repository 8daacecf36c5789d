"""The vocabulary of data that all modules of this folder share.

    DataError    the error about a data set or a picture
    Split        images with their labels
    Dataset      a training split, a test split and the names of the classes
    title        the name of a data set for a line or a figure
    hold_out     divide a split into training and held-out images
    fingerprint  the checksum of a data set
"""

import os.path
import zlib
from typing import NamedTuple

import numpy as np

from tf1cifar import console, errors

# Suffixes of the picture files that are looked for in folders, in lower case. A picture that is
# named on the command line may have any name.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")
# Photos that cannot be read are looked for too. The reader says how they can be, so folders do not
# leave them out without a word.
PHOTO_SUFFIXES = (*PICTURE_SUFFIXES, ".heic", ".heif")


class DataError(errors.UserError, ValueError):
    """A data set or a picture is missing, damaged or of another kind than expected."""


class Split(NamedTuple):
    """Images with their labels.

    Attributes:
      images: uint8 [N, height, width, channels].
      labels: int64 [N], numbers of classes.
    """
    images: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """A whole data set, as `load` of every data module returns it.

    Attributes:
      name: the key of the data set in `data.TITLES`.
      directory: path of the folder with the files, a str.
      class_names: the names of the classes, a tuple; a label is an index into it.
      train: the `Split` for training.
      test: the `Split` for testing.
      note: lines that a person should read before training on this data set, or ''.
      files: checksum of the names and sizes of the picture files, '' for data sets whose pixels
        need no library to decode them.
    """
    name: str
    directory: str
    class_names: tuple
    train: Split
    test: Split
    note: str = ""
    files: str = ""


def title(name, directory):
    """The name of a data set for a line or a figure; own pictures are named by their folder.

    Args:
      name: name of the data set.
      directory: path of its folder.
    """
    if name != "folders":
        return name
    return f"the pictures in {console.cut(os.path.basename(os.path.abspath(directory)), 40)}"


def hold_out(split, share):
    """Divide a split into images to train on and images to validate with.

    Args:
      split: a `Split` of N images.
      share: the share of the images to hold out, from 0 up to but not including 1.

    Returns:
      (training, held out): two `Split`s; the held-out images are the last of `split`.
    """
    kept = len(split.labels) - round(len(split.labels) * share)
    return (Split(split.images[:kept], split.labels[:kept]),
            Split(split.images[kept:], split.labels[kept:]))


def fingerprint(dataset):
    """The CRC-32 of all images and labels of a `Dataset`, as eight hexadecimal digits."""
    checksum = 0
    for split in (dataset.train, dataset.test):
        for array in split:
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return f"{checksum:08x}"

"""CIFAR-10 for readers of *Machine Learning with TensorFlow* (N. Shukla, chapter 9).

The book's functions:

    unpickle    read one file of the data set as a dictionary
    clean       turn images into gray, cropped, normalized pixels
    read_data   read the names of the classes, the cleaned pixels and the labels

Further names for scripts of your own:

    find        the folder of the data set, which is downloaded if it is not on this machine
    download    download, verify and extract the official tarball
    load        read the whole data set as uint8 images and int64 labels
    read_image  read your own picture as an image of a data set
    DataError   the error that these functions raise, a ValueError

The package tf1cifar/data/, beside this file, has the implementation.
"""

import pathlib

import numpy as np

from tf1cifar.data import cifar10, preparation
from tf1cifar.data.base import DataError
from tf1cifar.data.cifar10 import download, find, load
from tf1cifar.data.own_pictures import read_image
from tf1cifar.data.safe_pickle import unpickle

__all__ = ["DataError", "clean", "download", "find", "load", "read_data", "read_image", "unpickle"]


def clean(data):
    """Gray, cropped, normalized pixels (chapter 9's `clean`).

    Args:
      data: uint8 [N, 3072], the red, green and blue planes of 32x32 images.

    Returns:
      float32 [N, 576]: the mean of the three planes, rows and columns 4 to 27, minus the image's
      mean, divided by max(its standard deviation, 1/sqrt(576)).

    Raises:
      ValueError: `data` is not [N, 3072].
    """
    data = np.asarray(data)
    if data.ndim != 2 or data.shape[1] != 3072:
        raise ValueError(f"data has shape {data.shape}, expected (N, 3072)")
    return _clean_into(data, np.empty((len(data), 576), np.float32))


def _clean_into(data, out):
    images = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    preparation.prepare(images, "gray24", out=out.reshape(-1, 24, 24, 1))
    return out


def read_data(directory, split="train"):
    """The names, cleaned pixels and labels of a folder (chapter 9's `read_data`).

    Args:
      directory: path of the folder with the files, as `find` returns it.
      split: 'train' (50,000 images in the official data set) or 'test' (10,000).

    Returns:
      names, a list of str, ten in the official files; data, float32 [N, 576]; labels, int64 [N].

    Raises:
      DataError: a file is missing or damaged.
      ValueError: an unknown split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split {split!r}, expected 'train' or 'test'")
    names = cifar10.read_names(directory)
    _, *train, test = cifar10.batch_files(pathlib.Path(directory))
    data, labels = np.empty((0, 576), np.float32), []
    for file in train if split == "train" else [test]:
        raw, batch_labels = cifar10.read_batch(file, len(names))
        data.resize((len(data) + len(raw), 576), refcheck=False)  # grows in place
        _clean_into(raw, data[-len(raw):])
        labels.append(batch_labels)
    return names, data, np.concatenate(labels)

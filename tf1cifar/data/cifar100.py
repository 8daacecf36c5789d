"""CIFAR-100: CIFAR-10's kind of images, of 100 classes in 20 groups.

    find      the folder with the files, which are downloaded if they are not on this machine
    download  fetch, verify and extract the official tarball
    load      read the files as a `base.Dataset`

The files are pickles like CIFAR-10's. In the binary version, an image has two bytes of labels, its
group's and its class's.
"""

import os
import pathlib

from tf1cifar.data import cifar_files, locate
from tf1cifar.data.base import Dataset

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
FOLDER = "cifar-100-python"
CLASSES = {"coarse": 20, "fine": 100}  # numbers of classes, in the order of the binary version
MAX_FILE_BYTES = 192 << 20  # the official training images have 155 MB
FILES = META_FILE, TRAIN_FILE, TEST_FILE = ("meta", "train", "test")
BINARY_FILES = ("fine_label_names.txt", "coarse_label_names.txt", "train.bin", "test.bin")

DOWNLOAD_HINT = (f"To get CIFAR-100, download {URL} and give the path of the file, or of the "
                 f"folder {FOLDER} in it, with --data-dir or in CIFAR100_DIR.")


def find(data_dir=None):
    """The folder with CIFAR-100's files, downloaded into the cache if there is none.

    As `cifar10.find`; the environment variable is CIFAR100_DIR.
    """
    return locate.find(data_dir, locate.DataSet(
        title="CIFAR-100", variable="CIFAR100_DIR", folder=FOLDER, has_any=_is_complete,
        is_complete=_is_complete, wanted={*FILES, *BINARY_FILES}.__contains__, download=download,
        expected=f"(expected the files {', '.join(FILES)} in that folder, in a folder in it, or "
        "in an archive)", hint=DOWNLOAD_HINT))


def _is_complete(folder):
    return any(all((folder / name).is_file() for name in names) for names in (FILES, BINARY_FILES))


def download(directory, url=None, md5=None, timeout=10.0):
    """Download, verify and extract the CIFAR-100 tarball: all files or none.

    As `cifar10.download`; the environment variables are CIFAR100_URL and CIFAR100_MD5.
    """
    return cifar_files.download(
        pathlib.Path(directory) / FOLDER, url or os.environ.get("CIFAR100_URL") or URL,
        md5 or os.environ.get("CIFAR100_MD5") or MD5, FILES, MAX_FILE_BYTES, timeout)


def load(directory, coarse=False):
    """Read the whole data set.

    Args:
      directory: path of the folder with the files, pickles or binary.
      coarse: whether the labels are those of the 20 groups.

    Returns:
      A `Dataset`; its images are [N, 32, 32, 3]. Its `note` says if the images are not the
      official ones.

    Raises:
      DataError: a file is missing or damaged.
    """
    directory, kind = pathlib.Path(directory), "coarse" if coarse else "fine"
    binary = not (directory / META_FILE).exists() and (directory / BINARY_FILES[0]).exists()
    names = (
        cifar_files.read_lines(directory / f"{kind}_label_names.txt", CLASSES[kind]) if binary else
        cifar_files.read_names(directory / META_FILE, f"{kind}_label_names", CLASSES[kind]))
    # Both kinds of labels are read, since the checksum is that of both.
    batches = [cifar_files.read(directory / f"{part}{'.bin' * binary}", {
        f"{each}_labels": count for each, count in CLASSES.items()})
        for part in (TRAIN_FILE, TEST_FILE)]
    note = cifar_files.note("CIFAR-100", batches)
    splits = [cifar_files.as_split([batch], list(CLASSES).index(kind)) for batch in batches]
    return Dataset(f"cifar100{'-coarse' * coarse}", locate.origin(directory), tuple(names),
                   *splits, note)

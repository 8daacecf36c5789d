"""MNIST, the handwritten digits: 28x28 gray pixels, 60,000 for training and 10,000 for testing.

    find      the folder with the files, which are downloaded if they are not on this machine
    download  fetch and verify the four files
    load      read the files as a `base.Dataset`

The files are the four IDX files of the official download, mnist.npz of Keras or the CSV files of
Kaggle, which `mnist_layouts` and `mnist_csv` read. If a folder holds only the two test files,
whose names begin with t10k, or only one CSV file with labels, its images are divided into
training and test images.
"""

import os
import pathlib

from tf1cifar import files
from tf1cifar.data import locate, mnist_csv, mnist_layouts, official
from tf1cifar.data.base import DataError, Dataset, Split
from tf1cifar.data.download import fetch

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MD5S = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
FILES = tuple(MD5S)
TRAIN_FILES, TEST_FILES = FILES[:2], FILES[2:]  # images, labels
FOLDER = "mnist"
CLASS_NAMES = tuple("0123456789")

# Words in the names of folders of other data sets whose files have MNIST's names. Such a folder is
# read only if the user names it and MNIST itself is not there.
OTHERS = ("fashion", "kmnist", "qmnist", "emnist")
TRAIN_PERCENT = 85  # share of the images for training, if a folder has no others for testing

DOWNLOAD_HINT = (f"To get MNIST, download {', '.join(FILES)} from {URL} into a folder and give its "
                 "path with --data-dir or in MNIST_DIR.")


# ---------------------------------------------------------------------------------------
# Finding and downloading


def find(data_dir=None):
    """The folder with MNIST's files, downloaded into the cache if there is none.

    If `data_dir` or the environment variable MNIST_DIR is given, only that place is tried.
    Otherwise the usual places are tried; see `locate.find`.

    Args:
      data_dir: path of a folder, or of a file or an archive in it.

    Returns:
      A `pathlib.Path`.

    Raises:
      DataError: the place that the user named does not hold MNIST.
      errors.Failure: MNIST is not on this machine, and the download failed.
    """
    return locate.find(data_dir, locate.DataSet(
        title="MNIST", variable="MNIST_DIR", folder=FOLDER, download=download,
        is_complete=_is_complete, has_any=lambda folder: bool(_present(folder)),
        wanted=lambda name: bool(mnist_layouts.canonical(name)), hint=DOWNLOAD_HINT,
        expected=f"(expected the files {', '.join(FILES)}, gzipped or not, or mnist.npz, or "
                 "mnist_train.csv and mnist_test.csv, or train.csv)"))


def _present(folder):
    """The files of MNIST in `folder`, see `mnist_layouts.present`."""
    found = mnist_layouts.present(pathlib.Path(folder))
    train, test = mnist_layouts.CSV_FILES[1]
    # Many other data sets have a train.csv too, and test.csv of Kaggle has no labels.
    if train in found and mnist_csv.columns(found[train]) != mnist_csv.COLUMNS:
        del found[train]
    if test in found and (train not in found or
                          mnist_csv.columns(found[test]) == mnist_layouts.PIXELS):
        del found[test]
    return found


def _is_complete(folder):
    # torchvision keeps data sets with MNIST's file names beside MNIST, in FashionMNIST/raw.
    names = "/".join(folder.parts[-2:]).lower()
    return not any(name in names for name in OTHERS) and bool(_choice(_present(folder)))


def download(directory, url=None, md5s=None, timeout=10.0):
    """Download and verify MNIST's four files: all files or none.

    If the folder exists already, the four files in it are replaced and all others stay.

    Args:
      directory: path of the folder in which the folder mnist is made.
      url: address of the folder on the web with the files; by default the environment variable
        MNIST_URL or `URL`.
      md5s: dictionary of each name in FILES to its MD5 checksum in hexadecimal; by default
        `MD5S`.
      timeout: seconds to wait for an answer of the server.

    Returns:
      The `pathlib.Path` of the folder mnist.

    Raises:
      errors.Failure: the server cannot be reached, or a checksum differs.
      OSError: the folder cannot be written.
    """
    url = url or os.environ.get("MNIST_URL") or URL
    md5s = md5s or MD5S
    target = pathlib.Path(directory) / FOLDER
    with files.new_folder(target, existing="merge") as folder:
        for name in FILES:
            fetch(f"{url.rstrip('/')}/{name}", md5s[name], folder / name, timeout)
    return target


# ---------------------------------------------------------------------------------------
# Reading


def load(directory):
    """Read the whole data set.

    Args:
      directory: path of the folder with the files. If only the two test files or one CSV file
        with labels are there, the first 85 % of the images are for training, which the `note`
        says.

    Returns:
      A `Dataset`; its images are [N, 28, 28, 1]. The `note` says too if these are not the
      official images.

    Raises:
      DataError: a file is missing or damaged.
    """
    directory = pathlib.Path(directory)
    present = _present(directory)
    chosen = _choice(present)
    if not chosen:
        missing = ", ".join(name for name in FILES if name not in present)
        raise DataError(f"{directory}: {missing} missing; expected all four files of MNIST, "
                        f"or {' and '.join(TEST_FILES)} alone")
    if chosen == [mnist_layouts.NPZ_FILE]:
        splits = mnist_layouts.read_npz(present[chosen[0]])
    elif chosen[0] in FILES:
        splits = [mnist_layouts.read_idx(*(present[name] for name in names))
                  for names in (TRAIN_FILES, TEST_FILES) if names[0] in chosen]
    else:
        splits = [mnist_csv.read_csv(present[name]) for name in chosen]
    notes = [official.mnist(splits)]
    if len(splits) == 1:
        splits = _divide(splits[0], present[chosen[0]])
        source = ("only the t10k files are there" if chosen[0] in FILES
                  else f"{chosen[0]} is the only file with labels there")
        whose = "their" if chosen[0] in FILES else "its"
        notes.insert(0, f"{source}: {len(splits[0].labels):,} of {whose} images are for training, "
                        f"{len(splits[1].labels):,} for testing")
    return Dataset("mnist", locate.origin(directory), CLASS_NAMES, *splits,
                   "\n".join(filter(None, notes)))


def _choice(present):
    """The names of the files to read, [] if no data set is whole.

    A whole data set is preferred to one that must be divided, and IDX files to others. The test
    files beside a part of the training files are not whole.
    """
    choices = [FILES, [mnist_layouts.NPZ_FILE], *mnist_layouts.CSV_FILES,
               *([] if set(TRAIN_FILES) & set(present) else [TEST_FILES]),
               *([name] for pair in mnist_layouts.CSV_FILES for name in pair)]
    return next((list(names) for names in choices if set(names) <= set(present)), [])


def _divide(split, file):
    """(training, test): the first TRAIN_PERCENT of the images, and the rest."""
    count = len(split.labels) * TRAIN_PERCENT // 100
    if not count:
        raise DataError(f"{file}: holds one image, expected two or more, for training and "
                        "testing")
    return (Split(split.images[:count], split.labels[:count]),
            Split(split.images[count:], split.labels[count:]))

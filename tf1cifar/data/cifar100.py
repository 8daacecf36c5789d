"""CIFAR-100: CIFAR-10's images of 100 other classes, which form 20 groups.

    find      the folder with the files, which are downloaded if there are none here
    download  fetch, verify and extract the official tarball
    load      read the files as a `base.Dataset`
"""

import os
import pathlib

import numpy as np

from tf1cifar.data import base, cifar10, locate, official, safe_pickle

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
FOLDER = "cifar-100-python"
FILES = META_FILE, TRAIN_FILE, TEST_FILE = "meta", "train", "test"
CLASSES = {"fine": 100, "coarse": 20}

DOWNLOAD_HINT = (f"To get CIFAR-100, download {URL}, extract it and give the path of its folder "
                 f"{FOLDER} with --data-dir or in CIFAR100_DIR.")


def find(data_dir=None):
    """The folder with CIFAR-100's files, downloaded into the cache if there is none.

    As `cifar10.find`; the environment variable is CIFAR100_DIR.
    """
    return locate.find(data_dir, locate.DataSet(
        title="CIFAR-100", variable="CIFAR100_DIR", folder=FOLDER, has_any=_is_complete,
        is_complete=_is_complete, wanted=FILES.__contains__, download=download,
        expected=f"(expected the files {', '.join(FILES)} in that folder, in a folder in it, or in "
        "an archive)", hint=DOWNLOAD_HINT))


def _is_complete(folder):
    return all((folder / name).is_file() for name in FILES)


def download(directory, url=None, md5=None, timeout=10.0):
    """Download, verify and extract the CIFAR-100 tarball: all files or none.

    As `cifar10.download`; the environment variables are CIFAR100_URL and CIFAR100_MD5.
    """
    url = url or os.environ.get("CIFAR100_URL") or URL
    md5 = md5 or os.environ.get("CIFAR100_MD5") or MD5
    return cifar10.fetch_and_extract(url, md5, pathlib.Path(directory) / FOLDER, FILES,
                                     locate.MAX_FILE_BYTES, timeout)


def load(directory, coarse=False):
    """Read the whole data set.

    Args:
      directory: path of the folder with the three files.
      coarse: whether the labels are those of the 20 groups.

    Returns:
      A `Dataset`; its images are [N, 32, 32, 3].

    Raises:
      DataError: a file is missing or damaged.
    """
    directory, kind = pathlib.Path(directory), "coarse" if coarse else "fine"
    names = safe_pickle.unpickle(directory / META_FILE).get(f"{kind}_label_names")
    if (not isinstance(names, (list, tuple)) or len(names) != CLASSES[kind]
            or not all(isinstance(name, str) for name in names)):
        raise base.DataError(f"{directory / META_FILE}: '{kind}_label_names' is not a list of "
                             f"{CLASSES[kind]} names")
    batches = {kind: [cifar10.read_batch(directory / file, CLASSES[kind], f"{kind}_labels")
                      for file in (TRAIN_FILE, TEST_FILE)] for kind in CLASSES}
    note = official.cifar("CIFAR-100", [
        (directory / file, np.stack([coarse_labels, fine_labels], 1).astype(np.uint8), data)
        for file, (data, coarse_labels), (_, fine_labels) in zip(
            (TRAIN_FILE, TEST_FILE), batches["coarse"], batches["fine"])])
    splits = [cifar10.as_images([batch]) for batch in batches[kind]]
    return base.Dataset("cifar100-coarse" if coarse else "cifar100", str(directory), tuple(names),
                        *splits, note)

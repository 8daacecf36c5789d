"""CIFAR-10: colour images of 32x32 pixels, 50,000 for training and 10,000 for testing.

    find        the folder with the files, which are downloaded if they are not on this machine
    download    fetch, verify and extract the official tarball
    load        read the files as a `base.Dataset`
    read_batch  read the pixels and labels of one file
    read_names  read the names of the classes

The files are Python 2 pickles and come from the internet, so `safe_pickle` reads them.
"""

import os
import pathlib
import shutil
import tarfile

import numpy as np

from tf1cifar import errors, files
from tf1cifar.data import base, safe_pickle
from tf1cifar.data.download import fetch, find_folder

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
META_FILE = "batches.meta"
FILES = (META_FILE, *TRAIN_FILES, TEST_FILE)
MAX_FILE_BYTES = 64 << 20  # twice the size of a file of the official archive
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer",
               "dog", "frog", "horse", "ship", "truck")

DOWNLOAD_HINT = (f"To get CIFAR-10, download {URL}, extract it and give the path of its folder "
                 f"{FOLDER} with --data-dir or in CIFAR10_DIR.")


# ---------------------------------------------------------------------------------------
# Finding and downloading


def find(data_dir=None):
    """The folder with CIFAR-10's files, downloaded into the cache if there is none.

    If `data_dir` or the environment variable CIFAR10_DIR is given, only that place is tried; it
    may be the folder with the files or the folder above. Otherwise ./cifar-10-batches-py is
    tried, then the cache.

    Args:
      data_dir: path of a folder; a leading ~ is the home folder.

    Returns:
      A `pathlib.Path`.

    Raises:
      DataError: the place that the user named does not hold CIFAR-10.
      errors.Failure: CIFAR-10 is not on this machine, and the download failed.
    """
    return find_folder(
        data_dir, variable="CIFAR10_DIR", name=FOLDER, has_any=_has_any, is_complete=_is_complete,
        download=download,
        missing=(f"no CIFAR-10 there (expected the files {META_FILE}, {TRAIN_FILES[0]} ... "
                 f"{TEST_FILE} in that folder or in its subfolder {FOLDER}). {DOWNLOAD_HINT}"))


def _has_any(folder):
    return any((folder / name).exists() for name in FILES)


def _is_complete(folder):
    return all((folder / name).exists() for name in FILES)


def download(directory, url=None, md5=None, timeout=10.0):
    """Download, verify and extract the CIFAR-10 tarball: all files or none.

    If the folder exists already, the seven files in it are replaced and all others stay.

    Args:
      directory: path of the folder in which the folder cifar-10-batches-py is made.
      url: address of the tarball; by default the environment variable CIFAR10_URL or `URL`.
      md5: MD5 checksum of the tarball in hexadecimal; by default the environment variable
        CIFAR10_MD5 or `MD5`.
      timeout: seconds to wait for an answer of the server.

    Returns:
      The `pathlib.Path` of the folder cifar-10-batches-py.

    Raises:
      errors.Failure: the server cannot be reached, the checksum differs, or the tarball does
        not hold the data set.
      OSError: the folder cannot be written.
    """
    url = url or os.environ.get("CIFAR10_URL") or URL
    md5 = md5 or os.environ.get("CIFAR10_MD5") or MD5
    target = pathlib.Path(directory) / FOLDER
    with files.new_folder(target, existing="merge") as folder:
        tarball = folder / "tarball"
        fetch(url, md5, tarball, timeout)
        _extract(tarball, folder, url)
        tarball.unlink()
    return target


def _extract(tarball, folder, url):
    """Write the data files of the tarball into `folder`.

    The archive is not trusted: only regular files with the seven known names are extracted,
    without their path, owner and mode. A small archive could fill the disk with large or sparse
    files. So sparse files are not extracted, and a file larger than MAX_FILE_BYTES is an error.
    """
    missing = set(FILES)
    try:
        with tarfile.open(tarball, "r:gz") as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                if name in missing and member.isfile() and not member.issparse():
                    if member.size > MAX_FILE_BYTES:
                        raise ValueError(f"{name} is {member.size} bytes long, expected at most "
                                         f"{MAX_FILE_BYTES}")
                    with tar.extractfile(member) as source, files.open_new(folder / name) as out:
                        shutil.copyfileobj(source, out, 1 << 20)
                    missing.remove(name)
    except Exception as error:  # a damaged archive can raise nearly anything, MemoryError too
        if getattr(error, "errno", None):  # an error of the disk, not of the archive
            raise
        raise errors.Failure(f"{url}: not a gzipped tar archive of CIFAR-10 "
                             f"({str(error) or repr(error)})") from error
    if missing:
        raise errors.Failure(f"{url}: the archive lacks {', '.join(sorted(missing))}")


# ---------------------------------------------------------------------------------------
# Reading


def read_batch(file):
    """Read and check one file of images.

    Args:
      file: path of a data_batch file or of test_batch.

    Returns:
      data, uint8 [N, 3072], the red, green and blue planes of each image; labels, int64 [N].

    Raises:
      DataError: the file is missing, damaged or not a CIFAR-10 batch.
    """
    batch = safe_pickle.unpickle(file)
    for key in ("data", "labels"):
        if key not in batch:
            raise base.DataError(f"{file}: no '{key}' in it, so it is not a CIFAR-10 batch")
    data, labels = batch["data"], batch["labels"]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3072:
        found = getattr(data, "shape", type(data).__name__)
        raise base.DataError(f"{file}: 'data' is {found}, expected uint8 of shape (N, 3072)")
    if not isinstance(labels, list) or len(labels) != len(data):
        found = len(labels) if isinstance(labels, list) else type(labels).__name__
        raise base.DataError(f"{file}: 'labels' is {found}, "
                             f"expected a list of {len(data)}, one label per image")
    if not len(data):
        raise base.DataError(f"{file}: holds no images")
    for number, label in enumerate(labels):
        # The value is not printed: it can be too deep or too long for that.
        if type(label) is not int or not 0 <= label < len(CLASS_NAMES):
            raise base.DataError(f"{file}: label {number} is not a whole number from 0 to 9")
    return data, np.array(labels, np.int64)


def read_names(directory):
    """Read the names of the classes.

    Args:
      directory: path of the folder with batches.meta.

    Returns:
      A list of ten str.

    Raises:
      DataError: the file is missing or damaged.
    """
    file = pathlib.Path(directory) / META_FILE
    names = safe_pickle.unpickle(file).get("label_names")
    if (not isinstance(names, list) or len(names) != len(CLASS_NAMES)
            or not all(isinstance(name, str) for name in names)):
        raise base.DataError(f"{file}: 'label_names' is not a list of {len(CLASS_NAMES)} names")
    return names


def load(directory, name="cifar10", class_names=CLASS_NAMES):
    """Read a whole data set of CIFAR-10's layout.

    Args:
      directory: path of the folder with the seven files.
      name: name of the data set, for the `Dataset`.
      class_names: the ten class names that batches.meta must hold. They distinguish the data
        sets of this layout.

    Returns:
      A `Dataset`; its images are [N, 32, 32, 3].

    Raises:
      DataError: a file is missing or damaged, or the class names differ.
    """
    directory = pathlib.Path(directory)
    names = read_names(directory)
    if tuple(names) != tuple(class_names):
        raise base.DataError(f"{directory / META_FILE}: classes {', '.join(names)}; "
                             f"expected those of {name}: {', '.join(class_names)}")
    return base.Dataset(name, str(directory), tuple(names),
                        _read_split(directory, TRAIN_FILES), _read_split(directory, [TEST_FILE]))


def _read_split(directory, names):
    images, labels = [], []
    for name in names:
        data, batch_labels = read_batch(directory / name)
        images.append(data.reshape(-1, 3, 32, 32))
        labels.append(batch_labels)
    # One pass concatenates the batches and moves the colour planes to the last axis.
    out = np.empty((sum(map(len, images)), 32, 32, 3), np.uint8)
    np.concatenate(images, out=out.transpose(0, 3, 1, 2))
    return base.Split(out, np.concatenate(labels))

"""CIFAR-10: colour images of 32x32 pixels, 50,000 for training and 10,000 for testing.

    find        the folder with the files, which are downloaded if they are not on this machine
    download    fetch, verify and extract the official tarball
    load        read the files as a `base.Dataset`
    read_batch  read the pixels and labels of one file
    read_names  read the names of the classes

The files come from the internet and are not trusted; see `cifar_files`, which reads them.
"""

import os
import pathlib

from tf1cifar import console
from tf1cifar.data import base, cifar_files, locate

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
META_FILE = "batches.meta"
FILES = (META_FILE, *TRAIN_FILES, TEST_FILE)
BINARY_FILES = (f"{META_FILE}.txt", *(f"{name}.bin" for name in (*TRAIN_FILES, TEST_FILE)))
MAX_FILE_BYTES = 64 << 20  # twice the size of a file of the official archive
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer",
               "dog", "frog", "horse", "ship", "truck")

DOWNLOAD_HINT = (f"To get CIFAR-10, download {URL} and give the path of the file, or of the folder "
                 f"{FOLDER} in it, with --data-dir or in CIFAR10_DIR.")


# ---------------------------------------------------------------------------------------
# Finding and downloading


def find(data_dir=None):
    """The folder with CIFAR-10's files, downloaded into the cache if there is none.

    If `data_dir` or the environment variable CIFAR10_DIR is given, only that place is searched,
    otherwise the usual places; see `locate.find`.

    Args:
      data_dir: path of a folder or an archive; ~ and $VARIABLE are replaced.

    Returns:
      A `pathlib.Path`.

    Raises:
      DataError: the place that the user named does not hold CIFAR-10.
      errors.Failure: CIFAR-10 is not on this machine, and the download failed.
    """
    return locate.find(data_dir, locate.DataSet(
        title="CIFAR-10", variable="CIFAR10_DIR", folder=FOLDER, has_any=_has_any,
        is_complete=_is_complete, wanted={*FILES, *BINARY_FILES}.__contains__, download=download,
        expected=f"(expected the files {META_FILE}, {TRAIN_FILES[0]} ... {TEST_FILE} in that "
        "folder, in a folder in it, or in an archive)", hint=DOWNLOAD_HINT))


def _has_any(folder):
    return any((folder / name).exists() for name in (*FILES, *BINARY_FILES))


def _is_complete(folder):
    return any(all((folder / name).exists() for name in names) for names in (FILES, BINARY_FILES))


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
    return cifar_files.download(pathlib.Path(directory) / FOLDER, url, md5, FILES, MAX_FILE_BYTES,
                                timeout)


# ---------------------------------------------------------------------------------------
# Reading


def read_batch(file, classes=10):
    """Read and check one file of images.

    Args:
      file: path of a data_batch file or of test_batch; with the suffix .bin, of the binary version.
      classes: number of classes.

    Returns:
      data, uint8 [N, 3072], the red, green and blue planes of each image; labels, int64 [N].

    Raises:
      DataError: the file is missing, damaged or not a CIFAR-10 batch.
    """
    batch = cifar_files.read(file, {"labels": classes})
    return batch.data, batch.labels[0]


def read_names(directory):
    """Read the names of the classes.

    Args:
      directory: path of the folder with batches.meta, or with batches.meta.txt of the binary
        version.

    Returns:
      A list of 2 to 1,000 str, ten in the official files.

    Raises:
      DataError: the folder or the file is missing, or the file is damaged.
    """
    folder = pathlib.Path(directory)
    if not folder.is_dir():
        raise base.DataError(f"{folder}: " + (
            "a file, expected a folder; 'find' of this module takes archives" if folder.exists()
            else "no such folder"))
    if not _has_any(folder) and _has_any(folder / FOLDER):
        raise base.DataError(f"{folder}: the files are in {folder / FOLDER}; give that folder")
    file = folder / META_FILE
    lines = file.with_name(BINARY_FILES[0])
    if not file.exists() and lines.exists():
        return cifar_files.read_lines(lines)
    return cifar_files.read_names(file, "label_names")


def load(directory, name="cifar10", class_names=CLASS_NAMES):
    """Read a whole data set of CIFAR-10's layout.

    Args:
      directory: path of the folder with the seven files, pickles or binary.
      name: name of the data set, for the `Dataset`.
      class_names: the class names that batches.meta must hold, which tell the data sets of this
        layout apart; None for any 2 to 1,000 names.

    Returns:
      A `Dataset`; its images are [N, 32, 32, 3]. The `note` of CIFAR-10 says if the images are not
      the official ones.

    Raises:
      DataError: a file is missing or damaged, or the class names differ.
    """
    directory = pathlib.Path(directory)
    names = read_names(directory)
    meta, *files_of_images = batch_files(directory)
    if class_names is not None and tuple(names) != tuple(class_names):
        remedy = "; to train on them, give --dataset folders" * (name == "cifar10")
        raise base.DataError(
            f"{meta}: {len(names)} classes of its own ({console.cut(', '.join(names), 80)}), "
            f"expected those of {name} ({class_names[0]} ... {class_names[-1]}){remedy}")
    batches = [cifar_files.read(file, {"labels": len(names)}) for file in files_of_images]
    note = cifar_files.note("CIFAR-10", batches) if name == "cifar10" else ""
    test = cifar_files.as_split([batches.pop()])  # in this order, the least memory is needed
    return base.Dataset(name, locate.origin(directory), tuple(names),
                        cifar_files.as_split(batches), test, note)


def batch_files(directory):
    """The paths of the seven files: that of the names, five for training and one for testing.

    Args:
      directory: a `pathlib.Path`.
    """
    # If both versions are there, the pickles count. If one is not whole, it is named.
    binary = not any((directory / name).exists() for name in FILES) and any(
        (directory / name).exists() for name in BINARY_FILES)
    return [directory / name for name in (BINARY_FILES if binary else FILES)]

"""CIFAR-10: colour images of 32x32 pixels, 50,000 for training and 10,000 for testing.

    find               the folder with the files, which are downloaded if there are none here
    download           fetch, verify and extract the official tarball
    load               read the files as a `base.Dataset`
    read_batch         read the pixels and labels of one file
    read_names         read the names of the classes
    fetch_and_extract  the same as `download`, of CIFAR-100 too
    as_images          the pixels of some files as images

The files are Python 2 pickles and come from the internet, so `safe_pickle` reads them. The binary
version has the same pixels: a byte for the label, then 3,072 for the pixels of each image.
"""

import os
import pathlib

import numpy as np

from tf1cifar import console, errors, files
from tf1cifar.data import archives, base, locate, official, safe_pickle, signatures
from tf1cifar.data.download import fetch

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
META_FILE = "batches.meta"
FILES = (META_FILE, *TRAIN_FILES, TEST_FILE)
BINARY_META_FILE = "batches.meta.txt"
BINARY_FILES = (BINARY_META_FILE, *(f"{name}.bin" for name in (*TRAIN_FILES, TEST_FILE)))
MAX_FILE_BYTES = 64 << 20  # twice the size of a file of the official archive
MAX_NAMES_BYTES = 1 << 20  # of batches.meta.txt
MAX_CLASSES = 1000
PIXELS = 3072  # bytes of an image: 32x32 pixels in three planes
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer",
               "dog", "frog", "horse", "ship", "truck")

DOWNLOAD_HINT = (f"To get CIFAR-10, download {URL}, extract it and give the path of its folder "
                 f"{FOLDER} with --data-dir or in CIFAR10_DIR.")


# ---------------------------------------------------------------------------------------
# Finding and downloading


def find(data_dir=None):
    """The folder with CIFAR-10's files, downloaded into the cache if there is none.

    `locate.find` says where it looks. The environment variable CIFAR10_DIR may name a place too.

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
        expected=(f"(expected the files {META_FILE}, {TRAIN_FILES[0]} ... {TEST_FILE} in that "
                  "folder, in a folder in it, or in an archive)"), hint=DOWNLOAD_HINT))


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
    return fetch_and_extract(url, md5, pathlib.Path(directory) / FOLDER, FILES, MAX_FILE_BYTES,
                             timeout)


def fetch_and_extract(url, md5, target, names, max_bytes, timeout=10.0):
    """Download, verify and extract a tarball into the folder `target`: all of `names` or none.

    Args:
      url, md5, timeout: as for `download`.
      target: a `pathlib.Path`.
      names: names of the files.
      max_bytes: largest number of bytes of a file.

    Returns:
      `target`.

    Raises:
      As `download`.
    """
    with files.new_folder(target, existing="merge") as folder:
        tarball = folder / "tarball"
        fetch(url, md5, tarball, timeout)
        try:
            found = archives.unpack(tarball, folder, set(names).__contains__, max_bytes)
        except base.DataError as error:
            raise errors.Failure(f"{url}: not the archive of a data set ({error})") from error
        if missing := sorted(set(names) - found):
            raise errors.Failure(f"{url}: the archive lacks {', '.join(missing)}")
        tarball.unlink()
    return target


# ---------------------------------------------------------------------------------------
# Reading


def read_batch(file, num_classes=10, labels="labels"):
    """Read and check one file of images.

    Args:
      file: path of a data_batch file or of test_batch, a pickle or, with the suffix .bin, binary.
      num_classes: number of classes.
      labels: key of the labels in a pickle.

    Returns:
      data, uint8 [N, 3072], the red, green and blue planes of each image; labels, int64 [N].

    Raises:
      DataError: the file is missing, damaged or not a CIFAR-10 batch.
    """
    file = pathlib.Path(file)
    if file.suffix == ".bin":
        return _read_binary(file, num_classes)
    batch = safe_pickle.unpickle(file)
    for key in ("data", labels):
        if key not in batch:
            raise base.DataError(f"{file}: no '{key}' in it, so it is not a CIFAR batch")
    data, found = batch["data"], batch[labels]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        kind = (f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray)
                else type(data).__name__)
        raise base.DataError(f"{file}: 'data' is {kind}, expected uint8 of shape (N, 3072)")
    if not len(data):
        raise base.DataError(f"{file}: holds no images")
    return np.ascontiguousarray(data), _labels(file, labels, found, len(data), num_classes)


def _labels(file, key, labels, count, num_classes):
    """`labels` as int64 [count], checked."""
    if isinstance(labels, np.ndarray) and labels.ndim != 1:
        raise base.DataError(f"{file}: '{key}' has the shape {labels.shape}, expected ({count},)")
    if not isinstance(labels, (list, tuple, np.ndarray)) or len(labels) != count:
        found = (len(labels) if isinstance(labels, (list, tuple, np.ndarray))
                 else type(labels).__name__)
        raise base.DataError(f"{file}: '{key}' is {found}, "
                             f"expected a list of {count}, one label per image")
    if isinstance(labels, np.ndarray) and labels.dtype.kind not in "iu":
        raise base.DataError(f"{file}: '{key}' is an array of {labels.dtype}, expected whole "
                             "numbers")
    if not isinstance(labels, np.ndarray):
        for number, label in enumerate(labels):
            # The value is not printed: it can be too deep or too long for that.
            if type(label) is not int or not 0 <= label < num_classes:
                raise base.DataError(f"{file}: label {number} is not a whole number from 0 to "
                                     f"{num_classes - 1}")
    labels = np.array(labels)
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise base.DataError(f"{file}: label {wrong[0]} is not a whole number from 0 to "
                             f"{num_classes - 1}")
    return labels.astype(np.int64)


def _read_binary(file, num_classes, label_bytes=1, label=0):
    content = np.frombuffer(signatures.read_file(file, safe_pickle.MAX_FILE_BYTES), np.uint8)
    if not len(content) or len(content) % (label_bytes + PIXELS):
        raise base.DataError(f"{file}: has {len(content):,} bytes, expected a multiple of "
                             f"{label_bytes + PIXELS:,}; cut short or damaged")
    rows = content.reshape(-1, label_bytes + PIXELS)
    return (np.ascontiguousarray(rows[:, label_bytes:]),
            _labels(file, "labels", rows[:, label], len(rows), num_classes))


def read_names(directory, num_classes=10):
    """Read the names of the classes.

    Args:
      directory: path of the folder with batches.meta, or batches.meta.txt of the binary version.
      num_classes: number of classes; None for any number from 2 to 1,000.

    Returns:
      A list of str.

    Raises:
      DataError: the file is missing or damaged.
    """
    file, binary = pathlib.Path(directory) / META_FILE, pathlib.Path(directory) / BINARY_META_FILE
    if not file.exists() and binary.exists():
        file, text = binary, signatures.read_file(binary, MAX_NAMES_BYTES)
        lines = text.decode("utf-8", "replace").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    else:
        names = safe_pickle.unpickle(file).get("label_names")
    if (not isinstance(names, (list, tuple)) or not 2 <= len(names) <= MAX_CLASSES
            or not all(isinstance(name, str) for name in names)):
        raise base.DataError(f"{file}: 'label_names' is not a list of {num_classes or 'the'} names")
    if num_classes and len(names) != num_classes:
        raise base.DataError(
            f"{file}: {len(names)} classes of its own ({console.cut(', '.join(names[:5]))}), "
            f"expected {num_classes}; give --dataset folders to train on them")
    return list(names)


def load(directory, name="cifar10", class_names=CLASS_NAMES):
    """Read a whole data set of CIFAR-10's layout.

    Args:
      directory: path of the folder with the seven files, pickles or binary.
      name: name of the data set, for the `Dataset`.
      class_names: the class names that batches.meta must hold, which distinguish the data sets of
        this layout; None for any names.

    Returns:
      A `Dataset`; its images are [N, 32, 32, 3].

    Raises:
      DataError: a file is missing or damaged, or the class names differ.
    """
    directory = pathlib.Path(directory)
    names = read_names(directory, class_names and len(class_names))
    if class_names and tuple(names) != tuple(class_names):
        raise base.DataError(f"{directory / META_FILE}: classes {console.cut(', '.join(names))}; "
                             f"expected those of {name}: {', '.join(class_names)}")
    suffix = "" if (directory / TRAIN_FILES[0]).exists() or not (
        directory / f"{TRAIN_FILES[0]}.bin").exists() else ".bin"
    paths = [directory / f"{file}{suffix}" for file in (*TRAIN_FILES, TEST_FILE)]
    batches = [read_batch(path, len(names)) for path in paths]
    note = ""
    if name == "cifar10":
        note = official.cifar("CIFAR-10", [(path, labels[:, None].astype(np.uint8), data)
                                           for path, (data, labels) in zip(paths, batches)])
    return base.Dataset(name, str(directory), tuple(names), as_images(batches[:-1]),
                        as_images(batches[-1:]), note)


def as_images(batches):
    """The pixels of some files as images.

    Args:
      batches: list of (data uint8 [N, 3072], labels int64 [N]).

    Returns:
      A `base.Split` of all images, uint8 [N, 32, 32, 3].
    """
    images = [data.reshape(-1, 3, 32, 32) for data, _ in batches]
    # One pass concatenates the batches and moves the colour planes to the last axis.
    out = np.empty((sum(map(len, images)), 32, 32, 3), np.uint8)
    np.concatenate(images, out=out.transpose(0, 3, 1, 2))
    return base.Split(out, np.concatenate([labels for _, labels in batches]))

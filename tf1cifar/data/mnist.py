"""MNIST, the handwritten digits: 28x28 gray pixels, 60,000 for training and 10,000 for testing.

    find      the folder with the files, which are downloaded if they are not on this machine
    download  fetch and verify the four files
    load      read the files as a `base.Dataset`

The files are in the IDX format: a magic number for type and rank, the length of each dimension
(big-endian, 32 bits each), then the values. A file may be gzipped or not, and be named
train-images-idx3-ubyte or train-images.idx3-ubyte. If a folder holds only the two test files,
whose names begin with t10k, their images are divided into training and test images.
"""

import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

from tf1cifar import files
from tf1cifar.data.base import DataError, Dataset, Split
from tf1cifar.data.download import fetch, find_folder

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

SIZE = 28  # height and width of an image in pixels
MAX_IMAGES = 100_000  # of a file; limits the memory that a damaged header can claim
TRAIN_PERCENT = 85  # share of the t10k images for training, if a folder has no others

DOWNLOAD_HINT = (f"To get MNIST, download {', '.join(FILES)} from {URL} into a folder and give its "
                 "path with --data-dir or in MNIST_DIR.")


# ---------------------------------------------------------------------------------------
# Finding and downloading


def find(data_dir=None):
    """The folder with MNIST's files, downloaded into the cache if there is none.

    If `data_dir` or the environment variable MNIST_DIR is given, only that place is tried; it
    may be the folder with the files or the folder above. Otherwise ./mnist is tried, then the
    cache.

    Args:
      data_dir: path of a folder; a leading ~ is the home folder.

    Returns:
      A `pathlib.Path`.

    Raises:
      DataError: the place that the user named does not hold MNIST.
      errors.Failure: MNIST is not on this machine, and the download failed.
    """
    return find_folder(
        data_dir, variable="MNIST_DIR", name=FOLDER, has_any=_present,
        is_complete=lambda folder: _enough(_present(folder)), download=download,
        missing=(f"no MNIST there (expected the files {', '.join(FILES)}, gzipped or not, in that "
                 f"folder or in its subfolder {FOLDER}). {DOWNLOAD_HINT}"))


def _present(folder):
    """The files in `folder`, a dictionary of a name in FILES to the path in its actual spelling."""
    found = {}
    for name in FILES:
        plain = name.removesuffix(".gz")
        dotted = plain.replace("-idx", ".idx")
        for spelling in (name, plain, f"{dotted}.gz", dotted):
            if (folder / spelling).is_file():
                found[name] = folder / spelling
                break
    return found


def _enough(present):
    """Whether `present` has all four files, or the two test files and no others."""
    return set(present) in (set(FILES), set(TEST_FILES))


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
      directory: path of the folder with the four files, or with the two test files alone. In the
        latter case the first 85 % of the images are for training, which the `note` says.

    Returns:
      A `Dataset`; its images are [N, 28, 28, 1].

    Raises:
      DataError: a file is missing or damaged.
    """
    directory = pathlib.Path(directory)
    present = _present(directory)
    if not _enough(present):
        missing = ", ".join(name for name in FILES if name not in present)
        raise DataError(f"{directory}: {missing} missing; expected all four files of MNIST, "
                        f"or {' and '.join(TEST_FILES)} alone")
    test, note = _read_split(present, TEST_FILES), ""
    if len(present) == len(FILES):
        train = _read_split(present, TRAIN_FILES)
    else:
        train, test = _divide(test, present[TEST_FILES[0]])
        note = (f"only the t10k files are there: {len(train.labels):,} of their images are for "
                f"training, {len(test.labels):,} for testing")
    return Dataset("mnist", str(directory), CLASS_NAMES, train, test, note)


def _divide(split, file):
    """(training, test): the first TRAIN_PERCENT of the images, and the rest."""
    count = len(split.labels) * TRAIN_PERCENT // 100
    if not count:
        raise DataError(f"{file}: holds one image, expected two or more, for training and "
                        "testing")
    return (Split(split.images[:count], split.labels[:count]),
            Split(split.images[count:], split.labels[count:]))


def _read_split(present, names):
    images_file, labels_file = (present[name] for name in names)
    images, labels = _read_idx(images_file, (SIZE, SIZE)), _read_idx(labels_file, ())
    if len(labels) != len(images):
        raise DataError(f"{labels_file}: holds {len(labels)} labels, expected {len(images)}, "
                        f"one for each image of {images_file.name}")
    wrong = np.flatnonzero(labels >= len(CLASS_NAMES))
    if len(wrong):
        raise DataError(f"{labels_file}: label {wrong[0]} is {labels[wrong[0]]}, "
                        "expected 0 to 9")
    return Split(images[..., None], labels.astype(np.int64))


def _read_idx(file, shape):
    """The values of an IDX file of unsigned bytes, read-only uint8 [N, *shape] with N > 0."""
    try:
        with open(file, "rb") as raw:
            # Some browsers unpack a .gz file and keep its name, so the first bytes decide.
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            return _parse_idx(gzip.GzipFile(fileobj=raw) if zipped else raw, shape)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file}: cut short or damaged, expected an intact gzip file "
                        f"({error})") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def _parse_idx(source, shape):
    """The values that follow the header of an IDX file, see `_read_idx`."""
    header = struct.Struct(f">{2 + len(shape)}I")
    start = source.read(header.size)
    magic = 0x0800 + 1 + len(shape)  # 8 for unsigned bytes, then the number of dimensions
    if start[:4] != struct.pack(">I", magic):
        raise DataError(f"starts with the bytes {start[:4].hex() or '(none)'}, "
                        f"expected the {magic:08x} of an IDX file of this kind")
    if len(start) < header.size:
        raise DataError(f"ends after {len(start)} bytes, expected a header of {header.size}")
    _, count, *dimensions = header.unpack(start)
    if tuple(dimensions) != shape:
        raise DataError(f"images of {'x'.join(map(str, dimensions))} pixels, "
                        f"expected {'x'.join(map(str, shape))}")
    if not 0 < count <= MAX_IMAGES:
        raise DataError(f"claims to hold {count} {'images' if shape else 'labels'}, "
                        f"expected 1 to {MAX_IMAGES:,}")
    size = count * math.prod(shape)
    # Reading one more byte than expected shows that a file is too long and makes gzip compare
    # its checksum, without unpacking a file that would fill the memory.
    values = source.read(size + 1)
    if len(values) != size:
        found = "more" if len(values) > size else f"only {len(values)}"
        raise DataError(f"{found} bytes follow the header, expected {size}")
    return np.frombuffer(values, np.uint8).reshape(count, *shape)

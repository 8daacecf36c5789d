"""MNIST, the handwritten digits: 28x28 gray pixels, 60,000 for training and 10,000 for testing.

    find      the folder that holds the files, downloaded if need be
    download  fetch and verify the four files
    load      read them as a `cifar_tools.Dataset`

The files are of the format IDX: a magic number that tells type and rank, the length of each
dimension (big-endian, 32 bits each), then the values. Here they may be gzipped or not, and
named train-images-idx3-ubyte or train-images.idx3-ubyte. Where only the test files are (those
of "t10k"), the data set is made of them.
"""

import gzip
import math
import os
import pathlib
import struct
import tempfile
import zlib

import numpy as np

import cifar_tools
from cifar_tools import DataError, Dataset, Split

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

SIZE = 28  # pixels a side
MOST = 100_000  # images a file may claim to hold: bounds the memory a damaged one can ask for
TRAIN_PERCENT = 85  # of the t10k images, where there are no others

HOW_TO_GET = (f"To get MNIST, download {', '.join(FILES)} from {URL} into a folder and name it "
              "with --data-dir or in MNIST_DIR.")


# ---------------------------------------------------------------------------------------
# Finding and downloading


def find(data_dir=None):
    """The folder with MNIST's files, downloading them into the cache as a last resort.

    Looked at in this order: `data_dir`, the environment variable MNIST_DIR, ./mnist, the
    cache. The first two are the user's word: if they are given they are used or refused,
    never passed over. Either may name the folder of the files or the one above it.

    Returns:
      A `pathlib.Path`.

    Raises:
      DataError: no data set where the user said one was.
      console.Failure: none anywhere, and the download failed.
    """
    asked_for = os.environ.get("MNIST_DIR") or None
    for given, source in ((data_dir, "--data-dir"), (asked_for, "MNIST_DIR")):
        if given is not None:
            return _named_folder(pathlib.Path(given), source)
    here, cached = pathlib.Path(FOLDER), cifar_tools.cache_folder() / FOLDER
    if _present(here):
        return here
    return cached if _enough(_present(cached)) else download(cached.parent)


def _named_folder(folder, source):
    for candidate in (folder, folder / FOLDER):
        if _present(candidate):
            return candidate
    raise DataError(f"{source} {folder}: no MNIST there (expected the files {', '.join(FILES)}, "
                    f"gzipped or not, in it or in its {FOLDER}). {HOW_TO_GET}")


def _present(folder):
    """Those of FILES that `folder` has, as a dictionary of paths, whatever their spelling."""
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
    """Whether these are all the files, or all those of the test set and no others."""
    return set(present) in (set(FILES), set(TEST_FILES))


def download(directory, url=None, md5s=None, timeout=10.0):
    """Download and verify MNIST's four files: all of them or nothing.

    Args:
      directory: where the folder mnist is to appear.
      url: the folder on the web to fetch them from; by default the environment variable
        MNIST_URL, else `URL`.
      md5s: the checksum of each of FILES in hexadecimal, a dictionary; by default `MD5S`.
      timeout: seconds without an answer after which the server counts as unreachable.

    Returns:
      The folder, as a `pathlib.Path`.

    Raises:
      console.Failure: no network, or a wrong checksum.
      OSError: the folder cannot be written.
    """
    url = url or os.environ.get("MNIST_URL") or URL
    md5s = md5s or MD5S
    target = pathlib.Path(directory) / FOLDER
    target.parent.mkdir(parents=True, exist_ok=True)
    # All work is done in a scratch folder beside the target, which one rename puts in place.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as scratch:
        fetched = pathlib.Path(scratch) / FOLDER
        fetched.mkdir()
        for name in FILES:
            cifar_tools.fetch(f"{url.rstrip('/')}/{name}", md5s[name], fetched / name, timeout)
        try:
            os.rename(fetched, target)
        except OSError:
            # Something is in that folder already. Ours is whole, so it wins; all else stays.
            for name in FILES:
                os.replace(fetched / name, target / name)
    return target


# ---------------------------------------------------------------------------------------
# Reading


def load(directory):
    """The whole data set in `directory`.

    Args:
      directory: folder with the four files, or with the two of the test set alone: then the
        first 85 % of these are the training images, and the data set's `note` tells it.

    Returns:
      A `cifar_tools.Dataset`; images are [N, 28, 28, 1].

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
        note = (f"only the t10k files are there: {len(train.labels):,} of their images train, "
                f"{len(test.labels):,} test")
    return Dataset("mnist", str(directory), CLASS_NAMES, train, test, note)


def _divide(split, file):
    """(training, test): the first 85 % of the images and the rest."""
    count = len(split.labels) * TRAIN_PERCENT // 100
    if not count:
        raise DataError(f"{file}: holds one image, expected two or more, to train and to test")
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
    """The values of an IDX file of unsigned bytes, read-only uint8 [N, *shape], N not 0."""
    try:
        with open(file, "rb") as raw:
            # Browsers unpack some .gz files and keep the name: the first bytes tell better.
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
    if not 0 < count <= MOST:
        raise DataError(f"claims to hold {count} {'images' if shape else 'labels'}, "
                        f"expected 1 to {MOST:,}")
    size = count * math.prod(shape)
    # One byte more than there should be: it shows what is too long, and makes gzip compare
    # its checksum, without unpacking a file that would fill the memory.
    values = source.read(size + 1)
    if len(values) != size:
        found = "more" if len(values) > size else f"only {len(values)}"
        raise DataError(f"{found} bytes follow the header, expected {size}")
    return np.frombuffer(values, np.uint8).reshape(count, *shape)

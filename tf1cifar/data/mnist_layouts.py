"""The files in which people have MNIST: their names, and reading IDX files and mnist.npz of Keras.

    canonical   the known name that a file's name stands for
    present     the known files of a folder
    opened      open a file, gzipped or not
    what        words about a file of another kind
    read_idx    a `base.Split` from two IDX files
    read_npz    both `base.Split`s from mnist.npz

The IDX format is a magic number for type and rank, the length of each dimension (big-endian,
32 bits each), then the values. mnist.npz is a zip archive of four arrays in NumPy's format.
`mnist_csv` reads the CSV files of Kaggle.

No size that a file claims is trusted, and nothing in a file is executed.
"""

import contextlib
import gzip
import io
import math
import os
import re
import struct
import zipfile
import zlib

import numpy as np

from tf1cifar import console
from tf1cifar.data import signatures
from tf1cifar.data.base import DataError, Split

IDX_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
             "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
NPZ_FILE = "mnist.npz"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CSV_FILES = (("mnist_train.csv", "mnist_test.csv"), ("train.csv", "test.csv"))

SIZE = 28  # height and width of an image in pixels
PIXELS = SIZE * SIZE
CLASSES = 10
MAX_IMAGES = 100_000  # of a file; limits the memory that a damaged header can claim
MAX_NPZ_BYTES = 256 << 20
MAX_NPZ_ENTRIES = 1000  # zipfile reads the whole directory of an archive into memory


# ---------------------------------------------------------------------------------------
# Names


def canonical(name):
    """The known name that the name of a file or folder stands for.

    Args:
      name: name without folders. IDX files are known with other separators, such as
        train-images.idx3-ubyte, and gzipped or not.

    Returns:
      A name of IDX_FILES, NPZ_FILE or CSV_FILES, or '' for any other file.
    """
    name = name.lower()
    if name == NPZ_FILE or any(name in pair for pair in CSV_FILES):
        return name
    name = name.removesuffix(".gz").replace(".", "-").replace("_", "-") + ".gz"
    return name if name in IDX_FILES else ""


def present(folder):
    """The known files of a folder.

    Some programs unpack a file into a folder of the file's name, so such folders are looked into.

    Args:
      folder: a `pathlib.Path`, which need not exist.

    Returns:
      A dictionary of a name that `canonical` returns to the path of the file. The names of the
      official download are preferred to other spellings.
    """
    found = {}
    for path in _known(folder):
        found.setdefault(canonical(path.name), path)
        if path.is_dir():
            inner = [file for file in _known(path) if file.is_file()
                     and canonical(file.name) == canonical(path.name)]
            if inner and found[canonical(path.name)] == path:
                found[canonical(path.name)] = inner[0]
    return {name: path for name, path in found.items() if path.is_file()}


def _known(folder):
    """The paths in `folder` with known names, files before folders, preferred spellings first."""
    paths = []
    with contextlib.suppress(OSError):  # no such folder, or one that must not be read
        paths = [folder / name for name in os.listdir(folder) if canonical(name)]

    def order(path):
        name = canonical(path.name)
        return (not path.is_file(), path.name != name, path.name != name.removesuffix(".gz"),
                path.suffix != ".gz", path.name)
    return sorted(paths, key=order)


# ---------------------------------------------------------------------------------------
# Opening and checking


@contextlib.contextmanager
def opened(file):
    """Open a file, gzipped or not.

    Args:
      file: path of the file.

    Yields:
      (a stream of the unpacked content, the stream of the file itself).

    Raises:
      DataError: the file cannot be read or unpacked, or the block raises a DataError. The message
        names the file.
    """
    try:
        with open(file, "rb") as raw:
            # Some browsers unpack a .gz file and keep its name, so the first bytes decide.
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield (gzip.GzipFile(fileobj=raw) if zipped else raw), raw
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file}: cut short or damaged, expected an intact gzip file "
                        f"({error})") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def what(head):
    """'; it is KIND' for the first bytes of a file of another kind, '' for an unknown kind."""
    words = signatures.recognize(head[:signatures.HEAD])
    return f"; it is {words}" if words else ""


def _checked_labels(labels, name="label"):
    """`labels` as int64 [N]; raises a DataError if one is not the number of a class."""
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(wrong):
        raise DataError(f"{name} {wrong[0]} is {labels[wrong[0]]}, expected 0 to {CLASSES - 1}")
    return labels.astype(np.int64)


# ---------------------------------------------------------------------------------------
# IDX


def read_idx(images_file, labels_file):
    """Read two IDX files, gzipped or not.

    Args:
      images_file: path of the file with the images.
      labels_file: path of the file with their labels.

    Returns:
      A `Split` of images [N, 28, 28, 1] with N > 0.

    Raises:
      DataError: a file is damaged.
    """
    with opened(images_file) as (source, _):
        images = _parse_idx(source, (SIZE, SIZE))
    with opened(labels_file) as (source, _):
        labels = _parse_idx(source, ())
        if len(labels) != len(images):
            raise DataError(f"holds {len(labels)} labels, expected {len(images)}, "
                            f"one for each image of {images_file.name}")
        return Split(images[..., None], _checked_labels(labels))


def _parse_idx(source, shape):
    """The values of an IDX file of unsigned bytes, read-only uint8 [N, *shape] with N > 0."""
    header = struct.Struct(f">{2 + len(shape)}I")
    start = source.read(header.size)
    magic = 0x0800 + 1 + len(shape)  # 8 for unsigned bytes, then the number of dimensions
    if start[:4] != struct.pack(">I", magic):
        raise DataError(f"starts with the bytes {start[:4].hex() or '(none)'}, "
                        f"expected the {magic:08x} of an IDX file of this kind"
                        + what(start + source.read(signatures.HEAD)))
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


# ---------------------------------------------------------------------------------------
# mnist.npz


def read_npz(file):
    """Read mnist.npz, the file of Keras with the arrays x_train, y_train, x_test and y_test.

    Args:
      file: path of the file.

    Returns:
      (training, test): two `Split`s of images [N, 28, 28, 1] with N > 0.

    Raises:
      DataError: the file is damaged, or an array is missing or of another kind.
    """
    with opened(file) as (_, raw):
        size = os.fstat(raw.fileno()).st_size
        if size > MAX_NPZ_BYTES:
            raise DataError(f"is {size:,} bytes long, expected at most {MAX_NPZ_BYTES:,}")
        content = raw.read(size)
        if not content.startswith(b"PK\3\4"):
            raise DataError(f"is no file of NumPy arrays{what(content)}")
        if content.count(b"PK\1\2") > MAX_NPZ_ENTRIES:
            raise DataError(f"holds more than {MAX_NPZ_ENTRIES:,} files, expected four")
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = {member.filename: member for member in archive.infolist()}
                if not {f"{name}.npy" for name in ARRAYS} <= set(members):
                    found = ", ".join(members) or "nothing"
                    raise DataError(f"holds {console.cut(found)}; expected the arrays "
                                    f"{', '.join(ARRAYS)}")
                arrays = [_read_array(archive, members[f"{name}.npy"], name) for name in ARRAYS]
        except DataError:
            raise
        except Exception as error:  # a damaged archive can raise nearly anything
            raise DataError("cut short or damaged, expected an intact file of NumPy arrays "
                            f"({console.cut(error) or type(error).__name__})") from error
        return tuple(_pair(*arrays[i:i + 2], ARRAYS[i:i + 2]) for i in (0, 2))


def _read_array(archive, member, name):
    """The array of a member in NumPy's format: images uint8 [N, ...] or integer labels [N].

    NumPy's own reader trusts the lengths in the file, and evaluates its header.
    """
    # Other methods of compression can claim gigabytes for a dictionary.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name} is compressed in an unusual way, expected deflate or none")
    with archive.open(name=member) as source:
        start = source.read(10)
        if start[:8] != b"\x93NUMPY\1\0" or len(start) < 10:
            raise DataError(f"{name} is not an array in NumPy's format 1.0")
        header = source.read(int.from_bytes(start[8:], "little")).decode("latin-1")
        kind = re.search(r"'descr': ?'([^']*)'", header)
        order = re.search(r"'fortran_order': ?(True|False)", header)
        shape = re.search(r"'shape': ?\(([0-9L, ]*)\)", header)
        if not (kind and order and shape):
            raise DataError(f"{name} has the header {console.cut(header, 60)}, expected that of an "
                            "array of whole numbers")
        images = name.startswith("x")
        if not re.fullmatch(r"[|<>=]?u1" if images else r"[|<>=]?[iu][1248]", kind[1]):
            raise DataError(f"{name} is of type {console.cut(kind[1])}, expected "
                            + ("uint8, pixels from 0 to 255" if images else "whole numbers"))
        shape = tuple(int(length[:20]) for length in re.findall(r"\d+", shape[1]))
        tails = ((SIZE, SIZE), (SIZE, SIZE, 1), (PIXELS,)) if images else ((), (1,))
        if not shape or shape[1:] not in tails:
            raise DataError(f"{name} is of shape {console.cut(shape)}, expected "
                            f"{'(N, 28, 28)' if images else '(N,)'}")
        if not 0 < shape[0] <= MAX_IMAGES:
            raise DataError(f"{name} claims to hold {shape[0]} {'images' if images else 'labels'}, "
                            f"expected 1 to {MAX_IMAGES:,}")
        dtype = np.dtype(kind[1])
        size = math.prod(shape) * dtype.itemsize
        values = source.read(size + 1)
        if len(values) != size:
            found = "more" if len(values) > size else f"only {len(values)}"
            raise DataError(f"{name} has {found} bytes, expected {size}")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if order[1] == "True" else "C")
    return np.ascontiguousarray(array).reshape(-1, SIZE, SIZE, 1) if images else array.reshape(-1)


def _pair(images, labels, names):
    if len(labels) != len(images):
        raise DataError(f"{names[1]} holds {len(labels)} labels, expected {len(images)}, one for "
                        f"each image of {names[0]}")
    return Split(images, _checked_labels(labels, f"label of {names[1]}"))

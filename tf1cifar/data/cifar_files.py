"""Read the files of CIFAR-10 and CIFAR-100, pickles or binary.

    download     fetch, verify and extract a tarball of such files
    read         read the pixels and labels of one file
    as_split     the images of some files as a `base.Split`
    note         a note if they are not the official ones
    read_names   read the names of the classes from a pickle
    read_lines   read the names of the classes from a text file

The official files are Python 2 pickles, which `safe_pickle` reads. A binary file has of each image
a byte for each kind of labels, then 3,072 for the pixels.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from tf1cifar import errors, files
from tf1cifar.data import archives, base, official, safe_pickle, signatures
from tf1cifar.data.download import fetch

PIXELS = 3072  # bytes of an image: three planes of 32x32 pixels
MAX_CLASSES = 1000
MAX_NAME = 100  # characters of the name of a class


class Batch(NamedTuple):
    """The content of one file of images.

    Attributes:
      file: path of the file.
      data: uint8 [N, 3072], the red, green and blue planes of each image.
      labels: tuple of int64 [N], one of each kind of labels.
    """
    file: pathlib.Path
    data: np.ndarray
    labels: tuple


def download(target, url, md5, names, max_bytes, timeout):
    """Download, verify and extract a tarball into the folder `target`: all files or none.

    Args:
      target: a `pathlib.Path`.
      url: address of the tarball.
      md5: MD5 checksum of the tarball in hexadecimal.
      names: the names of the files.
      max_bytes: largest number of bytes of a file.
      timeout: seconds to wait for an answer of the server.

    Returns:
      `target`.

    Raises:
      errors.Failure: the server cannot be reached, the checksum differs, or the tarball does
        not hold the files.
      OSError: the folder cannot be written.
    """
    with files.new_folder(target, existing="merge") as folder:
        tarball = folder / "tarball"
        fetch(url, md5, tarball, timeout)
        try:
            found = archives.unpack(tarball, folder, names.__contains__, max_bytes)
        except base.DataError as error:
            raise errors.Failure(f"{url}: not the archive of a data set ({error})") from error
        if missing := sorted(set(names) - found):
            raise errors.Failure(f"{url}: the archive lacks {', '.join(missing)}")
        tarball.unlink()
    return target


def read(file, kinds):
    """Read and check one file of images with one or several kinds of labels.

    Args:
      file: path of the file; with the suffix .bin, of the binary version.
      kinds: dictionary from the key of the labels in a pickle to the number of classes, in the
        order of the binary version.

    Returns:
      A `Batch`.

    Raises:
      DataError: the file is missing, damaged or not a file of such images.
    """
    file = pathlib.Path(file)
    if file.suffix == ".bin":
        data, found = _read_binary(file, len(kinds))
    else:
        batch = safe_pickle.unpickle(file)
        for key in ("data", *kinds):
            if key not in batch:
                other = "; it is CIFAR-100's, give --dataset cifar100" * ("fine_labels" in batch)
                raise base.DataError(
                    f"{file}: no '{key}' in it, so it is not such a CIFAR batch{other}")
        data, found = _data(file, batch["data"]), [batch[key] for key in kinds]
    return Batch(file, data, tuple(
        _labels(file, key, labels, len(data), classes)
        for (key, classes), labels in zip(kinds.items(), found, strict=True)))


def _read_binary(file, kinds):
    content, length = signatures.read_file(file, safe_pickle.MAX_FILE_BYTES), kinds + PIXELS
    if not content or len(content) % length:
        words = signatures.recognize(content[:signatures.HEAD]) or (
            f"cut short or damaged: {len(content):,} bytes are no multiple of {length:,}, the "
            f"bytes of an image; {signatures.AGAIN}")
        raise base.DataError(f"{file}: {words}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, length)
    return np.ascontiguousarray(rows[:, kinds:]), rows[:, :kinds].T


def _data(file, data):
    """The pixels of an unpickled batch, checked."""
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        found = (f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray)
                 else f"a {type(data).__name__}")
        raise base.DataError(f"{file}: 'data' is {found}, expected uint8 of shape (N, {PIXELS})")
    if not len(data):
        raise base.DataError(f"{file}: holds no images")
    return np.ascontiguousarray(data)


def _labels(file, key, labels, count, classes):
    """The labels of a batch as int64 [count], checked."""
    kind = type(labels)
    if kind in (list, tuple):
        for number, label in enumerate(labels):
            # The value is not printed: it can be too deep or too long for that.
            if type(label) is not int or not 0 <= label < classes:
                raise base.DataError(f"{file}: label {number} is not a whole number from 0 to "
                                     f"{classes - 1}")
        labels = np.array(labels, np.int64)
    elif kind is not np.ndarray or labels.dtype.kind not in "iu":
        found = f"of {labels.dtype}" if kind is np.ndarray else f"a {kind.__name__}"
        raise base.DataError(f"{file}: '{key}' is {found}, expected a list of {count} labels")
    if labels.shape not in ((count,), (count, 1)):
        raise base.DataError(f"{file}: '{key}' has {len(labels) if labels.ndim else 0} labels, "
                             f"expected {count}, one for each image")
    labels = labels.reshape(count)
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise base.DataError(f"{file}: label {wrong[0]} is not a whole number from 0 to "
                             f"{classes - 1}")
    return labels.astype(np.int64)


def as_split(batches, kind=0):
    """The images of some files as a `base.Split`, [N, 32, 32, 3].

    Args:
      batches: list of `Batch`.
      kind: which kind of labels.
    """
    images = [batch.data.reshape(-1, 3, 32, 32) for batch in batches]
    # One pass concatenates the batches and moves the colour planes to the last axis.
    out = np.empty((sum(map(len, images)), 32, 32, 3), np.uint8)
    np.concatenate(images, out=out.transpose(0, 3, 1, 2))
    return base.Split(out, np.concatenate([batch.labels[kind] for batch in batches]))


def note(title, batches):
    """A note if the images are not the official ones, see `official.cifar`.

    Args:
      title: name of the data set.
      batches: list of `Batch`, those for training and then that for testing.
    """
    return official.cifar(title, [
        (batch.file, np.stack(batch.labels, axis=1).astype(np.uint8), batch.data)
        for batch in batches])


def read_names(file, key, count=None):
    """The names of classes in a pickle, a list of str.

    Args:
      file: path of the file.
      key: key of the names.
      count: the number of names; None for any number from 2 to 1,000.

    Raises:
      DataError: the file is missing or damaged, or has no such names.
    """
    content = safe_pickle.unpickle(file)
    if "fine_label_names" in content and key == "label_names":
        raise base.DataError(f"{file}: the classes of CIFAR-100; give --dataset cifar100")
    return _checked_names(file, content.get(key), f"'{key}'", count)


def read_lines(file, count=None):
    """The names of classes in a text file with a name in each line, a list of str.

    Args:
      file: path of the file.
      count: the number of names; None for any number from 2 to 1,000.

    Raises:
      DataError: the file is missing or damaged, or has another number of names.
    """
    lines = signatures.read_file(file, MAX_CLASSES * MAX_NAME).decode("utf-8", "replace")
    return _checked_names(file, [line.strip() for line in lines.splitlines() if line.strip()],
                          "the file", count)


def _checked_names(file, names, what, count):
    if isinstance(names, np.ndarray) and names.ndim == 1:
        names = names[:MAX_CLASSES + 1].tolist()
    if (not isinstance(names, (list, tuple)) or not 2 <= len(names) <= MAX_CLASSES
            or count not in (None, len(names))
            or not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
                       for name in names)):
        raise base.DataError(f"{file}: {what} is not a list of "
                             f"{count or f'2 to {MAX_CLASSES:,}'} names")
    return list(names)

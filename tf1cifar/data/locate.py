"""Find a data set on this machine, wherever people have it, and say what is there instead.

    DataSet         what `find` must know about a data set
    find            the folder of a data set: named, in a usual place, unpacked or downloaded
    recognize       words about a folder or a file that is not the data set asked for
    picture_layout  the way in which a folder holds pictures of classes
"""

import contextlib
import hashlib
import os
import pathlib
from typing import Callable, NamedTuple

from tf1cifar import console, files
from tf1cifar.data import archives, base
from tf1cifar.data.download import cache_folder

DEPTH = 2  # number of levels below a folder in which a data set is looked for
MAX_ENTRIES = 2000  # of a folder that are looked at
MAX_ARCHIVES = 20  # of a folder that are looked into
MAX_FILE_BYTES = 512 << 20  # of a file in an archive; CIFAR-100's training images have 155 MB


class DataSet(NamedTuple):
    """What `find` must know about a data set. A folder is a `pathlib.Path`, which may not exist."""
    title: str             # such as 'CIFAR-10'
    variable: str          # environment variable that may hold a path
    folder: str            # usual name of its folder, in the working folder and in the cache
    is_complete: Callable  # function of a folder: whether all files are there
    has_any: Callable      # function of a folder: whether any file is there
    wanted: Callable       # function of a file's name: whether it belongs to the data set
    download: Callable     # function of the cache folder that downloads it and returns its folder
    expected: str          # the files that are expected, for a message
    hint: str              # how to get it, for a message


def find(data_dir, data_set):
    """The folder of a data set, downloaded if the data set is not on this machine.

    If `data_dir` or the environment variable is given, only that place is tried: the folder, two
    levels below it, and archives in it; or an archive itself. Otherwise a complete data set is
    looked for in the working folder, its folder data, the cache, and the folder of Keras.

    Args:
      data_dir: path that the user named with --data-dir, or None.
      data_set: a `DataSet`.

    Returns:
      A `pathlib.Path`. A folder that the user named may lack some of the files.

    Raises:
      DataError: the place that the user named does not hold the data set.
      errors.Failure: the data set is not on this machine, and the download failed.
    """
    for given, source in ((data_dir, "--data-dir"),
                          (os.environ.get(data_set.variable) or None, data_set.variable)):
        if given is not None:
            place = files.expanded(given)
            found = _within(place, data_set)
            if found is None:
                raise base.DataError(f"{source} {place}: no {data_set.title} there, but "
                                     f"{recognize(place)} {data_set.expected}. {data_set.hint}")
            return found
    here, cache = pathlib.Path(data_set.folder), cache_folder()
    if data_set.has_any(here):
        return here
    for place in (here, pathlib.Path("data"), cache / data_set.folder, _keras()):
        for folder in _folders(place):
            if data_set.is_complete(folder):
                return folder
    return data_set.download(cache)


def _keras():
    """The folder in which Keras keeps its data sets."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return files.expanded(home) / "datasets"


def _within(place, data_set):
    """The folder of the data set at, in or above a place that the user named, or None."""
    if place.is_file():
        if data_set.wanted(place.name):
            return place.parent
        return _unpacked(place, data_set) if archives.kind(place) else None
    folders = _folders(place)
    for fits in (data_set.is_complete, data_set.has_any):
        for folder in folders:
            if fits(folder):
                return folder
    found = [path for folder in folders for path in _entries(folder)
             if path.is_file() and not data_set.wanted(path.name) and archives.kind(path)]
    for archive in found[:MAX_ARCHIVES]:
        if any(map(data_set.wanted, archives.list_names(archive))):
            if folder := _unpacked(archive, data_set):
                return folder
    return None


def _unpacked(archive, data_set):
    """The folder in the cache with the data set of an archive, which is unpacked there once.

    Returns:
      A `pathlib.Path`, None if the archive does not hold the data set whole.

    Raises:
      DataError: the archive is damaged.
      OSError: the cache cannot be written.
    """
    status = archive.stat()
    key = repr((os.path.abspath(archive), status.st_size, status.st_mtime_ns))
    key = hashlib.sha256(os.fsencode(key)).hexdigest()[:16]
    target = cache_folder() / "unpacked" / key / data_set.folder
    if data_set.is_complete(target):
        return target
    try:
        with files.new_folder(target, existing="merge") as folder:
            archives.unpack(archive, folder, data_set.wanted, MAX_FILE_BYTES)
            if not data_set.is_complete(folder):
                raise _Incomplete
    except _Incomplete:
        return None
    except base.DataError as error:
        raise base.DataError(f"{archive}: {error}") from None
    return target


class _Incomplete(Exception):
    """An archive holds only a part of the data set."""


def _folders(folder, depth=DEPTH):
    """A folder and the folders up to `depth` levels below it, the nearest first."""
    level, found = [folder] if folder.is_dir() else [], []
    for _ in range(depth + 1):
        found += level
        level = [path for parent in level for path in _entries(parent) if path.is_dir()]
    return found[:MAX_ENTRIES]


def _entries(folder):
    """The entries of a folder in the order of their names, without hidden ones."""
    with contextlib.suppress(OSError):
        return sorted(path for path, _ in zip(folder.iterdir(), range(MAX_ENTRIES))
                      if not path.name.startswith((".", "__")))
    return []


# ---------------------------------------------------------------------------------------
# What is there instead


def recognize(path):
    """Words about a folder or a file that does not hold the data set asked for.

    Args:
      path: a `pathlib.Path`.

    Returns:
      A str, such as 'CIFAR-100 (give --dataset cifar100)' or 'an empty folder'.
    """
    if not path.exists():
        return "no such file or folder"
    if not path.is_dir():
        return ("an archive without it" if path.is_file() and archives.kind(path)
                else "a file, not a folder")
    if not _entries(path):
        return "an empty folder"
    for folder in _folders(path):
        names = {entry.name for entry in _entries(folder)}
        for fits, words in _KINDS:
            if fits(names):
                return words
        if layout := picture_layout(folder):
            return f"{_LAYOUTS[layout]} (give --dataset folders)"
    shown = [console.cut(entry.name, 40) for entry in _entries(path)]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    if sum(_is_picture(entry) for entry in _entries(path)) > len(shown) / 2:
        return (f"{len(shown)} pictures that no folder divides into classes ({', '.join(shown[:3])}"
                f"{more})")
    return f"{', '.join(shown[:3])}{more}"


def _any(*ends):
    return lambda names: any(name.endswith(ends) for name in names)


# (function of the names in a folder, words); the first that fits counts.
_KINDS = (
    (_any("data_batch_1.mat", "test_batch.mat"),
     "the MATLAB version of CIFAR-10, get the Python version"),
    (lambda names: {"train", "test", "meta"} <= names or {"train.bin", "test.bin"} <= names,
     "CIFAR-100 (give --dataset cifar100)"),
    (_any("data_batch_1", "data_batch_1.bin", "test_batch", "test_batch.bin"),
     "CIFAR-10 (give --dataset cifar10)"),
    (_any("mnist.npz", "images-idx3-ubyte", "images-idx3-ubyte.gz", "images.idx3-ubyte"),
     "MNIST (give --dataset mnist)"),
    (lambda names: "dataset_info.json" in names and any(".tfrecord" in name for name in names),
     "a TensorFlow Datasets folder, which is not read; get the Python version"),
    (_any(".parquet", ".arrow"),
     "a Hugging Face data set (Parquet or Arrow), which is not read; get the Python version"),
    (_any(".tfrecord", ".tfrecords"), "TFRecord files, which are not read"),
    (_any(".crdownload", ".part", ".download"), "a download that is not finished"),
)
_LAYOUTS = {"split": "pictures in a folder for each class", "kaggle": "Kaggle's pictures and "
            "trainLabels.csv", "classes": "pictures in a folder for each class"}


def picture_layout(folder):
    """The way in which a folder holds pictures of classes.

    Args:
      folder: a `pathlib.Path`.

    Returns:
      'kaggle' (train/PICTURE and trainLabels.csv), 'split' (train/CLASS/PICTURE and
      test/CLASS/PICTURE), 'classes' (CLASS/PICTURE), or '' for none of these.
    """
    if (folder / "trainLabels.csv").is_file() and (folder / "train").is_dir():
        return "kaggle"
    if all(_has_classes(folder / part) for part in ("train", "test")):
        return "split"
    return "classes" if _has_classes(folder) else ""


def _has_classes(folder):
    """Whether some folder in `folder` holds pictures."""
    return any(_is_picture(path) for inner in _entries(folder) if inner.is_dir()
               for path in _entries(inner))


def _is_picture(path):
    return path.suffix.lower() in base.PICTURE_SUFFIXES

"""Say what a folder or a file holds, whatever it is.

    recognize       words for what a folder or a file holds
    instead         words for a place that does not hold what is looked for
    picture_layout  the way in which a folder of pictures is organized
    walk, entries   the subfolders and the visible entries of a folder, within limits
"""

import itertools
import os
import pathlib
import re

from tf1cifar import console
from tf1cifar.data import archives, base, safe_pickle, signatures

MAX_ENTRIES = 20_000  # of folders and files that one search looks at
SPLITS = ("train", "test", "val", "valid", "validation")  # names of folders that are no class
MISSING, UNREADABLE = "no such file or folder", "it cannot be read"  # words about places
MAX_CLASS_ENTRIES = 500  # of one folder, in which a picture is looked for

CIFAR10, CIFAR100, MNIST, FOLDERS = (f"(give --dataset {name})" for name in (
    "cifar10", "cifar100", "mnist", "folders"))
PICTURES = "an archive of pictures; unpack it (give --dataset folders with the new folder)"
PYTHON = "which is not read; get the Python version"
# Names of files that tell a data set apart: all patterns of a line match names of one folder. The
# first line that does so counts.
TELLTALES = (
    (("train", "test", "meta"), f"CIFAR-100 {CIFAR100}"),
    ((r"train\.bin", r"fine_label_names\.txt"), f"CIFAR-100 {CIFAR100}"),
    (("data_batch_1",), "CIFAR-10"),  # or other classes, see `_own_classes`
    ((r"data_batch_1\.bin",), f"CIFAR-10 {CIFAR10}"),
    ((r"data_batch_\d\.mat",), f"the MATLAB version of CIFAR-10, {PYTHON}"),
    ((r"train\.mat", r"meta\.mat"), f"the MATLAB version of CIFAR-100, {PYTHON}"),
    ((r"(train|t10k)-images[-.]idx3-ubyte(\.gz)?",), f"MNIST {MNIST}"),
    ((r"mnist\.npz|mnist_train\.csv",), f"MNIST {MNIST}"),
    ((r".*\.(parquet|arrow)",), f"a Hugging Face data set (Parquet or Arrow), {PYTHON}"),
    ((r".*\.tfrecord.*",), f"a TensorFlow Datasets folder (TFRecord), {PYTHON}"),
    ((r"features\.json", r"dataset_info\.json"), f"a TensorFlow Datasets folder, {PYTHON}"),
    ((r".*\.(crdownload|part|partial|download)",), "a download that is not finished"),
)


def entries(folder, left):
    """The visible entries of a folder, a list of paths in the order of their names.

    Args:
      folder: path of the folder; one that cannot be read has no entries.
      left: list of one number, the entries that may still be read; it is lowered.
    """
    try:
        with os.scandir(folder) as scan:
            names = [entry.name for entry in itertools.islice(scan, left[0])]
    except OSError:
        return []
    left[0] -= len(names)
    return [pathlib.Path(folder, name) for name in sorted(names)
            if not name.startswith((".", "__"))]


def walk(folder, levels=2):
    """A folder and its subfolders, `levels` down, a list in the order of depth and name."""
    left = [MAX_ENTRIES]
    found = level = [pathlib.Path(folder)]
    for _ in range(levels):
        level = [inner for place in level for inner in entries(place, left) if inner.is_dir()]
        found = found + level
    return found


# ---------------------------------------------------------------------------------------
# Data sets


def recognize(path):
    """Words for what a folder or a file holds.

    Args:
      path: a `pathlib.Path`, which need not exist.

    Returns:
      A str without a full stop, such as 'no such file or folder', 'an empty folder', 'the MATLAB
      version of CIFAR-10, ...' or 'CIFAR-100 (give --dataset cifar100)', which names the option
      that reads it.
    """
    try:
        if not path.exists():
            return MISSING
        if not path.is_dir():
            return _recognize_file(path)
        with os.scandir(path):
            pass
    except OSError as error:
        return f"{UNREADABLE} ({error.strerror})"
    left = [MAX_ENTRIES]
    listing = {place: entries(place, left) for place in walk(path)}
    if not any(listing.values()):
        return "an empty folder"
    files = {place: [item.name for item in items if not item.is_dir()]
             for place, items in listing.items()}
    for place, names in files.items():
        if words := _telltale(names):
            return _own_classes(place / "batches.meta") if words == "CIFAR-10" else words
    for place in (path, *(item for item in listing[path] if item.is_dir())):
        layout = picture_layout(place)
        if layout == "kaggle":
            return f"Kaggle's pictures and trainLabels.csv {FOLDERS}"
        if layout:
            return f"pictures in a folder for each class {FOLDERS}"
    for place, names in files.items():
        for name in names:
            if name.lower().endswith(archives.SUFFIXES):
                return f"the archive {console.cut(name, 80)}, {_recognize_file(place / name)}"
    pictures = [name for names in files.values() for name in names
                if name.lower().endswith(base.PHOTO_SUFFIXES)]
    if pictures:
        return (f"{len(pictures):,} picture{'s' * (len(pictures) > 1)} that no folder divides into "
                f"classes ({_listed(pictures)})")
    return _listed([item.name + "/" * item.is_dir() for item in listing[path]])


def instead(path, wanted):
    """Words for a place that does not hold what is looked for.

    Args:
      path: a `pathlib.Path`, which need not exist.
      wanted: what is looked for, such as 'CIFAR-10'.

    Returns:
      A str such as 'no CIFAR-10 there, but an empty folder', or 'no such file or folder'.
    """
    words = recognize(path)
    lead = "" if words.startswith((MISSING, UNREADABLE)) else f"no {wanted} there, but "
    return lead + words


def _listed(names):
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3:,} more" * (len(names) > 3)
    return ", ".join(console.cut(name, 50) for name in names[:3]) + more


def _recognize_file(path):
    if archives.kind(path):
        names = archives.list_names(path)
        words = _telltale(names)
        if words == "CIFAR-10":
            words = f"CIFAR-10 {CIFAR10}"
        elif any(name.lower().endswith(base.PHOTO_SUFFIXES) for name in names):
            words = words or PICTURES
        return words or "an archive in which no known file was found"
    with open(path, "rb") as file:
        words = signatures.recognize(file.read(signatures.HEAD))
    return words or "a single file; give the folder that it is in"


def _telltale(names):
    """Words for a folder with files of these names, '' if no line of TELLTALES fits."""
    names = {name.lower() for name in names}
    return next((words for patterns, words in TELLTALES
                 if all(any(re.fullmatch(pattern, name) for name in names)
                        for pattern in patterns)), "")


def _own_classes(meta):
    """Words for a folder of CIFAR-10's layout, by the number of its classes."""
    try:
        names = safe_pickle.unpickle(meta).get("label_names")
    except base.DataError:
        names = None
    if isinstance(names, (list, tuple)) and (len(names) != 10 or "airplane" not in names):
        return f"CIFAR files with {len(names)} classes of their own {FOLDERS}"
    return f"CIFAR-10 {CIFAR10}"


# ---------------------------------------------------------------------------------------
# Pictures


def picture_layout(folder):
    """The way in which a folder of pictures is organized.

    Args:
      folder: a `pathlib.Path`.

    Returns:
      'split' for pictures train/CLASS/* and test/CLASS/*, 'kaggle' for train/* and
      trainLabels.csv, 'classes' for CLASS/*, '' for anything else.
    """
    if (folder / "trainLabels.csv").is_file() and _has_pictures(folder / "train"):
        return "kaggle"
    if _has_classes(folder / "train") and _has_classes(folder / "test"):
        return "split"
    return "classes" if _has_classes(folder) else ""


def _has_classes(folder):
    return any(_has_pictures(place) for place in entries(folder, [MAX_ENTRIES])
               if place.name.lower() not in SPLITS)


def _has_pictures(folder):
    return any(item.name.lower().endswith(base.PHOTO_SUFFIXES)
               for item in entries(folder, [MAX_CLASS_ENTRIES]))

"""Your own pictures as a data set: `--dataset folders --data-dir D`.

    load           read the pictures of a folder as a `base.Dataset`
    list_pictures  the pictures of a folder with their classes, divided for training and testing

Four layouts are read:

    D/train/CLASS/*, D/test/CLASS/*   training and test pictures, a folder for each class
    D/CLASS/*                         a fifth of each class is held back for testing
    D/train/*, D/trainLabels.csv      Kaggle's layout: a line `id,label` for each picture
    D/batches.meta, D/data_batch_1 ...  CIFAR-10's own layout, with any 2 to 1,000 classes

`picture_cache` decodes the pictures.
"""

import csv
import hashlib
import os
import pathlib
import sys
import zlib
from typing import NamedTuple

import numpy as np

from tf1cifar import console, files, machine
from tf1cifar.data import archives, base, cifar10, locate, picture_cache

HINT = ("Give the folder of your pictures with --data-dir; it holds a folder for each class, or "
        "train/CLASS/ and test/CLASS/.")
MAX_CLASSES = 1000
MAX_LABELS_BYTES = 64 << 20  # of trainLabels.csv
LARGE = 200e6  # bytes of pixels that are told before they are taken
TEST_SHARE = 0.2  # of each class, if there are no test pictures
UNBALANCED = 2.0  # the largest class is told if it is so many times as large as the smallest


class Picture(NamedTuple):
    """A picture file."""
    path: str   # relative to the folder, with /
    label: int  # its class, an index into the class names


class Listing(NamedTuple):
    """The pictures of a folder, not opened yet."""
    class_names: tuple
    train: list   # of `Picture`, in the order of a hash of their paths
    test: list    # the same
    notes: list   # lines about files that are left out


def load(data_dir, image_size):
    """Read the pictures of a folder.

    A picture that cannot be read is named on standard error and left out.

    Args:
      data_dir: path of the folder; None is an error.
      image_size: height and width of the images in pixels.

    Returns:
      A `base.Dataset`; its images are uint8 [N, image_size, image_size, 3].

    Raises:
      DataError: there is no such folder, it has no pictures in a known layout, none of them or
        none of a class can be read, or they need more memory than there is.
    """
    if data_dir is None:
        raise base.DataError(f"the data set folders has no default place. {HINT}")
    folder = _existing(files.expanded(data_dir))
    if (folder / cifar10.META_FILE).exists():
        if image_size != 32:
            raise base.DataError(f"{folder}: CIFAR files, whose images have 32x32 pixels; leave "
                                 "out --image-size")
        return cifar10.load(folder, "folders", class_names=None)
    listing = list_pictures(folder)
    pictures = listing.train + listing.test
    _require_memory(folder, len(pictures), image_size)
    images, kept, mistakes = picture_cache.decode(
        folder, [picture.path for picture in pictures], image_size)
    kept = set(kept)
    _require_readable(folder, listing, mistakes)
    train = sum(picture.path in kept for picture in listing.train)
    labels = np.array([picture.label for picture in pictures if picture.path in kept], np.int64)
    splits = base.Split(images[:train], labels[:train]), base.Split(images[train:], labels[train:])
    notes = listing.notes + _balance(splits[0], listing.class_names)
    return base.Dataset("folders", str(folder), listing.class_names, *splits, "\n".join(notes),
                        _files_checksum(folder, pictures))


def _existing(folder):
    """The folder with the pictures: `folder`, or the only folder in it that has a known layout."""
    if folder.is_file() and archives.kind(folder):
        raise base.DataError(f"--data-dir {folder}: an archive; unpack it and give the new folder")
    if not folder.is_dir():
        raise base.DataError(f"--data-dir {folder}: {locate.recognize(folder)}. {HINT}")
    candidates = [folder, *_subfolders(folder)]
    found = [candidate for candidate in candidates
             if (candidate / cifar10.META_FILE).exists() or locate.picture_layout(candidate)]
    if found and (found[0] == folder or len(found) == 1):
        return found[0]
    if len(found) > 1:
        raise base.DataError(f"--data-dir {folder}: holds several data sets of pictures, "
                             f"{found[0].name} and {found[1].name}; name one of them")
    raise base.DataError(f"--data-dir {folder}: "
                         f"{locate.instead(folder, 'pictures in a known layout')}. {HINT}")


# ---------------------------------------------------------------------------------------
# Listing


def list_pictures(folder):
    """List the pictures of a folder and divide them.

    The order and the division are functions of the paths within the folder alone, so they do not
    change if the folder moves, and a new picture changes the place of at most one other.

    Args:
      folder: a `pathlib.Path` of a folder in one of the layouts.

    Returns:
      A `Listing`.

    Raises:
      DataError: the number of classes is not 2 to 1,000, or the classes of train and test differ.
    """
    layout, notes = locate.picture_layout(folder), []
    if layout == "kaggle":
        train, notes = _kaggle(folder)
        names = sorted({name for _, name in train})
        train, test = _divided(train)
    elif layout == "split":
        train, others = _by_class(folder / "train", "train/")
        test, more = _by_class(folder / "test", "test/")
        notes, names = _left_out(others + more), sorted({name for _, name in train})
        if unknown := sorted({name for _, name in test} - set(names)):
            raise base.DataError(f"{folder / 'test' / unknown[0]}: no such class in "
                                 f"{folder / 'train'}; expected {_listed(names)}")
    else:
        train, others = _by_class(folder, "")
        notes, names = _left_out(others), sorted({name for _, name in train})
        train, test = _divided(train)
    if not 2 <= len(names) <= MAX_CLASSES:
        words = "class" if len(names) == 1 else "classes"
        found = f"pictures of {len(names)} {words} ({_listed(names)})" if names else "no pictures"
        raise base.DataError(f"{folder}: {found}, expected 2 to {MAX_CLASSES:,} classes. {HINT}")
    if missing := sorted(set(names) - {name for _, name in test}):
        notes.append(f"no test picture of {_listed(missing)}")
    numbers = {name: number for number, name in enumerate(names)}
    train, test = ([Picture(path, numbers[name]) for path, name in sorted(part, key=_hash)]
                   for part in (train, test))
    return Listing(tuple(names), train, test, notes)


def _by_class(folder, prefix):
    """(path, class) of the pictures in the class folders, and the paths of other files."""
    pictures, others = [], []
    for class_folder in _subfolders(folder):
        for place, inner, names in os.walk(class_folder):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            inside = pathlib.Path(place).relative_to(folder)
            for name in sorted(names):
                path = prefix + (inside / name).as_posix()
                if name.lower().endswith(base.PHOTO_SUFFIXES) and not name.startswith("."):
                    pictures.append((path, class_folder.name))
                elif not name.startswith(".") and name.lower() not in ("thumbs.db", "desktop.ini"):
                    others.append(path)
    return pictures, others


def _kaggle(folder):
    """(pictures, notes) of the pictures in train/ that trainLabels.csv names."""
    file = folder / "trainLabels.csv"
    by_name = {}
    for path in sorted((folder / "train").iterdir()):
        if path.suffix.lower() in base.PHOTO_SUFFIXES and not path.name.startswith("."):
            by_name[path.name] = by_name[path.stem] = path.name
    pictures, absent = {}, 0
    try:
        if file.stat().st_size > MAX_LABELS_BYTES:
            raise ValueError(f"longer than {MAX_LABELS_BYTES >> 20} MB")
        with open(file, newline="", encoding="utf-8-sig") as source:
            rows = csv.reader(source)
            header = next(rows, [])
            if [cell.strip().lower() for cell in header] != ["id", "label"]:
                raise ValueError("its first line is not id,label")
            for row in rows:
                if len(row) != 2:
                    raise ValueError(f"line {rows.line_num} has {len(row)} cells, expected 2")
                if name := by_name.get(row[0].strip()):
                    pictures[f"train/{name}"] = row[1].strip()
                else:
                    absent += 1
    except OSError as error:
        raise base.DataError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, csv.Error) as error:
        raise base.DataError(f"{file}: {error}; expected a line id,label for each picture of "
                             "train/") from error
    notes = [f"pictures that trainLabels.csv names and train/ lacks: {absent:,}"] * bool(absent)
    without = len(set(by_name.values())) - len(pictures)
    if without:
        notes.append(f"pictures in train/ that have no label and are left out: {without:,}")
    return list(pictures.items()), notes


def _divided(pictures):
    """(training, test): TEST_SHARE of each class, at least one picture, is for testing."""
    classes = {}
    for picture in sorted(pictures, key=_hash):
        classes.setdefault(picture[1], []).append(picture)
    train, test = [], []
    for members in classes.values():
        count = min(max(1, round(len(members) * TEST_SHARE)), len(members) - 1)
        test += members[:count]
        train += members[count:]
    return train, test


def _hash(picture):
    return hashlib.sha256(os.fsencode(picture[0])).digest(), picture[0]


def _subfolders(folder):
    return sorted(path for path in folder.iterdir()
                  if path.is_dir() and not path.name.startswith((".", "__")))


def _listed(names, most=5):
    shown = ", ".join(console.cut(name, 40) for name in names[:most])
    return shown + f" and {len(names) - most} more" * (len(names) > most)


def _left_out(others):
    if not others:
        return []
    return [f"left out, since their names are not those of pictures that can be read: "
            f"{_listed(others, 3)}"]


def _require_readable(folder, listing, mistakes):
    """Raise a `DataError` unless training pictures of every class, and a test picture, can be read.

    Args:
      folder: path of the folder.
      listing: its `Listing`.
      mistakes: dictionary from the path of each picture that cannot be read to a line about it.
    """
    readable = {picture.label for picture in listing.train if picture.path not in mistakes}
    absent = sorted(set(range(len(listing.class_names))) - readable)
    if not readable:
        words, pictures = "training picture", listing.train
    elif absent:
        words = f"training picture of {_listed([listing.class_names[absent[0]]])}"
        pictures = [picture for picture in listing.train if picture.label == absent[0]]
    elif all(picture.path in mistakes for picture in listing.test):
        words, pictures = "test picture", listing.test
    else:
        return
    raise base.DataError(f"{folder}: no {words} can be read" + (
        f"; {mistakes[pictures[0].path]}" if pictures else ""))


def _balance(split, names):
    """Notes about classes of very different sizes."""
    counts = np.bincount(split.labels, minlength=len(names))
    least, most = counts.argmin(), counts.argmax()
    if counts[most] < UNBALANCED * counts[least]:
        return []
    return [f"the classes are not balanced: {counts[least]:,} training pictures of "
            f"{_listed([names[least]])}, {counts[most]:,} of {_listed([names[most]])}; a network "
            f"that always answers {_listed([names[most]])} is right in "
            f"{counts[most] / counts.sum():.0%} of them"]


def _require_memory(folder, count, size):
    """Say how much memory the images take, and refuse what does not fit."""
    needed = count * size * size * 3
    available = machine.available_memory()
    if available is not None and needed > 0.8 * available:
        raise base.DataError(
            f"{folder}: {count:,} pictures of {size}x{size} pixels take {needed / 1e6:,.0f} MB of "
            f"memory, {available / 1e6:,.0f} MB are free; give a smaller --image-size")
    if needed > LARGE:
        print(f"{count:,} pictures of {size}x{size} pixels take {needed / 1e6:,.0f} MB of memory "
              "and of the cache", file=sys.stderr)


def _files_checksum(folder, pictures):
    """The CRC-32 of the names and sizes of the files, as eight hexadecimal digits."""
    checksum = 0
    for picture in sorted(pictures):
        size = picture_cache.stamp(folder / picture.path)[0]
        checksum = zlib.crc32(os.fsencode(f"{picture.path}\0{size}\0"), checksum)
    return f"{checksum:08x}"

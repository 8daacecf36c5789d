"""Many picture files: the paths that arguments stand for, and their pixels in batches.

    find          the picture files that paths, folders and patterns stand for
    read_batches  the pictures, several hundred at a time
"""

import concurrent.futures
import glob
import os
import re
import warnings

import numpy as np

from tf1cifar import console, files, machine
from tf1cifar.data import base, own_pictures

BATCH_SIZE = 250  # as in an evaluation
NO_PICTURES = ("thumbs.db", "desktop.ini")  # of Windows


def find(arguments):
    """The picture files that arguments of a command line stand for.

    A folder stands for all files in it and in its subfolders that have a suffix of pictures and are
    not hidden. A pattern, which no shell has replaced, stands for all that match it.

    Args:
      arguments: list of str, paths and patterns.

    Returns:
      (paths, notes, mistakes): the paths, in the order of the arguments and sorted within each; a
      line about the files of each folder that are left out; (path, reason) of arguments without
      pictures and of folders that cannot be read.
    """
    paths, notes, mistakes = [], [], []
    for argument in arguments:
        matches = _expanded(argument)
        if not matches:
            mistakes.append((argument, "no file has this name or matches it as a pattern"
                             + _other_case(argument)))
        for path in matches:
            if not os.path.isdir(path):
                paths.append(path)
                continue
            pictures, others, unreadable = _pictures_in(path)
            paths += pictures
            mistakes += unreadable
            if not pictures and not unreadable:
                mistakes.append((path, "no pictures in this folder; expected names that end with "
                                 f"{', '.join(base.PICTURE_SUFFIXES)}"))
            elif others:
                files_words = f"{len(others):,} other file{'s' * (len(others) > 1)}"
                notes.append(f"{path}: {files_words} left out, such as "
                             f"{console.cut(os.path.basename(others[0]), 60)}")
    return paths, notes, mistakes


def _expanded(argument):
    """The paths that an argument stands for; a path without * and the like is itself."""
    try:
        path = str(files.expanded(argument))
    except OSError:  # no path, too long for example; reading it says so
        return [argument]
    if os.path.lexists(path) or not any(c in path for c in "*?["):
        return [path]
    return sorted(glob.glob(path, recursive=True))


def _other_case(pattern):
    """Words about files that a pattern would match if upper and lower case were the same."""
    folder, name = os.path.split(str(files.expanded(pattern)))
    name = re.sub("[a-zA-Z]", lambda c: f"[{c[0].lower()}{c[0].upper()}]", name)
    found = "[" not in pattern and sorted(glob.glob(os.path.join(folder, name)))
    return ("; upper and lower case are different, as in "
            f"{console.cut(os.path.basename(found[0]), 60)}" if found else "")


def _pictures_in(folder):
    """(pictures, others, mistakes): sorted paths, and pairs about folders that cannot be read."""
    pictures, others, unreadable = [], [], []
    for place, inner, names in os.walk(folder, onerror=unreadable.append):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower() not in NO_PICTURES:
                is_picture = name.lower().endswith(base.PHOTO_SUFFIXES)
                (pictures if is_picture else others).append(os.path.join(place, name))
    return sorted(pictures), sorted(others), [
        (error.filename, f"cannot be read ({error.strerror})") for error in unreadable]


def read_batches(paths, image_shape, fit="crop", invert=False):
    """Read pictures in batches, the pictures of a batch in several threads, under a progress bar.

    Args:
      paths: list of paths.
      image_shape, fit, invert: see `own_pictures.read_image`.

    Yields:
      (paths, images, mistakes) of the next BATCH_SIZE pictures: the paths of those that can be
      read, their pixels as uint8 [N, height, width, channels], and (path, reason) of each other.
    """
    def read(path):
        try:
            return own_pictures.read_image(path, image_shape, fit, invert)
        except base.DataError as error:
            return str(error).removeprefix(f"{path}: ")

    bar = console.progress(len(paths), "reading and classifying")
    with concurrent.futures.ThreadPoolExecutor(machine.cores()) as threads:
        for start in range(0, len(paths), BATCH_SIZE):
            batch, results = paths[start:start + BATCH_SIZE], []
            # Lines follow each batch, so the bar is hidden. Pillow warns of damaged metadata.
            with bar, warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="PIL")
                for result in threads.map(read, batch):
                    results.append(result)
                    bar.update(start + len(results))
            good = [(path, image) for path, image in zip(batch, results)
                    if not isinstance(image, str)]
            images = np.empty((len(good), *image_shape), np.uint8)
            for number, (_, image) in enumerate(good):
                images[number] = image
            yield ([path for path, _ in good], images,
                   [(path, result) for path, result in zip(batch, results)
                    if isinstance(result, str)])

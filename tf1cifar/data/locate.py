"""Find a data set on this machine, wherever people have it.

    DataSet         how a data set is found
    find            the folder of a data set: named, in a usual place, unpacked or downloaded
    unpacked        the folder of an archive that was unpacked earlier
    origin          the archive that a folder was unpacked from
    recognize       words for what a folder or a file holds
    instead         words for a place that does not hold what is looked for
    picture_layout  the way in which a folder of pictures is organized
"""

import contextlib
import hashlib
import os
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

from tf1cifar import files
from tf1cifar.data import archives, base
from tf1cifar.data.download import cache_folder
from tf1cifar.data.recognition import (  # noqa: F401, picture_layout is for users of this module
    MAX_ENTRIES,
    entries,
    instead,
    picture_layout,
    recognize,
    walk,
)

MAX_ARCHIVES = 20  # that one search opens
MAX_FILE_BYTES = 256 << 20  # of a file in an archive; CIFAR-100's training images have 155 MB
# (words in the names of archives and folders, the data set that they speak of); the first that
# fits counts. MNIST's layout is used by other data sets too.
WORDS = (("cifar.?100", "CIFAR-100"), ("cifar.?10", "CIFAR-10"),
         ("fashion|[ekq]-?mnist|kuzushiji", "another"), ("mnist", "MNIST"))


class DataSet(NamedTuple):
    """How a data set is found. Every folder is a `pathlib.Path`, which need not exist.

    Attributes:
      title: its name, such as 'CIFAR-10'.
      variable: the environment variable that may hold its path.
      folder: the usual name of its folder, in the working folder and in the cache.
      has_any: function of a folder that returns whether any file of the data set is there.
      is_complete: function of a folder that returns whether the data set is whole there.
      wanted: function of a file's name that returns whether it belongs to the data set.
      download: function of the cache folder that downloads the data set and returns its folder.
      expected: '(expected ...)' with the files, for messages.
      hint: the sentence on how to get the data set.
    """
    title: str
    variable: str
    folder: str
    has_any: Callable
    is_complete: Callable
    wanted: Callable
    download: Callable
    expected: str
    hint: str


def find(data_dir, data_set):
    """The folder of a data set, downloaded if the data set is not on this machine.

    If `data_dir` or the environment variable is given, only that place is searched: the folder
    itself, its subfolders, and the archives in them. Two folders down a data set is taken if the
    way is clear, see `_is_clear`; otherwise the message names it. The place may also be an archive
    or a file of the data set. Without such a place, a whole data set is looked for in the working
    folder, its folder data, the cache, and Keras's folder.

    Args:
      data_dir: path that the user named with --data-dir, or None.
      data_set: a `DataSet`.

    Returns:
      A `pathlib.Path`. Some of the files may be missing there, unless it is in the cache.

    Raises:
      DataError: the place that the user named does not hold the data set, or its archive is
        damaged.
      errors.Failure: the data set is not on this machine, and the download failed.
      OSError: the cache, which holds what is unpacked, cannot be written.
    """
    for given, source in ((data_dir, "--data-dir"),
                          (os.environ.get(data_set.variable) or None, data_set.variable)):
        if given is not None:
            path = files.expanded(given)
            if found := _search(path, data_set):
                return found
            if deeper := _whole(_places(path, data_set), data_set):
                raise base.DataError(f"{source} {path}: no {data_set.title} there, but in "
                                     f"{deeper}; give that folder")
            text = f"{source} {path}: {instead(path, data_set.title)}"
            raise base.DataError(text if "give --dataset" in text else
                                 f"{text} {data_set.expected}. {data_set.hint}")
    here, cache, data, keras = (pathlib.Path(data_set.folder), cache_folder(),
                                pathlib.Path("data"), _keras())
    for place in (here, data, cache / data_set.folder, keras):
        if found := _whole(_places(place, data_set), data_set):
            return found
    for archive in _archives([pathlib.Path(), *walk(data), *walk(keras)], data_set, named=True):
        with contextlib.suppress(base.DataError):  # perhaps a download that was stopped
            return _unpack(archive, data_set)
    # The error about a missing file is more helpful than another data set.
    return here if _holds(data_set.has_any, here) else data_set.download(cache)


def _keras():
    """The folder in which Keras keeps its data sets."""
    return files.expanded(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"


def _holds(check, path):
    """Whether `check` holds for a path. A folder that cannot be read holds nothing."""
    try:
        return check(path)
    except OSError:
        return False


# ---------------------------------------------------------------------------------------
# Searching


def _search(path, data_set):
    """The place of the data set in the place that a person named, None if there is none."""
    if _holds(data_set.has_any, path):
        return path
    if not _holds(pathlib.Path.exists, path):
        return unpacked(path, data_set.title)
    if not path.is_dir():
        if data_set.wanted(path.name):
            return path.parent
        other = not _belongs(path, data_set) and "give --dataset" in recognize(path)
        return None if other or not archives.kind(path) else _unpack(path, data_set)
    places = [place for place in _places(path, data_set) if _is_clear(path, place, data_set)]
    if found := _whole(places, data_set):
        return found
    problem = None
    for archive in _archives(places, data_set):
        try:
            return _unpack(archive, data_set)
        except base.DataError as error:
            problem = problem or error
    if problem:
        raise problem
    return next((place for place in places if _holds(data_set.has_any, place)), None)


def _places(path, data_set):
    """The folders in which the data set may be, those last that are named after another one."""
    def is_another(place):
        return any(_set_of(part) not in ("", data_set.title)
                   for part in place.relative_to(path).parts)
    return sorted(walk(path), key=is_another) if path.is_dir() else []


def _is_clear(path, place, data_set):
    """Whether a folder on the way from `path` down to `place` leaves no doubt.

    It is named after the data set, as what 7-Zip, Keras and torchvision make, or it is all that the
    folder above holds. A home folder may hold many a data set two folders down.
    """
    between = place.relative_to(path).parts[:-1]
    return not between or _set_of(between[0]) == data_set.title or len(entries(
        path, [MAX_ENTRIES])) == 1


def _whole(places, data_set):
    """The first folder with the whole data set, or None."""
    return next((place for place in places if _holds(data_set.is_complete, place)), None)


def _archives(places, data_set, named=False):
    """The archives in folders that may hold the data set, the likeliest first.

    Args:
      places: list of folders.
      data_set: a `DataSet`.
      named: whether only archives count that are named after the data set.
    """
    left, found = [MAX_ENTRIES], []
    for place in places:
        for path in entries(place, left):
            of, name = _set_of(path.name), path.name.lower()
            if of == data_set.title or not (of or named) and (
                    name.endswith(archives.SUFFIXES) or "." not in name):
                found.append((of != data_set.title, path))
    found = [path for _, path in sorted(found, key=lambda item: item[0])][:MAX_ARCHIVES]
    return [path for path in found
            if path.is_file() and archives.kind(path) and _belongs(path, data_set)]


def _set_of(name):
    """The title of the data set that a name speaks of, '' if it speaks of none."""
    return next((title for pattern, title in WORDS if re.search(pattern, name.lower())), "")


def _belongs(archive, data_set):
    """Whether an archive may hold the data set, by its name or by the names of its first files."""
    return _set_of(archive.name) == data_set.title or any(
        map(data_set.wanted, archives.list_names(archive)))


# ---------------------------------------------------------------------------------------
# Archives


def unpacked(archive, title="*"):
    """The folder of an archive that was unpacked earlier and may be gone since.

    Args:
      archive: path of the archive.
      title: the title of the `DataSet`, by default of any.

    Returns:
      A `pathlib.Path`, or None.
    """
    found = (cache_folder() / "unpacked").glob(f"{_key(archive, title)}-*")
    return max(filter(pathlib.Path.is_dir, found), key=os.path.getmtime, default=None)


def origin(folder):
    """The archive that a folder of the cache was unpacked from.

    Args:
      folder: path of a folder that `find` returned.

    Returns:
      The path of the archive, a str; that of `folder` itself for all other folders.
    """
    folder = pathlib.Path(folder)
    try:
        if folder.parent == cache_folder() / "unpacked":
            return os.fsdecode(_note(folder).read_bytes())
    except OSError:
        pass
    return str(folder)


def _note(folder):
    """The file with the path of the archive, beside the folder that it was unpacked into."""
    return folder.with_name(f"{folder.name}.txt")


def _key(archive, title):
    path = os.fsencode(os.path.abspath(archive))
    return f"{title}-{hashlib.sha256(path).hexdigest()[:16]}"


def _unpack(archive, data_set):
    """The folder in the cache with the files of an archive, which is unpacked once."""
    status = archive.stat()
    target = (cache_folder() / "unpacked" /
              f"{_key(archive, data_set.title)}-{status.st_size}-{status.st_mtime_ns}")
    if data_set.is_complete(target):
        return target
    try:
        with files.new_folder(target, existing="merge") as folder:
            found = archives.unpack(archive, folder, data_set.wanted, MAX_FILE_BYTES)
            if not data_set.is_complete(folder):
                held = f"holds only {', '.join(sorted(found)[:9])}" if found else "does not hold it"
                raise base.DataError(f"an archive that {held} {data_set.expected}")
            with files.replacing(_note(target), "wb") as out:
                out.write(os.fsencode(os.path.abspath(archive)))
    except base.DataError as error:
        raise base.DataError(f"{archive}: {error}") from None
    return target

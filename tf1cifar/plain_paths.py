"""Paths as TensorFlow can take them.

    plain  a path without characters that TensorFlow reads as a pattern
"""

import atexit
import contextlib
import os
import tempfile

_aliases = {}  # folder -> a link to it under a plain name


def plain(path):
    """`path` as TensorFlow can take it.

    TensorFlow reads the paths of checkpoints as patterns, and takes no path that is not UTF-8. So a
    folder with other characters in its path gets a second name, a link in the system's folder for
    temporary files, which is removed when the process ends.

    Args:
      path: path of a file or folder, whose own name is plain and whose parent exists.

    Returns:
      A str.
    """
    path = os.fspath(path)
    with contextlib.suppress(UnicodeEncodeError):
        path.encode("utf-8")
        if os.name != "posix" or not set("[]*?\\") & set(path):
            return path
    parent, name = os.path.split(os.path.abspath(path))
    if parent not in _aliases:
        place = tempfile.mkdtemp(prefix="tf1cifar-")
        _aliases[parent] = os.path.join(place, "folder")
        os.symlink(parent, _aliases[parent])
        atexit.register(_remove_alias, place, os.getpid())
    return os.path.join(_aliases[parent], name)


def _remove_alias(place, process):
    if process == os.getpid():  # not in a fork of it
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(place, "folder"))
            os.rmdir(place)

"""Paths as TensorFlow can take them.

    plain  a path without characters that TensorFlow reads as a pattern
    real   a text with the paths that a person knows
"""

import atexit
import contextlib
import os
import tempfile

from tf1cifar import errors

PREFIX = "tf1cifar-"  # of a link's folder
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

    Raises:
      errors.UserError: the system's folder for temporary files has no plain name either.
    """
    path = os.fspath(path)
    if _is_plain(path):
        return path
    parts = os.path.abspath(path).split(os.sep)
    last = max(number for number, part in enumerate(parts) if not _is_plain(part))
    folder = os.sep.join(parts[:last + 1])
    if folder not in _aliases:
        place = tempfile.mkdtemp(prefix=PREFIX)
        if not _is_plain(place):
            os.rmdir(place)
            raise errors.UserError(f"TensorFlow takes no path with one of [ ] * ? \\ or bytes that "
                                   f"are not UTF-8, so {folder} needs a link in the system's "
                                   f"folder for temporary files, and {tempfile.gettempdir()} is "
                                   "such a path too; name another one in TMPDIR")
        _aliases[folder] = os.path.join(place, "folder")
        os.symlink(folder, _aliases[folder])
        atexit.register(_remove_alias, place, os.getpid())
    return os.path.join(_aliases[folder], *parts[last + 1:])


def real(text):
    """`text`, such as TensorFlow's message about a file, with the names that `plain` replaced."""
    for folder, alias in _aliases.items():
        text = text.replace(alias, folder)
    return text


def _is_plain(path):
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return os.name != "posix" or not set("[]*?\\") & set(path)


def _remove_alias(place, process):
    if process == os.getpid():  # not in a fork of it
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(place, "folder"))
            os.rmdir(place)

"""Find the folder of a data set on this machine, and download files.

    find_folder   the folder of a data set: named, in the working folder, cached or downloaded
    cache_folder  the folder for downloads
    expanded      a path without a leading ~
    fetch         download one file and verify its checksum
"""

import hashlib
import http.client
import os
import pathlib
import tempfile
import urllib.error
import urllib.request

from tf1cifar import console, errors, files
from tf1cifar.data import base


def cache_folder():
    """The user's cache folder of this project.

    The folder is in $XDG_CACHE_HOME or ~/.cache. If neither can be written, as in some
    containers, it is in the system's folder for temporary files.

    Returns:
      A `pathlib.Path`, which need not exist.
    """
    try:
        parent = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        parent.mkdir(parents=True, exist_ok=True)
        if os.access(parent, os.W_OK):
            return parent / "tf1-cifar10"
    except (RuntimeError, OSError):  # the user has no home folder, or the folder cannot be made
        pass
    return pathlib.Path(tempfile.gettempdir()) / "tf1-cifar10"


def expanded(path):
    """`path` as a `pathlib.Path` with a leading ~ or ~USER replaced by the home folder."""
    return pathlib.Path(os.path.expanduser(path))  # leaves the name of an unknown user as it is


def find_folder(data_dir, *, variable, name, has_any, is_complete, download, missing):
    """The folder of a data set, downloaded if the data set is not on this machine.

    If `data_dir` or the environment variable is given, only that place is tried; it may be the
    data set's folder or the folder above. Otherwise the folder `name` of the working folder is
    tried, then the folder `name` of the cache.

    Args:
      data_dir: path that the user named with --data-dir, or None.
      variable: name of the environment variable that may hold such a path.
      name: the usual name of the data set's folder.
      has_any: function of a folder that returns whether any file of the data set is in it.
      is_complete: function of a folder that returns whether a cached data set is whole.
      download: function of the cache folder that downloads the data set and returns its folder.
      missing: end of the error message, with the expected files and the remedy.

    Returns:
      A `pathlib.Path`. The folder may lack some of the files, unless it is in the cache.

    Raises:
      DataError: the place that the user named does not hold the data set.
      errors.Failure: the data set is not on this machine, and the download failed.
    """
    for given, source in ((data_dir, "--data-dir"), (os.environ.get(variable) or None, variable)):
        if given is not None:
            folder = expanded(given)
            for candidate in (folder, folder / name):
                if has_any(candidate):
                    return candidate
            raise base.DataError(f"{source} {folder}: {missing}")
    here, cached = pathlib.Path(name), cache_folder() / name
    if has_any(here):
        return here
    return cached if is_complete(cached) else download(cached.parent)


def fetch(url, md5, path, timeout=10.0):
    """Download one file under a progress bar and verify its MD5 checksum.

    Args:
      url: address of the file.
      md5: expected MD5 checksum in hexadecimal.
      path: path of a file to write, inside a folder of `files.new_folder`.
      timeout: seconds to wait for an answer of the server.

    Raises:
      errors.Failure: the server cannot be reached, or the checksum differs.
      OSError: the file cannot be written.
    """
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer, files.open_new(path) as out:
            total = int(answer.headers.get("Content-Length") or 0)
            with console.progress(total, f"downloading {url.rsplit('/', 1)[-1]}", "B") as bar:
                while chunk := answer.read(1 << 18):
                    digest.update(chunk)
                    out.write(chunk)
                    bar.update(out.tell())
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError,
            ValueError) as error:
        reason = getattr(error, "reason", error)
        raise errors.Failure(f"cannot download {url}: {reason}") from error
    if digest.hexdigest() != md5.lower():
        raise errors.Failure(f"{url}: MD5 is {digest.hexdigest()}, expected {md5}; "
                             "the download was cut short or is not the official file")

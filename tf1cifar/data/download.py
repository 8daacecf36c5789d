"""Download files into the user's cache.

    cache_folder      the folder for downloads
    fetch             download one file and verify its checksum
    without_password  an address for a message
"""

import base64
import contextlib
import hashlib
import http.client
import os
import pathlib
import stat
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from tf1cifar import console, errors, files

MAX_BYTES = 512 << 20  # of a download; the longest, CIFAR-10's, has 170,498,071
PATIENCE, SLOWEST = 30.0, 1000.0  # a server must send so many bytes a second in so many seconds


def cache_folder():
    """The user's cache folder of this project.

    The folder is in $XDG_CACHE_HOME or ~/.cache. If neither can be written, as in some
    containers, it is in the system's folder for temporary files.

    Returns:
      A `pathlib.Path`, which need not exist.

    Raises:
      errors.Failure: in a folder that everybody can write, another user has taken the name.
    """
    try:
        parent = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        parent.mkdir(parents=True, exist_ok=True)
        if os.access(parent, os.W_OK):
            folder = parent / "tf1-cifar10"
            # Anyone may take a name in a folder such as /tmp.
            return _private(folder) if parent.stat().st_mode & stat.S_ISVTX else folder
    except (RuntimeError, OSError):  # the user has no home folder, or the folder cannot be made
        pass
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return _private(pathlib.Path(tempfile.gettempdir()) / f"tf1-cifar10-{user}")


def _private(folder):
    """`folder`, made if need be, which only this user can write.

    Raises:
      errors.Failure: another user has taken its name.
    """
    user = os.getuid() if hasattr(os, "getuid") else None
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or (user is not None and (
            status.st_uid != user or status.st_mode & 0o022)):
        raise errors.Failure(f"{folder} belongs to another user or is open to others; remove it, "
                             "or name a folder of your own in XDG_CACHE_HOME")
    return folder


def fetch(url, md5, path, timeout=10.0):
    """Download one file under a progress bar and verify its MD5 checksum.

    Args:
      url: address of the file.
      md5: expected MD5 checksum in hexadecimal.
      path: path of a file to write, inside a folder of `files.new_folder`.
      timeout: seconds to wait for an answer of the server.

    Raises:
      errors.Failure: the server cannot be reached, sends too slowly or too much, or the checksum
        differs.
      OSError: the file cannot be written.
    """
    digest = hashlib.md5(usedforsecurity=False)
    shown, name = without_password(url), console.cut(url.rsplit("/", 1)[-1], 80)
    try:
        with (urllib.request.urlopen(_request(url), timeout=timeout) as answer,
              files.open_new(path) as out):
            total = int(answer.headers.get("Content-Length") or 0)
            size = f" ({total / 1e6:,.0f} MB)" if total else ""
            print(f"downloading {name}{size} from {urllib.parse.urlsplit(url).hostname}",
                  file=sys.stderr, flush=True)
            with console.progress(total, f"downloading {name}", "B") as bar:
                start, received = time.monotonic(), 0  # of the last PATIENCE seconds
                while chunk := answer.read1(1 << 18):
                    digest.update(chunk)
                    out.write(chunk)
                    bar.update(out.tell())
                    received += len(chunk)
                    seconds = time.monotonic() - start
                    if out.tell() > MAX_BYTES:
                        raise ValueError(f"it sends more than {MAX_BYTES:,} bytes")
                    if seconds > PATIENCE:
                        if received < SLOWEST * seconds:
                            raise ValueError(f"it sends {received / seconds:,.0f} bytes a second")
                        start, received = time.monotonic(), 0
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError,
            ValueError) as error:
        reason = console.cut(getattr(error, "reason", error))
        raise errors.Failure(f"cannot download {shown}{_through_proxy(url)}: {reason}") from error
    if digest.hexdigest() != md5.lower():
        raise errors.Failure(f"{shown}: MD5 is {digest.hexdigest()}, expected {md5}; "
                             "the download was cut short or is not the official file")


def _request(url):
    """The request for `url`, whose user and password go into a header that no redirect repeats."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, _, host = host.rpartition("@")
    request = urllib.request.Request(f"{scheme}{slashes}{host}{slash}{path}")
    if user:
        name = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {name}")
    return request


def without_password(url):
    """`url` for a message: without the user and the password that it may hold."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return console.cut(f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}")


def _through_proxy(url):
    """Words about the proxy that a download goes through, '' without one."""
    with contextlib.suppress(ValueError):
        parts = urllib.parse.urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
            return f" through the proxy {without_password(proxy)}"
    return ""

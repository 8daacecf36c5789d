"""Folders and files that one process holds, and others leave alone.

    lock            keep other processes out
    is_held         whether another process holds a lock
    scratch         a folder of this process in which it writes what is not complete
    remove_scratch  remove the scratch folders of processes that died
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import stat
import sys
import tempfile

from tf1cifar import errors

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

# Errors of file systems and sandboxes that have no locks, such as some of NFS, Lustre and FUSE.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL,
            errno.EPERM)
SCRATCH = ".tf1cifar-"  # how the name of a scratch folder begins


@contextlib.contextmanager
def lock(path):
    """Hold an exclusive lock on the file `path`, which is made if need be.

    The operating system frees the lock when the process ends, however it ends. On a file system
    without locks, a line on standard error says so, and nothing keeps other processes out.

    Yields:
      Whether the lock file is new.

    Raises:
      BlockingIOError: another process holds the lock.
      OSError: the file cannot be opened.
    """
    while True:
        new = not path.exists()
        with open(path, "a", opener=_plain_file) as file:
            if fcntl and _locked(file):
                # The last holder may have removed the file between opening and locking it.
                if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
            yield new
            return


def is_held(path):
    """Whether a process holds the lock on the file `path`; False where that cannot be told."""
    try:
        with open(path, opener=_plain_file) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, errors.UserError, AttributeError):  # AttributeError: there is no fcntl
        return False
    return False


def _plain_file(path, flags):
    """Open a file, but no link, which may lead to another person's file, and no pipe or device."""
    try:
        number = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0)
                         | getattr(os, "O_NONBLOCK", 0), 0o666)
        if stat.S_ISREG(os.fstat(number).st_mode):
            return number
        os.close(number)
        kind = "no plain file"
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        kind = "a link" if error.errno == errno.ELOOP else "no plain file"
    raise errors.UserError(f"{path} is {kind}, which no run of this project makes; remove it")


def _locked(file):
    """Lock an open file without waiting; whether its file system has locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EACCES:  # a held lock, in the words of some network file systems
            raise BlockingIOError(errno.EAGAIN, error.strerror, file.name) from error
        if error.errno not in NO_LOCKS:
            raise
        folder = os.path.dirname(file.name) or os.curdir
        print(f"{folder} is not locked, since its file system has no locks ({error.strerror}); "
              "start no second run there", file=sys.stderr)
        return False
    return True


@contextlib.contextmanager
def scratch(target):
    """A new folder beside `target` that only this user can enter, and this process uses.

    It is beside its target, since a file is renamed within one disk only, and a part of a run may
    be a link to another. Its name is nobody's guess, so no link can lie there. It is locked while
    it is in use, and removed at the end of the block.

    Args:
      target: a `pathlib.Path`, for which the files in the folder are.

    Yields:
      The `pathlib.Path` of the folder.

    Raises:
      OSError: the folder cannot be made or written; the error names `target`.
    """
    try:
        with contextlib.ExitStack() as stack:
            held = False
            while not held:  # another process may remove the folder before it is locked
                place = pathlib.Path(tempfile.mkdtemp(prefix=SCRATCH, dir=target.parent))
                held = _hold(place, stack) is not False
            try:
                yield place
            finally:
                shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        if not error.errno or name and f"{os.sep}{SCRATCH}" not in name:
            raise
        # The error of a write does not know the file's name, that of `open` knows a scratch name.
        raise OSError(error.errno, error.strerror, str(target)) from error


def remove_scratch(folder):
    """Remove the scratch folders in `folder` that no process uses any more.

    Where the file system has no locks, they stay. A `folder` that is a link is left alone.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    for place in folder.iterdir():
        if (re.fullmatch(rf"{re.escape(SCRATCH)}[a-z0-9_]{{8}}", place.name)
                and place.is_dir() and not place.is_symlink()):
            with contextlib.ExitStack() as stack:
                if _hold(place, stack):
                    shutil.rmtree(place, ignore_errors=True)


def _hold(place, stack):
    """Lock a folder until `stack` ends.

    Returns:
      True, False if the folder is gone or another process holds it, None without locks.
    """
    if not fcntl:
        return None
    try:
        number = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        stack.callback(os.close, number)
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(number), os.lstat(place))
    except (FileNotFoundError, BlockingIOError):
        return False
    except OSError:
        return None

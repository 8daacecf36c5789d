"""Every file that this project writes is opened here: whole, or not at all.

    replacing         write a file that takes another's place when it is complete
    replacing_path    the same for a writer that opens its file by name
    open_new          write a file inside a folder that is not in its place yet
    new_folder        fill a folder that appears under its name when it is complete
    replacing_folder  the same for a folder that may replace an older one
    link_or_copy      give a file a second name
    lock              keep other processes out
    require_folder    refuse a path that a folder cannot be made at
    expanded          a path with its ~ and $VARIABLE replaced
    write_json, read_json, save_figure, remove

Content is written under a temporary name beside its target, forced to the disk, and renamed. A
kill at any moment leaves the old version or the new one. Checkpoints, SavedModels and event files
are written by TensorFlow, which does not force them to the disk.
"""

import contextlib
import errno
import json
import os
import pathlib
import shutil
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


def partial_path(path):
    """Temporary path, next to `path`, for the new content until it is complete."""
    return path.with_name(f".{path.name}.part")


def backup_path(path):
    """Path to which the old version is moved while it is being replaced."""
    return path.with_name(f".{path.name}.old.part")


@contextlib.contextmanager
def replacing(path, mode="w", **options):
    """Open a file for writing that takes the place of `path` when the block ends well.

    Args:
      path: path of the file.
      mode: 'w' for text in UTF-8, 'wb' for bytes.
      options: further arguments of `open`.

    Raises:
      OSError: the file cannot be written; the error names `path`.
    """
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
    try:
        with (replacing_path(path) as partial,
              _synced(open(partial, mode, opener=_new_file, **options)) as out):
            yield out
    except OSError as error:
        if not error.errno:
            raise
        # The error of a write does not know the file's name, that of `open` knows another one.
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def replacing_path(path):
    """The temporary path for a writer that opens its file by name, such as TensorFlow's.

    The file takes the place of `path` when the block ends well, and is removed otherwise.
    """
    path = pathlib.Path(path)
    partial = partial_path(path)
    partial.unlink(missing_ok=True)  # perhaps a stranger's link
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def open_new(path):
    """Open a file for writing bytes, inside a folder of `new_folder`; use it in a `with`.

    Raises:
      OSError: the file cannot be written; the error names it.
    """
    try:
        with _synced(open(path, "wb", opener=_new_file)) as out:
            yield out
    except OSError as error:
        if not error.errno or error.filename:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _new_file(path, flags):
    """Open a file that must not exist; never through a link."""
    return os.open(path, flags | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextlib.contextmanager
def _synced(file):
    """Close `file` after the block, its content forced to the disk."""
    with file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def new_folder(target, existing):
    """A folder to fill that gets the name `target` when the block ends well.

    Args:
      target: a `pathlib.Path`.
      existing: 'merge' moves the files into a folder that is there already, replacing files of
        the same names; 'refuse' raises the error of the rename.

    Yields:
      The `pathlib.Path` of the folder to fill. It is removed if the block raises.

    Raises:
      OSError: the folder cannot be written, or, with 'refuse', is there and not empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        made = pathlib.Path(scratch) / "new"
        made.mkdir()
        yield made
        try:
            os.rename(made, target)
        except OSError:
            if existing == "refuse":
                raise
            for item in made.iterdir():
                os.replace(item, target / item.name)


@contextlib.contextmanager
def replacing_folder(target):
    """A path for a new folder that takes the place of the folder `target`, whole or not at all.

    Args:
      target: a `pathlib.Path`.

    Yields:
      The `pathlib.Path` of a folder that does not exist yet.
    """
    partial, backup = partial_path(target), backup_path(target)
    remove(partial)
    yield partial
    # A rename cannot replace a full folder. At any moment one whole version has its name or the
    # backup's.
    remove(backup)
    if target.exists():
        target.rename(backup)
    partial.rename(target)
    remove(backup)


def link_or_copy(source, target):
    """Give the file `source` a second name, or copy it where the file system has no links.

    The two names share one file, so damage to one is damage to both.
    """
    partial = partial_path(target)
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        with open(source, "rb") as content, open_new(partial) as out:
            shutil.copyfileobj(content, out, 1 << 20)
    os.replace(partial, target)


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
        with open(path, "a", opener=_no_link) as file:
            if fcntl and _locked(file):
                # The last holder may have removed the file between opening and locking it.
                if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
            yield new
            return


def _no_link(path, flags):
    """Open a file, but not through a link, which may lead to another person's file."""
    try:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise errors.UserError(f"{path} is a link, which no run of this project makes; remove "
                               "it") from None


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


def expanded(path):
    """`path` with a leading ~ or ~USER and every $VARIABLE replaced, as shells do it.

    Shells leave `--data-dir=~/data` as it is, and notebooks and Windows replace nothing. A path
    that exists as it is written, an unknown user and an unknown variable stay as they are.

    Args:
      path: str or path.

    Returns:
      A `pathlib.Path`.
    """
    path = pathlib.Path(path)
    if path.exists():
        return path
    return pathlib.Path(os.path.expanduser(os.path.expandvars(path)))


def require_folder(path, flag):
    """Raise an `errors.UserError` if `path` is no folder and none can be made there.

    Args:
      path: a `pathlib.Path`.
      flag: the option that named the path, for the message.
    """
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise errors.UserError(f"{flag} {path}: {there} is not a folder")


def remove(path):
    """Remove a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()


def save_figure(figure, path):
    """Write a matplotlib figure in the format that the path's suffix names, PNG without one."""
    with replacing(path, "wb") as out:
        figure.savefig(out, format=pathlib.Path(path).suffix[1:] or "png", dpi=figure.dpi)


def write_json(path, content):
    """Write a dictionary as JSON."""
    with replacing(path) as out:
        json.dump(content, out, indent=2)
        out.write("\n")


def read_json(path):
    """The dictionary in a JSON file.

    Raises:
      errors.UserError: the file does not exist, or is not a JSON dictionary.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise errors.UserError(f"{path}: no such file; is this the folder of a run?") from None
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"{path}: damaged, not JSON ({error})") from error
    if not isinstance(content, dict):
        raise errors.UserError(f"{path}: damaged, expected a JSON dictionary")
    return content

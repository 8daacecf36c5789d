"""Every file that this project writes is opened here: whole, or not at all.

    replacing         write a file that takes another's place when it is complete
    replacing_path    the same for a writer that opens its file by name
    filling           write several files that appear in a folder one after another
    open_new          write a file inside a folder that is not in its place yet
    new_folder        fill a folder that appears under its name when it is complete
    replacing_folder  the same for a folder that may replace an older one
    link_or_copy      give a file a second name
    require_folder    refuse a path that a folder cannot be made at
    expanded          a path with its ~ and $VARIABLE replaced
    read_text         the text of a file that anyone may have written
    write_json, read_json, save_figure, figure_bytes, remove

Content is written in a folder of `locks.scratch` beside its target, forced to the disk, and
renamed. A kill at any moment leaves the old version or the new one. Checkpoints, SavedModels and
event files are written by TensorFlow, which does not force them to the disk.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import stat

from tf1cifar import errors
from tf1cifar.locks import remove_scratch, scratch

MAX_TEXT = 2 ** 26  # bytes of a text file; metrics.csv of a million epochs is smaller


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
    with (replacing_path(path) as partial,
          _synced(open(partial, mode, opener=_new_file, **options)) as out):
        yield out


@contextlib.contextmanager
def replacing_path(path):
    """A path in a scratch folder for a writer that opens its file by name, such as TensorFlow's.

    The file takes the place of `path` when the block ends well, and is removed otherwise.
    """
    path = pathlib.Path(path)
    with filling(path.parent, [path.name]) as place:
        yield place / path.name


@contextlib.contextmanager
def filling(folder, names):
    """A scratch folder for files that are moved into `folder` when the block ends well.

    Args:
      folder: a `pathlib.Path`.
      names: the files' names, in the order in which they are moved.

    Yields:
      The `pathlib.Path` of the scratch folder.
    """
    with scratch(folder / names[-1]) as place:
        yield place
        for name in names:
            os.replace(place / name, folder / name)


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
    remove_scratch(target.parent)
    with scratch(target) as place:
        made = place / "new"
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
      target: a `pathlib.Path`. If it is a link, the link is replaced.

    Yields:
      The `pathlib.Path` of a folder that does not exist yet.
    """
    with scratch(target) as place:
        made, old = place / "new", place / "old"
        yield made
        # A rename cannot replace a full folder. A kill between the two leaves none.
        if os.path.lexists(target):
            os.rename(target, old)
        try:
            os.rename(made, target)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, target)
            raise


def link_or_copy(source, target):
    """Give the file `source` a second name, or copy it where the file system has no links.

    The two names share one file, so damage to one is damage to both. `target` is a new file inside
    a folder of `filling`.
    """
    try:
        os.link(source, target)
    except OSError:
        with open(source, "rb") as content, open_new(target) as out:
            shutil.copyfileobj(content, out, 1 << 20)


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


def figure_bytes(figure, kind):
    """A matplotlib figure as the bytes of a file of the format `kind`, 'png' or 'svg'."""
    content = io.BytesIO()
    # The date of an SVG would make two files of one figure differ.
    figure.savefig(content, format=kind, dpi=figure.dpi,
                   metadata={"Date": None} if kind == "svg" else {})
    return content.getvalue()


def write_json(path, content):
    """Write a dictionary as JSON."""
    with replacing(path) as out:
        json.dump(content, out, indent=2)
        out.write("\n")


def read_text(path):
    """The text of a file in UTF-8 that anyone may have written; of a large one, an error.

    Raises:
      errors.UserError: the path is that of a folder, a pipe or a device, or the file is too large.
      OSError, UnicodeDecodeError: the file cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_TEXT:
        raise errors.UserError(f"{path}: damaged, expected a text file of at most "
                               f"{MAX_TEXT >> 20} MiB")
    with open(path, encoding="utf-8", newline="") as source:
        return source.read(MAX_TEXT)


def read_json(path):
    """The dictionary in a JSON file.

    Raises:
      errors.UserError: the file does not exist, or is not a JSON dictionary.
    """
    try:
        content = json.loads(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        raise errors.UserError(f"{path}: no such file; is this the folder of a run?") from None
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"{path}: damaged, not JSON ({error})") from error
    if not isinstance(content, dict):
        raise errors.UserError(f"{path}: damaged, expected a JSON dictionary")
    return content

"""Unpack the known files of an archive: tar, gzipped or not, and zip.

    kind        whether a file is an archive, by its first bytes
    list_names  the names of the files in the first part of an archive
    unpack      write the known files of an archive into a folder

An archive is not trusted. Only regular files with known names are written, without their path,
owner and mode. A small archive can claim large headers, millions of files or a large or sparse
file, so each of these has a limit.
"""

import contextlib
import errno
import gzip
import itertools
import mmap
import re
import shutil
import tarfile
import zipfile

from tf1cifar import console, files
from tf1cifar.data import base

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")  # of names that may be archives
MAX_FILES = 100_000  # in an archive; each takes about a kilobyte of memory
MAX_UNPACKED = 2 << 30  # bytes of a whole tar archive
MAX_PIECE = 1 << 20  # bytes read at once; a header of tar is shorter
PEEKED = 64 << 20  # bytes that `list_names` unpacks


class _Forward:
    """A stream for `tarfile`: read forwards, in small pieces, up to a limit.

    tarfile reads headers of any claimed length, and moves backwards where a file claims a negative
    length. It goes back one byte to see whether a file ends before the archive does.
    """

    def __init__(self, source, limit):
        self._source, self._limit = source, limit
        self._position, self._last, self._ahead = 0, b"", b""

    def tell(self):
        return self._position

    def seek(self, position):
        if position == self._position - 1 and not self._ahead:
            self._position, self._ahead = position, self._last
        while self._position < position and self.read(min(MAX_PIECE, position - self._position)):
            pass
        if position < self._position:
            raise ValueError("a file has an impossible length")

    def read(self, size):
        if not 0 <= size <= MAX_PIECE:
            raise ValueError(f"a header of {size:,} bytes")
        data = self._ahead[:size]
        if size > len(data):
            data += self._source.read(size - len(data))
        self._ahead = self._ahead[len(data):]
        self._position += len(data)
        self._last = data[-1:] or self._last
        if self._position > self._limit:
            raise ValueError(f"more than {self._limit:,} bytes in it")
        return data


def kind(file):
    """Whether a file is an archive.

    Args:
      file: path of the file.

    Returns:
      'zip', 'tar' (gzipped or not), or '' for a file of another kind or one that cannot be read.
    """
    try:
        with open(file, "rb") as source:
            head = source.read(512)
            if head.startswith(b"PK\3\4"):
                return "zip"
            if head.startswith(b"\x1f\x8b"):
                source.seek(0)
                head = gzip.GzipFile(fileobj=source).read(512)
            return "tar" if head[257:262] == b"ustar" else ""
    except Exception:  # damaged gzip can raise nearly anything
        return ""


def list_names(archive):
    """The names, without folders, of the files in the first part of an archive.

    Args:
      archive: path of a file for which `kind` is not ''.

    Returns:
      A set of str, perhaps incomplete.
    """
    names = set()
    with contextlib.suppress(Exception), open(archive, "rb") as raw:
        for path, *_ in _members(raw, PEEKED):
            names.add(path.rpartition("/")[2])
    return names


def unpack(archive, folder, wanted, max_bytes):
    """Write the known files of an archive into a folder.

    If several folders of the archive hold such files, those of the first folder are written.

    Args:
      archive: path of the archive.
      folder: path of a folder of `files.new_folder`.
      wanted: function of a file's name that returns whether it is a known one.
      max_bytes: largest number of bytes of a file.

    Returns:
      A set of the names of the files that were written.

    Raises:
      DataError: the archive is damaged, or a file in it is too large. The message does not name
        the archive.
      OSError: a file cannot be written.
    """
    written, place = set(), None
    try:
        with (open(archive, "rb") as raw,
              console.progress(raw.seek(0, 2), "unpacking", "B") as bar):
            raw.seek(0)
            for inside, size, open_member in _members(raw, MAX_UNPACKED):
                bar.update(raw.tell())
                parent, _, name = inside.replace("\\", "/").rpartition("/")
                if parent.rpartition("/")[2] == name:  # a folder that is named like its only file
                    parent = parent.rpartition("/")[0]
                if not wanted(name) or name in written or place not in (None, parent):
                    continue
                if size > max_bytes:
                    raise ValueError(f"{name} is {size} bytes long, expected at most {max_bytes}")
                with open_member() as source, files.open_new(folder / name) as out:
                    shutil.copyfileobj(source, out, MAX_PIECE)
                written.add(name)
                place = parent
    except Exception as error:  # a damaged archive can raise nearly anything, MemoryError too
        # A position that a damaged archive names may be impossible. All else is of the disk.
        if getattr(error, "errno", None) not in (None, errno.EINVAL):
            raise
        raise base.DataError("cut short or damaged, or not an archive that can be read "
                             f"({console.cut(error) or type(error).__name__})") from error
    return written


def _members(raw, limit):
    """Yield (path, size, function that opens it) of the regular files of an archive."""
    head = raw.read(4)
    raw.seek(0)
    if head == b"PK\3\4":
        yield from _zip_members(raw)
        return
    source = gzip.GzipFile(fileobj=raw) if head.startswith(b"\x1f\x8b") else raw
    stream = _Forward(source, limit)
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for number, member in enumerate(tar):
            if number == MAX_FILES:
                raise ValueError(f"more than {MAX_FILES:,} files in it")
            tar.members = []  # it would grow with every file
            if member.isfile() and not member.issparse():
                yield member.name, member.size, lambda found=member: tar.extractfile(found)
    while stream.read(MAX_PIECE):  # the checksum of gzip is at the end
        pass


def _zip_members(raw):
    # zipfile reads the whole directory, which a small archive can fill with millions of files.
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        entries = re.finditer(rb"PK\x01\x02", content)
        count = sum(1 for _ in itertools.islice(entries, MAX_FILES + 1))
        del entries  # it keeps the map open
    if count > MAX_FILES:
        raise ValueError(f"more than {MAX_FILES:,} files in it")
    with zipfile.ZipFile(raw) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield (member.filename, member.file_size,
                       lambda found=member: archive.open(name=found))

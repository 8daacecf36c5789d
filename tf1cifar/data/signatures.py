"""What a data file is, and how it is read whole.

    read_file  the content of a file of a data set
    recognize  words for a file that lies where another kind is expected
    changed    words for a file that a transfer or an editor has changed
"""

import codecs
import os
import stat

from tf1cifar import console
from tf1cifar.data import base

HEAD = 600  # number of bytes that `recognize` needs
AGAIN = "copy or download it again"
UNPACK = "unpack it"

# (offset, bytes at that offset, words) of kinds that people and programs put in a data file's place
SIGNATURES = (
    (0, b"\x1f\x8b", f"a gzip file; {UNPACK}"), (0, b"PK\3\4", f"a zip archive; {UNPACK}"),
    (257, b"ustar", f"a tar archive; {UNPACK}"), (0, b"BZh", f"a bzip2 file; {UNPACK}"),
    (0, b"\xfd7zXZ", f"an xz file; {UNPACK}"), (0, b"7z\xbc\xaf", f"a 7-Zip archive; {UNPACK}"),
    (0, b"Rar!", f"a RAR archive; {UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"a Zstandard file; {UNPACK}"),
    (0, b"\x89HDF", "an HDF5 file"), (0, b"MATLAB", "a MATLAB file"),
    (0, b"\x93NUMPY", "a NumPy array"), (0, b"PAR1", "a Parquet file"),
    (0, b"ARROW1", "an Arrow file"), (0, b"SQLite format 3", "an SQLite database"),
    (0, b"%PDF", "a PDF document"), (0, b"\x89PNG", "a picture (PNG)"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)"), (0, b"GIF89a", "a picture (GIF)"),
    (0, b"\0\5\x16\7", "macOS's notes about a file; the file has the same name without ._"),
    (0, b"\0\0\0\1Bud1", "macOS's notes about a folder"),
    (0, b"\0\0\x08\3", "an IDX file of images"), (0, b"\0\0\x08\1", "an IDX file of labels"),
)


def read_file(file, limit, missing="no such file; the data set is incomplete"):
    """The content of a file of a data set.

    Args:
      file: path of the file.
      limit: largest number of bytes.
      missing: words for a file that does not exist.

    Returns:
      bytes.

    Raises:
      DataError: the file is missing, is longer, is no regular file or cannot be read.
    """
    try:
        status = os.stat(file)
        # Opening a pipe would wait for ever. Opening a folder raises.
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise base.DataError(f"{file}: a pipe or a device, expected a file")
        if status.st_size > limit:
            raise base.DataError(f"{file}: {status.st_size:,} bytes, expected at most {limit:,}")
        with open(file, "rb") as source:
            return source.read(status.st_size)  # memory is taken for as many bytes at once
    except FileNotFoundError:
        raise base.DataError(f"{file}: {missing}") from None
    except OSError as error:
        raise base.DataError(f"{file}: cannot be read ({error.strerror})") from error


def recognize(head, wanted="file"):
    """Words for a file that lies where another kind is expected.

    Args:
      head: its first HEAD bytes, or more, or all of them.
      wanted: the word for what is expected, 'file' or 'picture'.

    Returns:
      A str such as 'a web page (HTML); download the file itself'; '' for an unknown kind.
    """
    if not head:
        return f"an empty file; {AGAIN}"
    for offset, first, words in SIGNATURES:
        if head.startswith(first, offset):
            return words
    if not head.strip(b"\0"):
        return f"a file of zeros, whose copy or download was not completed; {AGAIN}"
    return _recognize_text(head, wanted)


def _recognize_text(head, wanted):
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:  # the last character may be cut off
        text, is_text = codecs.getincrementaldecoder(encoding)().decode(head), True
    except UnicodeDecodeError:
        text, is_text = head.decode("latin-1"), False
    if any(ord(c) < 32 and c not in "\t\n\f\r\x1b" for c in text):
        return ""
    start = text.lower().lstrip()
    if start.startswith("version https://git-lfs"):
        return f"a Git LFS pointer; get the {wanted} itself with 'git lfs pull'"
    if "<html" in start or start.startswith(("<!doctype html", "<head", "<body", "<script")):
        return f"a web page (HTML); download the {wanted} itself"
    if start.startswith("[internetshortcut]"):
        return f"a shortcut to a web page; download the {wanted} itself"
    if "<svg" in start:
        return "an SVG drawing; save it as JPEG or PNG"
    if start.startswith(("data:image/", "/9j/", "ivborw0kggo")):
        return "a picture as base64 text; decode it to a file"
    if start.startswith("<?xml"):
        return f"an answer of a web server (XML); {AGAIN}"
    # Pickles of protocol 0 are text too. Each begins with one of these characters.
    if not is_text or not text or wanted == "file" and text[0] in "(cdlINFLSVXp]}":
        return ""
    return f"a text file that begins with {console.cut(text.strip(), 40)!r}"


def changed(content):
    """Words for a file that a transfer or an editor has changed, '' for others.

    The words are a guess from the frequency of bytes, so they are for files that cannot be read.

    Args:
      content: all bytes of a file of pixels.
    """
    lines = content.count(b"\n")
    windows = content.count(b"\r\n")
    # Of the bytes before a line feed, one in 256 is a carriage return in random pixels.
    if lines >= 8 and windows == lines or lines > 5000 and not windows:
        return ("its line ends were changed, by a transfer in text mode or by an editor; copy or "
                "download it again, in binary mode")
    if content.count(b"\xef\xbf\xbd") > 8:
        return f"it was once opened and saved as text (UTF-8), which destroys its bytes; {AGAIN}"
    return ""

"""MNIST as CSV files: each line is a label and 784 pixels, the first line perhaps has titles.

    columns   the number of columns of a CSV file
    read_csv  read a file as a `base.Split`
"""

import os
import re

import numpy as np

from tf1cifar import console
from tf1cifar.data.base import DataError, Split
from tf1cifar.data.mnist_layouts import CLASSES, MAX_IMAGES, PIXELS, SIZE, opened, what

COLUMNS = 1 + PIXELS  # of a file with labels
CHUNK = 4 << 20  # bytes that are read at once; limits the length of a line too


def columns(file):
    """The number of columns in the first line of a CSV file, 0 if the file cannot be read."""
    try:
        with opened(file) as (source, _):
            return source.readline(1 << 16).count(b",") + 1
    except DataError:
        return 0


def read_csv(file):
    """Read a CSV file: in each line a label and 784 pixels, the first line perhaps with titles.

    Args:
      file: path of the file.

    Returns:
      A `Split` of images [N, 28, 28, 1] with N > 0.

    Raises:
      DataError: a line is of another kind; the message has the line's number.
    """
    with (opened(file) as (source, raw),
          console.progress(os.fstat(raw.fileno()).st_size, f"reading {file.name}", "B", 2) as bar):
        parts, count, number = [], 0, 1  # the number of the first line of a chunk
        rest = source.read(CHUNK).removeprefix(b"\xef\xbb\xbf")
        if not rest[:1].isdigit():
            start = rest
            titles, _, rest = rest.partition(b"\n")
            first = titles.split(b",")[0].strip(b"\"' \r").lower()
            if first != b"label" or titles.count(b",") != PIXELS:
                raise DataError(f"line 1: starts with {_quoted(titles)}, expected the title label "
                                f"and those of {PIXELS} pixels, or the numbers themselves"
                                + what(start))
            number = 2
        while rest:
            more = source.read(CHUNK)
            if more and (end := rest.rfind(b"\n") + 1):
                chunk, rest = rest[:end], rest[end:] + more
            elif more and len(rest) > CHUNK:
                raise DataError(f"line {number}: is longer than {CHUNK:,} bytes")
            elif more:
                rest += more
                continue
            else:
                chunk, rest = rest.rstrip(b"\r\n") + b"\n", b""
            chunk = chunk.replace(b"\r\n", b"\n")
            rows = _parse_rows(chunk)
            if rows is None or rows[:, 0].max() >= CLASSES:
                raise DataError(_complaint(chunk, number))
            parts.append(rows.astype(np.uint8))
            count, number = count + len(rows), number + len(rows)
            if count > MAX_IMAGES:
                raise DataError(f"holds more than {MAX_IMAGES:,} images")
            bar.update(raw.tell())
        if not parts:
            raise DataError("holds no images")
    rows = np.concatenate(parts)
    images = np.ascontiguousarray(rows[:, 1:]).reshape(-1, SIZE, SIZE, 1)
    return Split(images, rows[:, 0].astype(np.int64))


def _parse_rows(chunk):
    """The numbers of whole lines, int16 [N, 785], or None if a line is of another kind.

    Python's and NumPy's own readers of text take many seconds for 60,000 lines.
    """
    text = np.frombuffer(chunk, np.uint8)
    digits = text - np.uint8(ord("0"))  # other characters wrap to 10 and above
    ends = np.flatnonzero(digits > 9)
    if len(ends) % COLUMNS:
        return None
    marks = text[ends].reshape(-1, COLUMNS)
    lengths = np.diff(ends, prepend=-1) - 1
    if ((marks[:, :-1] != ord(",")).any() or (marks[:, -1] != ord("\n")).any()
            or lengths.min() < 1 or lengths.max() > 3):
        return None
    values = digits[ends - 1].astype(np.int16)
    # The first number of a chunk may reach before it, where the index wraps harmlessly.
    values += np.where(lengths > 1, 10 * digits[ends - 2].astype(np.int16), 0).astype(np.int16)
    values += np.where(lengths > 2, 100 * digits[ends - 3].astype(np.int16), 0).astype(np.int16)
    return values.reshape(-1, COLUMNS) if values.max() <= 255 else None


def _complaint(chunk, first):
    """What is wrong with the first bad line; `first` is the number of the chunk's first line."""
    for number, line in enumerate(chunk.split(b"\n")[:-1], start=first):
        fields = line.split(b",")
        if len(fields) != COLUMNS:
            return (f"line {number}: holds {len(fields) if line else 0} values, expected "
                    f"{COLUMNS}, the label and {PIXELS} pixels")
        for column, field in enumerate(fields):
            if not re.fullmatch(rb"[0-9]{1,3}", field) or int(field) > (255 if column else 9):
                return (f"line {number}: {f'pixel {column}' if column else 'the label'} is "
                        f"{_quoted(field)}, expected {'0 to 255' if column else '0 to 9'}")
    raise AssertionError("every line is sound")


def _quoted(content):
    return repr(console.cut(content[:60].decode("utf-8", "replace")))

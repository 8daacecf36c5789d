"""A writer of pickles like those of the official CIFAR-10 files, which Python 2's cPickle wrote.

They have protocol 2, byte strings for all texts, arrays as NumPy reduced them at that time, and a
memo entry after every string and container, although no entry is ever read.
"""

import itertools
import struct

import numpy as np


def dumps(value):
    """The pickle of a value: None, number, str, bytes, list, tuple, dictionary or array."""
    memo = itertools.count(1)

    def put():
        index = next(memo)
        return struct.pack("<cB", b"q", index) if index < 256 else struct.pack("<cI", b"r", index)

    def sequence(items, size):
        short = {1: b"\x85", 2: b"\x86", 3: b"\x87"}
        return (items + short[size] if size in short else b"(" + items + b"t") + put()

    def many(values):
        return b"".join(map(write, values))

    def write(value):
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            if 0 <= value < 1 << 8:
                return struct.pack("<cB", b"K", value)
            if 0 <= value < 1 << 16:
                return struct.pack("<cH", b"M", value)
            return struct.pack("<ci", b"J", value)
        if isinstance(value, float):
            return struct.pack(">cd", b"G", value)
        if isinstance(value, str):
            return write(value.encode("latin1"))
        if isinstance(value, bytes):
            size, code, form = len(value), b"T", "<ci"
            if size < 256:
                code, form = b"U", "<cB"
            return struct.pack(form, code, size) + value + put()
        if isinstance(value, list):
            return b"]" + put() + b"(" + many(value) + b"e"
        if isinstance(value, tuple):
            return sequence(many(value), len(value))
        if isinstance(value, dict):
            return b"}" + put() + b"(" + many(itertools.chain(*value.items())) + b"u"
        if isinstance(value, np.ndarray):
            fortran = value.flags.f_contiguous and not value.flags.c_contiguous
            return (b"cnumpy.core.multiarray\n_reconstruct\n" + put()
                    + sequence(b"cnumpy\nndarray\n" + put() + many([(0,), "b"]), 3)
                    + b"R" + put()
                    + sequence(many([1, value.shape]) + dtype(value.dtype)
                               + many([fortran, value.tobytes("A")]), 5)
                    + b"b")
        raise TypeError(f"cannot write a {type(value).__name__}")

    def dtype(kind):
        state = (3, kind.str[0], None, None, None, -1, -1, 0)
        return (b"cnumpy\ndtype\n" + put() + write((kind.str[1:], 0, 1)) + b"R" + put()
                + write(state) + b"b")

    return b"\x80\x02" + write(value) + b"."

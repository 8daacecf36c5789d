"""Stand-ins for the classes and functions that a pickle of a data set may name.

    IMPORTS    (module, name) -> stand-in
    Array      an array of numbers or texts; Dtype, its type
    add_items  add keys and values to a dictionary
    Refused    the error of a file that asks for something else

NumPy's own functions are never called. A stand-in takes the arguments that a file gives, which may
be anything, and checks them by type.
"""

import math
import re

import numpy as np

from tf1cifar import console

MAX_DIMENSIONS = 32  # of an array


class Refused(Exception):
    """The file asks for something that is not accepted. The text is safe to show."""


class Dtype:
    """Stands in for a NumPy dtype of numbers or texts."""

    def __init__(self, name):
        if type(name) is bytes and len(name) < 8:
            name = name.decode("latin1")
        if type(name) is not str or not re.fullmatch(r"[|<>=]?([biufc]\d\d?|[SU]\d{1,3})", name):
            shown = console.cut(name, 20) if type(name) is str else f"a {type(name).__name__}"
            raise Refused(f"an array of dtype {shown}, expected numbers or texts")
        self.dtype = np.dtype(name)

    def set_state(self, state):
        """Take the byte order, (version, order, subtype, field names, fields, ...)."""
        if (type(state) is not tuple or len(state) < 5 or state[2:5] != (None, None, None)
                or type(state[1]) not in (str, bytes)):
            raise Refused("an array of a structured dtype, expected numbers or texts")
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class Array:
    """Stands in for a NumPy array while a pickle is read, and holds the array's raw state."""
    state = None

    def set_state(self, state):
        """Take the state, (version, shape, dtype, whether in Fortran order, bytes)."""
        if type(state) is not tuple or len(state) != 5:
            raise Refused("an array without its five parts")
        self.state = *state[1:3], "F" if state[3] is True or state[3] == 1 else "C", state[4]

    def array(self):
        """The array, read-only."""
        shape, dtype, order, raw = self.state or (None,) * 4
        if (type(shape) is not tuple or len(shape) > MAX_DIMENSIONS
                or not all(type(length) is int and length >= 0 for length in shape)
                or type(dtype) is not Dtype or not dtype.dtype.itemsize or type(raw) is not bytes
                or math.prod(shape) * dtype.dtype.itemsize != len(raw)):
            raise Refused("an array whose shape, dtype and bytes do not fit together")
        return np.ndarray(shape, dtype.dtype, raw, order=order)


class _Name:
    """Stands in for a class that is only an argument."""


_NDARRAY = _Name()


def _reconstruct(reader, kind, shape, code):
    if kind is not _NDARRAY:
        raise Refused("an array of an unknown class")
    return Array()


def _from_buffer(reader, raw, dtype, shape, order, axes=None):
    if type(order) is not str or order not in "CF" or axes is not None:
        raise Refused("an array in an unknown order")
    array = Array()
    array.state = shape, dtype, order, raw
    return array


def _scalar(reader, dtype, raw):
    if (type(dtype) is not Dtype or type(raw) is not bytes
            or len(raw) != dtype.dtype.itemsize):
        raise Refused("a NumPy number whose dtype and bytes do not fit together")
    reader.spend(len(raw))
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _dtype(reader, name, align=False, copy=True):
    return Dtype(name)


def _encode(reader, text, encoding):
    """The bytes that protocols 0 to 2 write as text."""
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("bytes in an encoding other than Latin-1")
    reader.spend(len(text))
    return text.encode("latin1")


def _no_bytes(reader):
    return b""


def _ordered_dict(reader, items=()):
    if type(items) not in (list, tuple) or not all(
            type(item) in (list, tuple) and len(item) == 2 for item in items):
        raise Refused("an OrderedDict of an unknown form")
    reader.spend(len(items))
    result = {}
    add_items(result, [part for item in items for part in item])
    return result


def add_items(dictionary, items):
    """Add keys and values in turn. Hashing nested tuples may never end."""
    if type(dictionary) is not dict:
        raise Refused("items of something that is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in (bytes, str):
            raise Refused(f"a key of type {type(key).__name__}, expected a text")
        dictionary[key] = value


# (module, name) -> function of the reader and the arguments in the file, or a class that is only an
# argument.
IMPORTS = {
    ("numpy", "ndarray"): _NDARRAY, ("numpy", "dtype"): _dtype, ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered_dict,
    ("builtins", "bytes"): _no_bytes, ("__builtin__", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    IMPORTS[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    IMPORTS[f"{_core}.multiarray", "scalar"] = _scalar
    IMPORTS[f"{_core}.multiarray", "_frombuffer"] = _from_buffer
    IMPORTS[f"{_core}.numeric", "_frombuffer"] = _from_buffer

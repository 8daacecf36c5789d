"""A reader for CIFAR-10's pickles that executes no code of a file.

    unpickle  read one file of the data set as a dictionary

A pickle is a program: the standard reader imports and calls any function that a file names. This
reader accepts dictionaries, lists, strings, numbers and uint8 arrays, and refuses everything else.

The reader is a subclass of `pickle._Unpickler`, which the standard library keeps in Python beside
the reader in C. That name is private, but the public `pickle.Unpickler` with its own `find_class`
only stops imports. Three kinds of small files still do harm:

- a memo index of four bytes makes the reader in C reserve gigabytes of memory;
- a dictionary key of deeply nested tuples crashes it;
- a dictionary key of 60 nested pairs, each of the same tuple twice, keeps it busy for ever.

A scan with `pickletools` cannot find the keys, which are values on the stack and not opcodes. The
reader in Python takes a table of allowed opcodes, checks keys before it hashes them, and keeps
its memo in a dictionary. It is no slower here, since most of a file is one string of pixels.
tests/data/test_safe_pickle.py reads a file of each of these kinds.
"""

import pickle

import numpy as np

from tf1cifar.data import base


class _Array:
    """Stands in for a NumPy array while a pickle is read, and holds the array's raw state."""
    state = None

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        self.state = state

    def array(self):
        """The array, read-only uint8 of the stored shape."""
        _, shape, dtype, fortran_order, raw = self.state
        if dtype.name not in ("u1", "|u1") or fortran_order:
            raise ValueError(f"expected a C-ordered uint8 array, found dtype {dtype.name!r}")
        return np.frombuffer(raw, np.uint8).reshape(shape)


class _Dtype:
    """Stands in for a NumPy dtype, of which only the name is kept."""

    def __init__(self, name, *_):
        self.name = name.decode("latin1") if isinstance(name, bytes) else name

    def __setstate__(self, state):
        pass


# The names that a pickle may import, and the opcodes that it may use. Both are those of the
# official files and of copies saved by Python 3.
_IMPORTS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
_OPCODES = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in (  # noqa: SLF001
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.EMPTY_DICT, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1,
    pickle.TUPLE2, pickle.TUPLE3, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT,
    pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINSTRING,
    pickle.SHORT_BINSTRING, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINUNICODE,
    pickle.SHORT_BINUNICODE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET,
    pickle.LONG_BINGET, pickle.MEMOIZE, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE,
    pickle.BUILD,
    # Not used by official files. Accepted here only so that `find_class` can name the import in
    # the error message.
    pickle.STRING, pickle.UNICODE, pickle.INST)}


def _set_items(reader):
    """The opcode SETITEMS for keys that are strings. Hashing nested tuples may never end."""
    items = reader.pop_mark()
    for key, value in zip(items[::2], items[1::2]):
        if not isinstance(key, (bytes, str)):
            raise TypeError(f"a key is of type {type(key).__name__}")
        reader.stack[-1][key] = value


_OPCODES[pickle.SETITEMS[0]] = _set_items


class _Unpickler(pickle._Unpickler):  # noqa: SLF001, see the top of this file
    """Reads dictionaries, lists, strings, numbers and uint8 arrays; refuses everything else.

    NumPy's own reconstruction functions are not called either. Stand-ins collect the shape, the
    type and the bytes of an array, which are checked before the array is made.
    """

    dispatch = _OPCODES

    def find_class(self, module, name):
        try:
            return _IMPORTS[module, name]
        except KeyError:
            raise base.DataError(
                f"the file asks to import {module}.{name}, which no CIFAR-10 file does; "
                "refused, nothing was executed") from None


def unpickle(file):
    """Read one file of CIFAR-10 as the dictionary that it holds (chapter 9's `unpickle`).

    Args:
      file: path of a pickle of the official kind: Python 2 strings and NumPy arrays of uint8.

    Returns:
      A dictionary with str keys. A batch has 'data', uint8 [N, 3072], 'labels', a list of N int,
      and more; batches.meta has 'label_names', a list of str, and more.

    Raises:
      DataError: the file is missing, cut short, not a pickle of this kind, or asks to import
        something else.
    """
    try:
        with open(file, "rb") as source:
            content = _Unpickler(source, encoding="bytes").load()
        if not isinstance(content, dict):
            raise TypeError(f"expected a dictionary, found {type(content).__name__}")
        return {_text(key): _plain(value) for key, value in content.items()}
    except FileNotFoundError:
        raise base.DataError(f"{file}: no such file; the data set is incomplete") from None
    except OSError as error:
        raise base.DataError(f"{file}: cannot be read ({error.strerror})") from error
    except base.DataError as error:
        raise base.DataError(f"{file}: {error}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything, MemoryError too
        raise base.DataError(f"{file}: cut short or damaged, not a CIFAR-10 pickle "
                             f"({error!r})") from error


def _plain(value):
    if isinstance(value, _Array):
        return value.array()
    if isinstance(value, list):
        return [_text(item) for item in value]
    return _text(value)


def _text(value):
    return value.decode("latin1") if isinstance(value, bytes) else value

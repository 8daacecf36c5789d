"""A reader for CIFAR's pickles that executes no code of a file.

    unpickle  read one file of a data set as a dictionary

A pickle is a program: the standard reader imports and calls any function that a file names. This
reader accepts dictionaries, lists, tuples, texts, numbers and arrays of numbers or texts, in every
protocol and as NumPy 1 and 2 write them, and refuses everything else.

The reader is a subclass of `pickle._Unpickler`, which the standard library keeps in Python beside
the reader in C. That name is private, but the public `pickle.Unpickler` with its own `find_class`
only stops imports. Several kinds of small files still do harm:

- a memo index of four bytes makes the reader in C reserve gigabytes of memory;
- a dictionary key of deeply nested tuples crashes it;
- a dictionary key of 60 nested pairs, each of the same tuple twice, keeps it busy for ever;
- a text that is converted a million times fills the memory;
- a list that holds itself twice at every level fills the memory when a message shows it.

A scan with `pickletools` cannot find the keys, which are values on the stack and not opcodes. The
reader in Python takes a table of allowed opcodes, checks keys before it hashes them, keeps its
memo in a dictionary, and limits the bytes that it converts to the file's own. Functions that a
file names are never called: stand-ins take their arguments, which are checked by type. No message
shows a value of the file, except for texts that are cut. It is no slower here, since most of a
file is one string of pixels. tests/data/test_safe_pickle.py reads a file of each of these kinds.
"""

import io
import pickle
import types

from tf1cifar import console
from tf1cifar.data import base, official, signatures
from tf1cifar.data.stand_ins import IMPORTS, Array, Dtype, Refused, add_items

MAX_FILE_BYTES = 1 << 30
MAX_DEPTH = 20  # of containers within containers
# The beginnings of the official files, whose length is known.
OFFICIAL_STARTS = (b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15t",
                   b"\x80\x02}q\x01(U\tfilenamesq\x02]")


# ---------------------------------------------------------------------------------------
# The reader


class _Source(io.BytesIO):
    """The content of a file. Reading beyond its end is an EOFError."""

    def read(self, size=-1):
        data = super().read(size)
        if len(data) < size:
            raise EOFError
        return data

    def readline(self):
        line = super().readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class _Opcodes(dict):
    """The table of allowed opcodes."""

    def __missing__(self, code):
        raise Refused(f"an opcode {code:#04x} that no such file has")


# The opcodes that the standard reader's own functions handle safely.
_OPCODES = _Opcodes({code[0]: pickle._Unpickler.dispatch[code[0]] for code in (  # noqa: SLF001
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.EMPTY_DICT, pickle.EMPTY_LIST,
    pickle.LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1,
    pickle.TUPLE2, pickle.TUPLE3, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT,
    pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.STRING,
    pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINBYTES, pickle.SHORT_BINBYTES,
    pickle.BINBYTES8, pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE,
    pickle.BINUNICODE8, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET,
    pickle.MEMOIZE, pickle.GLOBAL, pickle.STACK_GLOBAL)})


def _opcode(*codes):
    """Enter a function of the reader for some opcodes."""
    def enter(function):
        for code in codes:
            _OPCODES[code[0]] = function
        return function
    return enter


@_opcode(pickle.DICT)
def _dict(reader):
    items, result = reader.pop_mark(), {}
    add_items(result, items)
    reader.append(result)


@_opcode(pickle.SETITEM)
def _set_item(reader):
    value, key = reader.stack.pop(), reader.stack.pop()
    add_items(reader.stack[-1], [key, value])


@_opcode(pickle.SETITEMS)
def _set_items(reader):
    items = reader.pop_mark()
    add_items(reader.stack[-1], items)


@_opcode(pickle.INT, pickle.LONG)
def _int(reader):
    line = reader.readline()[:-1]
    if line in (b"00", b"01"):
        return reader.append(line == b"01")
    return reader.append(int(_short(line).removesuffix(b"L")))


@_opcode(pickle.FLOAT)
def _float(reader):
    reader.append(float(_short(reader.readline()[:-1])))


@_opcode(pickle.PUT)
def _put(reader):
    reader.memo[int(_short(reader.readline()[:-1]))] = reader.stack[-1]


@_opcode(pickle.GET)
def _get(reader):
    reader.append(reader.memo[int(_short(reader.readline()[:-1]))])


def _short(line):
    """A line with a number. Long numbers take long to read."""
    if len(line) > 40:
        raise Refused("a number of more than 40 characters")
    return line


@_opcode(pickle.BYTEARRAY8)
def _bytearray(reader):
    reader.append(reader.read(int.from_bytes(reader.read(8), "little")))


@_opcode(pickle.REDUCE)
def _reduce(reader):
    arguments, function = reader.stack.pop(), reader.stack[-1]
    if type(function) is not types.FunctionType or type(arguments) is not tuple:
        raise Refused("a call of something that is no function")
    reader.stack[-1] = function(reader, *arguments)


@_opcode(pickle.BUILD)
def _build(reader):
    state, value = reader.stack.pop(), reader.stack[-1]
    if type(value) not in (Array, Dtype):
        raise Refused("a state of something that is no array")
    value.set_state(state)


@_opcode(pickle.INST)
def _instance(reader):
    name = [reader.readline()[:-1].decode("latin1") for _ in range(2)]
    reader.find_class(*name)
    raise Refused("an object, expected numbers and texts")


class _Unpickler(pickle._Unpickler):  # noqa: SLF001, see the top of this file
    """Reads dictionaries, lists, texts, numbers and arrays; refuses everything else."""

    dispatch = _OPCODES

    def __init__(self, content):
        super().__init__(_Source(content), encoding="bytes")
        self._left = len(content)

    def spend(self, count):
        """Count bytes that are converted. A file's own bytes are converted once."""
        self._left -= count
        if self._left < 0:
            raise Refused("more converted bytes than the file has")

    def find_class(self, module, name):
        found = IMPORTS.get((module, name))
        if found is None:
            raise base.DataError(
                f"the file asks to import {console.cut(f'{module}.{name}')}, which no CIFAR file "
                "does; refused, nothing was executed")
        return found


def unpickle(file):
    """Read one file of CIFAR-10 or CIFAR-100 as the dictionary that it holds.

    It is chapter 9's `unpickle`.

    Args:
      file: path of a pickle of the official kind, by any version of Python and NumPy.

    Returns:
      A dictionary with str keys; byte strings in it become str. A batch has 'data', uint8
      [N, 3072], 'labels', a list of N int, and more; batches.meta has 'label_names', a list of
      str, and more. A file that was written again may have arrays and tuples in place of lists.

    Raises:
      DataError: the file is missing, cut short, not a pickle of this kind, or asks to import
        something else.
    """
    content = signatures.read_file(file, MAX_FILE_BYTES)
    try:
        found = _Unpickler(content).load()
        if type(found) is not dict:
            raise Refused(f"a {type(found).__name__}, expected a dictionary")
        return _plain(found, {}, 0)
    except base.DataError as error:
        reason = signatures.changed(content) or error  # a changed line end makes another name
        raise base.DataError(f"{file}: {reason}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything, MemoryError too
        raise base.DataError(f"{file}: {_problem(content, file, error)}") from error


def _problem(content, file, error):
    """Words for a file that cannot be read."""
    if words := signatures.recognize(content[:signatures.HEAD]):
        return f"expected a pickle, found {words}"
    if words := signatures.changed(content):
        return words
    if type(error) is EOFError:
        size = official.size(getattr(file, "name", str(file).rpartition("/")[2]))
        known = size and size > len(content) and content.startswith(OFFICIAL_STARTS)
        whole = f" of {size:,}" if known else ""
        return f"cut short after {len(content):,}{whole} bytes; {signatures.AGAIN}"
    found = f"it holds {error}" if type(error) is Refused else type(error).__name__
    return f"damaged or not a pickle of CIFAR's kind ({found}); {signatures.AGAIN}"


def _plain(value, done, depth):
    """A value of a file with its byte strings and stand-ins replaced.

    Args:
      value: the value.
      done: dictionary from the id of a value to its replacement. Without it, values that share
        their parts would take exponential time.
      depth: number of the containers around the value.
    """
    kind = type(value)
    if kind in (int, float, complex, bool, str, type(None)):
        return value
    if id(value) in done:
        return done[id(value)]
    if depth > MAX_DEPTH:
        raise Refused(f"more than {MAX_DEPTH} lists within each other")
    if kind is list:
        result = done[id(value)] = []
        result += [item if type(item) is int else _plain(item, done, depth + 1) for item in value]
    elif kind is dict:
        result = done[id(value)] = {}
        for key, item in value.items():
            result[_plain(key, done, depth)] = _plain(item, done, depth + 1)
    elif kind is tuple:
        result = tuple(_plain(item, done, depth + 1) for item in value)
    elif kind is bytes:
        result = value.decode("latin1")
    elif kind is Array:
        result = value.array()
    elif kind is Dtype:
        result = value.dtype
    else:
        raise Refused("a class or a function in place of a value")
    done[id(value)] = result
    return result

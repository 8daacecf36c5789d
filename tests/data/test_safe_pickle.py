"""data/safe_pickle.py: official files, damaged ones and attacks."""

import functools
import os
import pickle
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from support import py2_pickle
from support.cifar_files import PICKLE_SNIPPETS, batch, written

from tf1cifar.data import cifar10
from tf1cifar.data.base import DataError
from tf1cifar.data.safe_pickle import unpickle


def assert_refused(path, content, message="."):
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        unpickle(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_unpickle_reads_the_official_layout(tiny_cifar):
    found = unpickle(tiny_cifar / "data_batch_2")
    by_pickle = pickle.loads((tiny_cifar / "data_batch_2").read_bytes(), encoding="latin1")
    assert found.keys() == by_pickle.keys() == {"batch_label", "labels", "data", "filenames"}
    np.testing.assert_array_equal(found.pop("data"), by_pickle.pop("data"), strict=True)
    assert found == by_pickle
    assert unpickle(str(tiny_cifar / "batches.meta")) == {
        "num_cases_per_batch": 40, "label_names": list(cifar10.CLASS_NAMES), "num_vis": 3072}


@pytest.mark.parametrize("protocol", [3, 4])
def test_unpickle_reads_a_copy_saved_by_python_3(tmp_path, protocol):
    original = {key.encode(): value for key, value in batch(300).items()}
    found = unpickle(written(tmp_path / "copy", pickle.dumps(original, protocol)))
    np.testing.assert_array_equal(found["data"], original[b"data"], strict=True)
    assert found["labels"] == original[b"labels"]


class Call:
    """An object whose pickle is a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function, name", [
    (os.system, r"(posix|nt)\.system"), (eval, r"__builtin__\.eval|builtins\.eval"),
    (exec, r"__builtin__\.exec|builtins\.exec")])
def test_unpickle_executes_nothing(tmp_path, protocol, function, name):
    marker = tmp_path / "marker"
    command = f"echo > {marker}" if function is os.system else f"open({str(marker)!r}, 'w')"
    evil = pickle.dumps(Call(function, command), protocol)
    pickle.loads(evil)
    assert marker.exists(), "the attack itself must be sound"
    marker.unlink()
    assert_refused(tmp_path / "evil", evil, f"import ({name}),")
    assert not marker.exists()


@pytest.mark.parametrize("name", [
    "this s", "_codecs encode", "copy_reg _reconstructor", "copyreg _reconstructor",
    "__builtin__ getattr", "builtins bytearray", "numpy load", "numpy fromfile", "numpy memmap",
    "numpy.core.multiarray scalar", "numpy.core.multiarray fromfile", "numpy ndarray.tofile",
    "numpy._core.multiarray _reconstruct.__globals__", "numpy.testing._private.utils runstring",
    "tf1cifar.data.cifar10 download", "operator attrgetter", "functools partial"])
def test_unpickle_names_the_import_that_it_refuses(tmp_path, name):
    module, _, attribute = name.partition(" ")
    for pattern in (f"c{module}\n{attribute}\n", f"\x8c{chr(len(module))}{module}"
                    f"\x8c{chr(len(attribute))}{attribute}\x93"):
        assert_refused(tmp_path / "evil", b"\x80\x02" + pattern.encode("latin1") + b"(tR.",
                       f"asks to import {module}.{attribute}, .*nothing was executed")
    assert "this" not in sys.modules, "importing the module alone would run it"


@pytest.mark.parametrize("content", [
    b"\x80\x02}(U\x04datar\xff\xff\xff\x7fK\x01u.",             # a memo index of 2^31 - 1
    b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",             # a string of 2^63 - 1 bytes
    b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.",             # a bytearray of 64 GiB
    b"\x80\x02}()" + b"\x85" * 300_000 + b"K\x01u.",              # a key of 300,000 nested tuples
    b"\x80\x02}()" + b"2\x86" * 60 + b"K\x01u.",                  # a key to hash in 2^60 steps
    b"\x80\x02}()" + b"q\x00h\x00\x86" * 60 + b"K\x01u.",         # the same with the memo
    b"\x80\x02cnumpy\nndarray\n}U\x05statec__main__\nx\nsb.",     # state for the stand-in class
    b"\x80\x02cnumpy\nndarray\n}(U\x05stateK\x01ub.",
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}(U\x08__code__K\x01u\x86b.",
    b"\x80\x02cnumpy\ndtype\n(K\x01K\x02t\x81.", b"\x80\x02\x82\x01.", b"\x80\x02U\x01aQ.",
], ids=lambda content: repr(content[:30]))
def test_unpickle_is_not_exhausted_or_confused(tmp_path, content):
    """Such files exhaust the standard reader's memory, stack or time, or change its types."""
    path = tmp_path / "bomb"
    try:
        result = unpickle(written(path, content))
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
    else:  # the memo is a dictionary, so a large index needs no memory
        assert result == {"data": 1}
    # If a file had changed the stand-in class for arrays, this array would have pixels.
    assert_refused(tmp_path / "stateless", b"\x80\x02}(U\x04datacnumpy\nndarray\n(tRu.",
                   "cut short or damaged")


def raw_array(shape, dtype="u1", fortran=False, raw=bytes(12)):
    """The pickle of a dictionary with an array whose stored state is replaced."""
    honest = py2_pickle.dumps({"data": np.zeros((2, 6), np.uint8), "x": 0})
    for old, new in (((2, 6), shape), ("u1", dtype), (False, fortran), (bytes(12), raw)):
        old, new = (py2_pickle.dumps(value)[2:-1] for value in (old, new))
        old, new = (code[:-2] if code[-2:-1] == b"q" else code for code in (old, new))
        assert honest.count(old) == 1
        honest = honest.replace(old, new)
    return honest


def test_unpickle_refuses_arrays_whose_state_is_wrong(tmp_path):
    path = tmp_path / "liar"
    assert unpickle(written(path, raw_array((3, 4))))["data"].shape == (3, 4)
    for state in ({"shape": (3, 5)}, {"shape": (0, 3072)}, {"shape": (-2, -6)},
                  {"shape": (65535,) * 4}, {"shape": "ab"}, {"shape": [[2, 6]]},
                  {"shape": (1.5, 8)}, {"dtype": "f4"}, {"dtype": "i1"}, {"dtype": "O8"},
                  {"dtype": None}, {"fortran": True}, {"raw": None}, {"raw": [0] * 12},
                  {"raw": b""}):
        assert_refused(path, raw_array(**{"shape": (2, 6), **state}), "cut short or damaged")
    assert_refused(path, raw_array((2, 6), "f4"), "expected a C-ordered uint8 array, found .*f4")


def test_unpickle_refuses_files_of_other_kinds(tmp_path):
    with pytest.raises(DataError, match=r"absent: no such file; the data set is incomplete"):
        unpickle(tmp_path / "absent")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        unpickle(tmp_path)
    for content in (b"", b"\x80", b"<html>", b"PK\x03\x04", bytes(1000), b"\x80\x02N.",
                    py2_pickle.dumps([1, 2]), py2_pickle.dumps(batch()["data"])):
        assert_refused(tmp_path / "other", content, "cut short or damaged, not a CIFAR-10 pickle")


def test_unpickle_refuses_a_file_cut_short_anywhere(tmp_path):
    whole = py2_pickle.dumps(batch(1))
    for length in [*range(400), *range(400, len(whole), 97), len(whole) - 1]:
        assert_refused(tmp_path / "short", whole[:length])


fuzz = functools.partial(hypothesis.settings, deadline=None, derandomize=True)


@fuzz(max_examples=200)
@hypothesis.given(st.binary(max_size=60) | st.lists(st.sampled_from(PICKLE_SNIPPETS)).map(b"".join))
def test_unpickle_refuses_or_reads_random_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(b"\x80\x02" + content)
    try:
        assert isinstance(unpickle(path), dict)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")

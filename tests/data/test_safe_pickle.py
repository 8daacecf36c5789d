"""data/safe_pickle.py: official files, damaged ones and attacks."""

import collections
import contextlib
import functools
import os
import pickle
import sys
import tracemalloc

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
    "this s", "_codecs decode", "copy_reg _reconstructor", "copyreg _reconstructor",
    "__builtin__ getattr", "builtins compile", "numpy load", "numpy fromfile", "numpy memmap",
    "numpy.core.multiarray frombuffer", "numpy.core.multiarray fromfile", "numpy ndarray.tofile",
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
                   "a call of something that is no function")


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
                  {"shape": (1.5, 8)}, {"dtype": "f4"}, {"dtype": "O8"},
                  {"dtype": None}, {"raw": None}, {"raw": [0] * 12}, {"raw": b""}):
        assert_refused(path, raw_array(**{"shape": (2, 6), **state}),
                       r"damaged or not a pickle of CIFAR's kind \(it holds an array ")
    assert_refused(path, raw_array((2, 6), "f4"), "shape, dtype and bytes do not fit together")


def test_unpickle_refuses_files_of_other_kinds(tmp_path):
    with pytest.raises(DataError, match=r"absent: no such file; the data set is incomplete"):
        unpickle(tmp_path / "absent")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        unpickle(tmp_path)
    for content, words in (
            (b"", "an empty file"), (b"\x80\x02", "cut short after 2 bytes"),
            (b"<!DOCTYPE html><p>404", r"a web page \(HTML\)"), (b"PK\x03\x04", "a zip archive"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
            (b"MATLAB 5.0 MAT-file", "a MATLAB file"), (b"\x1f\x8b\x08", "a gzip file"),
            (b"\x89HDF\r\n", "an HDF5 file"), (b"Dear Ann", "a text file that begins with"),
            (b"\x93NUMPY", "a NumPy array"), (b"\xff\xd8\xff\xe0", r"a picture \(JPEG\)"),
            (bytes(1000), "a file of zeros"), (b"\x80\x02N.", "holds a NoneType, expected a dict"),
            (b"\x80\x02\x7f", "it holds an opcode 0x7f that no such file has"),
            (py2_pickle.dumps([1, 2]), "holds a list, expected a dictionary"),
            (py2_pickle.dumps(batch()["data"]), "holds a Array, expected a dictionary")):
        assert_refused(tmp_path / "other", content, words)


def test_unpickle_tells_how_much_is_missing(tmp_path):
    start = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5"
    assert_refused(tmp_path / "data_batch_1", start, "cut short after 44 of 31,035,704 bytes")
    assert_refused(tmp_path / "mine", start, "cut short after 44 bytes")
    other = py2_pickle.dumps(batch(4))[:5000]
    assert_refused(tmp_path / "data_batch_1", other, "cut short after 5,000 bytes")


def test_unpickle_tells_that_line_ends_were_changed(tmp_path):
    whole = py2_pickle.dumps(batch(4))
    assert_refused(tmp_path / "text", whole.replace(b"\n", b"\r\n"), "its line ends were changed")


def test_unpickle_refuses_a_vast_file_before_it_is_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as out:
        out.truncate(11 << 30)
    with pytest.raises(DataError, match="11,811,160,064 bytes, expected at most"):
        unpickle(tmp_path / "sparse")


RESAVED = {
    "an int64 array": lambda labels: np.array(labels, np.int64),
    "a uint8 array": lambda labels: np.array(labels, np.uint8),
    "a big-endian array": lambda labels: np.array(labels, ">i4"),
    "NumPy numbers": lambda labels: list(np.array(labels)),
    "a tuple": tuple,
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", RESAVED)
def test_unpickle_reads_what_python_3_wrote_again(tmp_path, protocol, kind):
    original = batch(30)
    changed = collections.OrderedDict(
        original, data=np.asfortranarray(original["data"]), extra={"a": {"b": [1.5, None]}},
        labels=RESAVED[kind](original["labels"]))
    found = unpickle(written(tmp_path / "again", pickle.dumps(changed, protocol)))
    np.testing.assert_array_equal(found["data"], original["data"])
    assert list(found["labels"]) == list(original["labels"])
    data, labels = cifar10.read_batch(tmp_path / "again")
    np.testing.assert_array_equal(data, original["data"], strict=True)
    np.testing.assert_array_equal(labels, np.array(original["labels"], np.int64), strict=True)


def nested(depth):
    """A list that holds the same list twice, and so on: a few hundred bytes, 2^depth items."""
    code = b"]q\x00"
    for number in range(depth):
        code = b"](" + code + b"h" + bytes([number]) + b"eq" + bytes([number + 1])
    return code


@pytest.mark.parametrize("place", [
    b"\x80\x02}U\x04datacnumpy\ndtype\n%s\x85Rs.",                        # the name of a dtype
    b"\x80\x02}U\x01acnumpy\ndtype\n)R%sbs.",                              # its state
    b"\x80\x02}U\x04datacnumpy\nndarray\n)R(K\x01K\x01\x85cnumpy\ndtype\n%s\x85RNU\x01xtbs.",
    b"\x80\x02}U\x04datacnumpy\nndarray\n)R%sbs.",                         # an array's state
    b"\x80\x02}U\x01acnumpy.core.multiarray\nscalar\n%sU\x01x\x86Rs.",
    b"\x80\x02}U\x01acnumpy.core.numeric\n_frombuffer\n(%s%s%s%stRs.",
    b"\x80\x02c_codecs\nencode\n%sU\x06latin1\x86R.", b"\x80\x02}%sK\x01s.",
    b"\x80\x02ccollections\nOrderedDict\n%s\x85R.", b"\x80\x02%sNR.", b"\x80\x02%sNb.",
    b"\x80\x02%s."])
def test_unpickle_never_spells_out_what_a_file_holds(tmp_path, place):
    code = place.replace(b"%s", nested(40))
    with contextlib.suppress(DataError):
        found = unpickle(written(tmp_path / "bomb", code))
        assert isinstance(found, dict)
        return
    with pytest.raises(DataError) as caught:
        unpickle(tmp_path / "bomb")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


BIG = b"X" + (200_000).to_bytes(4, "little") + b"x" * 200_000 + b"q\x00"
PAIRS = b"](" + b"]q\x05(U\x01aNe" + b"h\x05" * 50_000 + b"eq\x00"


@pytest.mark.parametrize("start, again", [
    (BIG + b"X\x06\0\0\0latin1q\x01c_codecs\nencode\nq\x02", b"h\x02h\x00h\x01\x86R"),
    (b"cnumpy\ndtype\nU\x04U999\x85Rq\x00T" + (3996).to_bytes(4, "little") + bytes(3996)
     + b"q\x01cnumpy.core.multiarray\nscalar\nq\x02", b"h\x02h\x00h\x01\x86R"),
    (PAIRS + b"ccollections\nOrderedDict\nq\x02", b"h\x02h\x00\x85R"),
    (b"T" + (200_000).to_bytes(4, "little") + b"x" * 200_000 + b"q\x00", b"h\x00"),
], ids=["bytes from a text", "texts from bytes", "dictionaries from a list", "the same bytes"])
def test_unpickle_converts_no_more_than_a_file_holds(tmp_path, start, again):
    """Each repetition of a few bytes would take 4 to 4,000 kB."""
    content = b"\x80\x02}U\x01a](" + start + again * 20_000 + b"es."
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            unpickle(written(tmp_path / "bomb", content))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_unpickle_refuses_arrays_of_nothing(tmp_path):
    nothing = raw_array((1 << 30,), "S0", raw=b"")
    assert_refused(tmp_path / "nothing", nothing, "do not fit together")


@pytest.mark.parametrize("protocol", range(6))
def test_unpickle_reads_further_values_of_a_file(tmp_path, protocol):
    extra = {"mean": np.float32([[0.5, 2]]), "texts": np.array(["a", "bcd"]), "none": None,
             "deep": {"deeper": [(1.5, True, -70_000, 1 << 70, "ü", b"", b"\xff")]},
             "big": np.arange(3, dtype=">u2"), "scalar": np.float64(0.25), "flag": np.bool_(True),
             "name": np.str_("cat"), "complex": np.complex64([1j]), "empty": np.zeros((0, 3))}
    found = unpickle(written(tmp_path / "file", pickle.dumps(batch(2, extra=extra), protocol)))
    deep = found["extra"].pop("deep")
    assert deep == {"deeper": [(1.5, True, -70_000, 1 << 70, "ü", "", "ÿ")]}
    del extra["deep"]
    assert found["extra"].keys() == extra.keys()
    for name, value in extra.items():
        assert type(found["extra"][name]) is type(value.item() if isinstance(
            value, np.generic) else value), name
        np.testing.assert_array_equal(found["extra"][name], value)


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

"""The data module: finding, downloading, unpickling, checking, preparing and batching."""

import functools
import hashlib
import http.server
import io
import itertools
import os
import pathlib
import pickle
import shutil
import socket
import sys
import tarfile
import threading

import hypothesis
import numpy as np
import py2_pickle
import pytest
from damage import changed
from hypothesis import strategies as st

import augmentations
import cifar_tools
import console
from cifar_tools import DataError, Split

# ---------------------------------------------------------------------------------------
# Finding


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """An empty working folder and an empty cache; a download fails at once."""
    for name in ("CIFAR10_DIR", "CIFAR10_MD5"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CIFAR10_URL", "http://127.0.0.1:1/nothing.tar.gz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_find_takes_the_first_of_option_variable_here_cache_download(
        bare, tiny_cifar, monkeypatch):
    with pytest.raises(console.Failure, match=r"cannot download http://127.0.0.1:1/nothing"):
        cifar_tools.find()
    cached = bare / "cache/tf1-cifar10" / cifar_tools.FOLDER
    shutil.copytree(tiny_cifar, cached)
    assert cifar_tools.find() == cached
    shutil.copytree(tiny_cifar, bare / cifar_tools.FOLDER)
    assert cifar_tools.find().resolve() == bare / cifar_tools.FOLDER
    shutil.copytree(tiny_cifar, bare / "variable")
    monkeypatch.setenv("CIFAR10_DIR", "variable")
    assert cifar_tools.find() == pathlib.Path("variable")
    assert cifar_tools.find(tiny_cifar) == tiny_cifar
    assert cifar_tools.find(str(tiny_cifar.parent)) == tiny_cifar, "the folder above will do too"
    (bare / "half").mkdir()
    (bare / "half/test_batch").touch()
    assert cifar_tools.find("half") == pathlib.Path("half"), "load tells what is missing"


def test_find_refuses_a_named_folder_without_data(bare, tiny_cifar, monkeypatch):
    shutil.copytree(tiny_cifar, bare / cifar_tools.FOLDER)  # there, but not what was asked for
    (bare / "empty").mkdir()
    with pytest.raises(DataError, match=r"^--data-dir empty: no CIFAR-10 there .*batches\.meta"):
        cifar_tools.find("empty")
    monkeypatch.setenv("CIFAR10_DIR", "absent")
    with pytest.raises(DataError, match=r"^CIFAR10_DIR absent: no CIFAR-10 there"):
        cifar_tools.find()


def test_find_downloads_again_when_the_cache_is_incomplete(bare, tiny_cifar):
    cached = bare / "cache/tf1-cifar10" / cifar_tools.FOLDER
    shutil.copytree(tiny_cifar, cached)
    (cached / "data_batch_3").unlink()
    with pytest.raises(console.Failure, match="cannot download"):
        cifar_tools.find()


def test_cache_folder_is_in_the_home_folder_without_xdg(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cifar_tools.cache_folder() == tmp_path / ".cache/tf1-cifar10"


# ---------------------------------------------------------------------------------------
# Downloading


def tarball(members):
    """A .tar.gz of (name, bytes) files, of TarInfo, and of folders added whole."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            elif isinstance(member, pathlib.Path):
                tar.add(member, member.name)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def md5(content):
    return hashlib.md5(content).hexdigest()


def tree(folder):
    """Every path below `folder`, with the bytes of the regular files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def official(tiny_cifar):
    """The tarball as one downloads it, and the tree it is to become."""
    return tarball([tiny_cifar]), tree(tiny_cifar.parent)


@pytest.fixture(scope="module")
def served():
    """A server on this machine. served(content, length=None) returns the URL to get it from."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in contents:
                return self.send_error(404)
            content, length = contents[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    contents, numbers = {}, itertools.count()

    def serve(content, length=None):
        path = f"/{next(numbers)}/cifar.tar.gz"
        contents[path] = content, length
        return f"http://127.0.0.1:{server.server_port}{path}"

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield serve
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("by_variable", [False, True])
def test_download(official, served, tmp_path, monkeypatch, by_variable):
    content, expected = official
    arguments = {"url": served(content), "md5": md5(content).upper()}
    if by_variable:
        monkeypatch.setenv("CIFAR10_URL", arguments["url"])
        monkeypatch.setenv("CIFAR10_MD5", arguments["md5"])
        arguments = {}
    # The cache may lie on another disk than /tmp, which a rename cannot cross.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    folder = cifar_tools.download(tmp_path / "new/cache", **arguments)
    assert folder == tmp_path / "new/cache" / cifar_tools.FOLDER
    assert tree(folder.parent) == expected


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def failing(case, content, served):
    """(url, md5) of a download that must fail, and what the message says about it."""
    if case == "other checksum":
        return served(content), "0" * 32, f"MD5 is {md5(content)}, expected 00000"
    if case == "cut short":
        return served(content[:-1000], len(content)), md5(content), "MD5|IncompleteRead"
    if case == "not gzip":
        return served(b"<html>"), md5(b"<html>"), "not a gzipped tar archive"
    if case == "empty file":
        return served(b""), md5(b""), "not a gzipped tar archive"
    if case == "half a tarball":
        return served(content[:-1000]), md5(content[:-1000]), "not a gzipped tar archive"
    if case == "a file is missing":
        lacking = tarball([("x/batches.meta", b"m"), ("x/data_batch_1", b"1")])
        return served(lacking), md5(lacking), "the archive lacks data_batch_2, .*, test_batch"
    if case == "odd header":
        info = tarfile.TarInfo("data_batch_1")
        info.pax_headers = {"GNU.sparse.map": "a,b"}
        odd = tarball([info])
        return served(odd), md5(odd), "not a gzipped tar archive"
    if case == "no such file":
        return served(b"") + "/else", md5(b""), "Not Found"
    if case == "no server":
        return f"http://127.0.0.1:{free_port()}/x", md5(b""), "cannot download .*refused"
    if case == "not a URL":
        return "cifar-10-python.tar.gz", md5(b""), "unknown url type"
    if case == "odd port":
        return "http://127.0.0.1:port/x", md5(b""), "nonnumeric port"
    raise AssertionError(case)


@pytest.mark.parametrize("case", [
    "other checksum", "cut short", "not gzip", "empty file", "half a tarball",
    "a file is missing", "odd header", "no such file", "no server", "not a URL", "odd port"])
def test_a_failed_download_says_why_and_leaves_nothing(official, served, tmp_path, case):
    url, checksum, message = failing(case, official[0], served)
    with pytest.raises(console.Failure, match=message) as caught:
        cifar_tools.download(tmp_path, url, checksum)
    assert url in str(caught.value)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("answer", [b"", b"220 an FTP server\r\n", b"HTTP/1.1 200 OK\r\n\r"])
def test_a_server_that_is_none(tmp_path, answer):
    """It accepts, answers nonsense or nothing, and is silent from then on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []

        def talk():
            connections.append(server.accept()[0])
            connections[0].sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(console.Failure, match="cannot download"):
            cifar_tools.download(
                tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}/x", timeout=0.2)
        thread.join()
        connections[0].close()
    assert tree(tmp_path) == {}


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_hostile_members_are_passed_over(official, served, tmp_path):
    files = {name: f"the {name}".encode() for name in cifar_tools.FILES}
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    hostile = tarball([
        special("cifar-10-batches-py/data_batch_1", tarfile.SYMTYPE, str(outside)),
        special("cifar-10-batches-py/data_batch_2", tarfile.LNKTYPE, str(outside)),
        special("data_batch_3", tarfile.FIFOTYPE),
        special("data_batch_4", tarfile.CHRTYPE),
        special("data_batch_5", tarfile.BLKTYPE),
        special("test_batch", tarfile.DIRTYPE),
        special("cifar-10-batches-py", tarfile.SYMTYPE, str(tmp_path)),
        (str(tmp_path / "absolute"), b"!"), ("../../up", b"!"), ("cifar-10-batches-py/../up", b"!"),
        ("cifar-10-batches-py/readme.html", b"!"), ("cifar-10-batches-py/..", b"!"),
        *((f"{prefix}{name}", content) for prefix, (name, content) in
          zip(["/", "../../", "a/../../", "", "./", f"{tmp_path}/", "a/b/c/"], files.items())),
        *((name, b"a second one") for name in files)])
    target = tmp_path / "in"
    folder = cifar_tools.download(target, served(hostile), md5(hostile))
    assert tree(folder) == files
    assert all(path.is_file() and not path.is_symlink() for path in folder.iterdir())
    assert [path.name for path in target.iterdir()] == [folder.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "outside"]
    assert outside.read_bytes() == b"untouched"


def test_a_damaged_archive_raises_only_failures(tiny_cifar, tmp_path):
    source, rng = tmp_path / "tarball", np.random.default_rng(0)
    intact = tarball([("x/" + name, (tiny_cifar / name).read_bytes()[:3000])
                      for name in cifar_tools.FILES])
    failures = 0
    for _ in range(150):
        damaged = np.frombuffer(intact, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 3)] = rng.integers(0, 256, 3)
        source.write_bytes(damaged.tobytes())
        try:
            cifar_tools.download(tmp_path / "in", source.as_uri(), md5(damaged.tobytes()))
        except console.Failure:
            failures += 1
            assert tree(tmp_path / "in") == {}
        else:
            shutil.rmtree(tmp_path / "in" / cifar_tools.FOLDER)
    assert failures > 75


@pytest.mark.parametrize("where", ["cifar_tools.shutil.copyfileobj", "console.progress.update",
                                   "cifar_tools.os.rename"])
def test_ctrl_c_leaves_nothing(official, served, tmp_path, monkeypatch, where):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        cifar_tools.download(tmp_path, served(official[0]), md5(official[0]))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("there", [[], ["data_batch_1"], ["batches.meta", "data_batch_1"]])
def test_half_a_data_set_is_replaced(official, served, tmp_path, there):
    content, expected = official
    (tmp_path / cifar_tools.FOLDER).mkdir()
    for name in there:
        (tmp_path / cifar_tools.FOLDER / name).write_bytes(b"old")
    cifar_tools.download(tmp_path, served(content), md5(content))
    assert tree(tmp_path) == expected


def test_a_whole_data_set_in_place_is_kept(official, served, tmp_path):
    """Another process may have been quicker, and be reading its files already."""
    old = tmp_path / cifar_tools.FOLDER
    old.mkdir()
    for name in cifar_tools.FILES:
        (old / name).write_bytes(b"quicker")
    cifar_tools.download(tmp_path, served(official[0]), md5(official[0]))
    assert set(tree(old).values()) == {b"quicker"}
    assert list(tmp_path.iterdir()) == [old]


# ---------------------------------------------------------------------------------------
# Unpickling


def batch(images=2, **changes):
    data = np.random.default_rng(images).integers(0, 256, (images, 3072)).astype(np.uint8)
    return {"data": data, "labels": [i % 10 for i in range(images)], **changes}


def written(path, value):
    path.write_bytes(value if isinstance(value, bytes) else py2_pickle.dumps(value))
    return path


def write_data_set(folder, images):
    for name in (*cifar_tools.TRAIN_FILES, cifar_tools.TEST_FILE):
        written(folder / name, batch(images))
    written(folder / "batches.meta", {"label_names": list(cifar_tools.CLASS_NAMES), "n": 1})
    return folder


def assert_refused(path, content, message="."):
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        cifar_tools.unpickle(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_unpickle_reads_the_official_layout(tiny_cifar):
    found = cifar_tools.unpickle(tiny_cifar / "data_batch_2")
    by_pickle = pickle.loads((tiny_cifar / "data_batch_2").read_bytes(), encoding="latin1")
    assert found.keys() == by_pickle.keys() == {"batch_label", "labels", "data", "filenames"}
    np.testing.assert_array_equal(found.pop("data"), by_pickle.pop("data"), strict=True)
    assert found == by_pickle
    assert cifar_tools.unpickle(str(tiny_cifar / "batches.meta")) == {
        "num_cases_per_batch": 40, "label_names": list(cifar_tools.CLASS_NAMES), "num_vis": 3072}


@pytest.mark.parametrize("protocol", [3, 4])
def test_unpickle_reads_a_copy_saved_by_python_3(tmp_path, protocol):
    original = {key.encode(): value for key, value in batch(300).items()}
    found = cifar_tools.unpickle(written(tmp_path / "copy", pickle.dumps(original, protocol)))
    np.testing.assert_array_equal(found["data"], original[b"data"], strict=True)
    assert found["labels"] == original[b"labels"]


class Call:
    """Pickled, it becomes a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function, name", [
    (os.system, r"(posix|nt)\.system"), (eval, r"__builtin__\.eval|builtins\.eval"),
    (exec, r"__builtin__\.exec|builtins\.exec")])
def test_nothing_a_pickle_asks_for_is_executed(tmp_path, protocol, function, name):
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
    "cifar_tools download", "operator attrgetter", "functools partial"])
def test_other_imports_are_refused_by_name(tmp_path, name):
    module, _, attribute = name.partition(" ")
    for pattern in (f"c{module}\n{attribute}\n", f"\x8c{chr(len(module))}{module}"
                    f"\x8c{chr(len(attribute))}{attribute}\x93"):
        assert_refused(tmp_path / "evil", b"\x80\x02" + pattern.encode("latin1") + b"(tR.",
                       f"asks to import {module}.{attribute}, .*nothing was executed")
    assert "this" not in sys.modules, "importing it alone would run it"


@pytest.mark.parametrize("content", [
    b"\x80\x02}(U\x04datar\xff\xff\xff\x7fK\x01u.",             # a memo of 2^31 places
    b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",             # 2^63 bytes announced
    b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.",             # 64 GB of zeros
    b"\x80\x02}()" + b"\x85" * 300_000 + b"K\x01u.",              # a key, 300,000 tuples deep
    b"\x80\x02}()" + b"2\x86" * 60 + b"K\x01u.",                  # its hash takes 2^60 steps
    b"\x80\x02}()" + b"q\x00h\x00\x86" * 60 + b"K\x01u.",         # the same by the memo
    b"\x80\x02cnumpy\nndarray\n}U\x05statec__main__\nx\nsb.",     # state for the stand-in class
    b"\x80\x02cnumpy\nndarray\n}(U\x05stateK\x01ub.",
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}(U\x08__code__K\x01u\x86b.",
    b"\x80\x02cnumpy\ndtype\n(K\x01K\x02t\x81.", b"\x80\x02\x82\x01.", b"\x80\x02U\x01aQ.",
], ids=lambda content: repr(content[:30]))
def test_pickles_that_would_exhaust_or_confuse_us(tmp_path, content):
    """Memory, the C stack or for ever: each did harm in pickle's own reader or could."""
    path = tmp_path / "bomb"
    try:
        result = cifar_tools.unpickle(written(path, content))
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
    else:  # a memo index is only a number to us
        assert result == {"data": 1}
    assert cifar_tools._Array.state is None


def raw_array(shape, dtype="u1", fortran=False, raw=bytes(12)):
    """A dictionary with an array whose stored state is just what is given."""
    honest = py2_pickle.dumps({"data": np.zeros((2, 6), np.uint8), "x": 0})
    for old, new in (((2, 6), shape), ("u1", dtype), (False, fortran), (bytes(12), raw)):
        old, new = (py2_pickle.dumps(value)[2:-1] for value in (old, new))
        old, new = (code[:-2] if code[-2:-1] == b"q" else code for code in (old, new))
        assert honest.count(old) == 1
        honest = honest.replace(old, new)
    return honest


def test_arrays_whose_state_lies(tmp_path):
    path = tmp_path / "liar"
    assert cifar_tools.unpickle(written(path, raw_array((3, 4))))["data"].shape == (3, 4)
    for state in ({"shape": (3, 5)}, {"shape": (0, 3072)}, {"shape": (-2, -6)},
                  {"shape": (65535,) * 4}, {"shape": "ab"}, {"shape": [[2, 6]]},
                  {"shape": (1.5, 8)}, {"dtype": "f4"}, {"dtype": "i1"}, {"dtype": "O8"},
                  {"dtype": None}, {"fortran": True}, {"raw": None}, {"raw": [0] * 12},
                  {"raw": b""}):
        assert_refused(path, raw_array(**{"shape": (2, 6), **state}), "cut short or damaged")
    assert_refused(path, raw_array((2, 6), "f4"), "expected a C-ordered uint8 array, found .*f4")


def test_unpickle_of_what_is_no_pickle(tmp_path):
    with pytest.raises(DataError, match=r"absent: no such file; the data set is incomplete"):
        cifar_tools.unpickle(tmp_path / "absent")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        cifar_tools.unpickle(tmp_path)
    for content in (b"", b"\x80", b"<html>", b"PK\x03\x04", bytes(1000), b"\x80\x02N.",
                    py2_pickle.dumps([1, 2]), py2_pickle.dumps(batch()["data"])):
        assert_refused(tmp_path / "other", content, "cut short or damaged, not a CIFAR-10 pickle")


def test_a_file_cut_short_anywhere(tmp_path):
    whole = py2_pickle.dumps(batch(1))
    for length in [*range(400), *range(400, len(whole), 97), len(whole) - 1]:
        assert_refused(tmp_path / "short", whole[:length])


SNIPPETS = [b"cos\nsystem\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n"
            b"_reconstruct\n", b"U\x06labels", b"U\x04data", b"h\x01", b"(", b")", b"]", b"}", b"t",
            b"\x85", b"\x86", b"R", b"b", b"u", b"e", b"0", b"2", b"r\xff\xff\xff\x7f", b"N", b"."]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "insert", "truncate"]),
              st.integers(-400, 400),  # the pixels in between are of no interest
              st.binary(min_size=1, max_size=6) | st.sampled_from(SNIPPETS)),
    min_size=1, max_size=4)


fuzz = functools.partial(hypothesis.settings, deadline=None, derandomize=True)


@fuzz(max_examples=200)
@hypothesis.given(st.binary(max_size=60) | st.lists(st.sampled_from(SNIPPETS)).map(b"".join))
def test_random_bytes_are_refused_or_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(b"\x80\x02" + content)
    try:
        assert isinstance(cifar_tools.unpickle(path), dict)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("fuzzed"), 1)


@fuzz(max_examples=400)
@hypothesis.given(CHANGES)
def test_a_changed_batch_is_refused_or_sound(fuzzed, changes):
    path = fuzzed / "test_batch"
    path.write_bytes(changed(py2_pickle.dumps(batch(1)), changes))
    try:
        test = cifar_tools.load(fuzzed).test
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert test.images.dtype == np.uint8 and test.images.shape[1:] == (32, 32, 3)
        assert test.labels.dtype == np.int64 and test.labels.shape == test.images.shape[:1]
        assert 0 <= test.labels.min() <= test.labels.max() <= 9


# ---------------------------------------------------------------------------------------
# Whole data sets


def test_load(tiny_cifar):
    found = cifar_tools.load(str(tiny_cifar))
    assert (found.name, found.directory) == ("cifar10", str(tiny_cifar))
    assert found.class_names == cifar_tools.CLASS_NAMES
    assert found.train.images.shape == (200, 32, 32, 3)
    for split, files in ((found.train, cifar_tools.TRAIN_FILES), (found.test, ["test_batch"])):
        raw = [cifar_tools.unpickle(tiny_cifar / file) for file in files]
        assert split.labels.tolist() == sum((part["labels"] for part in raw), [])
        assert split.labels.dtype == np.int64
        planes = np.concatenate([part["data"] for part in raw]).reshape(-1, 3, 32, 32)
        for channel in range(3):
            np.testing.assert_array_equal(split.images[..., channel], planes[:, channel])


@pytest.mark.parametrize("file, content, message", [
    ("data_batch_4", None, "no such file; the data set is incomplete"),
    ("data_batch_4", {"label_names": [], "x": 1}, "no 'data' in it"),
    ("data_batch_4", {"data": batch()["data"], "fine_labels": []}, "no 'labels' in it"),
    ("test_batch", batch(data=np.zeros((2, 3071), np.uint8)),
     r"'data' is \(2, 3071\), expected uint8 of shape \(N, 3072\)"),
    ("test_batch", batch(data=np.zeros((2, 3, 1024), np.uint8)), r"'data' is \(2, 3, 1024\)"),
    ("test_batch", batch(data=[1, 2]), "'data' is list"),
    ("test_batch", batch(data=np.zeros((2, 3072), np.float32)), "uint8 array, found dtype 'f4'"),
    ("test_batch", batch(data=np.asfortranarray(batch()["data"])), "expected a C-ordered"),
    ("test_batch", batch(0), "holds no images"),
    ("test_batch", batch(labels=[1]), "'labels' is 1, expected a list of 2"),
    ("test_batch", batch(labels=(1, 2)), "'labels' is tuple, expected a list of 2"),
    *(("test_batch", batch(labels=[3, label]), "label 1 is not a whole number from 0 to 9")
      for label in (10, -1, True, 1.0, "1", None, [1], batch()["data"], 1 << 30)),
    ("batches.meta", None, "no such file"),
    ("batches.meta", {"label_names": ["cat", "dog"], "x": 1}, "'label_names' is not a list of 10"),
    ("batches.meta", {"label_names": list(range(10)), "x": 1}, "'label_names' is not a list of 10"),
    ("batches.meta", {"fine_label_names": [], "x": 1}, "'label_names' is not a list of 10"),
    ("batches.meta", {"label_names": list("abcdefghij"), "x": 1},
     "classes a, b, c, .*; expected those of cifar10: airplane, automobile"),
])
def test_a_data_set_that_is_not_as_it_should_be(tmp_path, file, content, message):
    folder = write_data_set(tmp_path, 2)
    written(folder / file, content) if content else (folder / file).unlink()
    with pytest.raises(DataError, match=message) as caught:
        cifar_tools.load(folder)
    assert str(caught.value).startswith(f"{folder / file}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_labels_that_cannot_be_printed(tmp_path):
    """Too deep for repr, and too long for Python 3.11 and later to turn into decimals."""
    folder = write_data_set(tmp_path, 2)
    marked = py2_pickle.dumps(batch(labels=[0, 77]))
    for code in (b"]" * 100_000 + b"a" * 99_999, b"\x8a\xff" + b"\x77" * 255,
                 b"\x8b" + (9999).to_bytes(4, "little") + b"\x77" * 9999):
        written(folder / "test_batch", marked.replace(b"K\x4d", code))
        with pytest.raises(DataError, match="test_batch: (label 1 is not|cut short)") as caught:
            cifar_tools.load(folder)
        assert len(str(caught.value)) < 200 + len(str(folder))


def test_load_for_another_data_set_of_the_same_layout(tmp_path):
    folder = write_data_set(tmp_path, 2)
    written(folder / "batches.meta", {"label_names": list("abcdefghij"), "x": 1})
    found = cifar_tools.load(folder, "letters", "abcdefghij")
    assert (found.name, found.class_names) == ("letters", tuple("abcdefghij"))


# ---------------------------------------------------------------------------------------
# Pixels


def chapter9(data):
    """Chapter 9's definition in float64, planes first, an image at a time."""
    result = []
    for planes in data.reshape(-1, 3, 32, 32).astype(np.float64):
        pixels = planes.mean(axis=0)[4:28, 4:28].ravel()
        result.append((pixels - pixels.mean()) / max(pixels.std(), 1 / np.sqrt(576)))
    return np.array(result).reshape(-1, 576)


def assert_chapter9(cleaned, data):
    """Equal, but for the rounding of float32."""
    assert cleaned.dtype == np.float32 and cleaned.shape == (len(data), 576)
    np.testing.assert_allclose(cleaned, chapter9(data), rtol=1e-6, atol=1e-6)


EXTREMES = np.repeat(np.uint8([0, 1, 127, 128, 254, 255]), 3072).reshape(6, 3072)
BY_ONE = EXTREMES.copy()
BY_ONE[:, 1024 + 10 * 32 + 10] ^= 1  # of one colour of one pixel: deviation below 1/24


ONE_WHITE = EXTREMES.copy()
ONE_WHITE[:, 10 * 32 + 10::1024] ^= 255  # one pixel far from all others: the largest results


@pytest.mark.parametrize("data", [
    np.random.default_rng(1).integers(0, 256, (250, 3072)).astype(np.uint8), EXTREMES, BY_ONE,
    ONE_WHITE, np.uint8([[0, 255] * 1536]), np.uint8(np.arange(3072)[None] % 256), EXTREMES[:0]],
    ids=["random", "constant", "nearly constant", "one other", "stripes", "ramp", "none"])
def test_clean_is_chapter_9(data):
    cleaned = cifar_tools.clean(data)
    assert_chapter9(cleaned, data)
    images = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    prepared = cifar_tools.prepare(images, "gray24")
    assert prepared.shape == (len(data), 24, 24, 1)
    np.testing.assert_array_equal(prepared.reshape(-1, 576), cleaned)


def test_clean_of_known_pixels():
    assert not cifar_tools.clean(EXTREMES).any()
    half = np.zeros((1, 3, 32, 32), np.uint8)
    half[:, :, 16:] = 200  # the lower half: mean 100, deviation 100
    np.testing.assert_array_equal(cifar_tools.clean(half.reshape(1, 3072)),
                                  np.repeat(np.float32([[-1, 1]]), 288, axis=1))


def test_clean_and_prepare_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match=r"shape \(3072,\), expected \(N, 3072\)"):
        cifar_tools.clean(np.zeros(3072, np.uint8))
    with pytest.raises(ValueError, match="preparation 'gray25', expected one of gray24"):
        cifar_tools.prepare(np.zeros((1, 32, 32, 3), np.uint8), "gray25")
    for out in (np.empty((1, 24, 24, 2), np.float32)[..., :1], np.empty((1, 24, 24, 1)),
                np.empty((1, 24, 24, 3), np.float32)):
        with pytest.raises(ValueError, match=r"out is .*expected .* float32 \(1, 24, 24, 1"):
            cifar_tools.prepare(np.zeros((1, 32, 32, 3), np.uint8), "gray24", out=out)
    with pytest.raises(DataError, match="at least 24x24 pixels, these are 32x20"):
        cifar_tools.prepare(np.zeros((1, 32, 20, 3), np.uint8), "gray24")


@pytest.mark.parametrize("split, files", [
    ("train", cifar_tools.TRAIN_FILES), ("test", ["test_batch"])])
def test_read_data(tiny_cifar, split, files):
    names, data, labels = cifar_tools.read_data(tiny_cifar, split)
    raw = [cifar_tools.unpickle(tiny_cifar / file) for file in files]
    assert names == list(cifar_tools.CLASS_NAMES)
    assert_chapter9(data, np.concatenate([part["data"] for part in raw]))
    np.testing.assert_array_equal(
        labels, np.concatenate([part["labels"] for part in raw]), strict=True)


def test_read_data_reads_the_training_files_unless_told_otherwise(tiny_cifar, tmp_path):
    assert len(cifar_tools.read_data(str(tiny_cifar))[1]) == 200
    with pytest.raises(ValueError, match="split 'tset', expected 'train' or 'test'"):
        cifar_tools.read_data(tiny_cifar, "tset")
    with pytest.raises(DataError, match=r"batches\.meta: no such file"):
        cifar_tools.read_data(tmp_path)


# ---------------------------------------------------------------------------------------
# Batches


@pytest.fixture
def images():
    """120 images in which no two pixels of a colour are alike within 24x24 windows."""
    return np.random.default_rng(3).integers(0, 256, (120, 32, 32, 3)).astype(np.uint8)


@pytest.fixture
def numbered(images):
    """A split whose labels number the images."""
    return Split(images, np.arange(len(images)))


GRAY24 = functools.partial(cifar_tools.prepare, preparation="gray24")


def make_batch(split, step, **changes):
    return cifar_tools.training_batch(split, step, **{
        "batch_size": 50, "order": "shuffled", "augment": ("crop", "flip"),
        "prepare": GRAY24, "seed": 7, **changes})


def test_a_training_batch_depends_on_seed_and_step_alone(numbered):
    in_order = [make_batch(numbered, step) for step in range(6)]
    for step in (5, 0, 3):
        for found, expected in zip(make_batch(numbered, step), in_order[step]):
            np.testing.assert_array_equal(found, expected, strict=True)
    assert in_order[0][0].dtype == np.float32 and in_order[0][0].shape == (50, 24, 24, 1)
    other_labels = make_batch(numbered, 0, seed=8)[1]
    assert (other_labels != in_order[0][1]).any()
    unshuffled = [make_batch(numbered, 0, seed=seed, order="in_order")[0] for seed in (7, 8)]
    assert (unshuffled[0] != unshuffled[1]).any(), "the augmentations differ too"


@pytest.mark.parametrize("margin", [2, 4])
def test_what_the_preparation_cuts_off_may_be_cut_off_before(numbered, margin):
    cut_off = []

    def prepare(images):
        cut_off.append(32 - images.shape[1])
        return GRAY24(images)

    early, late = (make_batch(numbered, 0, prepare=prepare, margin=m)[0] for m in (margin, 0))
    np.testing.assert_array_equal(early, late)
    assert cut_off == [8 if margin == 4 else 0, 0]  # a crop moves by 4, so 2 are not enough


@pytest.mark.parametrize("preparation, augment, once", [
    ("gray24", (), True), ("gray24", ("crop", "flip"), True), ("gray24", ("flip", "hue"), False),
    ("gray24", ("brightness",), False), ("standardized24", ("crop",), False)])
def test_what_is_prepared_once_makes_the_same_batches(numbered, preparation, augment, once):
    images = cifar_tools.prepare_once(numbered.images, preparation, augment)
    assert images.shape[-1] == (1 if once else 3)
    assert once or images is numbered.images
    for margin in (0, 4):
        found, expected = (make_batch(
            split, 1, augment=augment, margin=margin,
            prepare=functools.partial(cifar_tools.prepare, preparation=preparation))[0]
            for split in (numbered._replace(images=images), numbered))
        np.testing.assert_array_equal(found, expected, strict=True)


def test_one_plane_is_no_sum_of_three(numbered):
    gray = numbered.images[..., :1]
    assert cifar_tools.prepare_once(gray, "gray24", ()) is gray


@pytest.mark.parametrize("order", ["shuffled", "in_order"])
def test_an_epoch_takes_every_image_once(numbered, order):
    epochs = []
    for epoch in range(3):
        labels = [make_batch(numbered, 3 * epoch + i, order=order)[1] for i in range(3)]
        assert [len(part) for part in labels] == [50, 50, 20]
        epochs.append(np.concatenate(labels).tolist())
        assert sorted(epochs[-1]) == list(range(120))
    if order == "shuffled":
        assert len({tuple(epoch) for epoch in [*epochs, range(120)]}) == 4
    else:
        assert epochs == [list(range(120))] * 3


@pytest.mark.parametrize("order", ["shuffled", "in_order"])
def test_a_training_batch_keeps_images_with_their_labels(numbered, order):
    pixels, labels = make_batch(numbered, 4, order=order, augment=())
    np.testing.assert_array_equal(pixels, cifar_tools.prepare(numbered.images[labels], "gray24"))
    again = make_batch(numbered, 1, order="in_order", augment=("flip",))[0]
    assert (again != make_batch(numbered, 4, order="in_order", augment=("flip",))[0]).any(), \
        "the same images fare differently in another epoch"


def test_drawing_with_replacement(numbered):
    labels = np.concatenate([make_batch(numbered, step, order="with_replacement")[1]
                             for step in range(60)])
    counts = np.bincount(labels, minlength=120)
    assert len(labels) == 3000, "every batch is full"
    # 25 times each on average, and far enough from always 25 to be drawn independently
    assert 2.5 < counts.std() < 8 and counts.min() > 5


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)])
@pytest.mark.parametrize("change", [None, augmentations.noise], ids=["uint8", "augmented"])
def test_preparations_against_numpy(shape, change):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (130, *shape)).astype(np.uint8)
    if change:
        images = change(images, rng)
    exact = images.astype(np.float64)
    mean = exact.mean(0)
    top, left = (shape[0] - 24) // 2, (shape[1] - 24) // 2
    window = exact[:, top:top + 24, left:left + 24]

    def standardized(pixels):
        flat = pixels.reshape(130, -1)
        scale = np.maximum(flat.std(1, keepdims=True), flat.shape[1] ** -0.5)
        return ((flat - flat.mean(1, keepdims=True)) / scale).reshape(pixels.shape)

    expected = {"unit": exact / 255, "minus_mean": exact - mean,
                "standardized24": standardized(window),
                "gray24": standardized(window.mean(3, keepdims=True))}
    for preparation, pixels in expected.items():
        found = cifar_tools.prepare(images, preparation, mean.astype(np.float32))
        assert found.dtype == np.float32
        assert found.shape[1:] == cifar_tools.prepared_shape(shape, preparation)
        np.testing.assert_allclose(found, pixels, rtol=1e-6,
                                   atol=1e-4 if preparation == "minus_mean" else 2e-6)


def test_mean_image():
    images = np.random.default_rng(1).integers(0, 256, (130, 32, 32, 3)).astype(np.uint8)
    mean = cifar_tools.mean_image(images)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, images.astype(np.float64).mean(0), rtol=1e-6)


def test_images_too_small_for_a_preparation():
    with pytest.raises(DataError, match="at least 24x24 pixels, these are 20x32"):
        cifar_tools.prepared_shape((20, 32, 3), "gray24")
    assert cifar_tools.prepared_shape((20, 32, 3), "unit") == (20, 32, 3)


def test_evaluation_batches(numbered):
    images, labels = zip(*cifar_tools.evaluation_batches(numbered, 50))
    assert [len(part) for part in labels] == [50, 50, 20]
    np.testing.assert_array_equal(np.concatenate(labels), numbered.labels)
    np.testing.assert_array_equal(np.concatenate(images), numbered.images, strict=True)


@pytest.mark.parametrize("share, kept", [(0, 120), (0.1, 108), (0.5, 60), (0.99, 1)])
def test_hold_out(numbered, share, kept):
    training, held_out = cifar_tools.hold_out(numbered, share)
    assert training.labels.tolist() == list(range(kept))
    assert held_out.labels.tolist() == list(range(kept, 120))
    np.testing.assert_array_equal(np.concatenate([training.images, held_out.images]),
                                  numbered.images)

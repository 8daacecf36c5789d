"""data/cifar10.py: finding, downloading, extracting and reading CIFAR-10."""

import functools
import gzip
import pathlib
import shutil
import tarfile
from io import BytesIO

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from support import py2_pickle
from support.cifar_files import PICKLE_SNIPPETS, batch, write_binary, write_data_set, written
from support.damage import changed
from support.folders import tree
from support.web import md5

from tf1cifar import errors
from tf1cifar.data import base, cifar10, download, safe_pickle
from tf1cifar.data.base import DataError

# ---------------------------------------------------------------------------------------
# Finding


def test_find(bare, tiny_cifar, monkeypatch):
    with pytest.raises(errors.Failure, match=r"cannot download http://127.0.0.1:1/nothing"):
        cifar10.find()
    cached = download.cache_folder() / cifar10.FOLDER
    shutil.copytree(tiny_cifar, cached)
    assert cifar10.find() == cached
    shutil.copytree(tiny_cifar, bare / cifar10.FOLDER)
    assert cifar10.find().resolve() == bare / cifar10.FOLDER
    monkeypatch.setenv("CIFAR10_DIR", str(tiny_cifar.parent))
    assert cifar10.find() == tiny_cifar
    assert cifar10.find(cached) == cached


def test_find_refuses_a_named_folder_without_data(bare, tiny_cifar, monkeypatch):
    shutil.copytree(tiny_cifar, bare / cifar10.FOLDER)  # not the named folder
    (bare / "empty").mkdir()
    with pytest.raises(DataError, match=r"^--data-dir empty: no CIFAR-10 there, but an "
                       r"empty folder .*batches\.meta"
                       r".*To get CIFAR-10, .*CIFAR10_DIR\.$"):
        cifar10.find("empty")
    monkeypatch.setenv("CIFAR10_DIR", "absent")
    with pytest.raises(DataError, match=r"^CIFAR10_DIR absent: no such file or folder"):
        cifar10.find()


@pytest.mark.parametrize("name", cifar10.FILES)
def test_find_accepts_a_named_folder_with_any_file(bare, name):
    (bare / "half").mkdir()
    (bare / "half" / name).touch()
    assert cifar10.find("half") == pathlib.Path("half"), "load says which files are missing"


def test_find_downloads_again_when_the_cache_is_incomplete(bare, tiny_cifar):
    cached = download.cache_folder() / cifar10.FOLDER
    shutil.copytree(tiny_cifar, cached)
    (cached / "data_batch_3").unlink()
    with pytest.raises(errors.Failure, match="cannot download"):
        cifar10.find()


# ---------------------------------------------------------------------------------------
# Downloading


def tarball(members):
    """A .tar.gz of (name, bytes) files, of TarInfo, and of folders added whole."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            elif isinstance(member, pathlib.Path):
                tar.add(member, member.name)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, BytesIO(member[1]))
    return packed.getvalue()


@pytest.fixture(scope="module")
def official(tiny_cifar):
    """(content of a tarball, tree of the extracted files)."""
    return tarball([tiny_cifar]), tree(tiny_cifar.parent)


@pytest.mark.parametrize("by_variable", [False, True])
def test_download(official, server, tmp_path, monkeypatch, by_variable):
    content, expected = official
    arguments = {"url": server.file(content), "md5": md5(content).upper()}
    if by_variable:
        monkeypatch.setenv("CIFAR10_URL", arguments["url"])
        monkeypatch.setenv("CIFAR10_MD5", arguments["md5"])
        arguments = {}
    # A rename cannot cross from the disk of /tmp to that of the cache, so /tmp is not used.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    folder = cifar10.download(tmp_path / "new/cache", **arguments)
    assert folder == tmp_path / "new/cache" / cifar10.FOLDER
    assert tree(folder.parent) == expected


def failing(case, content, server):
    """(URL, MD5, message) of a download that must fail."""
    if case == "other checksum":
        return server.file(content), "0" * 32, f"MD5 is {md5(content)}, expected 00000"
    if case == "cut short":
        return server.file(content, cut=1000), md5(content), "MD5|IncompleteRead"
    if case == "no such file":
        return server.file(b"") + "/else", md5(b""), "Not Found"
    lacking = [("x/batches.meta", b"m"), ("x/data_batch_1", b"1")]
    odd = tarfile.TarInfo("data_batch_1")
    odd.pax_headers = {"GNU.sparse.map": "a,b"}
    content, message = {
        "not gzip": (b"<html>", "not the archive of a data set"),
        "empty file": (b"", "not the archive of a data set"),
        "half a tarball": (content[:-1000], "not the archive of a data set"),
        "a file is missing": (tarball(lacking), "the archive lacks data_batch_2, .*, test_batch"),
        "odd header": (tarball([odd]), "not the archive of a data set")}[case]
    return server.file(content), md5(content), message


@pytest.mark.parametrize("case", [
    "other checksum", "cut short", "no such file", "not gzip", "empty file", "half a tarball",
    "a file is missing", "odd header"])
def test_download_says_why_it_failed_and_leaves_nothing(official, server, tmp_path, case):
    url, checksum, message = failing(case, official[0], server)
    with pytest.raises(errors.Failure, match=message) as caught:
        cifar10.download(tmp_path, url, checksum)
    assert url in str(caught.value)
    assert tree(tmp_path) == {}


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_download_ignores_hostile_members(server, tmp_path):
    files = {name: f"the {name}".encode() for name in cifar10.FILES}
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
    folder = cifar10.download(target, server.file(hostile), md5(hostile))
    # The first known file is in the archive's top folder, and one folder is unpacked.
    top = (cifar10.FILES[0], cifar10.FILES[3])
    assert tree(folder) == {name: files[name] if name in top else b"a second one"
                            for name in files}
    assert all(path.is_file() and not path.is_symlink() for path in folder.iterdir())
    assert [path.name for path in target.iterdir()] == [folder.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "outside"]
    assert outside.read_bytes() == b"untouched"


@pytest.mark.parametrize("kind, size, message", [
    (tarfile.REGTYPE, cifar10.MAX_FILE_BYTES + 1, "test_batch is 67108865 bytes long"),
    (tarfile.GNUTYPE_SPARSE, 0, "lacks .*test_batch")])
def test_download_does_not_fill_the_disk(tmp_path, kind, size, message):
    """A small archive can hold a large file of zeros, gzipped or as the holes of a sparse file."""
    info = tarfile.TarInfo("cifar-10-batches-py/test_batch")
    info.type, info.size = kind, size
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if kind == tarfile.GNUTYPE_SPARSE:
        header[483:495] = b"77777777777\0"  # the length with the holes: 8 GB
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    content = gzip.compress(bytes(header) + bytes(10_240))
    (tmp_path / "tarball").write_bytes(content)
    with pytest.raises(errors.Failure, match=message):
        cifar10.download(tmp_path / "in", (tmp_path / "tarball").as_uri(), md5(content))
    assert tree(tmp_path / "in") == {}


def test_download_of_a_damaged_archive_raises_only_failures(tiny_cifar, tmp_path):
    source, rng = tmp_path / "tarball", np.random.default_rng(0)
    intact = tarball([("x/" + name, (tiny_cifar / name).read_bytes()[:3000])
                      for name in cifar10.FILES])
    failures = 0
    for _ in range(150):
        damaged = np.frombuffer(intact, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 3)] = rng.integers(0, 256, 3)
        source.write_bytes(damaged.tobytes())
        try:
            cifar10.download(tmp_path / "in", source.as_uri(), md5(damaged.tobytes()))
        except errors.Failure:
            failures += 1
            assert tree(tmp_path / "in") == {}
        else:
            shutil.rmtree(tmp_path / "in" / cifar10.FOLDER)
    assert failures > 75


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")],
                         ids=["Ctrl-C", "disk full"])
@pytest.mark.parametrize("where", ["shutil.copyfileobj", "tf1cifar.console.progress.update"])
def test_download_leaves_nothing_when_it_is_stopped(
        official, server, tmp_path, monkeypatch, where, error):
    def stop(*_):
        raise error

    url = server.file(official[0])
    monkeypatch.setattr(where, stop)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        cifar10.download(tmp_path, url, md5(official[0]))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("there", [[], ["data_batch_1"], ["batches.meta", "data_batch_1"],
                                   cifar10.FILES])
def test_download_into_a_folder_that_exists(official, server, tmp_path, there):
    """The seven files are replaced; a person's own files stay."""
    content, expected = official
    (tmp_path / cifar10.FOLDER).mkdir()
    for name in there:
        (tmp_path / cifar10.FOLDER / name).write_bytes(b"old")
        (tmp_path / cifar10.FOLDER / "notes.txt").write_bytes(b"mine")
    cifar10.download(tmp_path, server.file(content), md5(content))
    mine = {f"{cifar10.FOLDER}/notes.txt": b"mine"} if there else {}
    assert tree(tmp_path) == {**expected, **mine}


def test_download_does_not_write_through_links(official, server, tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "in" / cifar10.FOLDER).mkdir(parents=True)
    (tmp_path / "in" / cifar10.FOLDER / "test_batch").symlink_to(tmp_path / "victim")
    cifar10.download(tmp_path / "in", server.file(official[0]), md5(official[0]))
    assert tree(tmp_path / "in") == official[1]
    assert (tmp_path / "victim").read_bytes() == b"precious"


# ---------------------------------------------------------------------------------------
# Reading


def test_read_batch(tiny_cifar):
    data, labels = cifar10.read_batch(tiny_cifar / "data_batch_2")
    raw = safe_pickle.unpickle(tiny_cifar / "data_batch_2")
    np.testing.assert_array_equal(data, raw["data"], strict=True)
    np.testing.assert_array_equal(labels, np.array(raw["labels"], np.int64), strict=True)


def test_read_names(tiny_cifar):
    assert cifar10.read_names(str(tiny_cifar)) == list(cifar10.CLASS_NAMES)


def test_load(tiny_cifar):
    found = cifar10.load(str(tiny_cifar))
    assert (found.name, found.directory) == ("cifar10", str(tiny_cifar))
    assert found.class_names == cifar10.CLASS_NAMES
    assert found.train.images.shape == (200, 32, 32, 3)
    for split, names in ((found.train, cifar10.TRAIN_FILES), (found.test, ["test_batch"])):
        raw = [safe_pickle.unpickle(tiny_cifar / name) for name in names]
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
     r"'data' is uint8 of shape \(2, 3071\), expected uint8 of shape \(N, 3072\)"),
    ("test_batch", batch(data=np.zeros((2, 3, 1024), np.uint8)), r"of shape \(2, 3, 1024\), exp"),
    ("test_batch", batch(data=[1, 2]), "'data' is a list, expected uint8"),
    ("test_batch", batch(data=np.zeros((2, 3072), np.float32)), "'data' is float32 of shape"),
    ("test_batch", batch(0), "holds no images"),
    ("test_batch", batch(labels=[1]), "'labels' has 1 labels, expected 2, one for each"),
    ("test_batch", batch(labels=np.zeros((1, 2), np.uint8)), "'labels' has 1 labels, expected 2"),
    ("test_batch", batch(labels="ab"), "'labels' is a str, expected a list of 2 labels"),
    ("test_batch", batch(labels=np.float32([1, 2])), "'labels' is of float32, expected a"),
    ("test_batch", batch(labels=np.int64([1, 10])), "label 1 is not a whole number from 0 to 9"),
    *(("test_batch", batch(labels=[3, label]), "label 1 is not a whole number from 0 to 9")
      for label in (10, -1, True, 1.0, "1", None, [1], batch()["data"], 1 << 30)),
    ("batches.meta", None, "no such file"),
    ("batches.meta", {"label_names": ["cat", "dog"], "x": 1},
     r"2 classes of its own \(cat, dog\), expected those of cifar10 .*, give --dataset folders$"),
    ("batches.meta", {"label_names": ["cat"], "x": 1}, "'label_names' is not a list of 2 to 1"),
    ("batches.meta", {"label_names": list(range(10)), "x": 1}, "'label_names' is not a list of"),
    ("batches.meta", {"fine_label_names": [], "x": 1},
     "the classes of CIFAR-100; give --dataset cifar100"),
    ("batches.meta", {"label_names": list("abcdefghij"), "x": 1},
     r"10 classes of its own \(a, b, c, .*\), expected those of .*; .*--dataset folders$"),
])
def test_load_refuses_a_bad_file(tmp_path, file, content, message):
    folder = write_data_set(tmp_path, 2)
    written(folder / file, content) if content else (folder / file).unlink()
    with pytest.raises(DataError, match=message) as caught:
        cifar10.load(folder)
    assert str(caught.value).startswith(f"{folder / file}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_load_refuses_labels_that_cannot_be_printed(tmp_path):
    """One label is too deep for repr. Two are too long for Python 3.11 and later to print."""
    folder = write_data_set(tmp_path, 2)
    marked = py2_pickle.dumps(batch(labels=[0, 77]))
    for code in (b"]" * 100_000 + b"a" * 99_999, b"\x8a\xff" + b"\x77" * 255,
                 b"\x8b" + (9999).to_bytes(4, "little") + b"\x77" * 9999):
        written(folder / "test_batch", marked.replace(b"K\x4d", code))
        with pytest.raises(DataError, match="test_batch: (label 1 is not|damaged|cut)") as caught:
            cifar10.load(folder)
        assert len(str(caught.value)) < 200 + len(str(folder))


def test_load_for_another_data_set_of_the_same_layout(tmp_path):
    folder = write_data_set(tmp_path, 2)
    written(folder / "batches.meta", {"label_names": list("abcdefghij"), "x": 1})
    found = cifar10.load(folder, "letters", "abcdefghij")
    assert (found.name, found.class_names) == ("letters", tuple("abcdefghij"))


CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "insert", "truncate"]),
              st.integers(-400, 400),  # leaves the pixels in the middle of the file out
              st.binary(min_size=1, max_size=6) | st.sampled_from(PICKLE_SNIPPETS)),
    min_size=1, max_size=4)
fuzz = functools.partial(hypothesis.settings, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("fuzzed"), 1)


@fuzz(max_examples=400)
@hypothesis.given(CHANGES)
def test_load_refuses_a_changed_batch_or_reads_a_sound_one(fuzzed, changes):
    path = fuzzed / "test_batch"
    path.write_bytes(changed(py2_pickle.dumps(batch(1)), changes))
    try:
        test = cifar10.load(fuzzed).test
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert test.images.dtype == np.uint8 and test.images.shape[1:] == (32, 32, 3)
        assert test.labels.dtype == np.int64 and test.labels.shape == test.images.shape[:1]
        assert 0 <= test.labels.min() <= test.labels.max() <= 9


def test_load_reads_the_binary_version(tmp_path):
    (tmp_path / "binary").mkdir()
    (tmp_path / "pickles").mkdir()
    binary = cifar10.load(write_binary(tmp_path / "binary", 3))
    pickles = cifar10.load(write_data_set(tmp_path / "pickles", 3))
    assert base.fingerprint(binary) == base.fingerprint(pickles)
    assert binary.class_names == pickles.class_names
    assert cifar10.find(tmp_path / "binary") == tmp_path / "binary"
    file = tmp_path / "binary/data_batch_2.bin"
    content = file.read_bytes()
    for damaged, words in ((content[:-1], "cut short or damaged: 9,218 bytes are no multiple of"),
                           (b"", "an empty file"), (b"<html>", "a web page"),
                           (b"\x0a" + content[1:], "label 0 is not a whole")):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=f"data_batch_2.bin: {words}"):
            cifar10.load(tmp_path / "binary")


def test_load_takes_any_classes_without_names(tmp_path):
    folder = write_data_set(tmp_path, 2)
    written(folder / "batches.meta", {"label_names": ["cat", "dog"], "x": 1})
    assert cifar10.load(folder, "folders", class_names=None).class_names == ("cat", "dog")
    written(folder / "test_batch", batch(labels=[0, 2]))
    with pytest.raises(DataError, match="label 1 is not a whole number from 0 to 1"):
        cifar10.load(folder, "folders", class_names=None)


def test_load_tells_files_that_are_not_the_official_ones(tmp_path):
    note = cifar10.load(write_data_set(tmp_path, 2)).note
    assert note == ("these are not the official images of CIFAR-10, but 10 and 2 for training and "
                    "testing: compare accuracies only with runs on the same data")
    assert cifar10.load(tmp_path, "shapes").note == ""

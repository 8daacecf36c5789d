"""data/mnist*.py: finding, downloading and reading files, intact, damaged and hostile ones."""

import functools
import gzip
import io
import itertools
import pathlib
import re
import struct
import tracemalloc
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from support import web
from support.damage import changed
from support.folders import tree
from support.mnist_files import (
    arrays,
    contents,
    csv,
    idx,
    images_file,
    labels_file,
    npz,
    pixels,
    write_data_set,
    zipped,
)

from tf1cifar import errors
from tf1cifar.data import mnist, mnist_csv, mnist_layouts, official
from tf1cifar.data.base import DataError
from tf1cifar.data.download import cache_folder

NOT_OFFICIAL = ("these are not the official images of MNIST (their checksums differ): compare "
                "accuracies only with runs on the same data")
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def assert_split(split, count, seed, start=0):
    found = slice(start, start + len(split.labels))
    np.testing.assert_array_equal(split.images, pixels(count, seed)[found, :, :, None],
                                  strict=True)
    np.testing.assert_array_equal(
        split.labels, np.array([(3 * i + 1) % 10 for i in range(count)], np.int64)[found],
        strict=True)


# ---------------------------------------------------------------------------------------
# Finding


def test_find(bare, monkeypatch):
    with pytest.raises(errors.Failure, match="cannot download http://127.0.0.1:1/digits/train"):
        mnist.find()
    cached = write_data_set(cache_folder() / "mnist")
    assert mnist.find() == cached == bare / "cache/tf1-cifar10/mnist"
    write_data_set(bare / "mnist")
    assert mnist.find() == pathlib.Path("mnist")
    write_data_set(bare / "variable")
    monkeypatch.setenv("MNIST_DIR", "variable")
    assert mnist.find() == pathlib.Path("variable")
    option = write_data_set(bare / "option/mnist")
    assert mnist.find(option) == option
    assert mnist.find(str(option.parent)) == option, "the folder above will do too"


def test_find_refuses_a_named_folder_without_data(bare, monkeypatch):
    write_data_set(bare / "mnist")  # not the named folder
    (bare / "empty").mkdir()
    (bare / "empty" / mnist.FILES[0]).mkdir()  # a folder instead of a file
    with pytest.raises(DataError, match=r"^--data-dir empty: no MNIST there.*npz.*MNIST_DIR\.$"):
        mnist.find("empty")
    monkeypatch.setenv("MNIST_DIR", "absent")
    with pytest.raises(DataError, match="^MNIST_DIR absent: no such file or folder"):
        mnist.find()


def test_find_ignores_an_empty_variable_and_a_folder_of_other_files(bare, monkeypatch):
    cached = write_data_set(cache_folder() / "mnist")
    (bare / "mnist").mkdir()
    (bare / "mnist/emnist.npz").touch()
    monkeypatch.setenv("MNIST_DIR", "")
    assert mnist.find() == cached


@pytest.mark.parametrize("name", mnist.FILES)
def test_find_takes_half_a_data_set_from_the_user_but_not_from_the_cache(bare, name):
    write_data_set(cache_folder() / "mnist", [name])
    with pytest.raises(errors.Failure, match="cannot download"):
        mnist.find()
    write_data_set(bare / "mnist", [name])
    assert mnist.find("mnist") == mnist.find() == pathlib.Path("mnist"), "load names missing files"


def test_find_takes_the_test_files_alone_from_the_cache(bare):
    cached = write_data_set(cache_folder() / "mnist", mnist.TEST_FILES)
    assert mnist.find() == cached


# ---------------------------------------------------------------------------------------
# Downloading


def md5s(files):
    return {name: web.md5(content) for name, content in files.items()}


@pytest.mark.parametrize("slash", ["", "/"])
def test_download(server, tmp_path, monkeypatch, slash):
    # A rename cannot cross from the disk of /tmp to that of the cache, so /tmp is not used.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    files = contents()
    folder = mnist.download(tmp_path / "new/cache", server.folder(files) + slash, md5s(files))
    assert folder == tmp_path / "new/cache/mnist"
    assert tree(folder.parent) == {"mnist": None, **{f"mnist/{name}": content
                                                     for name, content in files.items()}}
    assert_split(mnist.load(folder).train, 7, 1)


def test_find_downloads_into_the_cache(bare, server, monkeypatch):
    files = contents()
    monkeypatch.setenv("MNIST_URL", server.folder(files))
    monkeypatch.setattr(mnist, "MD5S", md5s(files))
    folder = mnist.find()
    assert folder == cache_folder() / "mnist" and len(tree(folder)) == 4
    monkeypatch.delenv("MNIST_URL")
    assert mnist.find() == folder


def test_download_asks_for_the_official_files_by_default(bare, monkeypatch):
    asked = []
    monkeypatch.delenv("MNIST_URL")
    monkeypatch.setattr(mnist, "fetch", lambda url, md5, path, timeout:
                        asked.append((url, md5)) or path.write_bytes(b""))
    mnist.download(bare)
    base = "https://storage.googleapis.com/cvdf-datasets/mnist"
    assert asked == [
        (f"{base}/train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        (f"{base}/train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        (f"{base}/t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        (f"{base}/t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c")]


def failing(case, files, server):
    """(URL, MD5s, message) of a download that must fail."""
    sums, last = md5s(files), mnist.FILES[-1]
    if case == "other checksum":
        return (server.folder(files), {**sums, last: "0" * 32},
                f"{last}: MD5 is {sums[last]}, expected 0")
    if case == "cut short":
        return server.folder(files, cut=5), sums, "MD5|IncompleteRead"
    if case == "a file is missing":
        return (server.folder({name: files[name] for name in mnist.FILES[:3]}), sums,
                f"{last}: Not Found")
    if case == "no server":
        return f"http://127.0.0.1:{web.free_port()}", sums, "cannot download .*refused"
    if case == "not a URL":
        return "mirror/mnist", sums, "unknown url type"
    raise AssertionError(case)


@pytest.mark.parametrize("case", ["other checksum", "cut short", "a file is missing", "no server",
                                  "not a URL"])
def test_download_says_why_it_failed_and_leaves_nothing(server, tmp_path, case):
    url, sums, message = failing(case, contents(), server)
    with pytest.raises(errors.Failure, match=message) as caught:
        mnist.download(tmp_path, url, sums)
    assert url in str(caught.value)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("where", ["third file", "rename"])
def test_download_leaves_nothing_after_ctrl_c(server, tmp_path, monkeypatch, where):
    real, calls = mnist.fetch, []

    def fetch(*arguments):
        real(*arguments)
        calls.append(arguments)
        if len(calls) == 3 and where == "third file":
            raise KeyboardInterrupt

    def rename(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "fetch", fetch)
    if where == "rename":
        monkeypatch.setattr("os.rename", rename)
    files = contents()
    with pytest.raises(KeyboardInterrupt):
        mnist.download(tmp_path, server.folder(files), md5s(files))
    assert len(calls) == (3 if where == "third file" else 4)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("there", [[], mnist.FILES[:1], mnist.TEST_FILES, mnist.FILES])
def test_download_into_a_folder_that_exists(server, tmp_path, there):
    """Other files stay; the downloaded files take precedence over other spellings."""
    files = contents()
    mine = write_data_set(tmp_path / "mnist", there, train=3, test=2)
    if there:
        (mine / "notes.txt").write_text("mine")
        (mine / "train-images.idx3-ubyte").write_bytes(b"damaged")
    mnist.download(tmp_path, server.folder(files), md5s(files))
    assert files.items() <= tree(mine).items()
    assert not there or (mine / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [mine]
    assert_split(mnist.load(mine).train, 7, 1)


def test_download_into_a_file(server, tmp_path):
    (tmp_path / "mnist").write_text("mine")
    files = contents()
    with pytest.raises(OSError):
        mnist.download(tmp_path, server.folder(files), md5s(files))
    assert tree(tmp_path) == {"mnist": b"mine"}


# ---------------------------------------------------------------------------------------
# Reading


@pytest.mark.parametrize("dot", "-.")
@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("gzipped", [True, False], ids=["gzipped", "plain"])
def test_load_reads_every_spelling(tmp_path, dot, suffix, gzipped):
    """The first bytes of a file decide whether it is gzipped, not its name."""
    for name, content in contents().items():
        name = name.removesuffix(".gz").replace("-idx", f"{dot}idx") + suffix
        (tmp_path / name).write_bytes(content if gzipped else gzip.decompress(content))
    assert mnist.find(tmp_path) == tmp_path
    found = mnist.load(str(tmp_path))
    assert (found.name, found.directory, found.note) == ("mnist", str(tmp_path), NOT_OFFICIAL)
    assert found.class_names == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert_split(found.train, 7, 1)
    assert_split(found.test, 4, 0)


@pytest.mark.parametrize("count, kept", [(2, 1), (3, 2), (40, 34), (101, 85)])
def test_load_divides_the_test_files_alone(tmp_path, count, kept):
    found = mnist.load(write_data_set(tmp_path, mnist.TEST_FILES, test=count))
    assert len(found.train.labels) == kept and len(found.test.labels) == count - kept
    assert_split(found.train, count, 0)
    assert_split(found.test, count, 0, start=kept)
    assert found.note == (f"only the t10k files are there: {kept} of their images are "
                          f"for training, {count - kept} for testing\n{NOT_OFFICIAL}")


def test_load_divides_as_many_images_as_the_official_test_files_hold(tmp_path):
    labels = np.arange(10_000) % 7
    (tmp_path / IMAGES).write_bytes(idx(10_000, 28, 28, values=bytes(7_840_000)))
    (tmp_path / LABELS).write_bytes(idx(10_000, values=labels.astype(np.uint8)))
    found = mnist.load(tmp_path)
    assert found.note == ("only the t10k files are there: 8,500 of their images are for "
                          f"training, 1,500 for testing\n{NOT_OFFICIAL}")
    assert found.train.images.shape == (8500, 28, 28, 1)
    assert found.test.images.shape == (1500, 28, 28, 1)
    np.testing.assert_array_equal(found.train.labels, labels[:8500])
    np.testing.assert_array_equal(found.test.labels, labels[8500:])


SETS = [names for count in range(5) for names in itertools.combinations(mnist.FILES, count)
        if names not in (mnist.FILES, mnist.TEST_FILES)]


@pytest.mark.parametrize("names", SETS, ids=lambda names: f"{len(names)} files")
def test_load_names_missing_files(tmp_path, names):
    with pytest.raises(DataError, match="expected all four files") as caught:
        mnist.load(write_data_set(tmp_path, names))
    missing, _, _ = str(caught.value).partition(" missing")
    assert missing == f"{tmp_path}: " + ", ".join(n for n in mnist.FILES if n not in names)


def test_load_of_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="absent: .* missing"):
        mnist.load(tmp_path / "absent")


def refused(folder, files, name, message):
    """Write `files` (name -> bytes) to `folder` and check that `load` complains about `name`."""
    for file, content in files.items():
        (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        mnist.load(folder)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200 + len(str(folder))


@pytest.mark.parametrize("pack", [zipped, bytes], ids=["gzipped", "plain"])
@pytest.mark.parametrize("name, content, message", [
    (IMAGES, b"", r"starts with the bytes \(none\), expected the 00000803 of an IDX"),
    (IMAGES, b"<html></html>", "starts with the bytes 3c68746d, expected the 00000803"),
    (IMAGES, b"\x80\x04}.", "starts with the bytes 80047d2e, expected"),  # a pickle
    (IMAGES, labels_file(9), "starts with the bytes 00000801, expected the 00000803"),
    (IMAGES, idx(9, 28, 28, values=bytes(9 * 784), kind=0x0D), "starts with the bytes 00000d03"),
    (IMAGES, images_file(9)[:15], "ends after 15 bytes, expected a header of 16"),
    (IMAGES, images_file(9)[:4], "ends after 4 bytes, expected a header of 16"),
    (IMAGES, idx(9, 28, 29, values=bytes(9 * 28 * 29)), "images of 28x29 pixels, expected 28x28"),
    (IMAGES, idx(9, 32, 32, values=bytes(9 * 32 * 32)), "images of 32x32 pixels"),
    (IMAGES, idx(9, -1, -1, values=b""), "images of 4294967295x4294967295 pixels"),
    (IMAGES, idx(0, 28, 28, values=b""), "claims to hold 0 images, expected 1 to 100,000"),
    (IMAGES, idx(-1, 28, 28, values=b""), "claims to hold 4294967295 images"),
    (IMAGES, idx(100_001, 28, 28, values=b""), "claims to hold 100001 images"),
    (IMAGES, idx(100_000, 28, 28, values=b""), "only 0 bytes follow the header, expected 78400000"),
    (IMAGES, images_file(9)[:-1], "only 7055 bytes follow the header, expected 7056"),
    (IMAGES, images_file(9) + b"\0", "more bytes follow the header, expected 7056"),
    (LABELS, b"", r"starts with the bytes \(none\), expected the 00000801"),
    (LABELS, images_file(9), "starts with the bytes 00000803, expected the 00000801"),
    (LABELS, labels_file(9)[:7], "ends after 7 bytes, expected a header of 8"),
    (LABELS, idx(0, values=b""), "claims to hold 0 labels, expected 1 to 100,000"),
    (LABELS, idx(100_001, values=b""), "claims to hold 100001 labels"),
    (LABELS, labels_file(9)[:-1], "only 8 bytes follow the header, expected 9"),
    (LABELS, labels_file(9) + b"\n", "more bytes follow the header, expected 9"),
    (LABELS, labels_file(8), f"holds 8 labels, expected 9, one for each image of {IMAGES}$"),
    (LABELS, labels_file(10), "holds 10 labels, expected 9"),
    (LABELS, idx(9, values=[0, 9, 10, 1, 1, 1, 1, 255, 1]), "label 2 is 10, expected 0 to 9"),
])
def test_load_refuses_a_bad_file(tmp_path, name, content, message, pack):
    refused(tmp_path, {IMAGES: images_file(9), LABELS: labels_file(9), name: pack(content)},
            name, message)


@pytest.mark.parametrize("name", mnist.FILES)
def test_load_names_the_file_in_its_actual_spelling(tmp_path, name):
    write_data_set(tmp_path).joinpath(name).unlink()
    spelled = name.removesuffix(".gz").replace("-idx", ".idx")
    refused(tmp_path, {spelled: b"else"}, spelled, "starts with the bytes 656c7365")


def test_load_needs_two_images_for_training_and_testing(tmp_path):
    refused(tmp_path, {IMAGES: images_file(1), LABELS: labels_file(1)}, IMAGES,
            "holds one image, expected two or more")
    assert len(mnist.load(write_data_set(tmp_path / "all", train=1, test=1)).test.labels) == 1


def flipped(content, position):
    content = bytearray(content)
    content[position] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize("damage", [
    lambda packed: packed[:2], lambda packed: packed[:9], lambda packed: packed[:500],
    lambda packed: packed[:-8], lambda packed: packed[:-1],
    lambda packed: flipped(packed, -6),  # the checksum
    lambda packed: flipped(packed, -2),  # the length
    lambda packed: flipped(packed, 2),  # the method of compression
    lambda packed: flipped(packed, 10),  # the first block's type
    lambda packed: packed + b"trailing"])
def test_load_refuses_damaged_gzip_files(tmp_path, damage):
    refused(tmp_path, {IMAGES: damage(zipped(images_file(9))), LABELS: labels_file(9)}, IMAGES,
            "cut short or damaged, expected an intact gzip file")


def test_load_does_not_unpack_a_gzip_bomb(tmp_path):
    bomb = zipped(images_file(9) + bytes(200_000_000))
    assert len(bomb) < 2_000_000
    tracemalloc.start()
    refused(tmp_path, {IMAGES: bomb, LABELS: labels_file(9)}, IMAGES,
            "more bytes follow the header, expected 7056")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_load_of_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    write_data_set(tmp_path)

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(DataError, match=r"idx3-ubyte\.gz: cannot be read \(Permission denied\)$"):
        mnist.load(tmp_path)


# ---------------------------------------------------------------------------------------
# Other layouts


def assert_whole(found, note=NOT_OFFICIAL):
    assert_split(found.train, 7, 1)
    assert_split(found.test, 4, 0)
    assert found.note == note


@pytest.mark.parametrize("spell", [
    lambda plain: f"{plain}/{plain}", lambda plain: f"{plain}/{plain.replace('-idx', '.idx')}",
    lambda plain: plain.replace("-", "_"), lambda plain: plain.replace("-", "."),
    lambda plain: f"{plain.upper()}.GZ"], ids=["folder", "folder, dot", "_", ".", "upper case"])
def test_load_reads_other_programs_names(tmp_path, spell):
    for name, content in contents().items():
        path = tmp_path / spell(name.removesuffix(".gz"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert mnist.find(tmp_path) == tmp_path
    assert_whole(mnist.load(tmp_path))


def test_find_prefers_mnist_to_a_neighbour_with_the_same_names(bare):
    """torchvision's layout. The neighbour is read if there is nothing else."""
    other = write_data_set(bare / "data/FashionMNIST/raw")
    with pytest.raises(errors.Failure, match="cannot download"):
        mnist.find()
    assert mnist.find(bare / "data") == other
    digits = write_data_set(bare / "data/MNIST/raw")
    assert mnist.find(bare / "data") == digits
    assert mnist.find() == pathlib.Path("data/MNIST/raw")


def as_float(array):
    return array.astype(np.float32)


@pytest.mark.parametrize("change", [
    lambda found: found, lambda found: {**found, "extra": np.zeros(3)},
    lambda found: {**found, "y_test": found["y_test"].astype(">i8")},
    lambda found: {**found, "y_test": found["y_test"].astype(np.int32)[:, None]},
    lambda found: {**found, "x_test": found["x_test"][..., None]},
    lambda found: {**found, "x_test": found["x_test"].reshape(-1, 784)},
    lambda found: {**found, "x_test": np.asfortranarray(found["x_test"])}])
@pytest.mark.parametrize("compressed", [True, False])
def test_load_reads_npz(tmp_path, change, compressed):
    (tmp_path / "mnist.npz").write_bytes(npz(change(arrays()), compressed))
    assert mnist.find(tmp_path / "mnist.npz") == mnist.find(tmp_path) == tmp_path
    assert_whole(mnist.load(tmp_path))


@pytest.mark.parametrize("change, message", [
    ({"x_train": None}, r"holds y_train.npy, x_test.npy, y_test.npy; expected the arrays x_train"),
    ({"x_test": as_float(pixels(4))}, "x_test is of type <f4, expected uint8"),
    ({"y_test": as_float(np.zeros(4))}, "y_test is of type <f4, expected whole numbers"),
    ({"y_test": np.array([print] * 4)}, r"y_test is of type \|O, expected whole numbers"),
    ({"x_test": np.zeros((4, 32, 32), np.uint8)}, r"x_test is of shape \(4, 32, 32\), expected"),
    ({"x_test": np.zeros((0, 28, 28), np.uint8)}, "x_test claims to hold 0 images"),
    ({"y_test": np.zeros(5, int)}, "y_test holds 5 labels, expected 4, one for each image of x_t"),
    ({"y_test": np.array([0, 1, -1, 3])}, "label of y_test 2 is -1, expected 0 to 9"),
    ({"y_test": np.array([0, 1, 1, 10])}, "label of y_test 3 is 10, expected 0 to 9")])
def test_load_refuses_another_npz(tmp_path, change, message):
    content = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    refused(tmp_path, {"mnist.npz": npz(content)}, "mnist.npz", message)


@pytest.mark.parametrize("damage, message", [
    (lambda packed: b"", "no file of NumPy arrays; it is an empty file"),
    (lambda packed: b"<!DOCTYPE html><html>", "no file of NumPy arrays; it is a web page"),
    (lambda packed: packed[:2000], "cut short or damaged, expected an intact file of NumPy"),
    (lambda packed: flipped(packed, 3000), "cut short or damaged"),
    (lambda packed: packed + b"PK\1\2" * 1001, "holds more than 1,000 files"),
    (lambda packed: packed + bytes(9000), "bytes long, expected at most 14,004")])
def test_load_refuses_a_damaged_npz(tmp_path, monkeypatch, damage, message):
    monkeypatch.setattr(mnist_layouts, "MAX_NPZ_BYTES", 10_000 + 4 * 1001)
    refused(tmp_path, {"mnist.npz": damage(npz(arrays()))}, "mnist.npz", message)


def array_file(descr="|u1", shape="(4, 28, 28)", content=bytes(3136), version=b"\1\0"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize("method, content, message", [
    (zipfile.ZIP_LZMA, array_file(), "compressed in an unusual way"),
    (zipfile.ZIP_DEFLATED, array_file(version=b"\2\0"), "is not an array in NumPy's format 1.0"),
    (zipfile.ZIP_DEFLATED, array_file(shape="(" * 9000), "x_test has the header {'descr': '|u1', "),
    (zipfile.ZIP_DEFLATED, array_file(shape="4"), "x_test has the header {'descr': '|u1', "),
    (zipfile.ZIP_DEFLATED, array_file(shape="(99999999999, 28, 28)"), "claims to hold 99999999999"),
    (zipfile.ZIP_DEFLATED, array_file(shape="(100000, 28, 28)"), "only 3136 bytes, expected 784"),
    (zipfile.ZIP_DEFLATED, array_file(content=bytes(99_000_000)), "x_test has more bytes")])
def test_load_trusts_no_size_in_an_npz(tmp_path, method, content, message):
    out = io.BytesIO(npz({name: array for name, array in arrays().items() if name != "x_test"}))
    with zipfile.ZipFile(out, "a", method) as archive:
        archive.writestr("x_test.npy", content)
    tracemalloc.start()
    refused(tmp_path, {"mnist.npz": out.getvalue()}, "mnist.npz", re.escape(message))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("change", [
    lambda text: text, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text,
    lambda text: text.rstrip("\n"), lambda text: text + "\n\n",
    lambda text: text.replace("label", '"Label"')])
@pytest.mark.parametrize("names", mnist_layouts.CSV_FILES)
@pytest.mark.parametrize("titles", ["label,pixel0", ""])
def test_load_reads_csv(tmp_path, monkeypatch, change, names, titles):
    for name, count, seed in zip(names, (7, 4), (1, 0)):
        (tmp_path / name).write_bytes(change(csv(count, seed, titles)).encode())
    assert mnist.find(tmp_path / names[0]) == mnist.find(tmp_path) == tmp_path
    assert_whole(mnist.load(tmp_path))
    monkeypatch.setattr(mnist_csv, "CHUNK", 8000)  # lines cross the borders of what is read at once
    assert_whole(mnist.load(tmp_path))


@pytest.mark.parametrize("name, others", [
    ("train.csv", {}), ("train.csv", {"test.csv": csv(4, titles="pixel0", labelled=False)}),
    ("mnist_train.csv", {}), ("mnist_test.csv", {}), ("mnist_test.csv", {"train.csv": "id,price"})])
def test_load_divides_the_only_csv_file_with_labels(tmp_path, name, others):
    (tmp_path / name).write_text(csv(20, 3))
    for other, text in others.items():
        (tmp_path / other).write_text(text)
    found = mnist.load(mnist.find(tmp_path))
    assert_split(found.train, 20, 3)
    assert_split(found.test, 20, 3, start=17)
    assert len(found.train.labels) == 17
    assert found.note == (f"{name} is the only file with labels there: 17 of its images are for "
                          f"training, 3 for testing\n{NOT_OFFICIAL}")


def test_find_passes_over_the_train_csv_of_another_data_set(tmp_path):
    (tmp_path / "train.csv").write_text("id,price\n1,2\n")
    with pytest.raises(DataError, match="no MNIST there"):
        mnist.find(tmp_path)


def lines(change, titles="label,1x1"):
    """The text of a CSV file of which `change` alters the list of lines."""
    content = csv(5, titles=titles).splitlines()
    change(content)
    return "\n".join(content)


def put(number, line):
    return lambda content: content.__setitem__(number - 1, line)


@pytest.mark.parametrize("text, message", [
    ("", "line 1: starts with '', expected the title label .*; it is an empty file"),
    ("<!DOCTYPE html>\n<html>", "line 1: starts with '<!DOCTYPE html>', .*; it is a web page"),
    (csv(5, titles="pixel0,label"), "line 1: starts with 'pixel0,label"),
    (csv(0), "holds no images"),
    (lines(put(3, "1,2")), "line 3: holds 2 values, expected 785, the label and 784 pixels"),
    (lines(put(3, "")), "line 3: holds 0 values"),
    (lines(put(6, "1" + ",0" * 785)), "line 6: holds 786 values"),
    (lines(put(2, "10" + ",0" * 784)), "line 2: the label is '10', expected 0 to 9"),
    (lines(put(2, "10" + ",0" * 784), ""), "line 2: the label is '10'"),
    (lines(put(4, "1" + ",0" * 783 + ",256")), "line 4: pixel 784 is '256', expected 0 to 255"),
    (lines(put(4, "1,-1" + ",0" * 783)), "line 4: pixel 1 is '-1'"),
    (lines(put(4, "1,0.5" + ",0" * 783)), "line 4: pixel 1 is '0.5'"),
    (lines(put(4, "1,," + ",0" * 782)), "line 4: pixel 1 is ''"),
    (lines(put(4, "1,0001" + ",0" * 783)), "line 4: pixel 1 is '0001'"),
    (lines(put(4, "1," + "9" * 5000 + ",0" * 783)), "line 4: pixel 1 is '9{60}'"),
    (lines(put(4, "1;" + "0;" * 783 + "0")), "line 4: holds 1 values")])
@pytest.mark.parametrize("chunk", [8000, 1 << 22])
def test_load_names_the_bad_line_of_a_csv_file(tmp_path, monkeypatch, text, message, chunk):
    monkeypatch.setattr(mnist_csv, "CHUNK", chunk)
    refused(tmp_path, {"mnist_train.csv": text.encode(), "mnist_test.csv": csv(4).encode()},
            "mnist_train.csv", message)


def test_read_csv_limits_its_memory(tmp_path, monkeypatch):
    file = tmp_path / "mnist_train.csv"
    file.write_bytes(zipped(b"1" * 100_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match="line 1: is longer than 4,194,304 bytes"):
        mnist_csv.read_csv(file)
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()
    monkeypatch.setattr(mnist_csv, "MAX_IMAGES", 4)
    file.write_text(csv(5))
    with pytest.raises(DataError, match="holds more than 4 images"):
        mnist_csv.read_csv(file)


def test_load_prefers_a_whole_data_set(tmp_path):
    """Data sets of other images, each preferred to those that were written before it."""
    def counts():
        found = mnist.load(tmp_path)
        return len(found.train.labels), len(found.test.labels)

    (tmp_path / "train.csv").write_text(csv(100))
    assert counts() == (85, 15)
    write_data_set(tmp_path, mnist.TEST_FILES, test=20)
    assert counts() == (17, 3)
    (tmp_path / "test.csv").write_text(csv(2))
    assert counts() == (100, 2)
    (tmp_path / "mnist.npz").write_bytes(npz(arrays(6, 5)))
    assert counts() == (6, 5)
    write_data_set(tmp_path, mnist.TRAIN_FILES, train=9)
    assert counts() == (9, 20)


# ---------------------------------------------------------------------------------------
# Official images


def official_of(found):
    """MD5 checksums of the IDX files of a small data set, as `official.IDX` has them."""
    return tuple(web.md5(gzip.decompress(content)) for content in found.values())


@pytest.mark.parametrize("layout", ["IDX", "npz", "csv"])
@pytest.mark.parametrize("title, note", [("MNIST", ""), ("Fashion-MNIST", official.FASHION)])
def test_the_checksums_of_the_pixels_decide_what_is_official(tmp_path, monkeypatch, layout, title,
                                                            note):
    monkeypatch.setitem(official.IDX, title, official_of(contents()))
    if layout == "IDX":
        write_data_set(tmp_path)
    elif layout == "npz":
        (tmp_path / "mnist.npz").write_bytes(npz(arrays()))
    else:
        (tmp_path / "mnist_train.csv").write_text(csv(7, 1))
        (tmp_path / "mnist_test.csv").write_text(csv(4))
    assert_whole(mnist.load(tmp_path), note)


# ---------------------------------------------------------------------------------------
# Fuzzing


fuzz = functools.partial(hypothesis.settings, deadline=None, derandomize=True)
SNIPPETS = [struct.pack(">I", number) for number in (
    0x801, 0x803, 0xD03, 0, 1, 2, 3, 28, 100_000, 100_001, 0x7FFFFFFF, 0xFFFFFFFF)]
SNIPPETS += [b"\x1f\x8b", b"\x1f\x8b\x08", zipped(b"")[:10], zipped(b""), b"\x0a", b"\xff"]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "insert", "truncate"]),
              st.integers(-40, 40),  # header, first and last values
              st.binary(min_size=1, max_size=6) | st.sampled_from(SNIPPETS)),
    min_size=1, max_size=4)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("fuzzed"))


def assert_sound_or_refused(folder, name, content):
    (folder / name).write_bytes(content)
    try:
        found = mnist.load(folder)
    except DataError as error:
        assert str(error).startswith(f"{folder}/") and "\n" not in str(error)
    else:
        for split in (found.train, found.test):
            assert split.images.dtype == np.uint8 and split.images.shape[1:] == (28, 28, 1)
            assert split.labels.dtype == np.int64 and split.labels.shape == split.images.shape[:1]
            assert 0 <= split.labels.min() <= split.labels.max() <= 9
    finally:
        (folder / name).write_bytes(contents()[name])


@fuzz(max_examples=150)
@hypothesis.given(st.sampled_from(mnist.FILES),
                  st.binary(max_size=40) | st.lists(st.sampled_from(SNIPPETS)).map(b"".join))
def test_load_refuses_or_reads_random_bytes(fuzzed, name, content):
    assert_sound_or_refused(fuzzed, name, content)


@fuzz(max_examples=300)
@hypothesis.given(st.sampled_from(mnist.FILES), CHANGES, st.sampled_from(["out", "in", "plain"]))
def test_load_refuses_a_changed_file_or_reads_a_sound_one(fuzzed, name, changes, where):
    """The change is in the gzipped bytes, in the bytes before gzip, or in a plain file."""
    packed = contents()[name]
    if where == "out":
        content = changed(packed, changes)
    else:
        content = changed(gzip.decompress(packed), changes)
    assert_sound_or_refused(fuzzed, name, zipped(content) if where == "in" else content)

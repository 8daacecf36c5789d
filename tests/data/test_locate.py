"""data/locate.py and data/archives.py: data sets wherever people have them."""

import os
import pathlib
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from support.cifar_files import write_cifar100, write_data_set, written
from support.folders import tree
from support.mnist_files import write_data_set as write_mnist

from tf1cifar import errors
from tf1cifar.data import (
    archives,
    base,
    cifar10,
    cifar100,
    download,
    locate,
    mnist,
    recognition,
)
from tf1cifar.data.base import DataError


def find(data_dir=None):
    """Find a data set of the files `a` and `b`. Its download only returns a path."""
    return locate.find(data_dir, locate.DataSet(
        title="pair", variable="CIFAR10_DIR", folder="pair",
        has_any=lambda folder: (folder / "a").exists() or (folder / "b").exists(),
        is_complete=lambda folder: (folder / "a").exists() and (folder / "b").exists(),
        wanted={"a", "b"}.__contains__, download=lambda folder: folder / "downloaded",
        expected="(expected a and b)", hint="Ask Ann."))


def pair(folder, names="ab"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


# ---------------------------------------------------------------------------------------
# Folders


def test_find_prefers_option_variable_here_cache_download(bare, monkeypatch):
    cache = download.cache_folder()
    assert find() == cache / "downloaded"
    cached = pair(cache / "pair")
    assert find() == cached == bare / "cache/tf1-cifar10/pair"
    pair(bare / "pair")
    assert find() == pathlib.Path("pair")
    pair(bare / "variable")
    monkeypatch.setenv("CIFAR10_DIR", "variable")
    assert find() == pathlib.Path("variable")
    option = pair(bare / "option/pair")
    assert find(option) == option
    assert find(str(option.parent)) == option, "the folder above is accepted too"


@pytest.mark.parametrize("name", "ab")
def test_find_takes_half_a_data_set_from_the_user_but_not_from_the_cache(bare, name):
    pair(download.cache_folder() / "pair", name)
    assert find() == download.cache_folder() / "downloaded"
    pair(bare / "pair", name)
    assert find("pair") == find() == pathlib.Path("pair")


def test_find_tries_only_the_named_place(bare, monkeypatch):
    pair(bare / "pair")
    pair(download.cache_folder() / "pair")
    (bare / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        find("empty")
    assert str(caught.value) == ("--data-dir empty: no pair there, but an empty folder (expected a "
                                 "and b). Ask Ann.")
    monkeypatch.setenv("CIFAR10_DIR", "absent")
    with pytest.raises(DataError, match=r"^CIFAR10_DIR absent: no such file or folder \(exp"):
        find()


def test_find_ignores_an_empty_variable(bare, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", "")
    assert find() == download.cache_folder() / "downloaded"


def test_find_replaces_home_and_variables(bare, monkeypatch):
    monkeypatch.setenv("HOME", str(bare / "home"))
    monkeypatch.setenv("PLACE", "data")
    folder = pair(bare / "home/data/pair")
    assert find("~/$PLACE") == find("~/data/pair") == folder
    monkeypatch.setenv("CIFAR10_DIR", "~/data")
    assert find() == folder
    with pytest.raises(DataError, match="^--data-dir ~no-such-user/data: no such file"):
        find("~no-such-user/data")


@pytest.mark.parametrize("place", [
    "cifar/pair", "pair/pair", "pair-target/pair", "pair-target_extracted/pair", "deep/er"])
def test_find_looks_two_levels_down(bare, place):
    folder = pair(bare / "top" / place)
    assert find(bare / "top") == folder


def test_find_names_a_data_set_whose_place_is_not_clear(bare):
    folder = pair(bare / "top/work/pair")
    assert find(bare / "top") == folder
    (bare / "top/other").mkdir()
    with pytest.raises(DataError) as caught:
        find(bare / "top")
    assert str(caught.value) == (
        f"--data-dir {bare / 'top'}: no pair there, but in {folder}; give that folder")


def test_find_prefers_a_whole_data_set_to_a_part_of_one(bare):
    pair(bare / "top/a-part", "a")
    whole = pair(bare / "top/b-whole")
    assert find(bare / "top") == whole
    pair(bare / "other/.hidden")
    with pytest.raises(DataError, match="no pair there"):
        find(bare / "other")


def test_find_accepts_a_file_of_the_data_set(bare):
    folder = pair(bare / "mine")
    assert find(folder / "b") == folder


@pytest.mark.parametrize("place", ["data/pair", "data/x/pair"])
def test_find_looks_into_the_usual_places(bare, place):
    folder = pair(bare / place)
    assert find().resolve() == folder


def test_find_looks_into_the_folder_of_keras(bare, monkeypatch):
    folder = pair(pathlib.Path(os.environ["HOME"]) / ".keras/datasets/pair-target/pair")
    assert find() == folder
    monkeypatch.setenv("KERAS_HOME", str(bare / "keras"))
    assert find() == download.cache_folder() / "downloaded"
    assert pair(bare / "keras/datasets/pair") == find()


# ---------------------------------------------------------------------------------------
# Archives


def zipped(path, *folders):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            for name in sorted(os.listdir(folder)):
                archive.write(folder / name, f"{folder.name}/{name}")
    return path


def tarred(path, *folders, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for folder in folders:
            archive.add(folder, folder.name)
    return path


@pytest.mark.parametrize("name, pack", [
    ("pair.tar.gz", tarred), ("pair.tgz", tarred), ("pair", tarred), ("archive.zip", zipped),
    ("pair.tar", lambda path, *folders: tarred(path, *folders, mode="w")),
    ("pair.tar.gz", lambda path, *folders: tarred(path, *folders, mode="w"))])  # by a browser
def test_find_unpacks_an_archive_once(bare, name, pack):
    folder = pair(bare / "source/pair")
    (folder / "readme").write_text("not known")
    (bare / "there").mkdir()
    archive = pack(bare / "there" / name, folder)
    shutil.rmtree(bare / "source")
    before = tree(bare / "there")
    found = find(bare / "there")
    assert tree(found) == {"a": b"a", "b": b"b"} and download.cache_folder() in found.parents
    assert tree(bare / "there") == before, "nothing is written beside the archive"
    time = (found / "a").stat().st_mtime_ns
    assert find(archive) == found and (found / "a").stat().st_mtime_ns == time
    os.utime(archive, (1, 1))
    assert find(archive) != found, "another archive of the same name is unpacked anew"


def test_find_refuses_archives_without_the_data_set(bare):
    (bare / "there").mkdir()
    tarred(bare / "there/half.tar.gz", pair(bare / "half", "a"))
    zipped(bare / "there/other.zip", pair(bare / "other", "cd"))
    with pytest.raises(DataError, match=r"half\.tar\.gz: an archive that holds only a \(expected"):
        find(bare / "there")
    with pytest.raises(DataError, match=r"other\.zip: an archive that does not hold it \(expected"):
        find(bare / "there/other.zip")
    (bare / "there/half.tar.gz").unlink()
    with pytest.raises(DataError, match=r"the archive other\.zip, an archive in which no known"):
        find(bare / "there")
    (bare / "there/text").write_text("text")
    with pytest.raises(DataError, match="no pair there, but a text file that begins with 'text'"):
        find(bare / "there/text")
    (bare / "there/binary").write_bytes(b"\x80\x01")
    with pytest.raises(DataError, match="but a single file; give the folder that it is in"):
        find(bare / "there/binary")
    cut = tarred(bare / "cut.tar.gz", pair(bare / "pair")).read_bytes()[:-20]
    (bare / "cut.tar.gz").write_bytes(cut)
    with pytest.raises(DataError, match="cut.tar.gz: cut short or damaged"):
        find(bare / "cut.tar.gz")


def test_find_takes_a_whole_archive_beside_a_damaged_one(bare):
    whole = tarred(bare / "b.tar.gz", pair(bare / "source/pair"))
    (bare / "a.tar.gz").write_bytes(whole.read_bytes()[:-30])
    shutil.rmtree(bare / "source")
    assert tree(find(bare)) == {"a": b"a", "b": b"b"}
    whole.unlink()
    with pytest.raises(DataError, match="a.tar.gz: cut short"):
        find(bare)


@pytest.mark.parametrize("place", ["cifar-10-python.tar.gz", "data/cifar-10-python.tar", "keras"])
def test_find_unpacks_a_well_known_archive_in_the_usual_places(bare, tiny_cifar, place):
    if place == "keras":
        place = os.environ["HOME"] + "/.keras/datasets/cifar-10-batches-py-target_archive"
    (bare / place).parent.mkdir(parents=True, exist_ok=True)
    tarred(bare / place, tiny_cifar)
    assert tree(cifar10.find()) == tree(tiny_cifar)
    (bare / place).write_bytes((bare / place).read_bytes()[:-30])
    with pytest.raises(errors.Failure, match="cannot download"):
        cifar10.find()


def test_load_names_the_archive_which_may_be_unpacked_again_or_gone(bare, tiny_cifar):
    archive = tarred(bare / "mine.tgz", tiny_cifar)
    dataset = cifar10.load(cifar10.find(archive))
    assert dataset.directory == str(archive)
    assert locate.origin(tiny_cifar) == str(tiny_cifar)
    shutil.rmtree(download.cache_folder())
    assert base.fingerprint(cifar10.load(cifar10.find(archive))) == base.fingerprint(dataset)
    archive.unlink()
    again = cifar10.load(cifar10.find(archive))
    assert (base.fingerprint(again), again.directory) == (base.fingerprint(dataset), str(archive))
    shutil.rmtree(download.cache_folder())
    with pytest.raises(DataError, match="mine.tgz: no such file or folder "):
        cifar10.find(archive)


def test_find_names_the_data_set_of_another_archive(bare):
    (bare / "there").mkdir()
    write_cifar100(bare / "cifar-100-python")
    archive = tarred(bare / "there/hundred.tgz", bare / "cifar-100-python")
    for place in (archive, archive.parent):
        with pytest.raises(DataError, match=r"no CIFAR-10 there, but .*CIFAR-100 \(give --dataset "
                           r"cifar100\)$"):
            cifar10.find(place)
    assert len(cifar100.load(cifar100.find(archive)).test.labels) == 100


def test_find_prefers_folders_that_are_not_named_after_another_data_set(bare):
    write_mnist(bare / "data/FashionMNIST/raw", train=3, test=2)
    expected = write_mnist(bare / "data/MNIST/raw")
    assert mnist.find(bare / "data") == expected
    assert mnist.find() == expected.relative_to(bare)


def test_find_looks_at_a_limited_number_of_entries(bare, monkeypatch):
    for number in range(20):
        (bare / "top" / f"{number:02}").mkdir(parents=True)
    folder = pair(bare / "top/99")
    assert find(bare / "top") == folder
    monkeypatch.setattr(recognition, "MAX_ENTRIES", 0)
    with pytest.raises(DataError, match="no pair there"):
        find(bare / "top")


def test_find_ignores_folders_that_cannot_be_read(bare, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    (bare / "top/inner").mkdir(parents=True)
    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(DataError, match=r"top: it cannot be read \(Permission denied\)"):
        find(bare / "top")


def test_unpack_writes_nothing_but_known_files(tmp_path):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("../../up", "/abs", "pair/../../a", "pair/b", "C:\\x\\y"):
            out.writestr(name, "!")
    (tmp_path / "in").mkdir()
    written = archives.unpack(archive, tmp_path / "in", {"a", "b"}.__contains__, 100)
    assert written <= {"a", "b"} and set(os.listdir(tmp_path / "in")) == written
    assert sorted(os.listdir(tmp_path)) == ["evil.zip", "in"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_unpack_refuses_a_file_that_is_too_large(tmp_path, pack):
    folder = pair(tmp_path / "pair")
    (folder / "b").write_bytes(bytes(1000))
    archive = pack(tmp_path / "archive", folder)
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="b is 1000 bytes long, expected at most 100"):
        archives.unpack(archive, tmp_path / "in", {"a", "b"}.__contains__, 100)


def test_unpack_reads_a_folder_named_like_its_file(tmp_path):
    for name in "ab":
        pair(tmp_path / "source" / name, name)
    archive = zipped(tmp_path / "kaggle.zip", tmp_path / "source/a", tmp_path / "source/b")
    (tmp_path / "in").mkdir()
    assert archives.unpack(archive, tmp_path / "in", {"a", "b"}.__contains__, 100) == {"a", "b"}


def test_unpack_of_damaged_archives_raises_only_data_errors(tmp_path):
    folder, rng = pair(tmp_path / "pair"), np.random.default_rng(0)
    for pack in (zipped, tarred):
        intact = pack(tmp_path / "archive", folder).read_bytes()
        for _ in range(100):
            damaged = np.frombuffer(intact, np.uint8).copy()
            damaged[rng.integers(0, len(damaged), 3)] = rng.integers(0, 256, 3)
            (tmp_path / "archive").write_bytes(damaged.tobytes())
            (tmp_path / "in").mkdir()
            try:
                archives.unpack(tmp_path / "archive", tmp_path / "in", {"a", "b"}.__contains__, 99)
            except DataError:
                pass
            shutil.rmtree(tmp_path / "in")


# ---------------------------------------------------------------------------------------
# What is there instead


def layout(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("names, words", [
    (["cifar-10-batches-mat/data_batch_1.mat"], "the MATLAB version of CIFAR-10"),
    (["cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"],
     r"CIFAR-100 \(give --dataset cifar100\)"),
    (["x/data_batch_1"], r"CIFAR-10 \(give --dataset cifar10\)"),
    (["MNIST/raw/t10k-images-idx3-ubyte"], r"MNIST \(give --dataset mnist\)"),
    (["mnist.npz"], r"MNIST \(give --dataset mnist\)"),
    (["cifar10/3.0.2/dataset_info.json", "cifar10/3.0.2/cifar10-train.tfrecord-00000-of-00001"],
     "a TensorFlow Datasets folder"),
    (["data/train-00000-of-00001.parquet"], "a Hugging Face data set"),
    (["train/cat/1.png", "test/cat/1.png"],
     r"pictures in a folder for each class \(give --dataset folders\)"),
    (["cat/1.JPG", "dog/2.jpeg"], r"pictures in a folder for each class \(give --dataset folders"),
    (["train/1.png", "trainLabels.csv"], r"Kaggle's pictures and trainLabels.csv \(give --dataset"),
    (["1.png", "2.png", "3.png", "4.png"], r"4 pictures that no folder divides into classes"),
    (["cat/1.heic", "dog/2.HEIC"], "pictures in a folder for each class"),
    (["1.heic"], r"1 picture that no folder divides into classes \(1.heic\)"),
    (["cifar-10-python.tar.gz.crdownload"], "a download that is not finished"),
    (["a.txt", "b.txt", "c.txt", "d.txt"], "a.txt, b.txt, c.txt and 1 more")])
def test_recognize(tmp_path, names, words):
    with pytest.raises(DataError, match=f"^--data-dir .*: no pair there, but {words}"):
        find(layout(tmp_path, *names))


@pytest.mark.parametrize("names, expected", [
    (["train/cat/1.png", "test/cat/1.png"], "split"), (["train/cat/1.png"], ""),
    (["cat/1.png"], "classes"), (["cat/1.txt"], ""), (["1.png"], ""),
    (["train/1.png", "trainLabels.csv"], "kaggle"), (["photos/cat/1.png"], ""),
    (["train/1.png", "test/2.png"], ""), ([".hidden/1.png", "cat/.1.png"], "")])
def test_picture_layout(tmp_path, names, expected):
    assert locate.picture_layout(layout(tmp_path, *names)) == expected


def test_every_data_set_is_found_in_its_archive(bare):
    for module, write, name in ((cifar10, write_data_set, "cifar-10-batches-py"),
                                (cifar100, write_cifar100, "cifar-100-python"),
                                (mnist, write_mnist, "mnist")):
        folder = bare / "source" / name
        if module is cifar10:
            folder.mkdir(parents=True)
            write(folder, 2)
        else:
            write(folder)
        (bare / name).mkdir()
        archive = tarred(bare / name / "archive.tar.gz", folder)
        loaded = module.load(module.find(archive))
        assert base.fingerprint(loaded) == base.fingerprint(module.load(folder))


@pytest.mark.parametrize("classes", [["cat", "dog", "horse"], list("abcdefghij")])
def test_recognize_counts_the_classes_of_cifar_files(tmp_path, classes):
    folder = write_data_set(tmp_path, 2)
    assert locate.recognize(tmp_path) == "CIFAR-10 (give --dataset cifar10)"
    written(folder / "batches.meta", {"label_names": classes, "x": 1})
    assert locate.recognize(tmp_path) == (
        f"CIFAR files with {len(classes)} classes of their own (give --dataset folders)")

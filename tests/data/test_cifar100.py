"""data/cifar100.py: both kinds of labels, where the files are, and damaged files."""

import gzip
import io
import shutil
import tarfile

import numpy as np
import pytest
from support.cifar_files import write_cifar100, written
from support.web import md5

from tf1cifar import errors
from tf1cifar.data import base, cifar100, safe_pickle
from tf1cifar.data.base import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cifar100(tmp_path_factory.mktemp("hundred") / "cifar-100-python")


def test_load(folder):
    fine, coarse = cifar100.load(folder), cifar100.load(folder, coarse=True)
    assert (fine.name, coarse.name) == ("cifar100", "cifar100-coarse")
    assert fine.class_names[42] == "fine 42" and coarse.class_names[12] == "coarse 12"
    assert fine.train.images.shape == fine.test.images.shape == (100, 32, 32, 3)
    np.testing.assert_array_equal(fine.train.labels, np.arange(100))
    np.testing.assert_array_equal(coarse.test.labels, np.arange(100) % 20)
    assert "these are not the official images of CIFAR-100" in fine.note


def test_load_reads_the_binary_version(folder, tmp_path):
    for kind, count in (("fine", 100), ("coarse", 20)):
        (tmp_path / f"{kind}_label_names.txt").write_text(
            "".join(f"{kind} {number}\n" for number in range(count)))
    for part in ("train", "test"):
        batch = safe_pickle.unpickle(folder / part)
        labels = np.uint8([batch["coarse_labels"], batch["fine_labels"]]).T
        (tmp_path / f"{part}.bin").write_bytes(
            np.concatenate([labels, batch["data"]], axis=1).tobytes())
    assert cifar100.find(tmp_path) == tmp_path
    for coarse in (False, True):
        binary, pickles = cifar100.load(tmp_path, coarse), cifar100.load(folder, coarse)
        assert base.fingerprint(binary) == base.fingerprint(pickles)
        assert binary.class_names == pickles.class_names
    (tmp_path / "test.bin").write_bytes(b"\1" * 3073)
    with pytest.raises(DataError, match="test.bin: .*: 3,073 bytes are no multiple of 3,074"):
        cifar100.load(tmp_path)


def test_find(bare, folder, monkeypatch):
    monkeypatch.setenv("CIFAR100_URL", "http://127.0.0.1:1/nothing.tar.gz")
    with pytest.raises(errors.Failure, match="cannot download http://127.0.0.1:1/nothing"):
        cifar100.find()
    assert cifar100.find(folder.parent) == cifar100.find(folder) == folder
    monkeypatch.setenv("CIFAR100_DIR", str(folder))
    assert cifar100.find() == folder
    (bare / "mine").mkdir()
    with pytest.raises(DataError, match="no CIFAR-100 there, but an empty folder .*CIFAR100_DIR"):
        cifar100.find("mine")


def test_download(server, folder, tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(folder, folder.name)
    content = gzip.compress(content.getvalue(), 1)
    found = cifar100.download(tmp_path, server.file(content), md5(content))
    assert found == tmp_path / "cifar-100-python"
    assert cifar100.load(found).train.images.shape == (100, 32, 32, 3)


def test_load_refuses_a_bad_file(tmp_path):
    folder = write_cifar100(tmp_path / "x")
    written(folder / "meta", {"fine_label_names": ["cat"], "x": 1})
    with pytest.raises(DataError, match="meta: 'fine_label_names' is not a list of 100 names"):
        cifar100.load(folder)
    with pytest.raises(DataError, match="meta: 'coarse_label_names' is not a list of 20 names"):
        cifar100.load(folder, coarse=True)
    written(folder / "train", {"data": np.zeros((1, 3072), np.uint8), "labels": [1]})
    write_cifar100(tmp_path / "y")
    shutil.copy(folder / "train", tmp_path / "y/train")
    with pytest.raises(DataError, match="train: no 'coarse_labels' in it, so it is not such a CIF"):
        cifar100.load(tmp_path / "y")
    (folder / "meta").unlink()
    with pytest.raises(DataError, match="meta: no such file"):
        cifar100.load(folder)

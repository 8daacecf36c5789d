"""data/official.py: data sets known by their checksums.

The official pixels are not at hand, so the published checksums are replaced by those of small
files.
"""

import hashlib

import numpy as np
import pytest
from support.cifar_files import batch, written

from tf1cifar.data import base, official


def md5(content):
    return hashlib.md5(content).hexdigest()


def test_tables_name_the_same_files():
    assert official.PICKLES.keys() == official.RECORDS.keys()
    checksums = [md5 for _, md5 in official.PICKLES.values()] + [*official.RECORDS.values()]
    checksums += [md5 for md5s in official.IDX.values() for md5 in md5s]
    assert len(set(checksums)) == 24 and all(len(bytes.fromhex(md5)) == 16 for md5 in checksums)
    assert official.size("data_batch_1") == 31_035_704 and official.size("else") is None


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Two small files that count as the official CIFAR-100."""
    found = []
    for name, images in (("train", 50_000), ("test", 10_000)):
        pixels = np.zeros((images, 4), np.uint8)  # thinner than images, so that the test is quick
        pixels[:, 0] = np.arange(images) % 251
        labels = np.arange(images)[:, None] % np.array([20, 100])
        labels = labels.astype(np.uint8)
        file = written(tmp_path / name, batch(2, filenames=[name]))
        monkeypatch.setitem(official.PICKLES, name, (file.stat().st_size, md5(file.read_bytes())))
        monkeypatch.setitem(official.RECORDS, name,
                            md5(np.concatenate([labels, pixels], axis=1).tobytes()))
        found.append((file, labels, pixels))
    return found


DIFFER = "these are not the official files of CIFAR-100 (their checksums differ): compare accur"


def test_cifar_knows_the_official_files(parts):
    assert official.cifar("CIFAR-100", parts) == ""


def test_cifar_knows_the_official_pixels_in_other_files(parts):
    for file, *_ in parts:
        written(file, batch(2, filenames=["another pickle"]))
    assert official.cifar("CIFAR-100", parts) == ""


@pytest.mark.parametrize("changed", [0, 1])
@pytest.mark.parametrize("what", [1, 2], ids=["labels", "pixels"])
def test_cifar_tells_other_pixels_and_labels(parts, changed, what):
    parts[changed][what][77, 0] ^= 1
    written(parts[changed][0], batch(2, filenames=["another pickle"]))
    assert official.cifar("CIFAR-100", parts).startswith(DIFFER)


def test_cifar_tells_other_numbers_of_images(parts):
    (file, labels, pixels), test = parts
    assert official.cifar("CIFAR-100", [(file, labels[:45_000], pixels[:45_000]), test]) == (
        "these are not the official images of CIFAR-100, but 45,000 and 10,000 for training and "
        "testing: compare accuracies only with runs on the same data")


def idx(split):
    """The MD5s of the two IDX files of a split, which are written as the format says."""
    count = len(split.labels).to_bytes(4, "big")
    size = (28).to_bytes(4, "big")
    return (md5(b"\0\0\x08\3" + count + size + size + split.images.tobytes()),
            md5(b"\0\0\x08\1" + count + split.labels.astype(np.uint8).tobytes()))


def test_mnist(monkeypatch):
    rng = np.random.default_rng(0)
    splits = [base.Split(rng.integers(0, 256, (count, 28, 28, 1)).astype(np.uint8),
                         rng.integers(0, 10, count)) for count in (7, 4, 3, 2)]
    monkeypatch.setitem(official.IDX, "MNIST", idx(splits[0]) + idx(splits[1]))
    monkeypatch.setitem(official.IDX, "Fashion-MNIST", idx(splits[2]) + idx(splits[3]))
    assert official.mnist(splits[:2]) == official.mnist(splits[1:2]) == ""
    for fashion in (splits[2:], splits[3:]):
        assert official.mnist(fashion).startswith("these are the images of Fashion-MNIST under")
    for others in ([splits[0], splits[3]], splits[:1]):
        assert official.mnist(others).startswith("these are not the official images of MNIST")

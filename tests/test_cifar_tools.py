"""cifar_tools.py: the functions of chapter 9, and the names that a reader's script may use."""

import numpy as np
import pytest
from support import cifar_files

import cifar_tools
from tf1cifar.data import cifar10, own_pictures, preparation, safe_pickle


def test_cifar_tools_offers_the_documented_names():
    assert sorted(cifar_tools.__all__) == [
        "DataError", "clean", "download", "find", "load", "read_data", "read_image", "unpickle"]
    assert issubclass(cifar_tools.DataError, ValueError)
    for module in (cifar10, own_pictures, safe_pickle):
        for name in set(cifar_tools.__all__) & set(vars(module)):
            assert getattr(cifar_tools, name) is getattr(module, name)
    for name in cifar_tools.__all__:
        assert name in cifar_tools.__doc__ and getattr(cifar_tools, name).__doc__


def chapter9(data):
    """Chapter 9's definition of clean pixels in float64, planes first, image by image."""
    result = []
    for planes in data.reshape(-1, 3, 32, 32).astype(np.float64):
        pixels = planes.mean(axis=0)[4:28, 4:28].ravel()
        result.append((pixels - pixels.mean()) / max(pixels.std(), 1 / np.sqrt(576)))
    return np.array(result).reshape(-1, 576)


def assert_chapter9(cleaned, data):
    """Check that `cleaned` is chapter 9's result within the rounding of float32."""
    assert cleaned.dtype == np.float32 and cleaned.shape == (len(data), 576)
    np.testing.assert_allclose(cleaned, chapter9(data), rtol=1e-6, atol=1e-6)


EXTREMES = np.repeat(np.uint8([0, 1, 127, 128, 254, 255]), 3072).reshape(6, 3072)
BY_ONE = EXTREMES.copy()
BY_ONE[:, 1024 + 10 * 32 + 10] ^= 1  # one colour of one pixel: the deviation is below 1/24
ONE_WHITE = EXTREMES.copy()
ONE_WHITE[:, 10 * 32 + 10::1024] ^= 255  # one pixel far from the others: the largest results


@pytest.mark.parametrize("data", [
    np.random.default_rng(1).integers(0, 256, (250, 3072)).astype(np.uint8), EXTREMES, BY_ONE,
    ONE_WHITE, np.uint8([[0, 255] * 1536]), np.uint8(np.arange(3072)[None] % 256), EXTREMES[:0]],
    ids=["random", "constant", "nearly constant", "one other", "stripes", "ramp", "none"])
def test_clean_is_chapter_9(data):
    cleaned = cifar_tools.clean(data)
    assert_chapter9(cleaned, data)
    images = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    prepared = preparation.prepare(images, "gray24")
    assert prepared.shape == (len(data), 24, 24, 1)
    np.testing.assert_array_equal(prepared.reshape(-1, 576), cleaned)


def test_clean_of_known_pixels():
    assert not cifar_tools.clean(EXTREMES).any()
    half = np.zeros((1, 3, 32, 32), np.uint8)
    half[:, :, 16:] = 200  # the lower half: mean 100, deviation 100
    np.testing.assert_array_equal(cifar_tools.clean(half.reshape(1, 3072)),
                                  np.repeat(np.float32([[-1, 1]]), 288, axis=1))


def test_clean_refuses_other_shapes():
    for shape in ((3072,), (2, 3071), (2, 3, 1024)):
        with pytest.raises(ValueError, match=r"data has shape .*, expected \(N, 3072\)"):
            cifar_tools.clean(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("split, files", [("train", cifar10.TRAIN_FILES), ("test", ["test_batch"])])
def test_read_data(tiny_cifar, split, files):
    names, data, labels = cifar_tools.read_data(tiny_cifar, split)
    raw = [cifar_tools.unpickle(tiny_cifar / file) for file in files]
    assert names == list(cifar10.CLASS_NAMES)
    assert_chapter9(data, np.concatenate([part["data"] for part in raw]))
    np.testing.assert_array_equal(
        labels, np.concatenate([part["labels"] for part in raw]), strict=True)


def test_read_data_reads_the_training_files_by_default(tiny_cifar):
    assert len(cifar_tools.read_data(str(tiny_cifar))[1]) == 200


def test_read_data_reads_the_binary_version(tmp_path):
    binary = cifar_files.write_binary(tmp_path, 3)
    names, data, labels = cifar_tools.read_data(binary, "test")
    raw = cifar_files.batch(3)
    assert names == list(cifar10.CLASS_NAMES)
    assert_chapter9(data, raw["data"])
    np.testing.assert_array_equal(labels, raw["labels"])


def test_read_data_refuses_an_unknown_split_and_a_missing_file(tiny_cifar, tmp_path):
    with pytest.raises(ValueError, match="split 'tset', expected 'train' or 'test'"):
        cifar_tools.read_data(tiny_cifar, "tset")
    with pytest.raises(cifar_tools.DataError, match=r"batches\.meta: no such file"):
        cifar_tools.read_data(tmp_path)


def test_read_data_says_what_is_wrong_with_the_folder(tiny_cifar, tmp_path):
    with pytest.raises(cifar_tools.DataError, match="nowhere: no such folder$"):
        cifar_tools.read_data(tmp_path / "nowhere")
    with pytest.raises(cifar_tools.DataError, match=f"the files are in {tiny_cifar}; give that"):
        cifar_tools.read_data(tiny_cifar.parent)
    with pytest.raises(cifar_tools.DataError, match="batches.meta: a file, expected a folder"):
        cifar_tools.read_data(tiny_cifar / "batches.meta")

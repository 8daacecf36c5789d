"""data/preparation.py: prepared pixels compared with NumPy in float64."""

import numpy as np
import pytest

from tf1cifar.data import augmentations, preparation
from tf1cifar.data.base import DataError


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)])
@pytest.mark.parametrize("change", [None, augmentations.noise], ids=["uint8", "augmented"])
def test_prepare_against_numpy(shape, change):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (130, *shape)).astype(np.uint8)
    if change:
        images = change(images, rng)
    else:
        images[:5] = images[:5, :1, :1]  # constant except for one value of one pixel
        images[:5, 16, 16, 0] ^= 1
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
    assert expected.keys() == preparation.PREPARATIONS.keys()
    for name, pixels in expected.items():
        found = preparation.prepare(images, name, mean.astype(np.float32))
        assert found.dtype == np.float32
        assert found.shape[1:] == preparation.prepared_shape(shape, name)
        np.testing.assert_allclose(found, pixels, rtol=1e-6,
                                   atol=1e-4 if name == "minus_mean" else 2e-6)


@pytest.mark.parametrize("name", preparation.PREPARATIONS)
def test_prepare_does_not_depend_on_the_other_images(images, name):
    mean = preparation.mean_image(images)
    whole = preparation.prepare(images, name, mean)
    out = np.full_like(whole, np.nan)
    for start in range(0, 120, 50):
        part = slice(start, start + 50)
        preparation.prepare(images[part], name, mean, out[part])
    np.testing.assert_array_equal(out, whole, strict=True)
    assert preparation.prepare(images[:0], name, mean).shape == (0, *whole.shape[1:])


def test_prepare_refuses_bad_arguments():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="preparation 'gray25', expected one of gray24"):
        preparation.prepare(image, "gray25")
    for out in (np.empty((1, 24, 24, 2), np.float32)[..., :1], np.empty((1, 24, 24, 1)),
                np.empty((1, 24, 24, 3), np.float32)):
        with pytest.raises(ValueError, match=r"out is .*expected .* float32 \(1, 24, 24, 1"):
            preparation.prepare(image, "gray24", out=out)
    for name in preparation.PREPARATIONS.keys() - {"gray24"}:
        with pytest.raises(ValueError, match=f"{name} of images with 3 planes summed"):
            preparation.prepare(image, name, np.zeros((32, 32, 3), np.float32), summed=3)
    with pytest.raises(DataError, match="at least 24x24 pixels, these are 32x20"):
        preparation.prepare(np.zeros((1, 32, 20, 3), np.uint8), "gray24")


def test_prepared_shape_of_small_images():
    with pytest.raises(DataError, match="at least 24x24 pixels, these are 20x32"):
        preparation.prepared_shape((20, 32, 3), "gray24")
    assert preparation.prepared_shape((20, 32, 3), "unit") == (20, 32, 3)


def test_sum_planes(images):
    sums = preparation.sum_planes(images)
    np.testing.assert_array_equal(sums, images.sum(3, keepdims=True).astype(np.uint16),
                                  strict=True)
    assert preparation.sum_planes(np.full((1, 2, 2, 3), 255, np.uint8)).tolist() == (
        np.full((1, 2, 2, 1), 765).tolist())


@pytest.mark.parametrize("margin", [0, 4])
@pytest.mark.parametrize("names", [(), ("crop",), ("flip",), ("crop", "flip")])
def test_sum_planes_prepares_to_the_same_bits(images, names, margin):
    """Five images are nearly constant, so their divisor is the lower limit of the deviation."""
    images[:5] = images[:5, :1, :1]
    images[:5, 16, 16, 0] ^= 1
    found, expected = (preparation.prepare(
        augmentations.augment(planes, names, np.random.default_rng(0), margin), "gray24",
        summed=summed) for planes, summed in ((preparation.sum_planes(images), 3), (images, 1)))
    np.testing.assert_array_equal(found, expected, strict=True)


def test_mean_image(images):
    mean = preparation.mean_image(images)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, images.astype(np.float64).mean(0), rtol=1e-6)


def test_load_mean_image_reads_what_write_mean_image_wrote(images, tmp_path):
    mean = preparation.mean_image(images)
    preparation.write_mean_image(tmp_path / "mean.npy", mean)
    np.testing.assert_array_equal(preparation.load_mean_image(tmp_path / "mean.npy"), mean,
                                  strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mean.npy"]


def test_load_mean_image_refuses_bad_files(tmp_path):
    path = tmp_path / "mean.npy"
    with pytest.raises(DataError, match="mean.npy: no such file, .*minus_mean needs it"):
        preparation.load_mean_image(path)
    good = np.ones((4, 5, 3), np.float32)
    for bad in (good.astype(np.float64), good[0], good * np.nan, good.astype(object)):
        np.save(path, bad)
        with pytest.raises(DataError, match="mean.npy: damaged, not a mean image"):
            preparation.load_mean_image(path)
    np.save(path, good)
    content = path.read_bytes()
    for bad in (b"", b"text", content[:-1], content[1:]):
        path.write_bytes(bad)
        with pytest.raises(DataError, match="mean.npy: damaged, not a mean image"):
            preparation.load_mean_image(path)

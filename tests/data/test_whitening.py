"""data/whitening.py: the filters give uncorrelated numbers of variance 1."""

import numpy as np
import pytest

from tf1cifar.data import whitening


def smooth_images(seed, channels, count=200):
    """Images whose neighbouring pixels and whose channels are alike."""
    noise = np.random.default_rng(seed).normal(0, 60, (count, 19, 19, channels))
    for axis in (1, 2):
        noise = noise.cumsum(axis) / 4
    return (noise + noise.mean(3, keepdims=True)).astype(np.float32)


def responses(images, filters, stride=2):
    """The filters' answers [patches, filters], by a loop over all patches."""
    size, answers = len(filters), []
    for row in range(0, images.shape[1] - size + 1, stride):
        for column in range(0, images.shape[2] - size + 1, stride):
            patch = images[:, row:row + size, column:column + size]
            answers.append(np.tensordot(patch.astype(np.float64), filters, 3))
    return np.concatenate(answers)


@pytest.mark.parametrize("size, channels, outputs", [(4, 3, 32), (2, 3, 24), (3, 1, 18)])
def test_filters_whiten_the_patches(size, channels, outputs):
    images = smooth_images(1, channels)
    filters = whitening.filters(images, (size, size, channels, outputs))
    assert filters.shape == (size, size, channels, outputs) and filters.dtype == np.float32
    half = outputs // 2
    np.testing.assert_array_equal(filters[..., half:], -filters[..., :half])
    answers = responses(images, filters[..., :half])
    products = answers.T @ answers / len(answers)
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-3)
    # The number that is added to each variance makes the result at most 1.
    assert np.diag(products)[0] == pytest.approx(1, abs=1e-3) and np.diag(products).max() < 1.001
    assert (np.diff(np.diag(products)) < 1e-6).all(), "the largest component comes first"


def test_filters_are_a_function_of_the_images_alone():
    shape = (4, 4, 3, 32)
    first, again, other = (whitening.filters(smooth_images(seed, 3), shape) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 1e-3


def test_filters_of_images_of_one_colour_are_finite():
    filters = whitening.filters(np.zeros((5, 8, 8, 3), np.float32), (4, 4, 3, 32))
    assert np.isfinite(filters).all()

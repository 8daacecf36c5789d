"""data/augmentations.py: the changes that each augmentation makes, and their limits."""

import numpy as np
import pytest

from tf1cifar.data import augmentations

# 'alternating_flip' mirrors the images that it is told.
RANDOM = [name for name in augmentations.AUGMENTATIONS if name != "alternating_flip"]

# From RGB to lightness and two axes of colour.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def test_crop_moves_each_image_by_up_to_four_pixels(images):
    cropped = augmentations.augment(images, ("crop",), np.random.default_rng(0))
    assert cropped.shape == images.shape and cropped.dtype == images.dtype
    windows = np.lib.stride_tricks.sliding_window_view(images, (24, 24), axis=(1, 2))
    moves = set()
    for window, options in zip(cropped[:, 4:28, 4:28].transpose(0, 3, 1, 2), windows):
        moves.update(zip(*np.nonzero((options == window).all(axis=(2, 3, 4)))))
        assert moves, "the central 24x24 is one of the original's 81"
    assert {row for row, _ in moves} == {column for _, column in moves} == set(range(9))
    assert len(moves) > 50, "rows and columns move on their own"


@pytest.mark.parametrize("margin, size", [(2, 32), (4, 24)])
def test_crop_with_a_margin_gives_the_same_central_pixels(images, margin, size):
    """A crop shifts by 4 pixels, so only a margin of 4 or more can be cut off early."""
    early, late = (augmentations.augment(images, ("crop",), np.random.default_rng(0), m)
                   for m in (margin, 0))
    assert early.shape == (120, size, size, 3)
    edge = (size - 24) // 2
    np.testing.assert_array_equal(early[:, edge:edge + 24, edge:edge + 24],
                                  late[:, 4:28, 4:28], strict=True)


def test_crop_mirrors_at_the_edges(images):
    cropped = augmentations.augment(images, ("crop",), np.random.default_rng(0))
    mirror = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), "reflect")
    for image, padded in zip(cropped, mirror):
        assert any((padded[row:row + 32, column:column + 32] == image).all()
                   for row in range(9) for column in range(9))


def test_flip_mirrors_about_half(images):
    flipped = augmentations.augment(images, ("flip",), np.random.default_rng(0))
    assert flipped.shape == images.shape and flipped.dtype == images.dtype
    same = (flipped == images).all(axis=(1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 40 < mirrored.sum() < 80


def test_shift_moves_each_image_by_up_to_two_pixels(images):
    shifted = augmentations.augment(images, ("shift",), np.random.default_rng(0))
    assert shifted.shape == images.shape and shifted.dtype == images.dtype
    mirror = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    moves = {(row, column) for image, padded in zip(shifted, mirror)
             for row in range(5) for column in range(5)
             if (padded[row:row + 32, column:column + 32] == image).all()}
    assert len(moves) == 25


def test_alternating_mirrors_a_random_half():
    chosen, again, other = (augmentations.alternating(1000, seed) for seed in (5, 5, 6))
    assert chosen.dtype == bool and 430 < chosen.sum() < 570
    np.testing.assert_array_equal(chosen, again)
    assert 400 < (chosen != other).sum() < 600


def test_alternating_flip_mirrors_the_chosen_images(images):
    mirrored = np.arange(len(images)) % 3 == 0
    flipped = augmentations.augment(images, ("alternating_flip",), None, mirrored=mirrored)
    np.testing.assert_array_equal(flipped[mirrored], images[mirrored, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], images[~mirrored])


def test_views_are_three_places_and_their_mirror_images(images):
    weights, found = zip(*augmentations.views(images))
    assert sum(weights) == 1 and weights[0] == weights[1] == 2 * weights[2]
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[2][:, 1:, 1:], images[:, :-1, :-1])
    np.testing.assert_array_equal(found[2][:, 0, 0], images[:, 1, 1])
    np.testing.assert_array_equal(found[4][:, :-1, :-1], images[:, 1:, 1:])
    for view, mirrored in zip(found[::2], found[1::2]):
        np.testing.assert_array_equal(mirrored, view[:, :, ::-1])


def test_augment_without_names_and_with_an_unknown_one(images):
    assert augmentations.augment(images, (), np.random.default_rng(0)) is images
    kept = images.copy()
    augmentations.augment(images, RANDOM, np.random.default_rng(0))
    np.testing.assert_array_equal(images, kept, "the data set itself is not changed")
    with pytest.raises(ValueError, match="augmentation flop, expected one of scale, crop, shift"):
        augmentations.augment(images, ("flip", "flop"), np.random.default_rng(0))


def make(name, images, seed=0):
    return augmentations.augment(images, (name,), np.random.default_rng(seed))


@pytest.mark.parametrize("name", RANDOM)
def test_augment_depends_on_the_generator_alone(name, images):
    first, again, other = make(name, images), make(name, images), make(name, images, seed=1)
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first != images).any()


def test_brightness_adds_one_number_to_an_image(images):
    added = make("brightness", images) - images
    assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-4
    amounts = added[:, 0, 0, 0]
    assert amounts.min() < -50 and amounts.max() > 50 and abs(amounts).max() <= 63
    assert abs(amounts.mean()) < 12


def test_contrast_spreads_every_plane_about_its_mean(images):
    changed, exact = make("contrast", images), images.astype(np.float64)
    means = exact.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(changed.mean((1, 2), keepdims=True), means, rtol=1e-4)
    factors = ((changed - means) * (exact - means)).sum((1, 2, 3)) / (
        (exact - means) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(
        changed, means + factors[:, None, None, None] * (exact - means), atol=0.01)
    assert 0.2 <= factors.min() < 0.4 and 1.6 < factors.max() <= 1.8


def test_hue_keeps_lightness_and_gray(images):
    changed = make("hue", images)
    lightness = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(changed @ lightness, images @ lightness, atol=0.01)
    gray = np.repeat(images[..., :1], 3, axis=-1)
    np.testing.assert_allclose(make("hue", gray), gray, atol=0.05)
    with pytest.raises(ValueError, match="hue needs colours"):
        make("hue", images[..., :1])


def test_hue_turns_by_at_most_a_tenth(images):
    """The angle in the plane of colours, measured on pure red."""
    red = np.zeros((200, 1, 1, 3), np.uint8)
    red[..., 0] = 200
    _, i, q = YIQ @ np.array([200.0, 0, 0])
    turned = make("hue", red)[:, 0, 0] @ YIQ.T
    np.testing.assert_allclose(np.hypot(turned[:, 1], turned[:, 2]), np.hypot(i, q), rtol=1e-3)
    turns = (np.arctan2(turned[:, 2], turned[:, 1]) - np.arctan2(q, i)) / (2 * np.pi)
    assert abs(turns).max() <= 0.1 + 1e-4 and turns.min() < -0.08 and turns.max() > 0.08


def test_noise_is_normal(images):
    added = make("noise", images) - images
    assert abs(added.mean()) < 0.1 and added.std() == pytest.approx(10, rel=0.02)
    assert np.mean(abs(added) < 10) == pytest.approx(0.6827, abs=0.01)


def test_scale_zooms_about_the_middle():
    """A ramp from left to right stays a ramp with another slope; its middle does not move."""
    ramp = np.broadcast_to(np.arange(0, 32, dtype=np.uint8)[:, None] * 4, (300, 32, 32, 3))
    changed = make("scale", ramp)
    np.testing.assert_allclose(changed[:, :, 15:17].mean(2), 62, atol=1e-3)
    slopes = 4 / (changed[:, 5, 16, 0] - changed[:, 5, 15, 0])
    assert 1 / 1.2 - 1e-3 <= slopes.min() < 0.87 and 1.15 < slopes.max() <= 1.2 + 1e-3
    inner = changed[:, :, 6:26, 0]
    np.testing.assert_allclose(np.diff(inner, axis=2),
                               np.broadcast_to((4 / slopes)[:, None, None], (300, 32, 19)),
                               atol=1e-2)

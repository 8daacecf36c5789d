"""data/feed.py: the batches of a training run, and the work between two session.runs."""

import concurrent.futures
import dataclasses
import os
import sys
import threading

import numpy as np
import pytest

from tf1cifar.data import augmentations, preparation
from tf1cifar.data.base import Split
from tf1cifar.data.feed import (
    Feed,
    batch_indices,
    lower_thread_priority,
    part_bounds,
    smallest_batch,
)
from tf1cifar.recipes import Recipe

RECIPE = Recipe(batch_size=50, order="shuffled", augment=("crop", "flip"), seed=7, epochs=4,
                summary_every=0)  # of 120 images: batches of 50, 50 and 20
EVERY = tuple(name for name in augmentations.AUGMENTATIONS if name != "alternating_flip")


def feed(split, **changes):
    return Feed(dataclasses.replace(RECIPE, **changes), split)


# ---------------------------------------------------------------------------------------
# Indices


def indices(step, order, seed=7, size=120):
    return batch_indices(size, step, batch_size=50, order=order, seed=seed)


@pytest.mark.parametrize("order", ["shuffled", "in_order"])
def test_batch_indices_of_an_epoch_are_every_image_once(order):
    epochs = []
    for epoch in range(3):
        parts = [indices(3 * epoch + i, order) for i in range(3)]
        assert [len(part) for part in parts] == [50, 50, 20]
        epochs.append(np.concatenate(parts).tolist())
        assert sorted(epochs[-1]) == list(range(120))
    if order == "shuffled":
        assert len({tuple(epoch) for epoch in [*epochs, range(120)]}) == 4
    else:
        assert epochs == [list(range(120))] * 3


@pytest.mark.parametrize("order", ["shuffled", "in_order", "with_replacement"])
def test_batch_indices_depend_on_their_arguments_alone(order):
    in_order = [indices(step, order) for step in range(6)]
    for step in (5, 0, 3):
        np.testing.assert_array_equal(indices(step, order), in_order[step], strict=True)
        assert in_order[step].dtype == np.int64
    assert (order == "in_order") == (indices(0, order, seed=8) == in_order[0]).all()


def test_batch_indices_with_replacement_are_independent():
    chosen = np.concatenate([indices(step, "with_replacement") for step in range(60)])
    counts = np.bincount(chosen, minlength=120)
    assert len(chosen) == 3000, "every batch is full"
    # The mean is 25; always 25 would show that the draws are not independent.
    assert 2.5 < counts.std() < 8 and counts.min() > 5


@pytest.mark.parametrize("order, step, expected", [
    ("shuffled", 0, [58, 110, 19, 28]), ("shuffled", 5, [84, 51, 106, 75]),
    ("with_replacement", 3, [70, 97, 13, 3])])
def test_batch_indices_are_those_of_older_versions(order, step, expected):
    """A run of an older version is resumed with the images that it would have seen."""
    assert indices(step, order)[:4].tolist() == expected


# ---------------------------------------------------------------------------------------
# Batches


def test_feed_counts_steps(numbered):
    assert (feed(numbered).steps_per_epoch, feed(numbered).total_steps) == (3, 12)
    assert feed(numbered, batch_size=40).steps_per_epoch == 3
    assert feed(numbered, steps=7).total_steps == 7


def test_epoch_end_and_ends_epoch(numbered):
    for steps, ends in ((0, [3, 6, 9, 12]), (7, [3, 6, 7])):
        one = feed(numbered, steps=steps)
        assert [step for step in range(1, ends[-1] + 1) if one.ends_epoch(step)] == ends
        assert sorted({one.epoch_end(step) for step in range(ends[-1])}) == ends
        assert all(step < one.epoch_end(step) <= step + 3 for step in range(ends[-1]))


@pytest.mark.parametrize("start, count, expected", [
    (0, 1, 50), (1, 1, 50), (2, 1, 20), (3, 2, 100), (5, 1, 20)])
def test_images_seen(numbered, start, count, expected):
    one = feed(numbered)
    assert one.images_seen(start, count) == expected
    assert sum(len(one.batch(start + i)[1]) for i in range(count)) == expected


@pytest.mark.parametrize("name", preparation.PREPARATIONS)
def test_feed_prepares_images_that_are_not_augmented(numbered, name):
    one = feed(numbered, preparation=name)
    mean = preparation.mean_image(numbered.images)
    assert one.mean is None if name != "minus_mean" else (one.mean == mean).all()
    found = one.prepare(numbered.images[:9])
    assert found.shape == (9, *one.image_shape)
    np.testing.assert_array_equal(found, preparation.prepare(numbered.images[:9], name, mean),
                                  strict=True)


@pytest.mark.parametrize("name", preparation.PREPARATIONS)
def test_resident_parts_are_all_prepared_images(name):
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (2300, 24, 24, 3)).astype(np.uint8), np.arange(2300))
    one = feed(split, preparation=name, augment=(), steps_per_run=4)
    starts, images, labels = zip(*one.resident_parts())
    assert [(start, len(part)) for start, part in zip(starts, labels)] == [
        (0, 1000), (1000, 1000), (2000, 300)]
    np.testing.assert_array_equal(np.concatenate(images), one.prepare(split.images), strict=True)
    np.testing.assert_array_equal(np.concatenate(labels), split.labels, strict=True)


def test_batch_depends_on_seed_and_step_alone(numbered):
    one, other = feed(numbered), feed(numbered)
    in_order = [one.batch(step) for step in range(6)]
    for step in (5, 0, 3):
        for found, expected in zip(other.batch(step), in_order[step]):
            np.testing.assert_array_equal(found, expected, strict=True)
    assert in_order[0][0].dtype == np.float32 and in_order[0][0].shape == (50, 24, 24, 1)
    assert in_order[0][1].dtype == np.int64 and in_order[2][1].shape == (20,)
    assert (feed(numbered, seed=8).batch(0)[1] != in_order[0][1]).any()
    unshuffled = [feed(numbered, seed=seed, order="in_order").batch(0)[0] for seed in (7, 8)]
    assert (unshuffled[0] != unshuffled[1]).any(), "the augmentations differ too"


@pytest.mark.parametrize("order", ["shuffled", "in_order", "with_replacement"])
def test_batch_keeps_images_with_their_labels(numbered, order):
    pixels, labels = feed(numbered, order=order, augment=()).batch(4)
    np.testing.assert_array_equal(labels, indices(4, order), strict=True)
    np.testing.assert_array_equal(pixels, preparation.prepare(numbered.images[labels], "gray24"))


def test_batch_is_augmented_anew_in_every_epoch(numbered):
    flips = feed(numbered, order="in_order", augment=("flip",))
    first, again = flips.batch(1), flips.batch(4)
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != again[0]).any()


@pytest.mark.parametrize("name", preparation.PREPARATIONS)
@pytest.mark.parametrize("augment", [(), ("crop", "flip"), ("flip", "hue"), ("brightness", "crop"),
                                     EVERY], ids=" ".join)
def test_batch_is_augment_then_prepare(numbered, name, augment):
    """Planes that are summed once change no bit."""
    mean = preparation.mean_image(numbered.images)
    found, labels = feed(numbered, preparation=name, augment=augment).batch(4)
    changed = augmentations.augment(numbered.images[labels], augment,
                                    np.random.default_rng((7, 4, 1)),
                                    margin=(32 - found.shape[1]) // 2)
    np.testing.assert_array_equal(found, preparation.prepare(changed, name, mean), strict=True)


@pytest.mark.parametrize("name", ["gray24", "unit"])
def test_batch_of_gray_images(numbered, name):
    gray = numbered._replace(images=numbered.images[..., :1])
    found, labels = feed(gray, preparation=name, augment=()).batch(0)
    np.testing.assert_array_equal(found, preparation.prepare(gray.images[labels], name))


@pytest.mark.parametrize("augment, sums", [
    ((), True), (("crop", "flip"), True), (("flip", "hue"), False), (("brightness",), False)])
def test_feed_sums_planes_once_if_augmentations_only_move_pixels(
        numbered, monkeypatch, augment, sums):
    calls, sum_planes = [], preparation.sum_planes
    monkeypatch.setattr(preparation, "sum_planes",
                        lambda images: calls.append(images) or sum_planes(images))
    one = feed(numbered, augment=augment)
    one.batch(0)
    one.batch(1)
    assert len(calls) == sums
    feed(numbered, augment=augment, preparation="standardized24").batch(0)
    assert len(calls) == sums


def test_alternating_flip_shows_each_image_in_both_ways_in_two_epochs(numbered):
    """The images of a batch are mirrored as their number, the epoch and the seed say."""
    one = feed(numbered, augment=("alternating_flip",), preparation="unit", epochs=4)
    ways = np.full((4, 120), -1)
    for step in (7, 0, 11, 1, 2, 3, 10, 4, 5, 6, 8, 9):  # resumed at any step
        for image, number in zip(one.batch(step)[0], one.indices(step, 1)[0]):
            plain = numbered.images[number] / np.float32(255)
            mirrored = (image != plain).any()
            ways[step // 3, number] = mirrored
            np.testing.assert_array_equal(image, plain[:, ::-1] if mirrored else plain)
    assert 40 < ways[0].sum() < 80
    np.testing.assert_array_equal(ways, [ways[0], 1 - ways[0], ways[0], 1 - ways[0]])


def test_sample_is_spread_over_the_images(numbered):
    one = feed(numbered, preparation="unit")
    np.testing.assert_array_equal(one.sample(30), numbered.images[::4] / np.float32(255))
    assert one.sample(50).shape == (50, 32, 32, 3)
    assert one.sample(1000).shape == (120, 32, 32, 3)


def test_feed_leaves_the_images_as_they_are(numbered):
    kept = numbered.images.copy()
    feed(numbered, augment=EVERY).batch(0)
    np.testing.assert_array_equal(numbered.images, kept)


def test_indices(numbered):
    one = feed(numbered, steps_per_run=2, augment=())
    np.testing.assert_array_equal(
        one.indices(3, 2), [indices(3, "shuffled"), indices(4, "shuffled")], strict=True)
    assert one.indices(5, 1).shape == (1, 20)


# ---------------------------------------------------------------------------------------
# Which steps one session.run takes


def lengths(one, end):
    """Numbers of steps of the session.runs up to `end`, epoch by epoch."""
    step, found = 0, []
    while step < end:
        found.append(one.steps_until(step, min(one.epoch_end(step), end)))
        step += found[-1]
    assert step == end
    return found


def test_steps_until_takes_one_step_by_default(numbered):
    assert lengths(feed(numbered), 12) == [1] * 12


@pytest.mark.parametrize("changes, expected", [
    ({}, [2, 1, 2, 1, 2]),  # the last batch of an epoch is smaller
    ({"batch_size": 40}, [3, 3, 2]),
    ({"batch_size": 20}, [4, 2, 2]),
    ({"batch_size": 20, "steps_per_run": 100}, [6, 2]),
    ({"batch_size": 20, "checkpoint_every": 3}, [3, 3, 2]),
    ({"batch_size": 20, "summary_every": 2}, [2, 2, 2, 2]),
    ({"batch_size": 20, "summary_every": 4, "checkpoint_every": 3}, [3, 1, 2, 2])])
def test_steps_until_stops_for_work_between_steps(numbered, changes, expected):
    recipe = {"augment": (), "steps_per_run": 4, **changes}
    assert lengths(feed(numbered, **recipe), 8) == expected


@pytest.mark.parametrize("start, end", [(0, 9), (2, 3), (4, 9), (0, 0)])
def test_runs_are_the_batches_in_order(numbered, start, end):
    found = list(feed(numbered).runs(start, end))
    assert [count for count, _ in found] == [1] * (end - start)
    for step, (_, arrays) in zip(range(start, end), found):
        for array, expected in zip(arrays, feed(numbered).batch(step)):
            np.testing.assert_array_equal(array, expected, strict=True)


def test_runs_of_several_steps_are_indices(numbered):
    one = feed(numbered, augment=(), steps_per_run=4, batch_size=20)
    found = list(one.runs(7, 12))
    assert [count for count, _ in found] == [4, 1]
    for (count, (chosen,)), step in zip(found, (7, 11)):
        np.testing.assert_array_equal(chosen, one.indices(step, count), strict=True)


def test_runs_can_be_closed_early(numbered):
    runs = feed(numbered).runs(0, 12)
    next(runs)
    runs.close()
    assert not list(runs)


def test_runs_raise_the_errors_of_preparing(numbered, monkeypatch):
    one = feed(numbered)

    def fails(*_):
        raise MemoryError("no memory")

    monkeypatch.setattr(augmentations, "augment", fails)
    with pytest.raises(MemoryError, match="no memory"):
        list(one.runs(0, 3))


@pytest.mark.parametrize("order, images", [("shuffled", [4, 4, 2]), ("with_replacement", [4] * 3)])
def test_images_seen_is_the_size_of_the_batches(order, images):
    split = Split(np.zeros((10, 24, 24, 1), np.uint8), np.arange(10))
    four = feed(split, batch_size=4, order=order, augment=())
    assert [four.images_seen(step, 1) for step in range(3)] == images
    assert [len(four.batch(step)[1]) for step in range(3)] == images
    assert four.images_seen(3, 3) == sum(images)


@pytest.mark.parametrize("name", ["getpriority", "setpriority"])
def test_lower_thread_priority_may_be_forbidden(name, monkeypatch):
    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, name, forbidden)
    lower_thread_priority()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_lower_thread_priority_leaves_other_threads_alone():
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def lowered():
        lower_thread_priority()
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        assert thread.submit(lowered).result() == min(before + 10, 19)
        thread.submit(lowered).result()  # at its limit, and without the right to go back
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.parametrize("preparation", ["gray24", "standardized24", "unit", "minus_mean"])
@pytest.mark.parametrize("size", [24, 28, 32, 36, 50, 64, 100, 128])
def test_feed_makes_batches_of_one_shape_from_images_of_any_size(preparation, size):
    """With a crop, and with another augmentation, for which the planes are not summed."""
    rng = np.random.default_rng(size)
    split = Split(rng.integers(0, 256, (6, size, size, 3)).astype(np.uint8), np.arange(6))
    for augment in ((), ("crop", "flip"), ("crop", "brightness")):
        recipe = Recipe(preparation=preparation, augment=augment, batch_size=4,
                        dataset="folders", image_size=size)
        feed = Feed(recipe, split)
        images, _ = feed.batch(0)
        side = size if "24" not in preparation else max(24, size * 3 // 4)
        assert images.shape == (4, side, side, 1 if preparation == "gray24" else 3)
        assert images.shape[1:] == feed.image_shape == feed.prepare(split.images).shape[1:]
        if "24" in preparation:  # each image keeps its own mean and deviation
            np.testing.assert_allclose(images.mean((1, 2, 3)), 0, atol=1e-4)
            np.testing.assert_allclose(images.std((1, 2, 3)), 1, atol=1e-3)


# ---------------------------------------------------------------------------------------
# Parts of several tasks


@pytest.mark.parametrize("images, tasks, expected", [
    (10, 3, [0, 3, 6, 10]), (9, 3, [0, 3, 6, 9]), (3, 3, [0, 1, 2, 3])])
def test_part_bounds(images, tasks, expected):
    assert part_bounds(images, tasks) == expected


def test_smallest_batch():
    assert [smallest_batch(size, 50, "shuffled") for size in (120, 100, 20)] == [20, 50, 20]
    assert smallest_batch(120, 50, "with_replacement") == 50


@pytest.mark.parametrize("augment", [
    (), tuple(set(augmentations.AUGMENTATIONS) - {"flip"}), ("crop", "flip")],
    ids=["none", "all", "crop, flip"])
def test_parts_are_the_rows_of_the_whole_batch(numbered, augment):
    """Every random number is that of the image's row, whichever task draws it."""
    changes = dict(augment=augment, preparation="standardized24")
    tasks = [Feed(dataclasses.replace(RECIPE, **changes), numbered, part=(index, 3))
             for index in range(3)]
    for step in (0, 2):
        images, labels = feed(numbered, **changes).batch(step)
        parts = [task.arrays(step, 1) for task in tasks]
        assert [part[2] for part in parts] == [part_bounds(len(labels), 3)] * 3
        assert [len(part[1]) for part in parts] == np.diff(parts[0][2]).tolist()
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)
        np.testing.assert_allclose(np.concatenate([part[0] for part in parts]), images, atol=1e-5)


def test_parts_of_resident_images_are_indices(numbered):
    changes = dict(augment=(), steps_per_run=2)
    tasks = [Feed(dataclasses.replace(RECIPE, **changes), numbered, part=(index, 3))
             for index in range(3)]
    whole = feed(numbered, **changes).indices(0, 2)
    parts = [task.arrays(0, 2) for task in tasks]
    assert all(part[1] == [0, 16, 33, 50] for part in parts)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], 1), whole)

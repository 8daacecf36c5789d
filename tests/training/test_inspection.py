"""inspection.py: against other computations of the same network."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import graph
from tf1cifar.data import preparation
from tf1cifar.training import evaluation, inspection, restore


@pytest.fixture
def restored(whole_run):
    """(session on the graph of `whole_run`, the folder)."""
    with restore.restored(whole_run) as (session, _):
        yield session, whole_run


def test_filters_are_those_of_the_start_and_of_the_checkpoint(restored, recipe):
    session, folder = restored
    found = inspection.filters(session)
    assert [weights.name for weights in found] == ["conv1", "conv2"]
    with tf.Graph().as_default(), tf.Session() as fresh:
        graph.build(recipe, (24, 24, 1), 10, 180)
        fresh.run(tf.global_variables_initializer())
        start = fresh.run([tf.trainable_variables(f"conv{number}/weights")[0]
                           for number in (1, 2)])
    reader = tf.train.load_checkpoint(folder.checkpoint_path())
    for weights, before in zip(found, start):
        np.testing.assert_array_equal(weights.before, before)
        np.testing.assert_array_equal(weights.after, reader.get_tensor(f"{weights.name}/weights"))
        assert (weights.before != weights.after).any()
    assert inspection.pixel_weights(session, (24, 24, 1)) is None


def test_layers_and_peaks_are_of_the_activations(restored, dataset):
    session, _ = restored
    layers = inspection.layers()
    assert [node.op.name for node in layers.values()] == ["conv1/relu", "conv2/relu"]

    def prepare(images):
        return preparation.prepare(images, "gray24")

    result = evaluation.evaluate(session, dataset.test, prepare,
                                 [inspection.peaks(node) for node in layers.values()])
    pixels = prepare(dataset.test.images)
    for node, values in zip(layers.values(), result.fetched):
        maps = session.run(node, {"images:0": pixels})
        np.testing.assert_allclose(values, maps.max((1, 2)), rtol=1e-4, atol=1e-6)
    assert result.probabilities.shape == (40, 10)
    np.testing.assert_array_equal(result.probabilities.argmax(1), result.predictions)


def test_exciting_images_have_a_frame_around_what_counts(restored, dataset):
    session, _ = restored
    pixels = preparation.prepare(dataset.test.images, "gray24")
    for name, size in (("conv1", 5), ("conv2", 14)):  # 5 + (2 - 1) + 4 * 2 = 14
        node = inspection.layers()[name]
        values = session.run(inspection.peaks(node), {"images:0": pixels})
        chosen = [int(number) for number in np.argsort(-values.max(0))[:2]]
        numbers, boxes = inspection.exciting_images(session, node, values,
                                                    lambda rows: pixels[rows], chosen, 3)
        assert numbers.shape == (2, 3) and boxes.shape == (2, 3, 4)
        for number, row, frames in zip(chosen, numbers, boxes):
            assert row.tolist() == np.argsort(-values[:, number], kind="stable")[:3].tolist()
            left, top, width, height = frames[0]
            assert 0 < width <= size and 0 < height <= size
            inside = np.zeros((24, 24, 1), bool)
            inside[top:top + height, left:left + width] = True
            changed = pixels[row[:1]].copy()
            changed[0][~inside] = 0  # the peak itself needs no other pixel
            peak = session.run(node, {"images:0": changed})[0, ..., number].max()
            assert peak >= values[row[0], number] * 0.999


def test_covered_is_the_fall_of_the_probability():
    """A network that looks at one pixel alone."""
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, 12, 12, 1], "images")
        tf.nn.softmax(tf.stack([4 * images[:, 5, 8, 0], 0 * images[:, 0, 0, 0]], 1),
                      name="probabilities")
        pixels = np.zeros((1, 12, 12, 1), np.float32)
        pixels[0, 5, 8] = 1
        falls, (row,) = inspection.covered(session, pixels, np.array([[0, 1]]))
    before, after = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-4 / 144))
    assert row[0] == pytest.approx(before, rel=1e-5)
    np.testing.assert_allclose(falls[0, 0], -falls[0, 1], atol=1e-6)
    assert falls[0, 0, 5, 8] == pytest.approx(before - after, rel=1e-5)
    assert falls[0, 0].max() == falls[0, 0, 5, 8]
    rows, columns = np.nonzero(falls[0, 0] > 1e-6)  # a square of 3 pixels reaches 2 further
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 7, 6, 10)

"""Sums over tasks: two parts of a batch, on two logical devices of one process, against NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import parts
from tf1cifar.networks import layers

ROWS, COUNT = 7, 2
BOUNDS = [0, 3, 7]


@pytest.fixture
def towers():
    """A session with two devices, and the parts of the two tasks that would have one each."""
    config = tf.ConfigProto(device_count={"CPU": COUNT})
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        yield session, [parts.Part(index, COUNT, 10) for index in range(COUNT)]


def on_each(towers, function, whole):
    """The values of function(part, its rows of `whole`), one for each part."""
    session, tower_parts = towers
    results, feed = [], {}
    for part in tower_parts:
        with tf.device(f"/cpu:{part.index}"), tf.variable_scope("", reuse=tf.AUTO_REUSE):
            x = tf.placeholder(tf.float32, [None, *whole.shape[1:]])
            feed.update({part.bounds: BOUNDS, x: whole[BOUNDS[part.index]:BOUNDS[part.index + 1]]})
            with part.building():
                results.append(function(part, x))
    session.run(tf.global_variables_initializer())
    return session.run(results, feed)


def test_current_is_the_part_that_is_being_built(towers):
    assert parts.current() is None
    with towers[1][1].building():
        assert parts.current() is towers[1][1]
    assert parts.current() is None


def test_moments_are_those_of_the_whole_batch(towers):
    whole = 1000 + np.random.default_rng(1).normal(size=(ROWS, 5, 2)).astype(np.float32)
    for mean, variance in on_each(towers, lambda part, x: part.moments(x), whole):
        np.testing.assert_allclose(mean, whole.mean((0, 1), np.float64), rtol=1e-6)
        np.testing.assert_allclose(variance, whole.var((0, 1), np.float64), rtol=1e-3)


def test_moments_have_the_gradients_of_the_whole_batch(towers):
    """Of f = sum over channels of a mean + b variance: a / n + 2 b (x - mean) / n."""
    whole = np.random.default_rng(2).normal(size=(ROWS, 3)).astype(np.float32)
    a, b = np.float32([1, 2, 3]), np.float32([3, -1, 2])

    def gradient(part, x):
        mean, variance = part.moments(x)
        # Each task has its share of the loss.
        return tf.gradients(part.share * tf.reduce_sum(a * mean + b * variance), x)[0]

    expected = a / ROWS + 2 * b * (whole - whole.mean(0)) / ROWS
    np.testing.assert_allclose(np.concatenate(on_each(towers, gradient, whole)), expected,
                               rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [1, 3, 8, 25])
def test_random_bits_are_those_that_one_process_draws(towers, width):
    seed = tf.constant([5, 9], tf.int64)
    size = ROWS * width
    bits = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32)
    expected = towers[0].run(tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size])
    drawn = on_each(towers, lambda part, x: parts.random_bits(x, seed), np.zeros((ROWS, width)))
    np.testing.assert_array_equal(np.concatenate(drawn), expected)


def test_batch_norm_and_dropout_compute_on_the_whole_batch(towers):
    """The same layers without a part, on the whole batch."""
    whole = np.random.default_rng(3).normal(size=(ROWS, 4, 4, 3)).astype(np.float32)
    tf.train.create_global_step()

    def network(part, x):
        x = layers.dropout(x, 0.4, tf.constant(True))
        return layers.batch_norm(x, tf.constant(True), 0.9)

    got = np.concatenate(on_each(towers, network, whole))
    with tf.variable_scope("", reuse=True):
        expected = towers[0].run(network(None, tf.constant(whole)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert (expected == 0).sum() == 0  # batch norm moves the dropped numbers


def test_whole_batch_adds_gradients_loss_hits_and_signals(towers):
    session, tower_parts = towers
    weights = tf.get_variable("weights", [2, 3])
    fetches = []
    for part in tower_parts:
        with tf.device(f"/cpu:{part.index}"):
            own = tf.fill([2, 3], 10.0 ** part.index)
            gradients, loss, hits = part.whole_batch(
                [(own, weights)], tf.constant(1.0 + part.index), tf.constant(2.0, tf.float64))
        assert gradients[0][1] is weights
        fetches.append((gradients[0][0], loss, hits, part.signals, part.accuracy, part.loss))
    feed = {part.bounds: BOUNDS for part in tower_parts} | {tower_parts[1].signal: 15}
    for gradient, loss, hits, signals, accuracy, again in session.run(fetches, feed):
        np.testing.assert_array_equal(gradient, np.full((2, 3), 11))
        assert loss == again == pytest.approx((1 * 3 + 2 * 4) / 7)
        assert (hits, signals.tolist(), accuracy) == (4, [0, 15], pytest.approx(4 / 7))

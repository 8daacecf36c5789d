"""The losses, compared with independent NumPy code."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import losses, recipes


def logits_and_labels():
    rng = np.random.default_rng(3)
    return rng.normal(size=(8, 10)) * 3, rng.integers(0, 10, 8)


def value(name):
    """The loss called `name` of `logits_and_labels`, computed by TensorFlow."""
    logits, labels = logits_and_labels()
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(losses.LOSSES[name](tf.constant(logits, tf.float32),
                                               tf.constant(labels, tf.int64)))


def test_losses_have_the_names_that_recipes_accept():
    assert tuple(losses.LOSSES) == recipes.LOSSES


def test_softmax_cross_entropy_equals_numpy():
    logits, labels = logits_and_labels()
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(8), labels]
    assert value("softmax_cross_entropy") == pytest.approx(expected.mean(), rel=1e-5)


def test_hinge_equals_numpy():
    logits, labels = logits_and_labels()
    signs = np.where(np.arange(10) == labels[:, None], 1.0, -1.0)
    assert value("hinge") == pytest.approx(np.maximum(0, 1 - signs * logits).mean(), rel=1e-5)


def test_multiclass_hinge_equals_numpy():
    logits, labels = logits_and_labels()
    margins = np.maximum(0, logits - logits[np.arange(8), labels][:, None] + 1)
    margins[np.arange(8), labels] = 0
    assert value("multiclass_hinge") == pytest.approx(margins.sum(1).mean(), rel=1e-5)


def test_add_l2_regularizes_the_variables_of_the_collection_weights():
    numbers = np.random.default_rng(0).normal(size=(2, 3, 4))
    with tf.Graph().as_default(), tf.Session() as session:
        weights = [tf.get_variable(name, [3, 4], initializer=tf.constant_initializer(initial))
                   for name, initial in zip("ab", numbers)]
        tf.get_variable("biases", [4], initializer=tf.ones_initializer())
        for variable in weights:
            tf.add_to_collection(tf.GraphKeys.WEIGHTS, variable)
        losses.add_l2(0.25)
        session.run(tf.global_variables_initializer())
        items = session.run(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES))
    np.testing.assert_allclose(items, 0.25 * (numbers ** 2).sum((1, 2)) / 2, rtol=1e-5)

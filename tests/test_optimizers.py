"""optimizers.py: Muon, against NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import optimizers


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (12, 12)])
def test_orthogonal_factor_keeps_the_singular_vectors(shape):
    rng = np.random.default_rng(3)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    matrix = (u * np.linspace(1, 5, len(v))) @ v
    with tf.Graph().as_default(), tf.Session() as session:
        factor = session.run(optimizers.orthogonal_factor(tf.constant(matrix, tf.float32)))
    inner = u.T @ factor @ v.T
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-5)
    assert np.diag(inner).min() > 0.65 and np.diag(inner).max() < 1.25


def test_orthogonal_factor_of_zeros_is_zero():
    with tf.Graph().as_default(), tf.Session() as session:
        assert not session.run(optimizers.orthogonal_factor(tf.zeros([4, 3]))).any()


def singular_values(values):
    """Three times the published polynomial, on singular values."""
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values ** 3 + 2.0315 * values ** 5
    return values


@pytest.mark.parametrize("shape", [(3, 3, 2, 5), (3, 3, 4, 60), (7,), (6, 4)])
def test_muon_makes_orthogonal_steps_of_filters_and_nesterov_steps_of_the_rest(shape):
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(3, *shape))
    start = rng.normal(size=shape)
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("x", initializer=start.astype(np.float32))
        gradient = tf.placeholder(tf.float32, shape)
        step = optimizers.Muon(lambda: 0.12, lambda: 0.5, 0.6).apply_gradients(
            [(gradient, variable)])
        session.run(tf.global_variables_initializer())
        for value in gradients:
            session.run(step, {gradient: value})
        result = session.run(variable)
    expected, velocity = start.copy(), np.zeros(shape)
    for value in gradients:
        velocity = 0.6 * velocity + value
        ahead = value + 0.6 * velocity
        if len(shape) != 4:
            expected -= 0.5 * ahead
            continue
        u, s, v = np.linalg.svd(ahead.reshape(-1, shape[3]), full_matrices=False)
        expected *= np.sqrt(shape[3]) / np.linalg.norm(expected)
        expected -= 0.12 * ((u * singular_values(s / np.linalg.norm(s))) @ v).reshape(shape)
    np.testing.assert_allclose(result, expected, atol=2e-5)

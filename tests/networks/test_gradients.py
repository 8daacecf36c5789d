"""The faster gradients against TensorFlow's own, and against sums in float64."""

import importlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar.networks import gradients, layers


def run(tensors):
    """The values of tensors in the default graph, with initialized variables."""
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


@pytest.mark.parametrize("dtype, tolerance", [(tf.float32, 1e-5), (tf.bfloat16, 0.02)])
def test_convolution_in_sequence_has_tensorflows_gradients(dtype, tolerance):
    rng = np.random.default_rng(6)
    with tf.Graph().as_default():
        x = tf.constant(rng.normal(size=(2, 9, 8, 3)), dtype)
        filters = tf.constant(rng.normal(size=(5, 5, 3, 4)), dtype)
        dy = tf.constant(rng.normal(size=(2, 9, 8, 4)), dtype)
        with gradients.convolution_in_sequence():
            y = tf.nn.conv2d(x, filters, 1, "SAME")
        plain = tf.nn.conv2d(x, filters, 1, "SAME")
        values, right = run([[tf.cast(g, tf.float32) for g in tf.gradients(y, [x, filters], dy)]
                             for y in (y, plain)])
    for value, expected in zip(values, right):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


def test_convolution_in_sequence_computes_one_gradient_after_the_other():
    with tf.Graph().as_default() as graph:
        x, filters = tf.zeros([1, 4, 4, 2]), tf.zeros([3, 3, 2, 5])
        with gradients.convolution_in_sequence():
            y = tf.nn.conv2d(x, filters, 1, "SAME")
        tf.gradients(y, [x, filters])
        kinds = ("Conv2DBackpropFilter", "Conv2DBackpropInput")
        (filter_gradient,), (input_gradient,) = (
            [op for op in graph.get_operations() if op.type == kind] for kind in kinds)
        assert input_gradient.control_inputs == [filter_gradient]


@pytest.mark.parametrize("pool", [None, (2, 2)])
def test_bias_sum_adds_up_many_bfloat16_numbers_accurately(pool):
    """TensorFlow's own gradient accumulates in bfloat16, with errors of a tenth."""
    rng = np.random.default_rng(4)
    with tf.Graph().as_default():
        x = tf.constant(rng.normal(size=(64, 24, 24, 3)), tf.bfloat16)
        y = layers.conv2d(x, 8, 3, tf.initializers.he_normal(seed=1), tf.zeros_initializer(),
                          layers.relu, pool)
        dy = tf.constant(rng.normal(size=y.shape), tf.bfloat16)
        (biases,) = tf.trainable_variables("biases")
        y, dy, gradient = run([tf.cast(value, tf.float32)
                               for value in (y, dy, tf.gradients(y, biases, dy)[0])])
    expected = (dy.astype(np.float64) * (y > 0)).sum((0, 1, 2))
    np.testing.assert_allclose(gradient, expected, rtol=2 ** -8)  # one rounding to bfloat16


def test_bias_sum_has_tensorflows_gradients_in_float32():
    rng = np.random.default_rng(7)
    with tf.Graph().as_default():
        x, biases = tf.constant(rng.normal(size=(3, 4, 5, 6)), tf.float32), tf.ones([6])
        dy = tf.constant(rng.normal(size=(3, 4, 5, 6)), tf.float32)
        with gradients.bias_sum():
            y = tf.nn.bias_add(x, biases)
        values, right = run([tf.gradients(y, [x, biases], dy)
                             for y in (y, tf.nn.bias_add(x, biases))])
    for value, expected in zip(values, right):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_pass_through_changes_no_value_and_leaves_the_gradient_as_it_is():
    with tf.Graph().as_default():
        x, biases = tf.constant([[[[-3.0, 2.0]]]]), tf.constant([1.0, 2.0])
        dy = tf.constant([[[[5.0, 7.0]]]])
        with gradients.pass_through():
            y = tf.nn.relu(tf.nn.bias_add(x, biases))
            leaky = tf.nn.leaky_relu(x)
        (dx, no_gradient), (dx_leaky,) = tf.gradients(y, [x, biases], dy), tf.gradients(
            leaky, x, dy)
        assert no_gradient is None
        y, dx, dx_leaky = run([y, dx, dx_leaky])
    np.testing.assert_array_equal(y, [[[[0, 4]]]])
    np.testing.assert_array_equal(dx, [[[[5, 7]]]])
    np.testing.assert_array_equal(dx_leaky, [[[[5, 7]]]])


def test_activation_and_bias_gradients_are_those_of_the_activation():
    with tf.Graph().as_default():
        x, biases = tf.constant([[[[0.0, 4.0]], [[1.0, 0.0]]]]), tf.constant([1.0, 2.0])
        dy = tf.constant([[[[5.0, 7.0]], [[11.0, 13.0]]]])
        y = gradients.activation_and_bias_gradients(x, biases, tf.raw_ops.ReluGrad)
        y, dx, biases_gradient = run([y, *tf.gradients(y, [x, biases], dy)])
    np.testing.assert_array_equal(y, [[[[0, 4]], [[1, 0]]]])
    np.testing.assert_array_equal(dx, [[[[0, 7]], [[11, 0]]]])  # 0 where ReLU gave 0
    np.testing.assert_array_equal(biases_gradient, [11, 7])


@pytest.mark.parametrize("bias, alpha, beta, channels",
                         [(1.0, 0.001 / 9, 0.75, 64), (2.0, 0.3, 0.75, 5), (1.0, 0.5, 0.5, 12)])
def test_lrn_product_and_its_gradient_equal_tensorflows(bias, alpha, beta, channels):
    rng = np.random.default_rng(0)
    with tf.Graph().as_default():
        x = tf.constant(rng.normal(size=(3, 4, 2, channels)) * 4, tf.float32)
        dy = tf.constant(rng.normal(size=(3, 4, 2, channels)), tf.float32)
        values, right = run([[y, tf.gradients(y, x, dy)[0]] for y in (
            gradients.lrn_product(x, 4, bias, alpha, beta),
            tf.nn.lrn(x, 4, bias, alpha, beta))])
    for value, expected in zip(values, right):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_gradients_can_be_imported_again():
    importlib.reload(gradients)

"""Faster implementations for the layers: gradients, and normalization by a matrix product.

    convolution_in_sequence        a convolution's two gradients, one after the other
    bias_sum                       the gradient of biases, with float32's accuracy
    pass_through                   leaves out the gradients of the activation and the biases
    activation_and_bias_gradients  computes these gradients on the pooled output, which is smaller
    lrn_product                    local response normalization by a matrix product

The first three are contexts: operations that are created inside get these gradients.

No result depends on this file beyond rounding: `tests/networks/test_gradients.py` compares each
function with TensorFlow's own or with NumPy. docs/performance.md has the measurements.
"""

import contextlib

import numpy as np
import tensorflow.compat.v1 as tf


def _conv2d_gradients(convolution, dy):
    """The gradients of a convolution's input and filters, computed one after the other.

    Each of the two is split over all cores. TensorFlow would start both at once, and both would
    take longer. A `tf.custom_gradient` would put an operation between the convolution and the
    biases, and TensorFlow could not fuse them.
    """
    x, filters = convolution.inputs
    shape, strides = tf.shape(x), [1, 1, 1, 1]
    filter_gradient = tf.nn.conv2d_backprop_filter(x, tf.shape(filters), dy, strides, "SAME")
    with tf.control_dependencies([filter_gradient]):
        return tf.nn.conv2d_backprop_input(shape, filters, dy, strides, "SAME"), filter_gradient


def _bias_add_gradients(addition, dy):
    """The gradients of `tf.nn.bias_add` on images.

    TensorFlow's own operation `BiasAddGrad` accumulates bfloat16 numbers in bfloat16 on a CPU,
    with errors of 10 % and more. `reduce_sum` rounds once, at its end, and is faster.
    """
    return dy, tf.reduce_sum(dy, [0, 1, 2])


def _pass_on(operation, dy):
    """`dy` for the first input of an operation, no gradient for the second."""
    return (dy, None)[:len(operation.inputs)]


# The .meta files of runs contain these names, so they must not change.
for _name, _function in (("Conv2DGradientsInTurn", _conv2d_gradients),
                         ("BiasAddGradientOfSum", _bias_add_gradients),
                         ("TakenAfterPooling", _pass_on)):
    with contextlib.suppress(KeyError):  # a reloaded module has registered it before
        tf.RegisterGradient(_name)(_function)


def convolution_in_sequence():
    """Context in which a convolution's two gradients are computed one after the other."""
    return tf.get_default_graph().gradient_override_map({"Conv2D": "Conv2DGradientsInTurn"})


def bias_sum():
    """Context in which the gradient of added biases is a sum with float32's accuracy."""
    return tf.get_default_graph().gradient_override_map({"BiasAdd": "BiasAddGradientOfSum"})


def pass_through():
    """Context in which added biases, ReLU and leaky ReLU pass gradients on unchanged.

    `activation_and_bias_gradients` supplies the gradients that are missing.
    """
    return tf.get_default_graph().gradient_override_map(
        dict.fromkeys(("BiasAdd", "Relu", "LeakyRelu"), "TakenAfterPooling"))


def activation_and_bias_gradients(x, biases, activation_gradient):
    """Return `x` unchanged; its gradient is that of an activation and of added biases.

    Args:
      x: [batch, height, width, channels], the max-pooled output of the activation.
      biases: [channels], the biases that were added before the activation.
      activation_gradient: function (gradients, features) -> gradients of the activation's input,
        computed from the activation's output.

    Returns:
      A tensor like `x`.
    """
    @tf.custom_gradient
    def identity(x, biases):
        def gradient(dy):
            return _bias_add_gradients(None, activation_gradient(gradients=dy, features=x))

        return tf.identity(x), gradient

    return identity(x, biases)


def lrn_product(x, depth_radius, bias, alpha, beta):
    """Local response normalization; the sum over neighbouring channels is a matrix product.

    The matrix is banded: ones where two channels are neighbours, zeros elsewhere. TensorFlow's own
    operation takes a third of a training step on a CPU, mostly for its gradient.

    Args:
      x: float32 or bfloat16 [batch, height, width, channels].
      depth_radius: number of neighbouring channels on either side.
      bias, alpha, beta: floats, see `layers.lrn`.

    Returns:
      A tensor like `x`.
    """
    channels = int(x.shape[-1])
    offset = np.subtract.outer(np.arange(channels), np.arange(channels))
    band = (abs(offset) <= depth_radius).astype(np.float32)

    def neighbour_sum(y, factor):
        product = tf.reshape(y, [-1, channels]) @ tf.constant(factor * band, y.dtype)
        return tf.reshape(product, tf.shape(y))

    @tf.custom_gradient
    def normalize(x):
        base = bias + tf.cast(neighbour_sum(x * x, alpha), tf.float32)
        power = _power(base, -beta)
        scale, slope = tf.cast(power, x.dtype), tf.cast(power / base, x.dtype)

        def gradient(dy):
            # d y_i / d x_j = scale_i [i = j] - 2 alpha beta x_j x_i base_i^(-beta - 1) [i near j],
            # and base_i^(-beta - 1) is slope_i. The band is symmetric.
            return dy * scale - x * neighbour_sum(dy * x * slope, 2 * alpha * beta)

        return x * scale, gradient

    return normalize(x)


def _power(base, exponent):
    """base ** exponent; -0.75, the usual exponent, by square roots, which are much faster."""
    if exponent == -0.75:
        return tf.math.rsqrt(base * tf.sqrt(base))
    return base ** exponent

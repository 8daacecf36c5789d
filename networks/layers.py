"""The layers the networks are made of, as functions on tensors.

Every layer creates its variables under the current `tf.variable_scope` and puts what it
computes into the graph collection ACTIVATIONS, where summaries and pictures find it.
"""

import numpy as np
import tensorflow.compat.v1 as tf

ACTIVATIONS = "activations"


def _activation(x):
    tf.add_to_collection(ACTIVATIONS, x)
    return x


def conv2d(x, filters, size, weights, biases):
    """Convolution with stride 1 and zero padding to the same size, plus biases.

    Args:
      x: float32 [batch, height, width, channels].
      filters: number of output channels.
      size: height and width of a filter.
      weights, biases: initializers.

    Returns:
      float32 [batch, height, width, filters].

    Raises:
      ValueError: `x` is not an image batch.
    """
    if len(x.shape) != 4:
        raise ValueError(f"conv2d takes [batch, height, width, channels], not {x.shape}")
    kernel = tf.get_variable("weights", [size, size, int(x.shape[3]), filters], initializer=weights)
    bias = tf.get_variable("biases", [filters], initializer=biases)
    return _activation(tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides=1, padding="SAME"), bias,
                                      name="convolution"))


def dense(x, units, weights, biases):
    """xW + b, of all that `x` holds for an example.

    Args:
      x: float32 [batch, ...].
      units: number of outputs.
      weights, biases: initializers.

    Returns:
      float32 [batch, units].
    """
    inputs = int(np.prod(x.shape[1:]))
    kernel = tf.get_variable("weights", [inputs, units], initializer=weights)
    bias = tf.get_variable("biases", [units], initializer=biases)
    return _activation(tf.nn.bias_add(tf.reshape(x, [-1, inputs]) @ kernel, bias, name="dense"))


def relu(x):
    """max(x, 0)."""
    return _activation(tf.nn.relu(x, name="relu"))


def max_pool(x, size, stride):
    """The largest value of every size x size window, `stride` pixels apart, padded as needed."""
    return _activation(tf.nn.max_pool2d(x, size, stride, "SAME", name="max_pool"))


def lrn(x, depth_radius, bias, alpha, beta):
    """Local response normalization: x / (bias + alpha * sum of x^2 over near channels) ** beta.

    The same function as `tf.nn.lrn`, written as a product with a banded matrix of ones:
    TensorFlow's own CPU kernel takes a third of a training step, its gradient above all.
    A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet Classification with Deep Convolutional
    Neural Networks*, 2012, section 3.3.

    Args:
      x: float32 [batch, height, width, channels].
      depth_radius: channels on either side that count as near.
      bias, alpha, beta: floats, bias > 0.

    Returns:
      float32, the shape of `x`.

    Raises:
      ValueError: bias is not positive, so that the base could be zero.
    """
    if bias <= 0:
        raise ValueError(f"lrn: bias {bias}, expected a positive number")
    channels = int(x.shape[-1])
    offset = np.subtract.outer(np.arange(channels), np.arange(channels))
    band = tf.constant((abs(offset) <= depth_radius) * alpha, tf.float32)

    def near_sum(y):
        return tf.reshape(tf.reshape(y, [-1, channels]) @ band, tf.shape(y))

    @tf.custom_gradient
    def normalize(x):
        base = bias + near_sum(x * x)
        scale = _power(base, -beta)
        y = x * scale

        def gradient(dy):
            # d y_i / d x_j = scale_i [i = j] - 2 alpha beta x_j x_i base_i^(-beta - 1) [i near j],
            # and x_i base_i^(-beta - 1) is y_i / base_i. The band holds alpha and is symmetric.
            return dy * scale - (2 * beta) * x * near_sum(dy * (y / base))

        return y, gradient

    with tf.name_scope("lrn"):
        return _activation(tf.identity(normalize(x), name="lrn"))


def _power(base, exponent):
    """base ** exponent; the usual -0.75 by square roots, much faster than the general power."""
    if exponent == -0.75:
        root = tf.sqrt(base)
        return tf.math.rsqrt(root) * tf.math.rsqrt(base)
    return base ** exponent

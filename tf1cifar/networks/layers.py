"""The layers that the networks consist of, as functions on tensors.

    conv2d, dense                convolutional and fully connected layers with biases
    relu, leaky_relu, max_pool   activations and pooling
    dropout, batch_norm, lrn     regularization and normalization

Every layer creates its variables under the current `tf.variable_scope` and adds its result to the
graph collection ACTIVATIONS, which summaries and pictures read.

Layers compute in the dtype of their input (float32 or bfloat16). Variables are always float32.
Normalizations compute their scale in float32, because bfloat16 has only 8 significant bits.
Dropout's factor 1 / (1 - rate) is rounded to bfloat16 too.
"""

import functools
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import parts
from tf1cifar.networks import gradients

ACTIVATIONS = "activations"


def _activation(x):
    """Add `x` to the collection ACTIVATIONS and return it."""
    tf.add_to_collection(ACTIVATIONS, x)
    return x


def _weights(shape, initializer, l2):
    """The variable of a layer's weights; with `l2` it is in the WEIGHTS collection."""
    weights = tf.get_variable("weights", shape, initializer=initializer)
    if l2 and not tf.get_variable_scope().reuse:
        tf.add_to_collection(tf.GraphKeys.WEIGHTS, weights)
    return weights


def conv2d(x, filters, size, weights, biases, activation, pool=None, l2=True):
    """Convolution (stride 1, zero padding to the same size), biases, activation and pooling.

    With pooling, the gradients of the activation and the biases are computed on the pooled output,
    which is a quarter of the size. This is exact: only the maximum of each window receives a
    gradient, and `relu` and `leaky_relu` keep its sign. Consequence: `tf.gradients` of the
    intermediate tensors already includes the activation's slope.

    Args:
      x: float32 or bfloat16 [batch, height, width, channels].
      filters: number of output channels.
      size: height and width of a filter.
      weights, biases: initializers of the two variables.
      activation: `relu`, `leaky_relu` or another function of a tensor.
      pool: (size, stride) of `max_pool`. None for no pooling.
      l2: whether L2 regularization, if a recipe has any, includes the weights.

    Returns:
      A tensor of the dtype of `x`, [batch, height, width, filters]; pooling divides height and
      width by its stride.

    Raises:
      ValueError: `x` does not have four dimensions.
    """
    if len(x.shape) != 4:
        raise ValueError(f"conv2d takes [batch, height, width, channels], not {x.shape}")
    kernel = tf.cast(_weights([size, size, int(x.shape[3]), filters], weights, l2), x.dtype)
    bias = tf.cast(tf.get_variable("biases", [filters], initializer=biases), x.dtype)
    with gradients.convolution_in_sequence():
        x = _activation(tf.nn.conv2d(x, kernel, 1, "SAME", name="convolution"))
    if not pool or activation not in _ACTIVATION_GRADIENTS:
        with gradients.bias_sum():
            x = tf.nn.bias_add(x, bias)
        return max_pool(activation(x), *pool) if pool else activation(x)
    with gradients.pass_through():
        x = activation(tf.nn.bias_add(x, bias))
    return gradients.activation_and_bias_gradients(max_pool(x, *pool), bias,
                                                   _ACTIVATION_GRADIENTS[activation])


def dense(x, units, weights, biases, l2=True):
    """Fully connected layer: xW + b on all numbers of an example.

    Args:
      x: float32 or bfloat16 [batch, ...].
      units: number of outputs.
      weights, biases: initializers of the two variables.
      l2: whether L2 regularization, if a recipe has any, includes the weights.

    Returns:
      A tensor of the dtype of `x`, [batch, units].
    """
    inputs = int(np.prod(x.shape[1:]))
    kernel = tf.cast(_weights([inputs, units], weights, l2), x.dtype)
    bias = tf.get_variable("biases", [units], initializer=biases)
    # The biases are added in float32. Otherwise TensorFlow fuses product, biases and ReLU into one
    # operation, which in bfloat16 takes up to twice as long as the product.
    product = tf.cast(tf.reshape(x, [-1, inputs]) @ kernel, tf.float32)
    return tf.cast(_activation(tf.nn.bias_add(product, bias, name="dense")), x.dtype)


def relu(x):
    """max(x, 0)."""
    return _activation(tf.nn.relu(x, name="relu"))


def leaky_relu(x):
    """x if x is positive, otherwise 0.2 x."""
    return _activation(tf.nn.leaky_relu(x, alpha=0.2, name="leaky_relu"))


# Gradients of activations that can be computed from the activation's output alone.
_ACTIVATION_GRADIENTS = {relu: tf.raw_ops.ReluGrad,
                         leaky_relu: functools.partial(tf.raw_ops.LeakyReluGrad, alpha=0.2)}


def dropout(x, rate, is_training):
    """In training, set a share of `x` to zero and divide the rest by the share that is kept.

    The dropped numbers depend on the graph's seed, the variable scope and `global_step` only, so a
    resumed run drops the same numbers as an uninterrupted one.
    N. Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting*, 2014.

    Args:
      x: float32 or bfloat16 tensor.
      rate: share to drop, 0 <= rate < 1.
      is_training: bool tensor []. If it is false, the result is `x`.

    Returns:
      A tensor like `x`.

    Raises:
      ValueError: `rate` is out of its range, or the graph has no global step.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate {rate}, expected at least 0 and less than 1")
    if not rate:
        return x
    step = tf.train.get_global_step()
    if step is None:
        raise ValueError("dropout: create the graph's global step first")
    scope_hash = zlib.crc32(tf.get_variable_scope().name.encode())
    seed = tf.stack([tf.constant((tf.get_default_graph().seed or 0) + (scope_hash << 31), tf.int64),
                     tf.identity(step)])

    # 16 random bits decide whether a number is dropped. They take half the time of a random
    # float32. The mask is a factor, so the gradient costs one product.
    dropped = min(round(rate * 2 ** 16), 2 ** 16 - 1)
    part = parts.current()

    def mask():
        if part:
            bits = part.random_bits(x, seed)
        else:
            size = tf.size(x)
            bits = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32)
            bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
        kept = tf.cast(tf.reshape(bits, tf.shape(x)) >= dropped, x.dtype)
        return kept * (1 / (1 - dropped / 2 ** 16))

    factor = tf.cond(is_training, mask, lambda: tf.ones_like(x), name="mask")
    return _activation(tf.multiply(x, factor, name="dropout"))


def batch_norm(x, is_training, decay, epsilon=0.001):
    """Batch normalization: by the batch in training, otherwise by moving averages.

    Where several tasks have parts of a batch, mean and variance are those of the whole batch.
    The updates of the moving averages are in the collection UPDATE_OPS, which the training step
    runs. S. Ioffe, C. Szegedy, *Batch Normalization*, 2015.

    Args:
      x: float32 or bfloat16 [batch, ..., channels].
      is_training: bool tensor [].
      decay: decay of the moving averages; 1 never updates them.
      epsilon: number that is added to the variance.

    Returns:
      A tensor like `x`: gamma * (x - mean) / sqrt(variance + epsilon) + beta.
    """
    channels = [int(x.shape[-1])]
    beta = tf.get_variable("beta", channels, initializer=tf.zeros_initializer())
    gamma = tf.get_variable("gamma", channels, initializer=tf.ones_initializer())
    moving_mean = tf.get_variable("moving_mean", channels, trainable=False,
                                  initializer=tf.zeros_initializer())
    moving_variance = tf.get_variable("moving_variance", channels, trainable=False,
                                      initializer=tf.ones_initializer())
    dtype, x = x.dtype, tf.cast(x, tf.float32)
    part = parts.current()
    mean, variance = (part.moments(x) if part else
                      tf.nn.moments(x, list(range(len(x.shape) - 1))))
    for moving, value in ((moving_mean, mean), (moving_variance, variance)):
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS,
                             moving.assign_sub((1 - decay) * (moving - value),
                                               read_value=False))
    normalized = tf.nn.batch_normalization(
        x, tf.where(is_training, mean, moving_mean),
        tf.where(is_training, variance, moving_variance), beta, gamma, epsilon)
    return _activation(tf.identity(tf.cast(normalized, dtype), "batch_norm"))


def max_pool(x, size, stride):
    """Maximum of every size x size window, `stride` pixels apart, with padding at the edges."""
    return _activation(tf.nn.max_pool2d(x, size, stride, "SAME", name="max_pool"))


def lrn(x, method="product", depth_radius=4, bias=1.0, alpha=0.001 / 9.0, beta=0.75):
    """Local response normalization: x / (bias + alpha * sum of x^2 over near channels) ** beta.

    A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet Classification with Deep Convolutional
    Neural Networks*, 2012, section 3.3. The default numbers come from TensorFlow's CIFAR-10
    tutorial.

    Args:
      x: float32 or bfloat16 [batch, height, width, channels].
      method: 'product' for `gradients.lrn_product`, the fastest on a CPU; 'native' for
        `tf.nn.lrn`, which computes in float32; 'auto' counts as 'product'.
      depth_radius: number of near channels on either side.
      bias: number that is added to the scaled sum, more than 0.
      alpha: factor of the sum.
      beta: exponent of the divisor.

    Returns:
      A tensor like `x`.

    Raises:
      ValueError: `bias` is not positive, so that the divisor could be zero, or `method` is unknown.
    """
    if bias <= 0:
        raise ValueError(f"lrn: bias {bias}, expected a positive number")
    if method not in ("auto", "product", "native"):
        raise ValueError(f"lrn: method {method!r}, expected 'auto', 'product' or 'native'")
    with tf.name_scope("lrn"):
        if method == "native":
            wide = tf.cast(x, tf.float32)
            y = tf.cast(tf.nn.lrn(wide, depth_radius, bias, alpha, beta, "native"), x.dtype)
        else:
            y = gradients.lrn_product(x, depth_radius, bias, alpha, beta)
        return _activation(tf.identity(y, name="lrn"))

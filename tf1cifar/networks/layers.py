"""The layers that the networks consist of, as functions on tensors.

    conv2d, dense                 convolutional and fully connected layers with biases
    convolution                   a convolution alone
    whitening                     a convolution whose filters come from the training images
    relu, leaky_relu              activations
    max_pool, global_max          pooling
    dropout, batch_norm, lrn      regularization and normalization

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
WHITENING = "whitening"  # collection of the filters of `whitening`, which are set from the images


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
    x = convolution(x, filters, size, weights, l2)
    bias = tf.cast(tf.get_variable("biases", [filters], initializer=biases), x.dtype)
    if not pool or activation not in _ACTIVATION_GRADIENTS:
        with gradients.bias_sum():
            x = tf.nn.bias_add(x, bias)
        return max_pool(activation(x), *pool) if pool else activation(x)
    with gradients.pass_through():
        x = activation(tf.nn.bias_add(x, bias))
    return gradients.activation_and_bias_gradients(max_pool(x, *pool), bias,
                                                   _ACTIVATION_GRADIENTS[activation])


def convolution(x, filters, size, weights, l2=True):
    """Convolution (stride 1, zero padding to the same size) alone, as before batch normalization.

    Args:
      x: float32 or bfloat16 [batch, height, width, channels].
      filters: number of output channels.
      size: height and width of a filter.
      weights: initializer of the variable.
      l2: whether L2 regularization, if a recipe has any, includes the weights.

    Returns:
      A tensor of the dtype of `x`, [batch, height, width, filters].

    Raises:
      ValueError: `x` does not have four dimensions.
    """
    if len(x.shape) != 4:
        raise ValueError(f"convolution takes [batch, height, width, channels], not {x.shape}")
    kernel = tf.cast(_weights([size, size, int(x.shape[3]), filters], weights, l2), x.dtype)
    with gradients.convolution_in_sequence():
        return _activation(tf.nn.conv2d(x, kernel, 1, "SAME", name="convolution"))


def whitening(x, size, stride, components):
    """Convolution without padding that whitens the patches of the training images.

    The filters are a variable that is not trained: the largest principal components of the patches,
    each divided by its standard deviation, and their negatives. Whoever starts a training sets each
    variable of the collection WHITENING to `tf1cifar.data.whitening.filters` of the training
    images. Until then the filters are random.
    K. Jordan, *94 % on CIFAR-10 in 3.29 Seconds on a Single GPU*, 2024, section 3.2.

    Args:
      x: float32 or bfloat16 [batch, height, width, channels].
      size: height and width of a patch.
      stride: distance of two patches in pixels.
      components: number of principal components, at most the numbers that a patch has.

    Returns:
      A tensor of the dtype of `x`, [batch, (height - size) / stride + 1,
      (width - size) / stride + 1, 2 * components], sizes rounded down.
    """
    channels = int(x.shape[3])
    filters = tf.get_variable(
        "weights", [size, size, channels, 2 * min(components, size * size * channels)],
        initializer=tf.initializers.he_normal(), trainable=False)
    if not tf.get_variable_scope().reuse:
        tf.add_to_collection(WHITENING, filters)
    return _activation(tf.nn.conv2d(x, tf.cast(filters, x.dtype), stride, "VALID",
                                    name="convolution"))


def dense(x, units, weights, biases, l2=True):
    """Fully connected layer: xW + b on all numbers of an example.

    Args:
      x: float32 or bfloat16 [batch, ...].
      units: number of outputs.
      weights, biases: initializers of the two variables; no biases are added if theirs is None.
      l2: whether L2 regularization, if a recipe has any, includes the weights.

    Returns:
      A tensor of the dtype of `x`, [batch, units].
    """
    inputs = int(np.prod(x.shape[1:]))
    kernel = tf.cast(_weights([inputs, units], weights, l2), x.dtype)
    product = tf.reshape(x, [-1, inputs]) @ kernel
    if biases is None:
        return _activation(tf.identity(product, "dense"))
    bias = tf.get_variable("biases", [units], initializer=biases)
    # The biases are added in float32. Otherwise TensorFlow fuses product, biases and ReLU into one
    # operation, which in bfloat16 takes up to twice as long as the product.
    product = tf.nn.bias_add(tf.cast(product, tf.float32), bias, name="dense")
    return tf.cast(_activation(product), x.dtype)


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

    def mask():
        bits = parts.random_bits(x, seed)
        kept = tf.cast(tf.reshape(bits, tf.shape(x)) >= dropped, x.dtype)
        return kept * (1 / (1 - dropped / 2 ** 16))

    factor = tf.cond(is_training, mask, lambda: tf.ones_like(x), name="mask")
    return _activation(tf.multiply(x, factor, name="dropout"))


def batch_norm(x, is_training, decay, epsilon=0.001, scale=True):
    """Batch normalization: by the batch in training, otherwise by moving averages.

    Several tasks take the statistics of the whole batch.
    The updates of the moving averages are in the collection UPDATE_OPS, which the training step
    runs. A layer whose variables are not trained normalizes by its moving averages in training too,
    and does not update them. S. Ioffe, C. Szegedy, *Batch Normalization*, 2015.

    Images take TensorFlow's fused operation, which is several times faster. Its moving variance is
    that of a sample, n / (n - 1) times the variance of the n numbers of a channel.

    Args:
      x: float32 or bfloat16 [batch, ..., channels].
      is_training: bool tensor [].
      decay: decay of the moving averages; 1 never updates them.
      epsilon: number that is added to the variance.
      scale: whether the variable gamma scales the result; it is 1 otherwise.

    Returns:
      A tensor like `x`: gamma * (x - mean) / sqrt(variance + epsilon) + beta.
    """
    def variable(name, initializer, trainable):
        return tf.get_variable(name, [int(x.shape[-1])], initializer=initializer(),
                               trainable=trainable)

    zeros, ones = tf.zeros_initializer, tf.ones_initializer
    beta = variable("beta", zeros, True)
    gamma = variable("gamma", ones, True) if scale else tf.ones_like(beta)
    moving = [variable("moving_mean", zeros, False), variable("moving_variance", ones, False)]
    known = tf.get_static_value(tf.convert_to_tensor(is_training))
    if not beta.trainable or known is not None and not known:
        normalized = tf.nn.batch_normalization(tf.cast(x, tf.float32), *moving, beta, gamma,
                                               epsilon)
        return _activation(tf.identity(tf.cast(normalized, x.dtype), "batch_norm"))
    if part := parts.current():
        normalized, statistics = part.normalize(x, gamma, beta, epsilon)
    else:
        normalize = _normalize_images if len(x.shape) == 4 else _normalize_vectors
        normalized, statistics = normalize(x, is_training, gamma, beta, moving, epsilon)
    for average, value in zip(moving, statistics):
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS,
                             average.assign_sub((1 - decay) * (average - value),
                                                read_value=False))
    return _activation(tf.identity(normalized, "batch_norm"))


def _normalize_vectors(x, is_training, gamma, beta, moving, epsilon):
    """(x normalized, [mean, variance] of the batch)."""
    wide = tf.cast(x, tf.float32)
    statistics = tf.nn.moments(wide, list(range(len(x.shape) - 1)))
    mean, variance = (tf.where(is_training, value, average)
                      for value, average in zip(statistics, moving))
    normalized = tf.nn.batch_normalization(wide, mean, variance, beta, gamma, epsilon)
    return tf.cast(normalized, x.dtype), statistics


def _normalize_images(x, is_training, gamma, beta, moving, epsilon):
    """(x normalized, [mean, variance] of the batch, or `moving` outside training)."""
    def normalized(*averages):
        y, mean, variance = tf.nn.fused_batch_norm(
            x, gamma, beta, *averages, epsilon=epsilon, is_training=not averages)
        return (y, mean, variance) if not averages else (y, *map(tf.identity, moving))

    if tf.get_static_value(tf.convert_to_tensor(is_training)):
        y, *statistics = normalized()
    else:
        y, *statistics = tf.cond(is_training, normalized, lambda: normalized(*moving),
                                 name="by_batch")
    return y, statistics


def max_pool(x, size, stride, padding="SAME"):
    """Maximum of every size x size window, `stride` pixels apart.

    With padding 'SAME', windows reach over the edges; with 'VALID', all lie within `x`.
    """
    return _activation(tf.nn.max_pool2d(x, size, stride, padding, name="max_pool"))


def global_max(x):
    """Maximum of every channel: [batch, height, width, channels] -> [batch, channels]."""
    return _activation(tf.reduce_max(x, [1, 2], name="global_max"))


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

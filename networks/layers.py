"""The layers the networks are made of, as functions on tensors.

Every layer creates its variables under the current `tf.variable_scope` and puts what it
computes into the graph collection ACTIVATIONS, where summaries and pictures find it.

A layer computes in the dtype of its input, float32 or bfloat16, and gives that. Variables are
float32 always, and a normalization takes its power in float32 before it is rounded to a factor:
bfloat16 has eight bits, which is enough for factors and too little for small differences. It rounds
what dropout multiplies by as well (4/3 is 1.336 then).
"""

import contextlib
import functools
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

ACTIVATIONS = "activations"


def _activation(x):
    tf.add_to_collection(ACTIVATIONS, x)
    return x


def _weights(shape, initializer, l2):
    """The variable of a layer's weights; those in the WEIGHTS collection are regularized."""
    weights = tf.get_variable("weights", shape, initializer=initializer)
    if l2 and not tf.get_variable_scope().reuse:
        tf.add_to_collection(tf.GraphKeys.WEIGHTS, weights)
    return weights


def conv2d(x, filters, size, weights, biases, activation, pool=None, l2=True):
    """Convolution with stride 1 and zero padding to the same size, biases, activation, pooling.

    Where pooling follows on `relu` or `leaky_relu`, the gradients of activation and biases are
    taken behind it, with a quarter of the numbers: the largest of a window alone has a gradient,
    and has the same sign before the activation and after. So what `tf.gradients` gives for the
    tensors between, `relu` and `max_pool`, has the activation's slope in it already.

    Args:
      x: float32 [batch, height, width, channels].
      filters: number of output channels.
      size: height and width of a filter.
      weights, biases: initializers.
      activation: `relu`, `leaky_relu` or another function of a tensor.
      pool: (size, stride) of `max_pool`, None for no pooling.
      l2: whether L2 regularization, where a recipe asks for it, counts the weights.

    Returns:
      float32 [batch, height, width, filters], height and width divided by the pooling's stride.

    Raises:
      ValueError: `x` is not an image batch.
    """
    if len(x.shape) != 4:
        raise ValueError(f"conv2d takes [batch, height, width, channels], not {x.shape}")
    kernel = tf.cast(_weights([size, size, int(x.shape[3]), filters], weights, l2), x.dtype)
    bias = tf.cast(tf.get_variable("biases", [filters], initializer=biases), x.dtype)
    with _gradients(Conv2D="Conv2DGradientsInTurn"):
        x = _activation(tf.nn.conv2d(x, kernel, 1, "SAME", name="convolution"))
    if not pool or activation not in _SLOPES:
        with _gradients(BiasAdd="BiasAddGradientOfSum"):
            x = tf.nn.bias_add(x, bias)
        return max_pool(activation(x), *pool) if pool else activation(x)
    with _gradients(**dict.fromkeys(("BiasAdd", "Relu", "LeakyRelu"), "TakenAfterPooling")):
        x = activation(tf.nn.bias_add(x, bias))
    return _slopes_here(max_pool(x, *pool), bias, _SLOPES[activation])


def _slopes_here(x, bias, slopes):
    """`x` as it is; backwards, the gradients of activation and biases."""
    @tf.custom_gradient
    def same(x, bias):
        return tf.identity(x), lambda dy: _bias_gradients(None, slopes(gradients=dy, features=x))

    return same(x, bias)


def _bias_gradients(addition, dy):
    """What a sum with biases hands on, and the gradient of the biases.

    TensorFlow's `BiasAddGrad` adds up bfloat16 in bfloat16, on the CPU at least. The sum is a tenth
    wrong and more, where `reduce_sum` is only rounded in the end, and is done sooner.
    """
    return dy, tf.reduce_sum(dy, [0, 1, 2])


def _conv2d_gradients(convolution, dy):
    """The two gradients of a convolution, one after the other.

    Each is split over all cores. TensorFlow would start both at once, and then they take longer.
    This is no `tf.custom_gradient`, which would put an operation between the convolution and
    the biases, and they are computed as one.
    """
    x, kernel = convolution.inputs
    shape, strides = tf.shape(x), [1, 1, 1, 1]
    of_kernel = tf.nn.conv2d_backprop_filter(x, tf.shape(kernel), dy, strides, "SAME")
    with tf.control_dependencies([of_kernel]):
        return tf.nn.conv2d_backprop_input(shape, kernel, dy, strides, "SAME"), of_kernel


def _gradients(**names):
    """Where operations of these types have gradients that were registered under `names`."""
    return tf.get_default_graph().gradient_override_map(names)


for _name, _function in (
        ("Conv2DGradientsInTurn", _conv2d_gradients), ("BiasAddGradientOfSum", _bias_gradients),
        ("TakenAfterPooling", lambda operation, dy: (dy, None)[:len(operation.inputs)])):
    with contextlib.suppress(KeyError):  # it is registered already where this module is reloaded
        tf.RegisterGradient(_name)(_function)


def dense(x, units, weights, biases, l2=True):
    """xW + b, of all that `x` holds for an example.

    Args:
      x: float32 [batch, ...].
      units: number of outputs.
      weights, biases: initializers.
      l2: whether L2 regularization, where a recipe asks for it, counts the weights.

    Returns:
      float32 [batch, units].
    """
    inputs = int(np.prod(x.shape[1:]))
    kernel = tf.cast(_weights([inputs, units], weights, l2), x.dtype)
    bias = tf.get_variable("biases", [units], initializer=biases)
    # The sum is in float32, so that TensorFlow does not make one operation of product, biases and
    # ReLU: in bfloat16 that one takes up to twice as long as the product.
    product = tf.cast(tf.reshape(x, [-1, inputs]) @ kernel, tf.float32)
    return tf.cast(_activation(tf.nn.bias_add(product, bias, name="dense")), x.dtype)


def relu(x):
    """max(x, 0)."""
    return _activation(tf.nn.relu(x, name="relu"))


def leaky_relu(x):
    """x where it is positive, 0.2 x elsewhere."""
    return _activation(tf.nn.leaky_relu(x, alpha=0.2, name="leaky_relu"))


_SLOPES = {relu: tf.raw_ops.ReluGrad,
           leaky_relu: functools.partial(tf.raw_ops.LeakyReluGrad, alpha=0.2)}


def dropout(x, rate, is_training):
    """In training, set a share of `x` to zero and divide the rest by what is left.

    Which numbers are dropped is a function of the graph's seed, the variable scope and
    `global_step`, so a run that is taken up drops what an uninterrupted one would have.
    N. Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting*, 2014.

    Args:
      x: float32 tensor.
      rate: share to drop, 0 <= rate < 1.
      is_training: bool tensor; where it is false, `x` is what comes out.

    Returns:
      float32, the shape of `x`.

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
    place = zlib.crc32(tf.get_variable_scope().name.encode())
    seed = tf.stack([tf.constant((tf.get_default_graph().seed or 0) + (place << 31), tf.int64),
                     tf.identity(step)])

    # A number is dropped by 16 random bits, half of what a random float32 takes to make. With
    # the mask as a factor its gradient costs one product.
    dropped = min(round(rate * 2 ** 16), 2 ** 16 - 1)

    def mask():
        size = tf.size(x)
        bits = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32)
        bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
        kept = tf.cast(tf.reshape(bits, tf.shape(x)) >= dropped, x.dtype)
        return kept * (1 / (1 - dropped / 2 ** 16))

    factor = tf.cond(is_training, mask, lambda: tf.ones_like(x), name="mask")
    return _activation(tf.multiply(x, factor, name="dropout"))


def batch_norm(x, is_training, decay, epsilon=0.001):
    """Normalize every channel, in training by the batch, else by moving averages.

    The averages' updates are in the collection UPDATE_OPS, which the training step runs.
    S. Ioffe, C. Szegedy, *Batch Normalization*, 2015.

    Args:
      x: float32 [batch, ..., channels].
      is_training: bool tensor.
      decay: of the moving averages; 1 never updates them.
      epsilon: added to the variance.

    Returns:
      float32, the shape of `x`: gamma * (x - mean) / sqrt(variance + epsilon) + beta.
    """
    channels = [int(x.shape[-1])]
    beta = tf.get_variable("beta", channels, initializer=tf.zeros_initializer())
    gamma = tf.get_variable("gamma", channels, initializer=tf.ones_initializer())
    moving_mean = tf.get_variable("moving_mean", channels, trainable=False,
                                  initializer=tf.zeros_initializer())
    moving_variance = tf.get_variable("moving_variance", channels, trainable=False,
                                      initializer=tf.ones_initializer())
    dtype, x = x.dtype, tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(x, list(range(len(x.shape) - 1)))
    for moving, value in ((moving_mean, mean), (moving_variance, variance)):
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS,
                             moving.assign_sub((1 - decay) * (moving - value),
                                               read_value=False))
    normalized = tf.nn.batch_normalization(
        x, tf.where(is_training, mean, moving_mean),
        tf.where(is_training, variance, moving_variance), beta, gamma, epsilon)
    return _activation(tf.identity(tf.cast(normalized, dtype), "batch_norm"))


def max_pool(x, size, stride):
    """The largest value of every size x size window, `stride` pixels apart, padded as needed."""
    return _activation(tf.nn.max_pool2d(x, size, stride, "SAME", name="max_pool"))


def lrn(x, way="product", depth_radius=4, bias=1.0, alpha=0.001 / 9.0, beta=0.75):
    """Local response normalization: x / (bias + alpha * sum of x^2 over near channels) ** beta.

    The sum is a product with a banded matrix of ones: TensorFlow's own operation takes a third of
    a training step on a CPU, its gradient above all. On other devices it may be the faster one.
    A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet Classification with Deep Convolutional
    Neural Networks*, 2012, section 3.3; the numbers are those of TensorFlow's CIFAR-10 tutorial.

    Args:
      x: float32 [batch, height, width, channels].
      way: 'product' or 'auto'; or 'native' for `tf.nn.lrn`, which computes in float32.
      depth_radius: channels on either side that count as near.
      bias, alpha, beta: floats, bias > 0.

    Returns:
      float32, the shape of `x`.

    Raises:
      ValueError: bias is not positive, so that the base could be zero, or there is no such way.
    """
    if bias <= 0:
        raise ValueError(f"lrn: bias {bias}, expected a positive number")
    if way not in ("auto", "product", "native"):
        raise ValueError(f"lrn: way {way!r}, expected 'auto', 'product' or 'native'")
    with tf.name_scope("lrn"):
        if way == "native":
            wide = tf.cast(x, tf.float32)
            y = tf.cast(tf.nn.lrn(wide, depth_radius, bias, alpha, beta, "native"), x.dtype)
        else:
            y = _lrn_by_product(x, depth_radius, bias, alpha, beta)
        return _activation(tf.identity(y, name="lrn"))


def _lrn_by_product(x, depth_radius, bias, alpha, beta):
    channels = int(x.shape[-1])
    offset = np.subtract.outer(np.arange(channels), np.arange(channels))
    band = (abs(offset) <= depth_radius).astype(np.float32)

    def near_sum(y, factor):
        product = tf.reshape(y, [-1, channels]) @ tf.constant(factor * band, y.dtype)
        return tf.reshape(product, tf.shape(y))

    @tf.custom_gradient
    def normalize(x):
        base = bias + tf.cast(near_sum(x * x, alpha), tf.float32)
        power = _power(base, -beta)
        scale, slope = tf.cast(power, x.dtype), tf.cast(power / base, x.dtype)

        def gradient(dy):
            # d y_i / d x_j = scale_i [i = j] - 2 alpha beta x_j x_i base_i^(-beta - 1) [i near j],
            # and base_i^(-beta - 1) is slope_i. The band is symmetric.
            return dy * scale - x * near_sum(dy * x * slope, 2 * alpha * beta)

        return x * scale, gradient

    return normalize(x)


def _power(base, exponent):
    """base ** exponent; the usual -0.75 by square roots, much faster than the general power."""
    if exponent == -0.75:
        return tf.math.rsqrt(base * tf.sqrt(base))
    return base ** exponent

"""The summaries of a training batch for TensorBoard."""

import math

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers

HISTOGRAM_SAMPLES = 2 ** 14  # the largest number of values that one histogram counts
ACTIVATION_IMAGES = 8  # the number of images whose activations are shown


def merged(images, loss, accuracy, learning_rate, gradients):
    """One summary with scalars, images, and histograms of weights, gradients and activations.

    Histograms of activations take a long time. They count the first ACTIVATION_IMAGES images, and
    at most HISTOGRAM_SAMPLES values.

    Args:
      images: float32 [batch, height, width, channels].
      loss, accuracy, learning_rate: float32 [].
      gradients: list of (gradient, variable).

    Returns:
      string [], a serialized `tf.Summary`.
    """
    summaries = [tf.summary.scalar("loss", loss), tf.summary.scalar("accuracy", accuracy),
                 tf.summary.scalar("learning_rate", learning_rate)]
    if images.shape[-1] in (1, 3):
        summaries.append(tf.summary.image("images", images[:3], 3))
    for gradient, variable in gradients:
        name, count = variable.op.name, variable.shape.num_elements()
        summaries += [tf.summary.histogram(f"{kind}/{name}", sample(values, count))
                      for kind, values in (("variables", variable), ("gradients", gradient))]
    for activation in tf.get_collection(layers.ACTIVATIONS):
        name, first = activation.op.name, activation[:ACTIVATION_IMAGES]
        count = ACTIVATION_IMAGES * activation.shape[1:].num_elements()
        summaries += [tf.summary.histogram(f"activations/{name}", sample(first, count)),
                      tf.summary.scalar(f"sparsity/{name}", tf.nn.zero_fraction(first))]
    return tf.summary.merge(summaries, name="summaries")


def sample(values, count):
    """At most HISTOGRAM_SAMPLES values of a tensor, evenly spread over its channels.

    Args:
      values: a tensor whose last dimension is the channels.
      count: the number of its values, or an upper bound.

    Returns:
      A tensor with one dimension.
    """
    stride = -(-count // HISTOGRAM_SAMPLES)
    while math.gcd(stride, values.shape[-1]) > 1:  # such a stride would skip some channels
        stride += 1
    return tf.reshape(values, [-1])[::stride]

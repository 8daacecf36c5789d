"""Two fully connected layers: W. Beyer, *Simple Image Recognition with TensorFlow*, part 2.

    images                [batch, 32, 32, 3]
    hidden   120, ReLU    [batch, 120]
    logits   num_classes  [batch, 10]

369,970 parameters. Published accuracy: 46 % on CIFAR-10.
"""

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


class _TruncatedNormalByInputs(tf.truncated_normal_initializer):
    """Like the source: the variance is 1 / inputs before the truncation, which reduces it."""

    def __call__(self, shape, dtype=None, partition_info=None):
        self.stddev = shape[0] ** -0.5
        return super().__call__(shape, dtype, partition_info)


def inference(images, num_classes, is_training, *, dropout):
    """The logits of a batch of images.

    Weights start with a truncated normal distribution of standard deviation 1 / sqrt(inputs),
    biases at zero.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor.
      dropout: share of the hidden layer's outputs that is dropped in training.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].
    """
    weights = _TruncatedNormalByInputs()
    with tf.variable_scope("hidden"):
        x = layers.relu(layers.dense(images, 120, weights, tf.zeros_initializer()))
        x = layers.dropout(x, dropout, is_training)
    with tf.variable_scope("output"):
        return layers.dense(x, num_classes, weights, tf.zeros_initializer())

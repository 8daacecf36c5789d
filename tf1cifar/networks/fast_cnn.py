"""A network that learns CIFAR-10 fast on a few processor cores, after K. Jordan's.

    images                                                       [batch, 32, 32, 3]
    whitening  4x4x32 at stride 2, not trained, ReLU             [batch, 15, 15, 32]
    group1     3x3x32, max-pool 2, batch norm, ReLU,             [batch, 7, 7, 32]
               3x3x32, batch norm, ReLU
    group2     3x3x128, max-pool 2, batch norm, ReLU,            [batch, 3, 3, 128]
               3x3x128, batch norm, ReLU
    group3     3x3x128, max-pool 2, batch norm, ReLU,            [batch, 1, 1, 128]
               3x3x128, batch norm, ReLU
    logits     maximum of each channel, num_classes              [batch, 10]

499,520 parameters with a width of 32. Convolutions have no biases, batch norm has biases only.
Published accuracy: 94.0 % on CIFAR-10 (K. Jordan, *94 % on CIFAR-10 in 3.29 Seconds on a Single
GPU*, arXiv 2404.00498), with whitening filters of 2x2 pixels, 64, 256 and 256 filters in the
groups, GELU instead of ReLU, six views of each test image, and 9.9 epochs on a GPU. Here the
filters of 4x4 pixels at stride 2 leave a quarter of the pixels to compute on.
"""

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers

COMPONENTS = 16  # principal components of the patches; each has two filters, one its negative
# The logits start small. This split of their size between the weights and a factor lets one
# learning rate fit the weights and the biases of batch norm.
OUTPUT_SCALE = 3.5


class IdentityFirst(tf.initializers.variance_scaling):
    """Filters of which the first ones pass on one channel each, and the rest are uniform.

    The uniform weights lie within 1 / sqrt(inputs of a filter), both ways.
    """

    def __init__(self, seed=None):
        super().__init__(1 / 3, "fan_in", "uniform", seed)

    def __call__(self, shape, dtype=None, partition_info=None):
        weights = super().__call__(shape, dtype, partition_info)
        size, _, inputs, outputs = shape
        passing = min(inputs, outputs)
        identity = np.zeros((size, size, inputs, passing))
        identity[size // 2, size // 2] = np.eye(inputs, passing)
        return tf.concat([tf.constant(identity, weights.dtype), weights[..., passing:]], 3)


def inference(images, num_classes, is_training, *, width, batch_norm_decay):
    """The logits of a batch of images.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor.
      width: number of filters of group1; the other groups have four times as many.
      batch_norm_decay: decay of the moving mean and variance; 1 never updates them.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].
    """
    def normalized(x):
        return layers.relu(layers.batch_norm(x, is_training, batch_norm_decay, 1.001e-5,
                                             scale=False))

    with tf.variable_scope("whitening"):
        x = layers.relu(layers.whitening(images, 4, 2, COMPONENTS))
    for group, filters in (("group1", width), ("group2", 4 * width), ("group3", 4 * width)):
        with tf.variable_scope(f"{group}/conv1"):
            x = layers.convolution(x, filters, 3, IdentityFirst())
            if min(x.shape[1:3]) > 1:
                x = layers.max_pool(x, 2, 2, "VALID")
            x = normalized(x)
        with tf.variable_scope(f"{group}/conv2"):
            x = normalized(layers.convolution(x, filters, 3, IdentityFirst()))
    x = layers.global_max(x)
    with tf.variable_scope("output"):
        weights = tf.random_normal_initializer(stddev=1 / OUTPUT_SCALE)
        return layers.dense(x, num_classes, weights, None) * (OUTPUT_SCALE / (4 * width))

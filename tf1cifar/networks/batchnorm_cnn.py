"""A machine-learning textbook's convolutional network with batch normalization, on MNIST.

    images                                                   [batch, 28, 28, 1]
    conv1   5x5x64, leaky ReLU, max-pool 2                   [batch, 14, 14, 64]
    conv2   5x5x128, leaky ReLU, max-pool 2                  [batch, 7, 7, 128]
    dense   1024, batch norm, leaky ReLU, dropout            [batch, 1024]
    logits  num_classes, batch norm, leaky ReLU              [batch, 10]

6,642,462 parameters on MNIST. Published accuracy: 99.17 %. The text gives these widths. The
source's code has them in the opposite order, and never updates the moving averages.
"""

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


def inference(images, num_classes, is_training, *, dropout, batch_norm_decay):
    """The logits of a batch of images.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor.
      dropout: share of the dense layer's outputs that is dropped in training.
      batch_norm_decay: decay of the moving mean and variance; 1 never updates them.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].
    """
    weights, biases = tf.initializers.glorot_uniform(), tf.zeros_initializer()
    x = images
    for name, filters in (("conv1", 64), ("conv2", 128)):
        with tf.variable_scope(name):
            x = layers.conv2d(x, filters, 5, weights, biases, layers.leaky_relu, pool=(2, 2))
    with tf.variable_scope("dense"):
        x = layers.dense(x, 1024, weights, biases)
        x = layers.leaky_relu(layers.batch_norm(x, is_training, batch_norm_decay))
        x = layers.dropout(x, dropout, is_training)
    with tf.variable_scope("output"):
        x = layers.dense(x, num_classes, weights, biases)
        return layers.leaky_relu(layers.batch_norm(x, is_training, batch_norm_decay))

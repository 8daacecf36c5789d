"""Edureka, *Convolutional Neural Network* (after exelban/tensorflow-cifar-10).

    images                                             [batch, 32, 32, 3]
    conv1   3x3x32, ReLU
    conv2   3x3x64, ReLU, max-pool 2, dropout          [batch, 16, 16, 64]
    conv3   3x3x128, ReLU, max-pool 2                  [batch, 8, 8, 128]
    conv4   2x2x128, ReLU, max-pool 2, dropout         [batch, 4, 4, 128]
    dense   1500, ReLU, dropout                        [batch, 1500]
    logits  num_classes                                [batch, 10]

3,247,422 parameters. Published accuracy: 78.81 % on CIFAR-10 after 60 epochs, 79.12 % at best. The
source's dropout is never active, because its code does not pass the training flag.
"""

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


def inference(images, num_classes, is_training, *, dropout):
    """The logits of a batch of images.

    Weights start with a normal distribution of variance 2 / inputs (K. He et al., *Delving Deep
    into Rectifiers*, 2015), the output layer's weights near zero. Biases start at zero.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor.
      dropout: share of the dense layer's outputs that is dropped in training. Half that share
        is dropped after the first and the last pooling.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].
    """
    weights, biases = tf.initializers.he_normal(), tf.zeros_initializer()

    with tf.variable_scope("conv1"):
        x = layers.conv2d(images, 32, 3, weights, biases, layers.relu)
    for name, filters, size, rate in (("conv2", 64, 3, dropout / 2), ("conv3", 128, 3, 0),
                                      ("conv4", 128, 2, dropout / 2)):
        with tf.variable_scope(name):
            x = layers.conv2d(x, filters, size, weights, biases, layers.relu, pool=(2, 2))
            x = layers.dropout(x, rate, is_training)
    with tf.variable_scope("dense"):
        x = layers.relu(layers.dense(x, 1500, weights, biases))
        x = layers.dropout(x, dropout, is_training)
    with tf.variable_scope("output"):
        return layers.dense(x, num_classes, tf.random_normal_initializer(stddev=0.004), biases)

"""TensorFlow's own CIFAR-10 tutorial (tensorflow/models, tutorials/image/cifar10).

    images                                                   [batch, 24, 24, 3]
    conv1   5x5x64, ReLU, max-pool 3 stride 2, LRN           [batch, 12, 12, 64]
    conv2   5x5x64, ReLU, LRN, max-pool 3 stride 2           [batch, 6, 6, 64]
    local3  384, ReLU                                        [batch, 384]
    local4  192, ReLU                                        [batch, 192]
    logits  num_classes                                      [batch, 10]

1,068,298 parameters. Published accuracy: about 86 % on CIFAR-10 after 256 epochs.
"""

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


def inference(images, num_classes, is_training, *, dropout, lrn):
    """The logits of a batch of images. L2 regularization includes local3 and local4 only.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor.
      dropout: share of the outputs of local3 and local4 that is dropped in training.
      lrn: the `method` of `layers.lrn`.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].
    """
    def normal(stddev):
        return tf.truncated_normal_initializer(stddev=stddev)

    zero, tenth = tf.zeros_initializer(), tf.constant_initializer(0.1)
    with tf.variable_scope("conv1"):
        x = layers.conv2d(images, 64, 5, normal(0.05), zero, layers.relu, (3, 2), l2=False)
        x = layers.lrn(x, lrn)
    with tf.variable_scope("conv2"):
        x = layers.conv2d(x, 64, 5, normal(0.05), tenth, layers.relu, l2=False)
        x = layers.max_pool(layers.lrn(x, lrn), 3, 2)
    with tf.variable_scope("local3"):
        x = layers.relu(layers.dense(x, 384, normal(0.04), tenth))
        x = layers.dropout(x, dropout, is_training)
    with tf.variable_scope("local4"):
        x = layers.relu(layers.dense(x, 192, normal(0.04), tenth))
        x = layers.dropout(x, dropout, is_training)
    with tf.variable_scope("output"):
        return layers.dense(x, num_classes, normal(1 / 192), zero, l2=False)

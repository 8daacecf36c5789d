"""A linear classifier, logits = xW + b: the first step of every tutorial.

    images   [batch, height, width, channels]
    logits   [batch, num_classes]

30,730 parameters on CIFAR-10 in colour. With cross-entropy it is softmax regression, about
30 % on CIFAR-10 (W. Beyer, *Simple Image Recognition with TensorFlow*, part 1); with the hinge
loss it is a linear support vector machine (I. Zafar et al., *Hands-On Convolutional Neural
Networks with TensorFlow*, no figure published).
"""

import tensorflow.compat.v1 as tf

from networks import layers


def inference(images, num_classes, is_training):
    """The logits of a batch of images; W and b start at zero.

    Args:
      images: float32 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor; nothing here depends on it.

    Returns:
      float32 [batch, num_classes].
    """
    with tf.variable_scope("output"):
        return layers.dense(images, num_classes, tf.zeros_initializer(), tf.zeros_initializer())

"""Linear classifier, logits = xW + b: the first network of many tutorials.

    images   [batch, height, width, channels]
    logits   [batch, num_classes]

30,730 parameters on CIFAR-10 in colour. With cross-entropy the network is softmax regression
(W. Beyer, *Simple Image Recognition with TensorFlow*, part 1; published accuracy: about 30 % on
CIFAR-10). With the hinge loss it is a linear support vector machine (I. Zafar et al., *Hands-On
Convolutional Neural Networks with TensorFlow*; no published accuracy).
"""

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


def inference(images, num_classes, is_training):
    """The logits of a batch of images; W and b start at zero.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor; this network does not use it.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].
    """
    with tf.variable_scope("output"):
        return layers.dense(images, num_classes, tf.zeros_initializer(), tf.zeros_initializer())

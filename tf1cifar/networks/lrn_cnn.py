"""The network of N. Shukla, *Machine Learning with TensorFlow*, chapter 9.

A smaller version of the network of TensorFlow's CIFAR-10 tutorial, for gray 24x24 images. Local
response normalization (LRN) follows the first pooling and precedes the second.

    images                                    [batch, 24, 24, 1]
    conv1   5x5x64, ReLU, max-pool 2, LRN     [batch, 12, 12, 64]
    conv2   5x5x64, ReLU, LRN, max-pool 2     [batch, 6, 6, 64]
    dense   1024, ReLU                        [batch, 1024]
    logits  num_classes                       [batch, 10]

With `conv_layers` above two, further 5x5x64 convolutions with ReLU and LRN follow the second
pooling. `dropout` applies to the dense layer. Both are tips of the chapter, off by default.

2,474,698 parameters with ten classes. The book publishes no accuracy.
"""

import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


def inference(images, num_classes, is_training, *, initialization, conv_layers, dropout, lrn):
    """The logits of a batch of images.

    Args:
      images: float32 or bfloat16 [batch, height, width, channels].
      num_classes: number of logits.
      is_training: bool tensor.
      initialization: 'he' draws the weights of a ReLU layer from a normal distribution of
        variance 2 / inputs (K. He et al., *Delving Deep into Rectifiers*, 2015), sets the
        biases to 0 and starts with logits near zero; 'he_small_first' does the same but for the
        first convolution, which starts so close to zero (standard deviation 0.001) that its
        trained filters are not hidden by their initial noise; 'normal' draws every weight and
        bias from N(0, 1), like the book.
      conv_layers: number of convolutions, at least two.
      dropout: share of the dense layer's outputs that is dropped in training.
      lrn: the `method` of `layers.lrn`.

    Returns:
      A tensor of the dtype of `images`, [batch, num_classes].

    Raises:
      ValueError: `conv_layers` is less than two.
    """
    if conv_layers < 2:
        raise ValueError(f"lrn_cnn: {conv_layers} convolutions, expected at least 2")
    if initialization == "normal":
        first_weights = weights = biases = last_weights = tf.random_normal_initializer(stddev=1.0)
    else:
        first_weights = weights = tf.initializers.he_normal()
        biases = tf.zeros_initializer()
        last_weights = tf.random_normal_initializer(stddev=0.004)
    if initialization == "he_small_first":
        first_weights = tf.random_normal_initializer(stddev=0.001)

    with tf.variable_scope("conv1"):
        x = layers.conv2d(images, 64, 5, first_weights, biases, layers.relu, pool=(2, 2))
        x = layers.lrn(x, lrn)
    with tf.variable_scope("conv2"):
        x = layers.lrn(layers.conv2d(x, 64, 5, weights, biases, layers.relu), lrn)
        x = layers.max_pool(x, 2, 2)
    for number in range(3, conv_layers + 1):
        with tf.variable_scope(f"conv{number}"):
            x = layers.lrn(layers.conv2d(x, 64, 5, weights, biases, layers.relu), lrn)
    with tf.variable_scope("dense"):
        x = layers.relu(layers.dense(x, 1024, weights, biases))
        x = layers.dropout(x, dropout, is_training)
    with tf.variable_scope("output"):
        return layers.dense(x, num_classes, last_weights, biases)

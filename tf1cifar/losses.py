"""The losses, and L2 regularization.

    LOSSES  name -> function (logits, labels) -> mean loss of a batch
    add_l2  adds L2 regularization to the collection REGULARIZATION_LOSSES

`graph.build` minimizes one of LOSSES plus the items of that collection. To add a loss, write a
function here, add it to LOSSES, and add its name to `recipes.LOSSES`.

The functions have the same arguments and result:

    Args:
      logits: float32 [batch, num_classes].
      labels: int64 [batch], the right classes.

    Returns:
      float32 [], the mean over the batch.
"""

import tensorflow.compat.v1 as tf


def softmax_cross_entropy(logits, labels, label_smoothing=0.0):
    """Cross-entropy of the softmax of the logits: -log(probability of the right class).

    `label_smoothing` is the share of the right class that is spread evenly over all classes.
    C. Szegedy et al., *Rethinking the Inception Architecture for Computer Vision*, 2015, section 7.
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if label_smoothing:
        over_all_classes = -tf.reduce_mean(tf.nn.log_softmax(logits), 1)
        loss = (1 - label_smoothing) * loss + label_smoothing * over_all_classes
    return tf.reduce_mean(loss)


def hinge(logits, labels):
    """One-against-all hinge loss: mean over the classes j of max(0, 1 -+ s_j).

    The sign is - for the right class and + for every other class.
    """
    return tf.losses.hinge_loss(tf.one_hot(labels, int(logits.shape[1])), logits)


def multiclass_hinge(logits, labels):
    """Multi-class hinge loss: sum over the classes j != y of max(0, s_j - s_y + 1).

    y is the right class. J. Weston, C. Watkins, *Support Vector Machines for Multi-Class Pattern
    Recognition*, 1999.
    """
    right = tf.gather(logits, labels, axis=1, batch_dims=1)[:, None]
    # j = y adds max(0, 1) to every sum
    return tf.reduce_mean(tf.reduce_sum(tf.nn.relu(logits - right + 1.0), 1) - 1.0)


LOSSES = {"softmax_cross_entropy": softmax_cross_entropy, "hinge": hinge,
          "multiclass_hinge": multiclass_hinge}


def add_l2(factor):
    """Add L2 regularization to the collection REGULARIZATION_LOSSES.

    Each trained variable of the collection WEIGHTS adds one item: `factor` times half its sum of
    squares.

    Args:
      factor: float.
    """
    for weights in tf.get_collection(tf.GraphKeys.WEIGHTS):
        if weights.trainable:  # not frozen
            tf.add_to_collection(tf.GraphKeys.REGULARIZATION_LOSSES,
                                 factor * tf.nn.l2_loss(weights))

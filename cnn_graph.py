"""The graph, as one value: placeholders -> network -> loss -> train_op.

    build       everything from the images to the training step, in the default graph
    parameters  how many numbers are trained

The tensors people fetch by name: images:0, labels:0, is_training:0, logits:0,
probabilities:0, loss:0, accuracy:0, learning_rate:0, global_step:0.
"""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

import networks


class Model(NamedTuple):
    """The tensors and operations of a graph that `build` made; B is any batch size."""
    images: tf.Tensor          # float32 [B, height, width, channels], a placeholder
    labels: tf.Tensor          # int64 [B], a placeholder
    is_training: tf.Tensor     # bool [], false unless fed
    logits: tf.Tensor          # float32 [B, num_classes]
    probabilities: tf.Tensor   # float32 [B, num_classes], softmax of the logits
    loss: tf.Tensor            # float32 [], mean over the batch
    accuracy: tf.Tensor        # float32 [], share of the batch that is right
    learning_rate: tf.Tensor   # float32 [], of the coming step
    global_step: tf.Variable   # int64 [], training steps done
    train_op: tf.Operation     # one training step, which also counts into the epoch's sums
    epoch_loss: tf.Tensor      # float64 [], mean training loss of the epoch so far
    epoch_accuracy: tf.Tensor  # float64 [], training accuracy of the epoch so far
    start_epoch: tf.Operation  # sets the epoch's sums back to zero


def build(recipe, image_shape, num_classes, total_steps):
    """Build the graph of `recipe` in the default graph.

    Args:
      recipe: a `recipes.Recipe`.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      total_steps: training steps, over which the learning rate's schedule goes.

    Returns:
      A `Model`.
    """
    tf.set_random_seed(recipe.seed)
    images = tf.placeholder(tf.float32, [None, *image_shape], "images")
    labels = tf.placeholder(tf.int64, [None], "labels")
    is_training = tf.placeholder_with_default(False, [], "is_training")

    inference = networks.get(recipe.network)
    options = {name: getattr(recipe, name) for name in networks.options(inference)}
    logits = tf.identity(inference(images, num_classes, is_training, **options), "logits")
    probabilities = tf.nn.softmax(logits, name="probabilities")

    loss = tf.identity(_loss(logits, labels), "loss")
    hits = tf.equal(tf.argmax(logits, 1), labels)
    accuracy = tf.reduce_mean(tf.cast(hits, tf.float32), name="accuracy")

    # Not a resource variable, so that `global_step:0` is the number and not a handle to it.
    global_step = tf.get_variable(
        "global_step", [], tf.int64, tf.zeros_initializer(), trainable=False, use_resource=False,
        collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.GLOBAL_STEP])
    learning_rate = tf.identity(_learning_rate(recipe, global_step, total_steps), "learning_rate")
    with tf.variable_scope("training"):
        step = tf.train.AdamOptimizer(learning_rate).minimize(loss, global_step)
    with tf.variable_scope("epoch"):
        count, epoch_loss, epoch_accuracy, start_epoch = _epoch_sums(loss, hits)
    return Model(images, labels, is_training, logits, probabilities, loss, accuracy,
                 learning_rate, global_step, tf.group(step, count, name="train_op"),
                 epoch_loss, epoch_accuracy, start_epoch)


def _loss(logits, labels):
    with tf.name_scope("cross_entropy"):
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def _learning_rate(recipe, global_step, total_steps):
    if recipe.schedule == "cosine":
        return tf.train.cosine_decay(recipe.learning_rate, global_step, total_steps)
    return tf.constant(recipe.learning_rate)


def _epoch_sums(loss, hits):
    """Variables that add up an epoch's training loss and hits.

    They live in the graph so that they are in every checkpoint: a run taken up in the
    middle of an epoch reports that epoch's figures as if it had never stopped.

    Returns:
      (operation that counts a step in, mean loss so far, accuracy so far, operation that
      starts anew).
    """
    def total(name):
        return tf.get_variable(name, [], tf.float64, tf.zeros_initializer(), trainable=False)

    seen, loss_sum, hits_sum = total("seen"), total("loss_sum"), total("hits_sum")
    batch = tf.cast(tf.size(hits), tf.float64)
    count = tf.group(seen.assign_add(batch),
                     loss_sum.assign_add(batch * tf.cast(loss, tf.float64)),
                     hits_sum.assign_add(tf.reduce_sum(tf.cast(hits, tf.float64))))
    start = tf.group(*[variable.assign(0.0) for variable in (seen, loss_sum, hits_sum)])
    return count, loss_sum / seen, hits_sum / seen, start


def parameters():
    """How many numbers are trained in the default graph."""
    return sum(variable.shape.num_elements() for variable in tf.trainable_variables())

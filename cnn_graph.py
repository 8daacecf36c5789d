"""The graph, as one value: placeholders -> network -> loss -> train_op.

    build                  everything from the images to the training step, in the default graph
    multiclass_hinge_loss  the one loss that TensorFlow does not have
    parameters             how many numbers are trained

The tensors people fetch by name: images:0, labels:0, is_training:0, logits:0,
probabilities:0, loss:0, accuracy:0, learning_rate:0, global_step:0.
"""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

import networks
from networks import layers


class Model(NamedTuple):
    """The tensors and operations of a graph that `build` made; B is any batch size."""
    images: tf.Tensor           # float32 [B, height, width, channels], a placeholder
    labels: tf.Tensor           # int64 [B], a placeholder
    is_training: tf.Tensor      # bool [], false unless fed
    logits: tf.Tensor           # float32 [B, num_classes]
    probabilities: tf.Tensor    # float32 [B, num_classes], softmax of the logits
    loss: tf.Tensor             # float32 [], mean over the batch, and L2
    accuracy: tf.Tensor         # float32 [], share of the batch that is right
    learning_rate: tf.Tensor    # float32 [], of the coming step
    global_step: tf.Variable    # int64 [], training steps done
    train_op: tf.Operation      # one training step, which also counts into the epoch's sums
    epoch_loss: tf.Tensor       # float64 [], mean training loss of the epoch so far
    epoch_accuracy: tf.Tensor   # float64 [], training accuracy of the epoch so far
    start_epoch: tf.Operation   # sets the epoch's sums back to zero
    use_averages: tf.Operation  # puts the moving averages in the weights' place, if there are
    summaries: tf.Tensor        # string [], serialized for TensorBoard, of a training batch


def build(recipe, image_shape, num_classes, training_images):
    """Build the graph of `recipe` in the default graph.

    Args:
      recipe: a `recipes.Recipe`.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      training_images: how many there are, by which the learning rate's schedule goes.

    Returns:
      A `Model`.
    """
    tf.set_random_seed(recipe.seed)
    # Not a resource variable, so that `global_step:0` is the number and not a handle to it.
    global_step = tf.get_variable(
        "global_step", [], tf.int64, tf.zeros_initializer(), trainable=False, use_resource=False,
        collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.GLOBAL_STEP])
    images = tf.placeholder(tf.float32, [None, *image_shape], "images")
    labels = tf.placeholder(tf.int64, [None], "labels")
    is_training = tf.placeholder_with_default(False, [], "is_training")

    inference = networks.get(recipe.network)
    options = {name: getattr(recipe, name) for name in networks.options(recipe.network)}
    logits = tf.identity(inference(images, num_classes, is_training, **options), "logits")
    probabilities = tf.nn.softmax(logits, name="probabilities")
    loss = tf.identity(_loss(recipe, logits, labels, num_classes), "loss")
    with tf.name_scope("hits"):
        hits = tf.equal(tf.argmax(logits, 1), labels)
    accuracy = tf.reduce_mean(tf.cast(hits, tf.float32), name="accuracy")

    with tf.name_scope("schedule"):
        rate = _learning_rate(recipe, global_step, training_images)
    learning_rate = tf.identity(rate, "learning_rate")
    with tf.variable_scope("training"):
        optimizer = _optimizer(recipe, learning_rate)
        gradients = optimizer.compute_gradients(loss)
        step = optimizer.apply_gradients(gradients, global_step)
        step, use_averages = _moving_averages(recipe, step, global_step)
    use_averages = tf.group(use_averages, name="use_averages")
    with tf.variable_scope("epoch"):
        count, epoch_loss, epoch_accuracy, start_epoch = _epoch_sums(loss, hits)
    train_op = tf.group(step, count, *tf.get_collection(tf.GraphKeys.UPDATE_OPS), name="train_op")
    with tf.name_scope("summaries"):
        summaries = _summaries(images, loss, accuracy, learning_rate, gradients)
    return Model(images, labels, is_training, logits, probabilities, loss, accuracy,
                 learning_rate, global_step, train_op, epoch_loss, epoch_accuracy, start_epoch,
                 use_averages, summaries)


def _loss(recipe, logits, labels, num_classes):
    """The mean loss of a batch plus, where the recipe asks for it, L2 of the weights.

    L2 is `recipe.l2` times half the sum of squares of the weights in the WEIGHTS
    collection, by way of the collection REGULARIZATION_LOSSES.
    """
    with tf.name_scope(recipe.loss):
        if recipe.loss == "hinge":
            loss = tf.losses.hinge_loss(tf.one_hot(labels, num_classes), logits)
        elif recipe.loss == "multiclass_hinge":
            loss = multiclass_hinge_loss(logits, labels)
        else:
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    if not recipe.l2:
        return loss
    with tf.name_scope("l2"):
        for weights in tf.get_collection(tf.GraphKeys.WEIGHTS):
            tf.add_to_collection(tf.GraphKeys.REGULARIZATION_LOSSES,
                                 recipe.l2 * tf.nn.l2_loss(weights))
        return loss + tf.losses.get_regularization_loss()


def multiclass_hinge_loss(logits, labels):
    """Mean over the batch of sum over j != y of max(0, s_j - s_y + 1).

    J. Weston, C. Watkins, *Support Vector Machines for Multi-Class Pattern Recognition*, 1999.

    Args:
      logits: float32 [batch, num_classes], the scores s.
      labels: int64 [batch], the right classes y.

    Returns:
      float32 [].
    """
    right = tf.gather(logits, labels, axis=1, batch_dims=1)[:, None]
    # j = y adds max(0, 1) to every sum
    return tf.reduce_mean(tf.reduce_sum(tf.nn.relu(logits - right + 1.0), 1) - 1.0)


def _learning_rate(recipe, global_step, training_images):
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        return tf.train.cosine_decay(rate, global_step, recipe.total_steps(training_images))
    if recipe.schedule in ("steps", "exponential"):
        steps = recipe.decay_epochs * recipe.steps_per_epoch(training_images)
        return tf.train.exponential_decay(rate, global_step, steps, recipe.decay_rate,
                                          staircase=recipe.schedule == "steps")
    return tf.constant(rate)


def _optimizer(recipe, learning_rate):
    if recipe.optimizer == "gradient_descent":
        return tf.train.GradientDescentOptimizer(learning_rate)
    if recipe.optimizer == "momentum":
        return tf.train.MomentumOptimizer(learning_rate, recipe.momentum)
    return tf.train.AdamOptimizer(learning_rate, recipe.beta1)


def _moving_averages(recipe, step, global_step):
    """(the training step with the update of the averages, what uses them)."""
    if not recipe.moving_average:
        return step, tf.no_op()
    # The decay grows with the step, so that the first weights are soon forgotten.
    averages = tf.train.ExponentialMovingAverage(recipe.moving_average, global_step)
    with tf.control_dependencies([step]):
        step = averages.apply(tf.trainable_variables())
    return step, tf.group(*[variable.assign(averages.average(variable))
                            for variable in tf.trainable_variables()])


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


def _summaries(images, loss, accuracy, learning_rate, gradients):
    """One serialized summary of a training batch, for TensorBoard.

    Histograms of activations take the first eight images only: a histogram is slow, and
    all of a batch would tell no more.
    """
    merged = [tf.summary.scalar("loss", loss), tf.summary.scalar("accuracy", accuracy),
              tf.summary.scalar("learning_rate", learning_rate)]
    if images.shape[-1] in (1, 3):
        merged.append(tf.summary.image("images", images[:3], 3))
    for gradient, variable in gradients:
        name = variable.op.name
        merged += [tf.summary.histogram(f"variables/{name}", variable),
                   tf.summary.histogram(f"gradients/{name}", gradient)]
    for activation in tf.get_collection(layers.ACTIVATIONS):
        name, some = activation.op.name, activation[:8]
        merged += [tf.summary.histogram(f"activations/{name}", some),
                   tf.summary.scalar(f"sparsity/{name}", tf.nn.zero_fraction(some))]
    return tf.summary.merge(merged, name="summaries")


def parameters():
    """How many numbers are trained in the default graph."""
    return sum(variable.shape.num_elements() for variable in tf.trainable_variables())

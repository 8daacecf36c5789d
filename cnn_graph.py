"""The graph, as one value: placeholders -> network -> loss -> train_op.

    build                  everything from the images to the training step, in the default graph
    multiclass_hinge_loss  the one loss that TensorFlow does not have
    parameters             how many numbers are trained

The tensors people fetch by name: images:0, labels:0, is_training:0, logits:0,
probabilities:0, loss:0, accuracy:0, learning_rate:0, global_step:0.
"""

import math
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
    several: "Several"          # many training steps in one run, or None
    epoch_loss: tf.Tensor       # float64 [], mean training loss of the epoch so far
    epoch_accuracy: tf.Tensor   # float64 [], training accuracy of the epoch so far
    start_epoch: tf.Operation   # sets the epoch's sums back to zero
    use_averages: tf.Operation  # puts the moving averages in the weights' place, if there are
    summaries: tf.Tensor        # string [], serialized for TensorBoard, of a training batch


class Several(NamedTuple):
    """A loop in the graph that trains for S steps, on images that the graph has in memory."""
    put: tf.Operation    # takes a part of the prepared training images, which are fed as images:0
    first: tf.Tensor     # int64 [], a placeholder: where that part begins
    chosen: tf.Tensor    # int64 [S, B], a placeholder: the images of each step
    one_core: bool       # whether a step is done sooner by one core than by several
    loss: tf.Tensor      # float32 [], mean over the steps; fetching it trains
    accuracy: tf.Tensor  # float32 [], mean over the steps; fetching it trains


# A step that multiplies fewer numbers than this is not worth sharing out among cores.
ONE_CORE = 10 ** 7

HISTOGRAM = 2 ** 14  # so many numbers at most are counted in a histogram for TensorBoard


def build(recipe, image_shape, num_classes, training_images):
    """Build the graph of `recipe` in the default graph.

    Args:
      recipe: a `recipes.Recipe`; of 'auto', the precision is float32 here and the
        lrn the product.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      training_images: how many there are, by which the learning rate's schedule goes.

    Returns:
      A `Model`.
    """
    tf.set_random_seed(recipe.seed)
    # In a scope, so that `global_step:0` is the number below and not a handle to the variable.
    with tf.variable_scope("training"):
        global_step = tf.get_variable(
            "global_step", [], tf.int64, tf.zeros_initializer(), trainable=False,
            collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.GLOBAL_STEP])
    tf.identity(global_step, "global_step")
    images = tf.placeholder(tf.float32, [None, *image_shape], "images")
    labels = tf.placeholder(tf.int64, [None], "labels")
    is_training = tf.placeholder_with_default(False, [], "is_training")

    def learning_rate_now():
        with tf.name_scope("schedule"):
            return _learning_rate(recipe, global_step, training_images)

    # A function, so that a loop in the graph sees the rate change from step to step.
    optimizer = _optimizer(recipe, learning_rate_now)
    averages = _moving_averages(recipe, global_step)

    logits = _logits(recipe, images, num_classes, is_training)
    logits = tf.identity(logits, "logits")
    probabilities = tf.nn.softmax(logits, name="probabilities")
    loss = tf.identity(_loss(recipe, logits, labels, num_classes), "loss")
    hits = _hits(logits, labels)
    accuracy = tf.reduce_mean(tf.cast(hits, tf.float32), name="accuracy")
    learning_rate = tf.identity(learning_rate_now(), "learning_rate")
    with tf.variable_scope("epoch"):
        sums = {name: tf.get_variable(name, [], tf.float64, tf.zeros_initializer(),
                                      trainable=False) for name in ("seen", "loss", "hits")}
        start_epoch = tf.group(*[total.assign(0.0) for total in sums.values()])
    gradients, step = _step(optimizer, averages, global_step, loss, hits, sums)
    train_op = tf.group(step, name="train_op")
    several = None
    if recipe.steps_per_run > 1:
        def train(images, labels):
            logits = _logits(recipe, images, num_classes, tf.constant(True))
            loss, hits = _loss(recipe, logits, labels, num_classes), _hits(logits, labels)
            return loss, hits, _step(optimizer, averages, global_step, loss, hits, sums)[1]
        one_core = recipe.batch_size * parameters() < ONE_CORE
        several = _several(train, images, labels, training_images, _dtype(recipe), one_core)
    use_averages = tf.group([variable.assign(averages.average(variable))
                             for variable in tf.trainable_variables()] if averages else [],
                            name="use_averages")
    with tf.name_scope("summaries"):
        summaries = _summaries(images, loss, accuracy, learning_rate, gradients)
    return Model(images, labels, is_training, logits, probabilities, loss, accuracy,
                 learning_rate, global_step, train_op, several, sums["loss"] / sums["seen"],
                 sums["hits"] / sums["seen"], start_epoch, use_averages, summaries)


def _dtype(recipe):
    return tf.bfloat16 if recipe.precision == "bfloat16" else tf.float32


def _logits(recipe, images, num_classes, is_training):
    inference = networks.get(recipe.network)
    options = {name: getattr(recipe, name) for name in networks.options(recipe.network)}
    logits = inference(tf.cast(images, _dtype(recipe)), num_classes, is_training, **options)
    return tf.cast(logits, tf.float32)


def _hits(logits, labels):
    with tf.name_scope("hits"):
        return tf.equal(tf.argmax(logits, 1), labels)


def _step(optimizer, averages, global_step, loss, hits, sums):
    """One training step.

    The sums of the epoch live in the graph so that they are in every checkpoint: a run
    taken up in the middle of an epoch reports that epoch's figures as if it had never stopped.

    Returns:
      (gradients and variables, operation).
    """
    with tf.variable_scope("training", reuse=tf.AUTO_REUSE):
        gradients = optimizer.compute_gradients(loss)
        step = optimizer.apply_gradients(gradients, global_step)
        if averages:
            with tf.control_dependencies([step]):
                step = averages.apply(tf.trainable_variables())
    batch = tf.cast(tf.size(hits), tf.float64)
    return gradients, tf.group(
        step, sums["seen"].assign_add(batch),
        sums["loss"].assign_add(batch * tf.cast(loss, tf.float64)),
        sums["hits"].assign_add(tf.reduce_sum(tf.cast(hits, tf.float64))),
        *_collected(tf.GraphKeys.UPDATE_OPS))


def _several(train, images, labels, training_images, dtype, one_core):
    """`Several` steps of `train(images, labels) -> (loss, hits, operation)`.

    A small network computes for less time than preparing and feeding a batch takes, and than
    `session.run` takes to begin. So this prepares once, and feeds the batches' numbers alone.
    """
    def resident(name, shape, dtype):
        return tf.get_variable(name, [training_images, *shape], dtype, tf.zeros_initializer(),
                               trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES])

    with tf.variable_scope("resident"):
        all_images = resident("images", images.shape[1:], dtype)
        all_labels = resident("labels", [], tf.int64)
        first = tf.placeholder(tf.int64, [], "first")
        part = slice(first, first + tf.size(labels, out_type=tf.int64))
        put = tf.group(all_images[part].assign(tf.cast(images, dtype)),
                       all_labels[part].assign(labels), name="put")
    chosen = tf.placeholder(tf.int64, [None, None], "chosen")
    steps = tf.shape(chosen)[0]

    def batch(number):
        return tf.gather(all_images, chosen[number]), tf.gather(all_labels, chosen[number])

    def body(number, images, labels, losses, shares):
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            loss, hits, step = train(images, labels)
        # Another core takes the next images meanwhile; all cores at work would wait for it.
        with tf.control_dependencies([] if one_core else [step]):
            coming = batch(tf.minimum(number + 1, steps - 1))
        with tf.control_dependencies([step]):
            return (number + 1, *coming, losses + loss,
                    shares + tf.reduce_mean(tf.cast(hits, tf.float32)))

    graph = tf.get_default_graph()
    before = {key: len(graph.get_collection(key)) for key in graph.get_all_collection_keys()}
    *_, losses, shares = tf.while_loop(
        lambda number, *_: number < steps, body, [0, *batch(0), 0.0, 0.0], name="several",
        parallel_iterations=1)  # a step begins when the one before has changed the weights
    # A body shares its collections with the graph around it, which cannot use what is in it.
    for key in graph.get_all_collection_keys():
        del graph.get_collection_ref(key)[before.get(key, 0):]
    return Several(put, first, chosen, one_core, losses / tf.cast(steps, tf.float32),
                   shares / tf.cast(steps, tf.float32))


def _collected(key):
    """What is in a collection and in the default graph.

    In the body of a loop, which sees the collections around it, that is what it put there itself.
    """
    return [item for item in tf.get_collection(key) if item.graph is tf.get_default_graph()]


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
        return tf.add_n([loss, *_collected(tf.GraphKeys.REGULARIZATION_LOSSES)])


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


def _moving_averages(recipe, global_step):
    """What averages the weights, None if the recipe does not ask for it."""
    if not recipe.moving_average:
        return None
    # The decay grows with the step, so that the first weights are soon forgotten.
    return tf.train.ExponentialMovingAverage(recipe.moving_average, global_step)


def _summaries(images, loss, accuracy, learning_rate, gradients):
    """One serialized summary of a training batch, for TensorBoard.

    Activations are those of the first eight images, and where there are many, histograms count
    one number out of several: they are slow, and all would tell no more.
    """
    merged = [tf.summary.scalar("loss", loss), tf.summary.scalar("accuracy", accuracy),
              tf.summary.scalar("learning_rate", learning_rate)]
    if images.shape[-1] in (1, 3):
        merged.append(tf.summary.image("images", images[:3], 3))
    for gradient, variable in gradients:
        name, count = variable.op.name, variable.shape.num_elements()
        merged += [tf.summary.histogram(f"{kind}/{name}", _some(numbers, count))
                   for kind, numbers in (("variables", variable), ("gradients", gradient))]
    for activation in tf.get_collection(layers.ACTIVATIONS):
        name, first = activation.op.name, activation[:8]
        count = 8 * activation.shape[1:].num_elements()
        merged += [tf.summary.histogram(f"activations/{name}", _some(first, count)),
                   tf.summary.scalar(f"sparsity/{name}", tf.nn.zero_fraction(first))]
    return tf.summary.merge(merged, name="summaries")


def _some(numbers, count):
    """HISTOGRAM numbers of `count` at most, evenly spread and of every channel."""
    distance = -(-count // HISTOGRAM)
    while math.gcd(distance, numbers.shape[-1]) > 1:  # it would meet the same channels again
        distance += 1
    return tf.reshape(numbers, [-1])[::distance]


def parameters():
    """How many numbers are trained in the default graph."""
    return sum(variable.shape.num_elements() for variable in tf.trainable_variables())

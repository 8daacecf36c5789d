"""The graph, as one value: placeholders -> network -> loss -> train_op.

    build           creates everything from the images to the training step in the default graph
    network_logits  creates the network alone
    parameters      number of trained parameters of the default graph

The tensors that people fetch by name: images:0, labels:0, is_training:0, logits:0,
probabilities:0, loss:0, accuracy:0, learning_rate:0, global_step:0.

This module never runs anything; sessions do that, see `tf1cifar.training`. The layers are in
`tf1cifar.networks`, the losses in `tf1cifar.losses`, Muon in `tf1cifar.optimizers`.
"""

import copy
import zlib
from collections.abc import Callable
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from tf1cifar import losses, networks, optimizers, parts, recipes, resident, summaries


class Model(NamedTuple):
    """The tensors and operations of a graph that `build` created; B is any batch size."""
    images: tf.Tensor           # float32 [B, height, width, channels], a placeholder
    labels: tf.Tensor           # int64 [B], a placeholder
    is_training: tf.Tensor      # bool [], a placeholder, false by default
    logits: tf.Tensor           # float32 [B, num_classes]
    probabilities: tf.Tensor    # float32 [B, num_classes], softmax of the logits
    loss: tf.Tensor             # float32 [], mean over the batch plus regularization
    accuracy: tf.Tensor         # float32 [], share of the batch that is classified correctly
    learning_rate: tf.Tensor    # float32 [], learning rate of the next step
    global_step: tf.Variable    # int64 [], number of training steps done
    train_op: tf.Operation      # one training step, which also updates the epoch's sums
    resident: resident.Memory   # the images of the loop over resident images, or None
    step_inputs: tuple          # tensors to feed when session.run trains, in the order of `Feed`
    step_fetches: tuple         # what to fetch then: losses, accuracy, and operations to run
    epoch_loss: tf.Tensor       # float64 [], mean training loss of the epoch so far
    epoch_accuracy: tf.Tensor   # float64 [], training accuracy of the epoch so far
    start_epoch: tf.Operation   # sets the epoch's sums to zero
    use_averages: tf.Operation  # copies the moving averages, if there are any, to the weights
    summaries: tf.Tensor        # string [], serialized summary of a training batch
    add_part: Callable          # function of a `parts.Part`: adds the step of one of several tasks


def build(recipe, image_shape, num_classes, training_images):
    """Build the graph of `recipe` in the default graph.

    Args:
      recipe: a `Recipe`. `precision="auto"` counts as float32 and `lrn="auto"` as "product".
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      training_images: number of training images, which the learning rate schedule depends on.

    Returns:
      A `Model`.
    """
    tf.set_random_seed(recipe.seed)
    # The variable has a scope of its own, so that `global_step:0` is the number below and not a
    # handle of the variable.
    with tf.variable_scope("training"):
        global_step = tf.get_variable(
            "global_step", [], tf.int64, tf.zeros_initializer(), trainable=False,
            collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.GLOBAL_STEP])
    tf.identity(global_step, "global_step")
    images = tf.placeholder(tf.float32, [None, *image_shape], "images")
    labels = tf.placeholder(tf.int64, [None], "labels")
    is_training = tf.placeholder_with_default(False, [], "is_training")

    # A function, because a loop in the graph must compute the rate anew in every step.
    def learning_rate_now(initial=recipe.learning_rate):
        with tf.name_scope("schedule"):
            return _learning_rate(recipe, initial, global_step, training_images)

    optimizer = _optimizer(recipe, learning_rate_now)
    averages = _moving_averages(recipe, global_step)
    # GATE_OP computes both gradients of an operation even if the one of its input, which comes from
    # frozen layers, is not used.
    gate = tf.train.Optimizer.GATE_GRAPH if recipe.freeze else tf.train.Optimizer.GATE_OP

    logits = tf.identity(network_logits(recipe, images, num_classes, is_training), "logits")
    networks.check_frozen(recipe)
    probabilities = tf.nn.softmax(logits, name="probabilities")
    loss = tf.identity(_loss(recipe, logits, labels), "loss")
    hits = _hits(logits, labels)
    accuracy = tf.reduce_mean(tf.cast(hits, tf.float32), name="accuracy")
    learning_rate = tf.identity(learning_rate_now(), "learning_rate")
    with tf.variable_scope("epoch"):
        sums = {name: tf.get_variable(name, [], tf.float64, tf.zeros_initializer(),
                                      trainable=False) for name in ("seen", "loss", "hits")}
        start_epoch = tf.group(*[total.assign(0.0) for total in sums.values()])
    gradients, step = _training_step(optimizer, averages, global_step, loss, hits, sums, gate)
    train_op = tf.group(step, name="train_op")

    def another_step(images, labels):
        logits = network_logits(recipe, images, num_classes, tf.constant(True))
        loss, hits, part = _loss(recipe, logits, labels), _hits(logits, labels), parts.current()
        _, step = _training_step(optimizer, averages, global_step, loss, hits, sums, gate)
        if part:
            return [part.loss, part.accuracy, part.signals], step
        return [loss, tf.reduce_mean(tf.cast(hits, tf.float32))], step

    memory = None
    step_inputs, step_fetches = (images, labels, is_training), (loss, accuracy, train_op)
    if recipe.steps_per_run > 1:
        memory = resident.memory(images, labels, training_images, _dtype(recipe))
        step_inputs, step_fetches = (memory.indices,), resident.loop(another_step, memory)

    def add_part(part):
        with (part.building(), tf.name_scope("part"), resident.network_again(),
              tf.variable_scope(tf.get_variable_scope(), reuse=True, auxiliary_name_scope=False)):
            if memory:
                return (memory.indices, part.bounds), resident.loop(another_step, memory)
            values, step = another_step(images, labels)
            return (images, labels, part.bounds), (*values, step)

    use_averages = tf.group([variable.assign(averages.average(variable))
                             for variable in tf.trainable_variables()] if averages else [],
                            name="use_averages")
    with tf.name_scope("summaries"):
        summary = summaries.merged(images, loss, accuracy, learning_rate, gradients)
    return Model(images, labels, is_training, logits, probabilities, loss, accuracy,
                 learning_rate, global_step, train_op, memory, step_inputs, step_fetches,
                 sums["loss"] / sums["seen"], sums["hits"] / sums["seen"], start_epoch,
                 use_averages, summary, add_part)


def parameters():
    """Number of trained parameters in the default graph."""
    return sum(variable.shape.num_elements() for variable in tf.trainable_variables())


# ---------------------------------------------------------------------------------------
# Network, loss and training step


def _dtype(recipe):
    return tf.bfloat16 if recipe.precision == "bfloat16" else tf.float32


def network_logits(recipe, images, num_classes, is_training):
    """Create the recipe's network, which computes in the recipe's precision.

    Args:
      recipe: a `Recipe`.
      images: float32 [B, height, width, channels], prepared images.
      num_classes: number of classes.
      is_training: bool tensor [].

    Returns:
      float32 [B, num_classes], the logits.
    """
    inference = networks.get(recipe.network)
    options = {name: getattr(recipe, name) for name in recipes.NETWORKS[recipe.network]}
    def variable(getter, name, *arguments, **settings):
        if recipe.freezes(name):
            settings["trainable"] = False
        return _seeded_by_name(getter, name, *arguments, **settings)

    with tf.variable_scope(tf.get_variable_scope(), custom_getter=variable):
        logits = inference(tf.cast(images, _dtype(recipe)), num_classes, is_training, **options)
    return tf.cast(logits, tf.float32)


def _seeded_by_name(getter, name, *arguments, initializer=None, **options):
    """`tf.get_variable` whose initial value is a function of the graph's seed and the name.

    TensorFlow would otherwise derive the seed from the number of operations created before, so that
    any change of the graph changed all weights.
    """
    if getattr(initializer, "seed", 0) is None:
        initializer = copy.copy(initializer)
        initializer.seed = zlib.crc32(name.encode()) >> 1  # a seed has 31 bits
    return getter(name, *arguments, initializer=initializer, **options)


def _loss(recipe, logits, labels):
    """The loss that training minimizes: the recipe's loss plus, if it has any, regularization."""
    with tf.name_scope(recipe.loss):
        options = {"label_smoothing": recipe.label_smoothing} if recipe.label_smoothing else {}
        loss = losses.LOSSES[recipe.loss](logits, labels, **options)
    if not recipe.l2:
        return loss
    with tf.name_scope("l2"):
        losses.add_l2(recipe.l2)
        return tf.add_n([loss, *_current_graph_items(tf.GraphKeys.REGULARIZATION_LOSSES)])


def _hits(logits, labels):
    """bool [batch]: whether the right class has the largest logit."""
    with tf.name_scope("hits"):
        return tf.equal(tf.argmax(logits, 1), labels)


def _training_step(optimizer, averages, global_step, loss, hits, sums, gate):
    """Create the operation of one training step.

    The sums of the epoch are variables, so that every checkpoint contains them: a run that is
    resumed in the middle of an epoch reports the figures of the whole epoch.

    Returns:
      (list of (gradient, variable), operation).
    """
    part, images = parts.current(), tf.size(hits)
    hits = tf.reduce_sum(tf.cast(hits, tf.float64))
    with tf.variable_scope("training", reuse=tf.AUTO_REUSE):
        gradients = optimizer.compute_gradients(loss * part.share if part else loss,
                                                gate_gradients=gate)
        if part:
            gradients, loss, hits = part.whole_batch(gradients, loss, hits)
            images = part.bounds[-1]
        step = optimizer.apply_gradients(gradients, global_step)
    if averages:
        # In no scope, so that the averages have the names of `averages.variables_to_restore()`.
        with tf.control_dependencies([step]):
            step = averages.apply(tf.trainable_variables())
    batch = tf.cast(images, tf.float64)
    return gradients, tf.group(
        step, sums["seen"].assign_add(batch),
        sums["loss"].assign_add(batch * tf.cast(loss, tf.float64)),
        sums["hits"].assign_add(hits),
        *_current_graph_items(tf.GraphKeys.UPDATE_OPS))


def _current_graph_items(key):
    """Items of the collection that belong to the current graph.

    (Inside a while_loop body the collection also lists the outer graph's items.)
    """
    return [item for item in tf.get_collection(key) if item.graph is tf.get_default_graph()]


def _learning_rate(recipe, rate, global_step, training_images):
    """float32 [], the learning rate of the step after `global_step`; `rate` is that of step 0."""
    if recipe.schedule == "cosine":
        return tf.train.cosine_decay(rate, global_step, recipe.total_steps(training_images))
    if recipe.schedule == "linear":
        return tf.train.polynomial_decay(rate, global_step, recipe.total_steps(training_images),
                                         end_learning_rate=0.0)
    if recipe.schedule in ("steps", "exponential"):
        steps = recipe.decay_epochs * recipe.steps_per_epoch(training_images)
        return tf.train.exponential_decay(rate, global_step, steps, recipe.decay_rate,
                                          staircase=recipe.schedule == "steps")
    return tf.constant(rate)


def _optimizer(recipe, learning_rate):
    """The optimizer of the recipe; `learning_rate` is a function of the initial rate."""
    if recipe.optimizer == "gradient_descent":
        return tf.train.GradientDescentOptimizer(learning_rate)
    if recipe.optimizer in ("momentum", "nesterov"):
        return tf.train.MomentumOptimizer(learning_rate, recipe.momentum,
                                          use_nesterov=recipe.optimizer == "nesterov")
    if recipe.optimizer == "muon":
        return optimizers.Muon(learning_rate, lambda: learning_rate(recipe.nesterov_rate),
                               recipe.momentum)
    return tf.train.AdamOptimizer(learning_rate, recipe.beta1)


def _moving_averages(recipe, global_step):
    """The object that averages the weights, None if the recipe has no moving averages."""
    if not recipe.moving_average:
        return None
    # With the global step, the decay starts low, so that the initial weights are soon forgotten.
    return tf.train.ExponentialMovingAverage(recipe.moving_average, global_step)

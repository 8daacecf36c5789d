"""Training on images that stay in the graph's memory, several steps in one session.run.

    memory         the variables that hold the images
    loop           the loop over training steps
    network_again  context for another copy of a network in the same graph
"""

import contextlib
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from tf1cifar import parts


class Memory(NamedTuple):
    """The training images in the graph's memory, for a loop that trains S steps."""
    images: tf.Variable        # all training images, in the dtype in which the network computes
    labels: tf.Variable        # int64, their labels
    load_images: tf.Operation  # copies a part of the images, fed as images:0, and their labels
    offset: tf.Tensor          # int64 [], a placeholder: position of that part among all images
    indices: tf.Tensor         # int64 [S, B], a placeholder: positions of each step's images


def memory(images, labels, training_images, dtype):
    """Create a `Memory`.

    For small networks, feeding a batch and the overhead of session.run cost more than the step.
    Here the prepared images stay in graph memory and only the indices of each batch are fed.

    Args:
      images, labels: the placeholders from which `load_images` copies.
      training_images: number of images in memory.
      dtype: dtype of the images in memory.
    """
    def stored(name, shape, dtype):
        return tf.get_variable(name, [training_images, *shape], dtype, tf.zeros_initializer(),
                               trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES])

    with tf.variable_scope("resident"):
        all_images = stored("images", images.shape[1:], dtype)
        all_labels = stored("labels", [], tf.int64)
        offset = tf.placeholder(tf.int64, [], "offset")
        part = slice(offset, offset + tf.size(labels, out_type=tf.int64))
        load_images = tf.group(all_images[part].assign(tf.cast(images, dtype)),
                               all_labels[part].assign(labels), name="load_images")
    indices = tf.placeholder(tf.int64, [None, None], "indices")
    return Memory(all_images, all_labels, load_images, offset, indices)


def loop(training_step, resident):
    """Create a loop that trains a step on each row of `resident.indices`.

    Args:
      training_step: function (images, labels) -> (list of float32 tensors, operation); the first
        tensor is the loss.
      resident: a `Memory`.

    Returns:
      (losses, means of the other tensors over the steps); fetching any trains. The losses are
      float32 [S].
    """
    indices = resident.indices
    steps = tf.shape(indices)[0]

    def batch(number):
        return (tf.gather(resident.images, indices[number]),
                tf.gather(resident.labels, indices[number]))

    def body(number, images, labels, losses, *totals):
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            values, step = training_step(images, labels)
        # The next batch is gathered during the step, at no cost to large networks.
        next_batch = batch(tf.minimum(number + 1, steps - 1))
        with tf.control_dependencies([step]):
            return (number + 1, *next_batch, losses.write(number, values[0]),
                    *[total + value for total, value in zip(totals, values[1:])])

    part = parts.current()
    zeros = [0.0, tf.zeros([part.count])] if part else [0.0]
    losses = tf.TensorArray(tf.float32, steps, element_shape=[])
    with network_again():
        _, _, _, losses, *totals = tf.while_loop(
            lambda number, *_: number < steps, body, [0, *batch(0), losses, *zeros],
            name="training_loop",
            parallel_iterations=1)  # a step needs the weights of the step before it
    return losses.stack(), *[total / tf.cast(steps, tf.float32) for total in totals]


@contextlib.contextmanager
def network_again():
    """Context for another copy of the network, whose items in the collections are its own.

    The collections are afterwards as they were: the graph outside a loop cannot use tensors of the
    loop's body, and a step must run the updates of its own copy only.
    """
    graph = tf.get_default_graph()
    before = {key: list(graph.get_collection(key)) for key in graph.get_all_collection_keys()}
    for key in (tf.GraphKeys.REGULARIZATION_LOSSES, tf.GraphKeys.UPDATE_OPS):
        graph.clear_collection(key)
    yield
    for key in graph.get_all_collection_keys():
        graph.get_collection_ref(key)[:] = before.get(key, [])

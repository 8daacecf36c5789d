"""Look into a restored network: weights before training, what excites it, which pixels decide.

    filters          the filters of the convolutions, before and after training
    pixel_weights    the weights between pixels and the units of a dense layer
    layers           the activation of every convolution
    peaks            the largest activation of every filter, a tensor for `evaluation.evaluate`
    exciting_images  the images that excite filters most, and the part of them that does
    covered          how much a probability falls when a part of an image is covered

All of them work on the graph of `restore.restored`, in its session.
"""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console
from tf1cifar.networks.layers import ACTIVATIONS

BATCH_SIZE = 250
# Activations that only pass on, scale or choose from what a filter has found.
FOLLOWING = ("convolution", "max_pool", "lrn", "batch_norm", "dropout")


class Weights(NamedTuple):
    """The weights of a layer."""
    name: str            # of the layer, such as conv1
    before: np.ndarray   # before training, like `after`; None if training does not change them
    after: np.ndarray    # float32 [height, width, inputs, filters]


def filters(session):
    """The filters of every convolution, from the first on; a list of `Weights`.

    The start of a run is a function of its seed. So it is computed again here, which works once in
    a session, since random operations go on to other numbers.
    """
    return _weights(session, _variables(4))


def pixel_weights(session, image_shape):
    """The `Weights` of a dense layer whose inputs are the pixels, as [*image_shape, units].

    Returns:
      None if the network has no such layer.
    """
    pixels = int(np.prod(image_shape))
    dense = _variables(2)[:1]
    if _variables(4) or not dense or dense[0].shape[0] != pixels:
        return None
    (weights,) = _weights(session, dense)
    return Weights(weights.name, *(part.reshape(*image_shape, -1) for part in weights[1:]))


def _variables(dimensions):
    """The variables of layers' weights with so many dimensions, in the order of the layers."""
    return [variable for variable in tf.global_variables()  # trained or not
            if variable.op.name.endswith("/weights") and len(variable.shape) == dimensions]


def _weights(session, variables):
    trained = tf.trainable_variables()
    after, before = session.run([variables, [variable.initial_value for variable in variables]])
    return [Weights(variable.op.name.rpartition("/")[0],
                    start if any(variable is one for one in trained) else None, end)
            for variable, start, end in zip(variables, before, after)]


def scope_and_kind(node):
    """A node's layer and kind: those of conv1/lrn/lrn are 'conv1' and 'lrn'."""
    # The name of a node may repeat the layer's kind.
    *scope, kind = [part for part, _ in itertools.groupby(node.op.name.split("/"))]
    return "/".join(scope), kind


def layers():
    """name -> activation, [B, height, width, filters], of every convolution's layer."""
    found = {}
    nodes = [x for x in tf.get_collection(ACTIVATIONS) if len(x.shape) == 4]
    for node in nodes:
        scope, kind = scope_and_kind(node)
        if scope not in found or kind.rstrip("_0123456789") not in FOLLOWING:
            found[scope] = node
    return found


def peaks(activation):
    """The largest value of every filter over an image; float32 [B, filters]."""
    return tf.cast(tf.reduce_max(activation, (1, 2)), tf.float32)


def exciting_images(session, activation, values, pixels, filters, count):
    """The images that excite each of some filters most, and the part of an image that does.

    Args:
      session: a session on the graph.
      activation: a value of `layers`.
      values: float [N, filters], the `peaks` of N images.
      pixels: function of int [n], numbers of images -> float32 [n, ...], prepared images.
      filters: list of numbers of filters.
      count: number of images for each of them.

    Returns:
      (numbers, boxes): int [len(filters), count], numbers of images, the most exciting one first;
      and int [len(filters), count, 4], (left, top, width, height) of the pixels of the prepared
      image that the largest activation depends on; zeros if it depends on none.
    """
    count = min(count, len(values))
    numbers = np.argsort(-values[:, filters], axis=0, kind="stable")[:count].T
    chosen = tf.placeholder(tf.int32, [None])
    images = tf.get_default_graph().get_tensor_by_name("images:0")
    peak = tf.reduce_max(tf.gather(activation, chosen, axis=3, batch_dims=1), (1, 2))
    slopes = tf.reduce_any(tf.not_equal(tf.gradients(peak, images)[0], 0), 3)
    depends = np.concatenate([session.run(slopes, {images: pixels(row), chosen: [number] * count})
                              for row, number in zip(numbers, filters)])
    boxes = np.zeros((len(depends), 4), int)
    for box, one in zip(boxes, depends):
        if one.any():
            (rows,), (columns,) = np.nonzero(one.any(1)), np.nonzero(one.any(0))
            box[:] = (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    return numbers, boxes.reshape(len(filters), count, 4)


def covered(session, pixels, classes):
    """How much the probability of classes falls when a square covers a part of an image.

    A square of a quarter of the image's side, in the image's mean colour, is moved over the image
    (M. Zeiler, R. Fergus, *Visualizing and Understanding Convolutional Networks*, 2013, section
    4.2). A pixel gets the mean of the squares that cover it.

    Args:
      session: a session on a graph with images:0 and probabilities:0.
      pixels: float32 [n, height, width, channels], prepared images.
      classes: int [n, k], numbers of classes.

    Returns:
      (falls, probabilities): float32 [n, k, height, width], the probability of the class minus
      that with the pixel covered; float32 [n, classes], the probabilities of the images.
    """
    height, width = pixels.shape[1:3]
    side = max(min(height, width) // 4, 1)
    step = max(side // 3, 1)
    corners = [(top, left) for top in range(step - side, height, step)
               for left in range(step - side, width, step)]
    whole = session.run("probabilities:0", {"images:0": pixels})
    falls = np.zeros((*classes.shape, height, width), np.float32)
    with console.progress(len(pixels) * len(corners), "covering pixels") as bar:
        for number, (image, wanted) in enumerate(zip(pixels, classes)):
            windows = [(slice(max(top, 0), top + side), slice(max(left, 0), left + side))
                       for top, left in corners]
            hits = np.zeros((height, width), np.float32)
            mean = image.mean((0, 1))
            for start in range(0, len(windows), BATCH_SIZE):
                part = windows[start:start + BATCH_SIZE]
                batch = np.repeat(image[None], len(part), 0)
                for copy, window in zip(batch, part):
                    copy[window] = mean
                rows = session.run("probabilities:0", {"images:0": batch})[:, wanted]
                for window, row in zip(part, rows):
                    falls[number][(slice(None), *window)] += (
                        whole[number, wanted] - row)[:, None, None]
                    hits[window] += 1
                bar.update(number * len(corners) + start + len(part))
            falls[number] /= np.maximum(hits, 1)
    return falls, whole

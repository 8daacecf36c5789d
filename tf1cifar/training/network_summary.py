"""The layers of a recipe's network: shapes, parameters, and shares of the arithmetic.

    products   the convolutions and matrix products of a graph
    layers     the layers of a network
    lines      the table that cnn_train.py prints
"""

import math
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from tf1cifar import graph
from tf1cifar.networks.layers import ACTIVATIONS


class Layer(NamedTuple):
    """The operations of one variable scope."""
    name: str             # the scope
    operations: list      # list of str, such as ['convolution', 'relu']
    shape: list           # shape of the output of an image
    parameters: int       # number of trained parameters
    multiplications: int  # number of multiplications for an image forwards


def products(built):
    """The convolutions and matrix products of a graph whose shapes are known.

    Args:
      built: a `tf.Graph`, whose batch size is known.

    Yields:
      (operation, inputs, weights, multiplications): a `tf.Operation` of the type Conv2D or MatMul,
      the shapes of its input and weights as lists of int, and the number of multiplications.
    """
    for operation in built.get_operations():
        if operation.type in ("Conv2D", "MatMul"):
            inputs, weights = (tensor.shape.as_list() for tensor in operation.inputs)
            if None not in inputs + weights:
                positions = operation.outputs[0].shape.num_elements() // weights[-1]
                yield operation, inputs, weights, positions * math.prod(weights)


def layers(recipe, image_shape, num_classes):
    """The layers of the recipe's network.

    Args:
      recipe: a `recipes.Recipe`.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.

    Returns:
      A list of `Layer` in the order of the network.
    """
    with tf.Graph().as_default() as built:
        tf.train.create_global_step()  # for dropout
        images = tf.placeholder(tf.float32, [1, *image_shape])
        graph.network_logits(recipe, images, num_classes, tf.constant(False))
        variables = {variable.op.name: variable.shape.num_elements()
                     for variable in tf.trainable_variables()}
        scopes = {name.rpartition("/")[0] for name in variables}
        activations = {tensor.op.name: tensor for tensor in tf.get_collection(ACTIVATIONS)}
        multiplications = {operation.name: number for operation, *_, number in products(built)}
        found = {}
        for operation in built.get_operations():
            name = operation.name
            if name in variables or name in activations or name in multiplications:
                scope = _scope(name, scopes)
                layer = found.setdefault(scope, Layer(scope or recipe.network, [], [], 0, 0))
                shape = layer.shape
                if name in activations:
                    layer.operations.append(name.rpartition("/")[2])
                    shape = activations[name].shape.as_list()[1:]
                found[scope] = layer._replace(
                    shape=shape, parameters=layer.parameters + variables.get(name, 0),
                    multiplications=layer.multiplications + multiplications.get(name, 0))
        return list(found.values())


def _scope(name, scopes):
    """The longest of `scopes` that the operation `name` is in, or its outermost scope."""
    parts = name.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        if "/".join(parts[:length]) in scopes:
            return "/".join(parts[:length])
    return parts[0] if parts and "" not in scopes else ""


def lines(recipe, image_shape, num_classes):
    """The table of a network's layers, as a list of lines of at most 79 columns if names are short.

    Args:
      recipe, image_shape, num_classes: see `layers`.
    """
    found = layers(recipe, image_shape, num_classes)
    total = sum(layer.multiplications for layer in found)
    rows = [("layer", "operations", "output", "parameters", "arithmetic"),
            ("images", "", "x".join(map(str, image_shape)), "", "")]
    rows += [(layer.name, ", ".join(layer.operations), "x".join(map(str, layer.shape)),
              f"{layer.parameters:,}", f"{layer.multiplications / max(total, 1):.1%}")
             for layer in found]
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = ["  ".join([*(text.ljust(width) for text, width in zip(row[:3], widths)),
                        *(text.rjust(width) for text, width in zip(row[3:], widths[3:]))]).rstrip()
             for row in rows]
    parameters = sum(layer.parameters for layer in found)
    return [*table, f"{parameters:,} parameters, {_short(total)} multiplications an image"]


def _short(number):
    """1234567 as '1.2 million'."""
    for size, word in ((10 ** 9, "billion"), (10 ** 6, "million"), (10 ** 3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return f"{number}"

"""The networks: one file each, with `inference(images, num_classes, is_training, ...) -> logits`.

To add a network, write `tf1cifar/networks/NAME.py` with an `inference` function, add NAME to
`recipes.NETWORKS` together with the recipe fields that `inference` takes as keyword-only
parameters, and add a recipe that names it to `recipes.RECIPES`.

    layers     the layers that the networks consist of
    gradients  faster implementations of some of their gradients

Images are float32 or bfloat16. The layers cast their variables to the dtype of their input, and a
network that multiplies by variables of its own must do the same. `graph.build` may build a network
twice on the same variables, see `graph.ResidentTraining`.
"""

import importlib

from tf1cifar import console, errors


def get(name):
    """The function `inference` of the network called `name`, whose module is imported.

    Args:
      name: name of a file in this folder, without .py.

    Raises:
      ValueError: there is no such network.
    """
    path = f"{__name__}.{name}"
    try:
        return importlib.import_module(path).inference
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not path.startswith(error.name):
            raise  # the network exists, but a module that it imports does not
        raise ValueError(f"network {name!r}, expected a file in tf1cifar/networks/ with a "
                         "function inference") from error


def check_frozen(recipe):
    """Raise an `errors.UserError` if `recipe.freeze` names no layer, or leaves nothing to train.

    The default graph holds the network of the `recipes.Recipe`.
    """
    import tensorflow.compat.v1 as tf
    names = [variable.op.name for variable in tf.global_variables()]
    for scope in recipe.freeze:
        if not any(f"{name}/".startswith(f"{scope}/") for name in names):
            layers = dict.fromkeys(variable.op.name.rpartition("/")[0]
                                   for variable in tf.trainable_variables())
            raise errors.UserError(f"--freeze {console.cut(scope)}: {recipe.network} has no such "
                                   f"layer; there are {console.cut(', '.join(layers))}")
    if not tf.trainable_variables():
        raise errors.UserError(f"--freeze {console.cut(' '.join(recipe.freeze))} leaves nothing to "
                               "train")

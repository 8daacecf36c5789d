"""The graph that leaves the house: uint8 pictures -> preparation -> network -> probabilities.

    inference_recipe  a run's recipe without what only training needs
    prepare           the twin of `data.preparation.prepare` in the graph
    answers           logits and probabilities of a batch of pictures
    build             a graph of its own with placeholder, answers and a run's weights

Everything is float32, whatever the run's precision is: neither TFLite nor onnxruntime computes
bfloat16. No operation of dropout is in the graph, and batch norm uses its moving averages.
"""

import contextlib
import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import data, graph
from tf1cifar.data import preparation
from tf1cifar.training import evaluation, restore
from tf1cifar.training.session import session_config, tensorflow_errors_as_failures

OUTPUTS = ("logits", "probabilities")  # names of the tensors, float32 [B, num_classes]


def inference_recipe(recipe):
    """The `recipes.Recipe` of a run's network in float32, without dropout."""
    return dataclasses.replace(recipe, precision="float32", dropout=0.0)


def prepare(images, name, mean=None):
    """Prepare images in the graph, equal to `data.preparation.prepare` beside it.

    Args:
      images: uint8 [B, height, width, channels].
      name: name of the preparation.
      mean: float32 [height, width, channels], the mean training image, for 'minus_mean'.

    Returns:
      float32 [B, *preparation.prepared_shape(...)].

    Raises:
      ValueError: the preparation has no twin here.
    """
    shape = images.shape.as_list()[1:]
    pixels = tf.cast(images, tf.float32)
    if name == "unit":
        return pixels / 255.0
    if name == "minus_mean":
        return pixels - tf.constant(mean)
    if name not in ("gray24", "standardized24"):
        raise ValueError(f"preparation {name!r} has no twin in an exported graph")
    height, width, _ = preparation.prepared_shape(shape, name)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    pixels = pixels[:, top:top + height, left:left + width]
    planes = 1
    if name == "gray24":
        planes = shape[2]
        pixels = tf.reduce_sum(pixels, 3, keepdims=True)
    # Sums of integers are exact, see `preparation._standardize`.
    length = np.float32(height * width * (1 if name == "gray24" else shape[2]))
    pixels *= length
    pixels -= tf.reduce_sum(pixels, [1, 2, 3], keepdims=True) / length
    variance = tf.reduce_sum(pixels * pixels, [1, 2, 3], keepdims=True) / length
    return pixels / tf.maximum(tf.sqrt(variance), planes * np.sqrt(length))


def answers(recipe, images, num_classes, mean=None):
    """The network's answers to a batch of pictures.

    Args:
      recipe: the `recipes.Recipe` of the run.
      images: uint8 [B, height, width, channels], in the size of the run's images.
      num_classes: number of classes.
      mean: see `prepare`.

    Returns:
      (logits, probabilities), float32 [B, num_classes].
    """
    pixels = prepare(images, recipe.preparation, mean)
    logits = graph.network_logits(inference_recipe(recipe), pixels, num_classes,
                                  tf.constant(False))
    return logits, tf.nn.softmax(logits)


class Run(NamedTuple):
    """A trained run, ready for export."""
    name: str             # of the recipe
    recipe: object        # `recipes.Recipe`
    description: dict     # of the data set, see `data.describe`
    mean: np.ndarray      # the mean training image, None unless the preparation subtracts it
    weights: dict         # name of a variable -> float32 array, moving averages in their place
    checkpoint: str       # path of the checkpoint
    step: int             # its global step
    labels: np.ndarray    # int64 [N], of the test images
    images: np.ndarray    # uint8 [N, height, width, channels], the test images
    logits: np.ndarray    # float32 [N, num_classes], answers of the run's own graph in float32

    @property
    def image_shape(self):
        """(height, width, channels) of the network's pictures."""
        return tuple(self.description["image_shape"])

    @property
    def class_names(self):
        """The names of the classes, a list of str."""
        return self.description["class_names"]

    def answers(self, images):
        """See `answers`."""
        return answers(self.recipe, images, len(self.class_names), self.mean)


def read(folder, checkpoint=None, data_dir=None):
    """Restore a run and its answers to the test images.

    Args:
      folder: a `run_folder.RunFolder`.
      checkpoint: see `RunFolder.checkpoint_path`.
      data_dir: see `data.reload`.

    Returns:
      A `Run`.

    Raises:
      errors.UserError: there is no such run, checkpoint or data set.
      errors.Failure: the checkpoint cannot be restored.
    """
    name, recipe, description = folder.read_description()
    test = data.reload(description, data_dir).test
    mean = None
    if recipe.preparation == "minus_mean":
        mean = preparation.load_mean_image(folder.mean_image_file)
    with tf.Graph().as_default():
        images = tf.placeholder(tf.uint8, [None, *description["image_shape"]])
        answers(recipe, images, len(description["class_names"]), mean)
        names = [variable.op.name for variable in tf.global_variables()]
    with restore.restored(folder, checkpoint, device="cpu", precision="float32") as (session, path):
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        weights = session.run({name: variables[name] for name in names})
        prepared = restore.prepare_function(folder, recipe)
        logits = np.concatenate([session.run("logits:0", {"images:0": prepared(batch.images)})
                                 for batch in evaluation.evaluation_batches(test)])
        step = int(session.run("global_step:0"))
    return Run(name, recipe, description, mean, weights, path, step, test.labels, test.images,
               logits)


@contextlib.contextmanager
def session(run, build):
    """A session on a new default graph that holds the run's weights.

    Args:
      run: a `Run`.
      build: function without arguments that builds the graph with `Run.answers`.

    Yields:
      The session.
    """
    with (tf.Graph().as_default(), tensorflow_errors_as_failures(),
          tf.Session(config=session_config("cpu")) as opened):
        build()
        for variable in tf.global_variables():
            variable.load(run.weights[variable.op.name], opened)
        yield opened


def placeholder_to_answers(run, batch=None):
    """Build images:0, uint8 [batch, height, width, channels] -> logits:0 and probabilities:0."""
    images = tf.placeholder(tf.uint8, [batch, *run.image_shape], "images")
    for tensor, name in zip(run.answers(images), OUTPUTS):
        tf.identity(tensor, name)


def frozen(session):
    """The `tf.GraphDef` of a session's graph with its variables as constants.

    A choice whose condition is a constant, such as batch norm's statistics, is made here, so that
    nothing of training is left.
    """
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), list(OUTPUTS))
    constants = {node.name: node for node in graph_def.node if node.op == "Const"}
    for node in graph_def.node:
        if node.op == "SelectV2" and node.input[0] in constants:
            condition = tf.make_ndarray(constants[node.input[0]].attr["value"].tensor)
            if not condition.shape:
                chosen, dtype = node.input[1 if condition else 2], node.attr["T"].type
                node.CopyFrom(tf.NodeDef(name=node.name, op="Identity", input=[chosen],
                                         attr={"T": tf.AttrValue(type=dtype)}))
    return tf.graph_util.extract_sub_graph(graph_def, list(OUTPUTS))

"""Restore a trained run in one of the three ways of the tutorials.

    restored          a session with the weights of a run
    prepare_function  the function that prepares images for the run's network
"""

import contextlib
import dataclasses
import functools
import os.path

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console, errors, graph
from tf1cifar.data import preparation
from tf1cifar.plain_paths import plain
from tf1cifar.training import graph_check
from tf1cifar.training.checkpoints import restore_variables
from tf1cifar.training.session import session_config, short_message, tensorflow_errors_as_failures


def prepare_function(folder, recipe):
    """The function that prepares images for a run's network: uint8 images -> float32 pixels.

    Args:
      folder: a `run_folder.RunFolder`.
      recipe: the `recipes.Recipe` of the run.

    Raises:
      errors.UserError: the mean training image is needed, and is missing or damaged.
    """
    mean = None
    if recipe.preparation == "minus_mean":
        mean = preparation.load_mean_image(folder.mean_image_file)
    return functools.partial(preparation.prepare, preparation=recipe.preparation, mean=mean)


@contextlib.contextmanager
def restored(folder, checkpoint=None, via="saver", device="auto", precision=None):
    """A session on a graph that holds a run's weights; the graph is the default one.

    Args:
      folder: a `run_folder.RunFolder`.
      checkpoint: see `RunFolder.checkpoint_path`.
      via: 'saver' builds the graph from recipe.json and restores the variables; 'meta_graph'
        imports the graph that was saved with the checkpoint; 'saved_model' loads the SavedModel
        that training writes at its end.
      device: see `session.session_config`.
      precision: the precision in which 'saver' builds the graph; None for the run's own.

    Yields:
      (session, path): the session, and the path of the restored checkpoint or SavedModel.

    Raises:
      errors.UserError: there is no such run or checkpoint, or its graph is refused.
      errors.Failure: TensorFlow cannot read the checkpoint or the graph.
    """
    _, recipe, data = folder.read_description()
    recipe = dataclasses.replace(recipe, precision=precision or recipe.precision)
    num_classes = len(data["class_names"])
    shape = preparation.prepared_shape(data["image_shape"], recipe.preparation)
    if via == "saved_model":
        if checkpoint:
            raise errors.UserError("--via saved_model has one set of weights; "
                                   "leave out --checkpoint")
        path = str(folder.saved_model)
        if not folder.result_file.exists() or not folder.saved_model.exists():
            raise errors.UserError(f"{path}: no SavedModel yet, training ends with writing it")
    else:
        path = folder.checkpoint_path(checkpoint)

    def build():
        graph.build(recipe, shape, num_classes, data["training_images"])

    with (tf.Graph().as_default(), tensorflow_errors_as_failures(),
          tf.Session(config=session_config(device)) as session):
        if via == "saved_model":
            load_saved_model(session, path, build)
        elif via == "meta_graph":
            restore_variables(session, import_meta_graph(f"{path}.meta", build), path)
        else:
            build()
            restore_variables(session, tf.train.Saver(), path)
        if via != "saver":
            graph_check.check_tensors(session.graph, shape, num_classes, path)
        session.run(session.graph.get_operation_by_name("use_averages"))
        _require_finite_weights(session, path)
        yield session, path


def _require_finite_weights(session, path):
    weights = [variable for variable in tf.trainable_variables() if variable.dtype.is_floating]
    for variable, values in zip(weights, session.run(weights)):
        if not np.isfinite(values).all():
            raise errors.Failure(f"{path}: {console.cut(variable.op.name)} has numbers that are "
                                 "not finite, so the network answers nothing; another --checkpoint "
                                 "may be good")


def import_meta_graph(path, build=None):
    """Import the graph in a .meta file into the default graph.

    Args:
      path: path of the file.
      build: see `graph_check.check`.

    Returns:
      The graph's `tf.train.Saver`.

    Raises:
      errors.UserError: the graph is refused, see `graph_check`.
      errors.Failure: the file is missing or damaged; the message names it.
    """
    meta_graph = graph_check.read_meta_graph(path, build)
    with _import_errors_as_failures(path):
        return tf.train.import_meta_graph(meta_graph)


def load_saved_model(session, path, build=None):
    """Load a SavedModel into a session and its graph.

    Args:
      session: a session on an empty graph.
      path: path of the SavedModel's folder.
      build: see `graph_check.check`.

    Raises:
      errors.UserError: the graph is refused, see `graph_check`.
      errors.Failure: a file is missing or damaged; the message names the folder.
    """
    meta_graph = graph_check.read_saved_model(path, build)
    with _import_errors_as_failures(path):
        # TensorFlow's loader would read the file again, and it may be another one by then.
        saver = tf.train.import_meta_graph(meta_graph)
        saver.restore(session, os.path.join(plain(path), "variables", "variables"))


@contextlib.contextmanager
def _import_errors_as_failures(path):
    try:
        yield
    except Exception as error:  # a damaged file can raise nearly anything
        raise errors.Failure(f"{path}: cannot be imported ({short_message(error)})") from error

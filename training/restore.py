"""Restored runs: the three ways the tutorials get their weights back.

    choose      which checkpoint of a run
    restored    a session with its weights
"""

import contextlib
import pathlib

import tensorflow.compat.v1 as tf

import cifar_tools
import cnn_graph
import console
from training import foreign
from training.loop import explained, restore_variables, session_config, what_happened


def choose(folder, checkpoint=None):
    """The path of a checkpoint, as `tf.train.Saver.restore` takes it.

    Args:
      folder: a `run_folder.RunFolder`.
      checkpoint: 'best', 'latest', or the path of any checkpoint; None takes the weights
        that the final figure was measured on, while there is none the best so far.

    Raises:
      console.UserError: there is no such checkpoint.
    """
    if checkpoint is None:
        return folder.chosen()[1]
    if checkpoint in ("best", "latest"):
        saved = folder.saved("best" if checkpoint == "best" else "model.ckpt")
        if not saved:
            raise console.UserError(f"{folder.checkpoints}: no {checkpoint} checkpoint; "
                                    "train the run first, or longer")
        return saved[-1][1]
    name = checkpoint.removesuffix(".index").removesuffix(".meta")
    for path in (name, str(folder.checkpoints / name)):
        if pathlib.Path(path + ".index").exists():
            return path
    known = [pathlib.Path(path).name for _, path in folder.saved("best") + folder.saved()]
    raise console.UserError(f"--checkpoint {checkpoint}: no such checkpoint; expected best, "
                            f"latest, a path, or one of {', '.join(known)}")


def import_meta_graph(path):
    """The saver of the graph in a .meta file, which becomes part of the default graph.

    Raises:
      console.UserError: it contains what none of our graphs does.
      console.Failure: the file is missing or damaged; the message names it.
    """
    graph = foreign.meta_graph(path)
    with _importing(path):
        return tf.train.import_meta_graph(graph)


def load_saved_model(session, path):
    """Load the SavedModel in the folder `path` into the session and its graph.

    Raises:
      As `import_meta_graph`.
    """
    foreign.saved_model(path)
    with _importing(path):
        tf.saved_model.loader.load(session, [tf.saved_model.tag_constants.SERVING], path)


@contextlib.contextmanager
def _importing(path):
    try:
        yield
    except Exception as error:  # a damaged file can raise nearly anything
        raise console.Failure(f"{path}: cannot be imported ({what_happened(error)})") from error


@contextlib.contextmanager
def restored(folder, checkpoint=None, via="saver", device="auto"):
    """A session on a graph that holds a run's weights, the graph being the default one.

    Args:
      folder: a `run_folder.RunFolder`.
      checkpoint: see `choose`.
      via: 'saver' builds the graph from recipe.json and restores the variables;
        'meta_graph' imports the graph that was saved with the checkpoint; 'saved_model'
        loads the SavedModel that ends a training run.
      device: see `training.loop.session_config`.

    Yields:
      (session, path): the session, and the path of what was restored.

    Raises:
      console.UserError: no such run or checkpoint, or a graph that is none of ours.
      console.Failure: TensorFlow cannot read it.
    """
    _, recipe, data = folder.read_description()
    if via == "saved_model":
        if checkpoint:
            raise console.UserError("--via saved_model has one set of weights; "
                                    "leave out --checkpoint")
        path = str(folder.saved_model)
        if not folder.result_file.exists() or not folder.saved_model.exists():
            raise console.UserError(f"{path}: no SavedModel yet, training ends with writing it")
    else:
        path = choose(folder, checkpoint)
    with tf.Graph().as_default(), explained(), tf.Session(config=session_config(device)) as session:
        shape = cifar_tools.prepared_shape(data["image_shape"], recipe.preparation)
        if via == "saved_model":
            load_saved_model(session, path)
        elif via == "meta_graph":
            restore_variables(session, import_meta_graph(path + ".meta"), path)
        else:
            cnn_graph.build(recipe, shape, len(data["class_names"]), data["training_images"])
            restore_variables(session, tf.train.Saver(), path)
        if via != "saver":
            foreign.check_tensors(session.graph, shape, len(data["class_names"]), path)
        session.run(session.graph.get_operation_by_name("use_averages"))
        yield session, path

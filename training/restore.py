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
from training.loop import explained, session_config

VIAS = ("saver", "meta_graph", "saved_model")


def choose(folder, checkpoint=None):
    """The path of a checkpoint, as `tf.train.Saver.restore` takes it.

    Args:
      folder: a `run_folder.RunFolder`.
      checkpoint: 'best', 'latest', or the path of any checkpoint; None takes the weights
        that the final figure was measured on, while there is none the best so far.

    Raises:
      console.UserError: there is no such checkpoint.
    """
    best, latest = folder.saved("best"), folder.saved()
    if checkpoint is None:
        checkpoint = "best" if best else "latest"
    if checkpoint in ("best", "latest"):
        saved = best if checkpoint == "best" else latest
        if not saved:
            raise console.UserError(f"{folder.checkpoints}: no {checkpoint} checkpoint; "
                                    "train the run first, or longer")
        return saved[-1][1]
    path = checkpoint.removesuffix(".index").removesuffix(".meta")
    if not pathlib.Path(path + ".index").exists():
        raise console.UserError(f"--checkpoint {checkpoint}: no such checkpoint (expected best, "
                                f"latest, or a path such as {folder.checkpoints}/model.ckpt-180)")
    return path


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
      console.UserError: no such run or checkpoint.
      console.Failure: TensorFlow cannot read it.
    """
    recipe, data, _ = folder.read_description()
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
        if via == "saved_model":
            tf.saved_model.loader.load(session, [tf.saved_model.tag_constants.SERVING], path)
        elif via == "meta_graph":
            tf.train.import_meta_graph(path + ".meta").restore(session, path)
        else:
            steps = cifar_tools.steps_per_epoch(data["training_images"], recipe.batch_size)
            cnn_graph.build(recipe, cifar_tools.prepared_shape(data["image_shape"],
                                                               recipe.preparation),
                            len(data["class_names"]), steps, recipe.total_steps(steps))
            tf.train.Saver().restore(session, path)
        session.run(session.graph.get_operation_by_name("use_averages"))
        yield session, path

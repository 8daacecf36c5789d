"""The trained graph as a SavedModel."""

import tensorflow.compat.v1 as tf

from training import run_folder


def saved_model(session, directory):
    """Write the session's graph and variables to `directory`, whole or not at all.

    The signature `serving_default` takes `images`, float32 [B, height, width, channels],
    prepared as in training, and gives `probabilities` and `logits`, float32 [B, num_classes].

    Args:
      session: a session on the default graph, with the tensors of `cnn_graph.build`.
      directory: a `pathlib.Path`; what is there is replaced.
    """
    graph = session.graph
    signature = tf.saved_model.predict_signature_def(
        {"images": graph.get_tensor_by_name("images:0")},
        {name: graph.get_tensor_by_name(f"{name}:0") for name in ("probabilities", "logits")})
    scratch = run_folder.scratch(directory)
    run_folder.remove(scratch)
    builder = tf.saved_model.Builder(str(scratch))
    builder.add_meta_graph_and_variables(
        session, [tf.saved_model.tag_constants.SERVING],
        {tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
        clear_devices=True)
    builder.save()
    # One folder cannot replace another; the old one is never there in parts, though.
    before = run_folder.scratch(run_folder.old(directory))
    run_folder.remove(before)
    if directory.exists():
        directory.rename(before)
    scratch.rename(directory)
    run_folder.remove(before)

"""The trained graph as a SavedModel."""

import tensorflow.compat.v1 as tf

from tf1cifar import files
from tf1cifar.plain_paths import plain


def saved_model(session, directory):
    """Write the session's graph and variables to `directory`, whole or not at all.

    The signature `serving_default` takes `images`, float32 [B, height, width, channels],
    prepared as in training, and gives `probabilities` and `logits`, float32 [B, num_classes].

    Args:
      session: a session on the default graph, with the tensors of `graph.build`.
      directory: a `pathlib.Path`; a SavedModel that is there is replaced.
    """
    graph = session.graph
    signature = tf.saved_model.predict_signature_def(
        {"images": graph.get_tensor_by_name("images:0")},
        {name: graph.get_tensor_by_name(f"{name}:0") for name in ("probabilities", "logits")})
    with files.replacing_folder(directory) as made:
        builder = tf.saved_model.Builder(plain(made))
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.tag_constants.SERVING],
            {tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            clear_devices=True)
        builder.save()

"""The forms in which a run leaves: each function writes one, from an `inference.Run`.

    saved_model   a folder for TensorFlow 2, TensorFlow Serving and Keras
    frozen_graph  a GraphDef with the weights inside
    weights       the weights as NumPy arrays
    tflite        a model for LiteRT on telephones and small computers
    onnx          a model for onnxruntime and the programs that read ONNX

`html.page`, the page for a browser, is in its own module.
"""

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console, errors, files
from tf1cifar.export import inference, pictures
from tf1cifar.plain_paths import plain
from tf1cifar.standard_error import quiet_stderr

ONNX_OPSET = 17


def saved_model(run, path):
    """Write the folder PATH/STEP, as TensorFlow Serving expects it.

    `serving_default` takes `images`, uint8 [B, any height, any width, channels]; `image_bytes`
    takes `image_bytes`, string [B], the contents of PNG and JPEG files. Both give `logits` and
    `probabilities`, float32 [B, num_classes], and `classes`, string [B], the likeliest one.
    """
    def build():
        shape = run.image_shape
        images = tf.placeholder(tf.uint8, [None, None, None, shape[2]], "images")
        contents = tf.placeholder(tf.string, [None], "image_bytes")
        for name, source, pixels in (
                ("serving_default", images, pictures.fitted(images, shape)),
                ("image_bytes", contents, pictures.decoded(contents, shape))):
            with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
                logits, probabilities = run.answers(pixels)
            outputs = {"logits": logits, "probabilities": probabilities,
                       "classes": tf.gather(tf.constant(run.class_names), tf.argmax(logits, 1))}
            signatures[name] = tf.saved_model.predict_signature_def({source.op.name: source},
                                                                    outputs)

    signatures = {}
    with inference.session(run, build) as session, quiet_stderr():
        builder = tf.saved_model.Builder(plain(path / str(run.step)))
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.tag_constants.SERVING], signatures, clear_devices=True,
            strip_default_attrs=True)
        builder.save()


def frozen_graph(run, path):
    """Write a GraphDef: images:0 -> logits:0 and probabilities:0."""
    with inference.session(run, lambda: inference.placeholder_to_answers(run)) as session:
        content = inference.frozen(session).SerializeToString()
    with files.open_new(path) as out:
        out.write(content)


def weights(run, path):
    """Write every variable of the network under its name; of 'minus_mean' also `mean_image`."""
    arrays = dict(run.weights)
    if run.mean is not None:
        arrays["mean_image"] = run.mean
    with files.open_new(path) as out:
        np.savez(out, **arrays)


def tflite(run, path, int8=False):
    """Write a model for one picture: `images`, uint8 [1, height, width, channels].

    Args:
      int8: whether the weights of products and convolutions become int8 numbers.
    """
    with inference.session(run, lambda: inference.placeholder_to_answers(run, 1)) as session:
        tensor = session.graph.get_tensor_by_name
        converter = tf.lite.TFLiteConverter.from_session(
            session, [tensor("images:0")], [tensor(f"{name}:0") for name in inference.OUTPUTS])
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        content = _converted(path, converter.convert)
    with files.open_new(path) as out:
        out.write(content)


def onnx(run, path):
    """Write an ONNX model: `images`, uint8 [batch, ...] -> `logits` and `probabilities`."""
    import tf2onnx
    with inference.session(run, lambda: inference.placeholder_to_answers(run)) as session:
        frozen = inference.frozen(session)
    model, _ = _converted(path, lambda: tf2onnx.convert.from_graph_def(
        frozen, input_names=["images:0"], opset=ONNX_OPSET,
        output_names=[f"{name}:0" for name in inference.OUTPUTS]))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name.removesuffix(":0") if name in RENAMED else name for name in names]
    for value in (*model.graph.input, *model.graph.output):
        value.name = value.name.removesuffix(":0")
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    with files.open_new(path) as out:
        out.write(model.SerializeToString())


RENAMED = {"images:0", *(f"{name}:0" for name in inference.OUTPUTS)}


def _converted(path, convert):
    """`convert()`; what a converter raises becomes a `Failure` that names the form."""
    fault = None
    with quiet_stderr():
        try:
            return convert()
        except Exception as error:  # converters raise anything
            fault = error
    words = str(fault).strip().splitlines() or [repr(fault)]
    words = next((line for line in words if "'tf." in line or " op " in line), words[0])
    raise errors.Failure(f"{path.name} cannot hold this network: {console.cut(words)}") from fault

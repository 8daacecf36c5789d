"""The programs that read the forms, each run in a process that imports nothing of this project.

    python -I consumers.py CONSUMER MODEL < images.npy > answers.npz

images.npy holds uint8 pictures [N, height, width, channels]. answers.npz has `logits`, float32
[N, num_classes], `seconds`, the time of one picture alone, and `version`, that of the consumer.

The functions of CONSUMERS take the path of a form and return (answer, version): a function of
uint8 [B, height, width, channels] -> float32 [B, num_classes], and a str.
"""

import importlib.metadata
import io
import os
import sys
import time

import numpy as np

BATCH = 250
CALLS = 30  # from which the time of one picture is taken


def tensorflow2(path):
    import tensorflow as tf
    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda images: serve(images=tf.constant(images))["logits"].numpy(), tf.__version__


def tensorflow1(path):
    import tensorflow.compat.v1 as tf
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        signature = tf.saved_model.loader.load(session, ["serve"], path).signature_def[
            "serving_default"]
    return lambda images: session.run(signature.outputs["logits"].name,
                                      {signature.inputs["images"].name: images}), tf.__version__


def keras(path):
    import keras
    layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    return lambda images: layer(images)["logits"].numpy(), keras.__version__


def frozen_graph(path):
    import tensorflow.compat.v1 as tf
    with tf.Graph().as_default() as graph, open(path, "rb") as source:
        tf.import_graph_def(tf.GraphDef.FromString(source.read()), name="")
    session = tf.Session(graph=graph)
    return lambda images: session.run("logits:0", {"images:0": images}), tf.__version__


def litert(path):
    try:
        from ai_edge_litert.interpreter import Interpreter
        version = importlib.metadata.version("ai-edge-litert")
    except ImportError:  # TensorFlow has the same interpreter, which it calls deprecated
        import tensorflow as tf
        Interpreter, version = tf.lite.Interpreter, f"of TensorFlow {tf.__version__}"
    interpreter = Interpreter(path, num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    (given,) = [detail["index"] for detail in interpreter.get_input_details()]
    (logits,) = [detail["index"] for detail in interpreter.get_output_details()
                 if detail["name"] == "logits"]

    def answer(images):
        rows = []
        for image in images:  # the model takes one picture
            interpreter.set_tensor(given, image[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(logits))
        return np.concatenate(rows)

    return answer, version


def onnxruntime(path):
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0], onnxruntime.__version__


CONSUMERS = {function.__name__: function for function in (
    tensorflow2, tensorflow1, keras, frozen_graph, litert, onnxruntime)}


def main(consumer, model):
    """Run one consumer on all images."""
    images = np.load(io.BytesIO(sys.stdin.buffer.read()))
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # what a library prints must not get among the answers
        answer, version = CONSUMERS[consumer](model)
        logits = np.concatenate([answer(images[start:start + BATCH])
                                 for start in range(0, len(images), BATCH)])
        times = []
        for _ in range(CALLS + 1):
            before = time.perf_counter()
            answer(images[:1])
            times.append(time.perf_counter() - before)
        if any(name.partition(".")[0] == "tf1cifar" for name in sys.modules):
            sys.exit("a consumer has imported tf1cifar")
        np.savez(out, logits=logits, seconds=np.median(times[1:]), version=version)


if __name__ == "__main__":
    main(*sys.argv[1:])

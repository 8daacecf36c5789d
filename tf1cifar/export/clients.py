"""A program of about ten lines for each form, as the model card shows it; tests run each.

They classify photo.png, which lies beside the forms. STEP, MODE, HEIGHT, WIDTH and CHANNELS stand
for a run's numbers.
"""

_PIXELS = '''\
import numpy as np
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.png")).convert("MODE")
photo = ImageOps.fit(photo, (WIDTH, HEIGHT), Image.Resampling.BOX)
images = np.asarray(photo, np.uint8).reshape(1, HEIGHT, WIDTH, CHANNELS)
'''
_ANSWER = '''\
names = open("labels.txt", encoding="utf-8").read().splitlines()
print(names[probabilities.argmax()], probabilities.max())
'''

# (key of `FORMS`, title, program)
CLIENTS = (
    ("saved_model", "TensorFlow 2", '''\
import tensorflow as tf

serve = tf.saved_model.load("saved_model/STEP").signatures["image_bytes"]
with open("photo.png", "rb") as source:  # PNG or JPEG
    answer = serve(image_bytes=tf.constant([source.read()]))
print(answer["classes"][0].numpy().decode(), answer["probabilities"].numpy().max())
'''),
    ("saved_model", "TensorFlow 1", '''\
import tensorflow.compat.v1 as tf

with tf.Graph().as_default(), tf.Session() as session:
    model = tf.saved_model.loader.load(session, ["serve"], "saved_model/STEP")
    signature = model.signature_def["image_bytes"]
    outputs = [signature.outputs[name].name for name in ("classes", "probabilities")]
    with open("photo.png", "rb") as source:  # PNG or JPEG
        contents = {signature.inputs["image_bytes"].name: [source.read()]}
    classes, probabilities = session.run(outputs, contents)
print(classes[0].decode(), probabilities.max())
'''),
    ("saved_model", "Keras 3", '''\
import keras
import numpy as np
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.png")).convert("MODE")
layer = keras.layers.TFSMLayer("saved_model/STEP", call_endpoint="serving_default")
answer = layer(np.asarray(photo, np.uint8).reshape(1, photo.height, photo.width, CHANNELS))
print(answer["classes"][0].numpy().decode(), answer["probabilities"].numpy().max())
'''),
    ("tflite", "LiteRT", _PIXELS + '''\
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("model.tflite")  # or model-int8.tflite
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], images)
model.invoke()
outputs = {one["name"]: model.get_tensor(one["index"])[0] for one in model.get_output_details()}
probabilities = outputs["probabilities"]
''' + _ANSWER),
    ("pb", "A frozen graph", _PIXELS + '''\
import tensorflow.compat.v1 as tf

with tf.Graph().as_default(), tf.Session() as session, open("model.pb", "rb") as source:
    tf.import_graph_def(tf.GraphDef.FromString(source.read()), name="")
    probabilities = session.run("probabilities:0", {"images:0": images})[0]
''' + _ANSWER),
    ("onnx", "onnxruntime", _PIXELS + '''\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
probabilities = session.run(["probabilities"], {"images": images})[0][0]
''' + _ANSWER),
    ("npz", "The weights in NumPy", '''\
import numpy as np

with np.load("weights.npz") as weights:
    for name in weights:
        print(name, weights[name].dtype, weights[name].shape)
'''),
)


def filled(program, run):
    """A program for the export of an `inference.Run`."""
    height, width, channels = run.image_shape
    for word, value in (("STEP", run.step), ("MODE", "L" if channels == 1 else "RGB"),
                        ("HEIGHT", height), ("WIDTH", width), ("CHANNELS", channels)):
        program = program.replace(word, str(value))
    return program

"""What TensorBoard shows of a run beside the graph's own summaries, as lists of summary values.

    hyperparameters  the recipe's settings, for the tab HParams
    filters          the first layer's weights as a picture
    result           accuracies, the confusion matrix and the worst mistakes of a finished run

TensorBoard need not be installed. Its messages for hyperparameters are written here by their field
numbers, see tensorboard/plugins/hparams/{api,plugin_data}.proto. They are `_message`s of
protobuf's wire format, and a map of settings is `google.protobuf.Struct` in other words.
"""

import io
import math

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf import struct_pb2
from PIL import Image

from tf1cifar import drawing

# Tags of a start of the script that replace those of an earlier start.
WRITTEN_ANEW = ("_hparams_/", "accuracy/", "result/")
MISTAKES = 15  # the largest number of pictures of mistakes
FILTERS = 128  # the largest number of filters in a picture
ENLARGED = 4   # the side of a pixel of a filter, in pixels
SUCCESS = b"\x08\x01"  # SessionEndInfo: status = STATUS_SUCCESS


def hyperparameters(settings):
    """The summary values that tell TensorBoard the settings of a run.

    No list of hyperparameters and metrics is written: TensorBoard then compares the runs, and shows
    the settings that differ first, and every scalar in the order of the tags.

    Args:
      settings: dictionary of `recipes.to_dict`.

    Returns:
      A list of `tf.Summary.Value`.
    """
    session = struct_pb2.Struct()
    session.update({name: (" ".join(value) or "none") if isinstance(value, (tuple, list)) else value
                    for name, value in settings.items()})
    return [_hparams_value("session_start_info", 3, session.SerializeToString(deterministic=True))]


def _message(number, content):
    """A field of a message that has bytes, a text or another message as its content."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _hparams_value(name, number, content):
    """A value with `HParamsPluginData`, whose field `number` is the message `content`."""
    metadata = tf.SummaryMetadata()
    metadata.plugin_data.plugin_name = "hparams"
    metadata.plugin_data.content = _message(number, content)
    nothing = tf.make_tensor_proto(np.zeros(0, np.float32))
    return tf.Summary.Value(tag=f"_hparams_/{name}", metadata=metadata, tensor=nothing)


def filters(tag, weights, image_shape):
    """The first layer's weights as a picture: a filter, or what a unit adds for each pixel.

    Gray (of colour filters in each colour) is zero, and the largest weight is white or black.

    Args:
      tag: str.
      weights: float [height, width, channels, filters], or [height * width * channels, units] of a
        dense layer on images.
      image_shape: (height, width, channels) of prepared images.

    Returns:
      A list of one `tf.Summary.Value`; an empty one for other weights.
    """
    if weights.ndim == 2 and len(weights) == math.prod(image_shape):
        weights = weights.reshape(*image_shape, -1)
    if weights.ndim != 4 or weights.shape[2] not in (1, 3):
        return []
    tiles = np.moveaxis(weights, -1, 0)[:FILTERS].astype(np.float32)
    largest = float(abs(tiles).max()) or 1.0
    tiles = (np.clip(tiles / largest, -1, 1) * 127.5 + 127.5).round()
    if tiles.shape[-1] == 1:
        tiles = tiles[..., 0]
    columns = drawing.columns_for(*tiles.shape[:3])
    image = drawing.mosaic(drawing.enlarge(tiles, ENLARGED), columns, ENLARGED, fill=255.0)
    return [picture(tag, image.astype(np.uint8))]


def picture(tag, image):
    """A `tf.Summary.Value` with a picture.

    Args:
      tag: str.
      image: uint8 [height, width] or [height, width, 3], or a matplotlib figure.
    """
    out = io.BytesIO()
    if isinstance(image, np.ndarray):
        Image.fromarray(image).save(out, "png")
        height, width = image.shape[:2]
    else:
        image.savefig(out, format="png", dpi=image.dpi)
        width, height = map(round, image.get_size_inches() * image.dpi)
    return tf.Summary.Value(tag=tag, image=tf.Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=out.getvalue()))


def result(result, held_out_accuracy, dataset, prepare, title):
    """The summary values of a finished run.

    Args:
      result: the `evaluation.Evaluation` of the test images.
      held_out_accuracy: that of the tested checkpoint, None without held-out images.
      dataset: the `base.Dataset`.
      prepare: function of uint8 images -> float32 pixels.
      title: heading of the pictures.

    Returns:
      A list of `tf.Summary.Value`.
    """
    scalars = {"test": result.accuracy, "held_out": held_out_accuracy}
    values = [tf.Summary.Value(tag=f"accuracy/{name}", simple_value=value)
              for name, value in scalars.items() if value is not None]
    test, class_names = dataset.test, dataset.class_names
    classes = len(class_names)
    counts = np.bincount(test.labels * classes + result.predictions, minlength=classes ** 2)
    values.append(picture("result/confusion_matrix", drawing.confusion_matrix(
        counts.reshape(classes, classes), class_names, f"{title}: {result.line()}")))
    probabilities = result.probabilities.max(1)
    wrong = np.flatnonzero(result.predictions != test.labels)
    # Where several probabilities are 1, those of the right classes tell which mistake is worse.
    right = result.probabilities[wrong, test.labels[wrong]]
    wrong = wrong[np.lexsort((right, -probabilities[wrong]))][:MISTAKES]
    if len(wrong):
        images = test.images[wrong]
        lines = [[f"is {class_names[test.labels[number]]}",
                  f"predicted {class_names[result.predictions[number]]}",
                  f"probability {probabilities[number]:.3f}"] for number in wrong]
        values.append(picture("result/mistakes", drawing.predictions(
            images, prepare(images), [f"test image {number}" for number in wrong], lines,
            f"{title}: the wrong predictions with the highest probabilities")))
    return [*values, _hparams_value("session_end_info", 4, SUCCESS)]

"""The figures of a trained run, each with the words that explain it.

    of_test      confusion matrix, mistakes, narrow hits, reliability
    of_weights   filters before and after training, or weights of the pixels
    of_peaks     the images that excite the filters of each convolution most
    of_layers    what every convolution makes of one image
    of_decision  the pixels that decide about images

A `Picture` holds the arrays and draws them on request, so that a script which writes files and one
that writes a page draw the same.
"""

import functools
from typing import Callable, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import assessment, drawing
from tf1cifar.training import inspection

MISTAKES, HITS, OF_A_CLASS, EXCITING, FILTERS = 24, 12, 6, 6, 8  # images or filters in a figure
COLUMNS = 6
MOST_CLASSES = 20  # classes in the figure of every class's mistakes


class Picture(NamedTuple):
    """A figure."""
    file: str        # name of a file without suffix
    heading: str
    words: str       # how to read it
    draw: Callable   # function of a title -> matplotlib Figure


def of_test(dataset, probabilities):
    """The `Picture`s of a test.

    Args:
      dataset: a `base.Dataset` with N test images.
      probabilities: float [N, classes].
    """
    names, (images, labels) = dataset.class_names, dataset.test
    counts = assessment.confusion(labels, probabilities.argmax(1), len(names))
    mistakes = assessment.surest_mistakes(probabilities, labels)
    hits = assessment.narrowest_hits(probabilities, labels)[:HITS]

    def gallery(numbers, title, **options):
        lines = [None if number < 0 else
                 drawing.prediction_lines(names, probabilities[number], labels[number])
                 for number in numbers]
        return drawing.gallery(images[numbers], lines, title, COLUMNS, **options)

    pictures = [Picture(
        "confusion_matrix", "Confusion matrix", "A row is the right class, a column the predicted "
        "one. On the diagonal are the hits.",
        functools.partial(drawing.confusion_matrix, counts, names))]
    if len(mistakes):
        pictures.append(Picture(
            "mistakes", "The surest mistakes", "The wrong predictions with the highest "
            "probabilities: the probability, the predicted class, and the right one.",
            functools.partial(gallery, mistakes[:MISTAKES])))
        rows, classes = _by_class(mistakes, labels, counts)
        pictures.append(Picture(
            "mistakes_by_class", "The surest mistakes of every class", "Each row has images of one "
            "class, and what they were taken for.",
            functools.partial(gallery, rows, row_names=[names[number] for number in classes])))
    if len(hits):
        pictures.append(Picture(
            "narrow_hits", "The least sure hits", "The right predictions with the lowest "
            "probabilities.", functools.partial(gallery, hits)))
    pictures.append(Picture(
        "reliability", "Reliability", "Of the predictions with a probability of about 0.8, are "
        "80 % right? Where a bar stays under the dashed line, the network is too sure.",
        functools.partial(drawing.reliability, assessment.calibration(probabilities, labels))))
    return pictures


def _by_class(mistakes, labels, counts):
    """(numbers of images, -1 for an empty place; numbers of classes): OF_A_CLASS for each class."""
    wrong = counts.sum(1) - counts.diagonal()
    classes = np.flatnonzero(wrong)
    if len(classes) > MOST_CLASSES:
        classes = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])
    rows = []
    for number in classes:
        own = list(mistakes[labels[mistakes] == number][:OF_A_CLASS])
        rows += own + [-1] * (OF_A_CLASS - len(own))
    return np.array(rows), classes


def of_weights(session, pixel_shape, class_names):
    """The `Picture`s of the filters, or of a dense layer's weights of the pixels.

    Args:
      session: a session of `restore.restored`.
      pixel_shape: (height, width, channels) of prepared images.
      class_names: list of str.
    """
    pictures = []
    for name, before, after in inspection.filters(session):
        words = ("Left at random before training, right after it, on one scale. Edges, blobs and "
                 "colours are what training has found; noise is what it has left.")
        if before is None:
            words = "Training does not change these filters."
        pictures.append(Picture(
            f"{name.replace('/', '_')}_weights", f"Filters of {name}", words,
            functools.partial(drawing.before_and_after, before, after)))
    dense = inspection.pixel_weights(session, pixel_shape)
    if dense:
        of_classes = dense.after.shape[-1] == len(class_names)
        pictures.append(Picture(
            f"{dense.name}_weights", f"Weights of {'the classes' if of_classes else dense.name}",
            "The network multiplies an image by each of these pictures, pixel by pixel, and adds "
            "up.", functools.partial(drawing.class_weights, dense.after,
                                     class_names if of_classes else None)))
    return pictures


def of_peaks(session, layers, peaks, dataset, prepare):
    """The `Picture`s of the test images that excite the filters of each convolution most.

    Args:
      session: a session of `restore.restored`.
      layers: name -> activation, some of `inspection.layers`.
      peaks: list of float [N, filters], the `inspection.peaks` of the test images for each layer.
      dataset: a `base.Dataset` with N test images.
      prepare: function of uint8 images -> float32 pixels.
    """
    images, labels = dataset.test
    pictures = []
    for (name, activation), values in zip(layers.items(), peaks, strict=True):
        if values.shape[1] < 2:
            continue
        # The filters whose strongest answers stand out most from their usual ones.
        order = np.argsort(-(values.max(0) / np.maximum(np.median(values, 0), 1e-6)),
                           kind="stable")
        chosen = [int(number) for number in order if values[:, number].max() > 0][:FILTERS]
        if not chosen:
            continue
        numbers, boxes = inspection.exciting_images(
            session, activation, values, lambda rows: prepare(images[rows]), chosen, EXCITING)
        rows = numbers.ravel()
        captions = [[dataset.class_names[labels[number]]] for number in rows]
        pictures.append(Picture(
            f"{name.replace('/', '_')}_images", f"What the filters of {name} look for",
            "Each row has the test images that excite one filter most. The frame is the part of "
            "the image that it sees then.", functools.partial(
                drawing.gallery, seen(images[rows], prepare(images[:1]).shape[1:]), captions,
                columns=numbers.shape[1], row_names=[f"filter {number}" for number in chosen],
                boxes=boxes.reshape(-1, 4))))
    return pictures


def of_layers(session, pixels, layers):
    """The `Picture`s of what every layer makes of one image, and of its convolutions alone.

    Args:
      session: a session of `restore.restored`.
      pixels: float32 [1, height, width, channels], the prepared image.
      layers: name -> activation, some of `inspection.layers`.
    """
    return [Picture(f"{name.replace('/', '_')}_channels", f"What {name} finds in the image",
                    "One square for each filter: where in the image it answers, light where it "
                    "answers strongly.", functools.partial(drawing.channels, result))
            for name, result in zip(layers, session.run(list(layers.values()),
                                                        {"images:0": pixels}))]


def of_decision(session, images, names, class_names, prepare, classes=2):
    """The `Picture` of the pixels that decide about images.

    Args:
      session: a session on a graph with images:0 and probabilities:0.
      images: uint8 [n, height, width, channels].
      names: list of n str, the words under the images.
      class_names: list of str.
      prepare: function of uint8 images -> float32 pixels.
      classes: number of classes, the likeliest ones, of which each image gets a map.

    Returns:
      A `Picture`.
    """
    pixels = prepare(images)
    likeliest = np.argsort(-session.run("probabilities:0", {"images:0": pixels}), 1,
                           kind="stable")[:, :classes]
    falls, probabilities = inspection.covered(session, pixels, likeliest)
    captions = [[[name]] + [[f"{row[number]:.2f} {class_names[number]}",
                             f"up to {round(float(fall.flat[abs(fall).argmax()]), 3) + 0.0:+}"]
                            for number, fall in zip(chosen, maps)]
                for name, chosen, maps, row in zip(names, likeliest, falls, probabilities)]
    return Picture(
        "deciding_pixels", "The pixels that decide", "A gray square is moved over the image. Where "
        "it lowers the probability of the class, the map is light: these pixels speak for the "
        "class. Where it raises the probability, the map is dark. Under the map stands the "
        "largest change.", functools.partial(
            drawing.deciding_pixels, seen(images, pixels.shape[1:]), falls, captions))


def seen(images, shape):
    """The part of images that a network sees, in gray if it sees no colours.

    Args:
      images: uint8 [n, height, width, channels].
      shape: (height, width, channels) of prepared images.

    Returns:
      uint8 [n, *shape].
    """
    height, width, channels = shape
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    part = images[:, top:top + height, left:left + width]
    if channels < part.shape[-1]:
        part = part.mean(3, keepdims=True).round().astype(np.uint8)
    return part


def pixel_shape():
    """The shape of prepared images in the default graph, (height, width, channels)."""
    return tuple(tf.get_default_graph().get_tensor_by_name("images:0").shape.as_list()[1:])

"""Evaluation: run a data set through a graph by the names of its tensors."""

import concurrent.futures
import contextlib
import time
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console
from tf1cifar.data import augmentations
from tf1cifar.data.base import Split

BATCH_SIZE = 250
PARALLEL_BATCHES = 3  # with fewer, a core is idle at times


class Evaluation(NamedTuple):
    """Predictions of a graph for N images, and their quality."""
    predictions: np.ndarray  # int64 [N], the class of the largest logit
    loss: float              # mean over the images
    correct: int             # number of right predictions
    accuracy: float          # correct / N
    probabilities: np.ndarray = None  # float32 [N, classes]
    fetched: tuple = ()      # arrays [N, ...], the values of further tensors
    seconds: float = 0.0     # of all batches, with the first, which is slower

    def line(self):
        """The line that every script prints of a test."""
        return f"test accuracy {self.accuracy:.4f} ({self.correct}/{len(self.predictions)})"


def evaluate(session, split, prepare, fetches=()):
    """Evaluate all images of `split` in the session's graph, built here or imported.

    Several batches run at the same time, so that no core is idle between them.

    Args:
      session: a session on a graph with images:0, labels:0, logits:0, probabilities:0
        and loss:0.
      split: a `base.Split`.
      prepare: function of images -> float32 pixels, called in several threads.
      fetches: sequence of tensors [batch, ...] that are computed too.

    Returns:
      An `Evaluation`.
    """
    def run(batch):
        return session.run(["logits:0", "loss:0", "probabilities:0", *fetches],
                           {"images:0": prepare(batch.images), "labels:0": batch.labels})

    predictions, losses, arrays, start = [], [], [], time.monotonic()
    batches = evaluation_batches(split)
    with (concurrent.futures.ThreadPoolExecutor(PARALLEL_BATCHES) as threads,
          console.progress(len(split.labels), "evaluating") as bar):
        for (_, labels), (logits, loss, *others) in zip(batches, threads.map(run, batches)):
            predictions.append(logits.argmax(1))
            losses.append(float(loss) * len(labels))
            arrays.append(others)
            bar.update(sum(map(len, predictions)))
    predictions = np.concatenate(predictions)
    correct = int((predictions == split.labels).sum())
    probabilities, *fetched = map(np.concatenate, zip(*arrays))
    return Evaluation(predictions, sum(losses) / len(predictions), correct,
                      correct / len(predictions), probabilities, tuple(fetched),
                      time.monotonic() - start)


def evaluate_views(session, split, prepare):
    """Evaluate by the mean logits of six views of each image, see `augmentations.views`.

    Args:
      session, split, prepare: as for `evaluate`.

    Returns:
      int, the number of right predictions.
    """
    logits = sum(weight * evaluate(session, split._replace(images=images), prepare,
                                   ["logits:0"]).fetched[0]
                 for weight, images in augmentations.views(split.images))
    return int((logits.argmax(1) == split.labels).sum())


def evaluation_batches(split, batch_size=BATCH_SIZE):
    """All images of a split in order, as a list of `Split`s; the last one may be smaller."""
    return [Split(*(array[start:start + batch_size] for array in split))
            for start in range(0, len(split.labels), batch_size)]


@contextlib.contextmanager
def averaged_weights(session, model):
    """Use the moving averages of the weights, if the graph has any, as the weights in the block.

    Args:
      session: a session on the default graph.
      model: the `graph.Model` of that graph.
    """
    if not model.use_averages.control_inputs:
        yield
        return
    weights = tf.trainable_variables()
    values = session.run(weights)
    session.run(model.use_averages)
    yield
    for variable, value in zip(weights, values):
        variable.load(value, session)

"""What a test tells beyond its accuracy, in NumPy alone.

    confusion        how often images of each class are predicted to be of each class
    confusions       pairs of classes by the share of one that is taken for the other
    surest_mistakes  the wrong predictions with the highest probabilities
    narrowest_hits   the right predictions with the lowest probabilities
    calibration      whether predictions with probability 0.8 are right in 80 % of all cases

A prediction's probability is that of the predicted class, the largest one.
"""

from typing import NamedTuple

import numpy as np

BINS = 10


def confusion(labels, predictions, num_classes):
    """int [classes, classes]: the number of images by label (row) and prediction (column)."""
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def confusions(counts):
    """The pairs of classes that are mixed up, the largest share of a class's images first.

    Args:
      counts: int [classes, classes], as `confusion` returns it.

    Returns:
      A list of (label, prediction, number of images, share of the label's images), the first two
      of which are numbers of different classes; pairs without images are left out.
    """
    totals = counts.sum(1)
    pairs = [(int(label), int(prediction), int(counts[label, prediction]),
              float(counts[label, prediction] / totals[label]))
             for label, prediction in np.argwhere(counts) if label != prediction]
    return sorted(pairs, key=lambda pair: -pair[3])


def surest_mistakes(probabilities, labels):
    """The numbers of the wrongly predicted images, the highest probability first.

    Args:
      probabilities: float [N, classes].
      labels: int [N].

    Returns:
      int [number of mistakes].
    """
    (mistakes,) = np.nonzero(probabilities.argmax(1) != labels)
    return mistakes[np.argsort(-probabilities[mistakes].max(1), kind="stable")]


def narrowest_hits(probabilities, labels):
    """The numbers of the rightly predicted images, the lowest probability first; int [hits]."""
    (hits,) = np.nonzero(probabilities.argmax(1) == labels)
    return hits[np.argsort(probabilities[hits].max(1), kind="stable")]


class Calibration(NamedTuple):
    """Predictions in BINS bins of equal width by their probability; an empty bin has NaN."""
    counts: np.ndarray         # int [bins], number of predictions
    probabilities: np.ndarray  # float [bins], mean probability of the predictions
    accuracies: np.ndarray     # float [bins], share of the predictions that are right
    error: float               # the expected calibration error
    probability: float         # mean probability of all predictions
    accuracy: float            # share of all predictions that are right


def calibration(probabilities, labels, bins=BINS):
    """Compare the probabilities of predictions with the share of them that is right.

    The expected calibration error is the mean over all predictions of the distance, in their bin,
    between mean probability and accuracy (C. Guo et al., *On Calibration of Modern Neural
    Networks*, 2017, section 2).

    Args:
      probabilities: float [N, classes].
      labels: int [N].
      bins: number of bins between 0 and 1.

    Returns:
      A `Calibration`.
    """
    largest = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    places = np.clip(np.ceil(largest * bins).astype(int) - 1, 0, bins - 1)  # (0.7, 0.8] and so on
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(places, largest, bins) / counts
        accuracies = np.bincount(places, right, bins) / counts
    error = float(np.nansum(counts * abs(means - accuracies)) / len(labels))
    return Calibration(counts, means, accuracies, error, float(largest.mean()),
                       float(right.mean()))

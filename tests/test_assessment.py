"""assessment.py: against counts and means written out."""

import numpy as np
import pytest

from tf1cifar import assessment


def drawn(count, sharpness=1.0, seed=0):
    """(probabilities, labels) of a network that is right as often as it says, then sharpened."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 5))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) > rng.random((count, 1))).argmax(1)
    told = np.exp(logits * sharpness)
    return (told / told.sum(1, keepdims=True)).astype(np.float32), labels


def test_confusion_and_confusions():
    counts = assessment.confusion([0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 0, 2], 4)
    assert counts.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert assessment.confusions(counts) == [(0, 1, 2, pytest.approx(2 / 3)), (2, 0, 1, 0.5)]


def test_surest_mistakes_and_narrowest_hits():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.55, 0.45], [0.2, 0.8], [0.3, 0.7]])
    labels = np.array([0, 0, 1, 1, 0])
    assert assessment.surest_mistakes(probabilities, labels).tolist() == [1, 4, 2]
    assert assessment.narrowest_hits(probabilities, labels).tolist() == [0, 3]
    assert not len(assessment.surest_mistakes(probabilities[:1], labels[:1]))


def test_calibration_is_the_mean_distance_written_out():
    probabilities, labels = drawn(500, 2.0)
    found = assessment.calibration(probabilities, labels)
    error = 0.0
    for number in range(10):
        inside = [(row.max(), row.argmax() == label) for row, label in zip(probabilities, labels)
                  if number / 10 < row.max() <= (number + 1) / 10]
        assert found.counts[number] == len(inside)
        if inside:
            mean, right = np.mean([p for p, _ in inside]), np.mean([hit for _, hit in inside])
            assert found.probabilities[number] == pytest.approx(mean, rel=1e-5)
            assert found.accuracies[number] == pytest.approx(right)
            error += len(inside) / 500 * abs(mean - right)
        else:
            assert np.isnan(found.accuracies[number])
    assert found.error == pytest.approx(error, rel=1e-4)


def test_calibration_tells_a_true_network_from_one_that_is_too_sure():
    true, sure, modest = (assessment.calibration(*drawn(20000, sharpness))
                          for sharpness in (1.0, 3.0, 0.4))
    assert true.error < 0.015 and abs(true.probability - true.accuracy) < 0.01
    assert sure.error > 0.15 and sure.probability > sure.accuracy + 0.15
    assert modest.error > 0.1 and modest.probability < modest.accuracy - 0.1
    assert true.accuracy == sure.accuracy == modest.accuracy


def test_calibration_of_certain_predictions():
    found = assessment.calibration(np.eye(3)[[0, 1, 2, 2]], np.array([0, 1, 2, 0]))
    assert found.counts.tolist() == [0] * 9 + [4]
    assert found.error == pytest.approx(0.25)

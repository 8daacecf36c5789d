"""restore_model.py: printed and drawn results of given predictions."""

import numpy as np
import pytest

import restore_model
from tf1cifar import drawing
from tf1cifar.data.base import Dataset, Split
from tf1cifar.training import evaluation
from tf1cifar.training.run_folder import RunFolder


@pytest.fixture
def dataset():
    """Three classes with four, two and one test image."""
    split = Split(np.zeros((7, 2, 2, 1), np.uint8), np.array([0, 0, 0, 0, 1, 1, 2]))
    return Dataset("cifar10", "data", ("cat", "dog", "goldfish"), split, split)


def test_evaluate_run_counts_per_class(dataset, tmp_path, monkeypatch, capsys):
    predictions = np.array([0, 1, 1, 2, 1, 1, 0])  # three cats and the goldfish are wrong
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: evaluation.Evaluation(
        predictions, 0.5, 3, 3 / 7))
    drawn, draw = [], drawing.confusion_matrix
    monkeypatch.setattr(drawing, "confusion_matrix", lambda *arguments: (
        drawn.append(arguments), draw(*arguments))[1])
    restore_model.evaluate_run(None, dataset, None, RunFolder(tmp_path))
    assert capsys.readouterr().out.splitlines() == [
        "test accuracy 0.4286 (3/7)",
        "  cat       0.2500 (1/4)",
        "  dog       1.0000 (2/2)",
        "  goldfish  0.0000 (0/1)",
        f"measured on cifar10 (data); drew {tmp_path / 'confusion_matrix.png'}"]
    ((counts, names, title),) = drawn
    assert counts.tolist() == [[1, 2, 1], [0, 2, 0], [1, 0, 0]]  # a row is a label
    assert (names, title) == (dataset.class_names, "cifar10: test accuracy 0.4286 (3/7)")


def test_classify_prints_the_likeliest_classes_first(tmp_path, capsys):
    class Session:
        def run(self, fetch, feed):
            assert fetch == "probabilities:0" and feed["images:0"].shape == (2, 3, 3, 1)
            return np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.05, 0.15, 0.1]])

    restore_model.classify(Session(), ["a.png", "b.png"], [np.zeros((3, 3, 1), np.uint8)] * 2,
                           lambda images: images, ["w", "x", "y", "z"], "title",
                           RunFolder(tmp_path))
    assert capsys.readouterr().out.splitlines() == [
        "a.png: z 0.400, y 0.300, x 0.200", "b.png: w 0.700, y 0.150, z 0.100",
        f"title; drew {tmp_path / 'predictions.png'}"]

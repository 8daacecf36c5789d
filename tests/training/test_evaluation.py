"""Evaluation, compared with NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar.data import preparation
from tf1cifar.data.base import Split
from tf1cifar.training import evaluation, restore


def test_evaluate_against_numpy(whole_run, dataset, recipe):
    prepare = restore.prepare_function(whole_run, recipe)
    with restore.restored(whole_run, device="cpu") as (session, _):
        result = evaluation.evaluate(session, dataset.test, prepare)
        probabilities = session.run("probabilities:0", {
            "images:0": preparation.prepare(dataset.test.images, "gray24")})
    np.testing.assert_array_equal(result.predictions, probabilities.argmax(1))
    picked = probabilities[np.arange(40), dataset.test.labels]
    assert result.loss == pytest.approx(-np.log(picked).mean(), rel=1e-4)
    assert result.correct == (result.predictions == dataset.test.labels).sum()
    assert result.line() == f"test accuracy {result.correct / 40:.4f} ({result.correct}/40)"


def test_evaluate_views_takes_the_mean_of_the_logits(whole_run, dataset, recipe):
    prepare = restore.prepare_function(whole_run, recipe)
    images, logits = dataset.test.images, 0
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    with restore.restored(whole_run, device="cpu") as (session, _):
        correct = evaluation.evaluate_views(session, dataset.test, prepare)
        for shift, weight in ((-1, 1), (0, 2), (1, 1)):
            view = padded[:, 1 + shift:33 + shift, 1 + shift:33 + shift]
            for pixels in (view, view[:, :, ::-1]):
                logits += weight / 8 * session.run("logits:0", {
                    "images:0": preparation.prepare(pixels, "gray24")})
    assert correct == (logits.argmax(1) == dataset.test.labels).sum()


@pytest.mark.parametrize("size, sizes", [(1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_evaluation_batches_hold_every_image_once(size, sizes):
    split = Split(np.arange(size)[:, None], np.arange(size))
    batches = evaluation.evaluation_batches(split, 4)
    assert [len(batch.labels) for batch in batches] == sizes
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]),
                                  split.images)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]),
                                  split.labels)


def test_averaged_weights_puts_the_weights_back():
    class Model:
        use_averages = None

    with tf.Graph().as_default(), tf.Session() as session:
        weights = tf.get_variable("weights", initializer=[1.0, 2.0])
        average = tf.get_variable("average", initializer=[5.0, 6.0], trainable=False)
        Model.use_averages = tf.group(weights.assign(average))
        session.run(tf.global_variables_initializer())
        with evaluation.averaged_weights(session, Model):
            assert session.run(weights).tolist() == [5, 6]
        assert session.run(weights).tolist() == [1, 2]

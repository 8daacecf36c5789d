"""summaries.py: the summaries for TensorBoard."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import graph, recipes, summaries


def test_merged_has_the_summaries_of_the_tutorials():
    feed = {"images:0": np.random.default_rng(3).normal(size=(9, 24, 24, 1)),
            "labels:0": np.arange(9)}
    with tf.Graph().as_default(), tf.Session() as session:
        model = graph.build(recipes.RECIPES["lrn_cnn"], (24, 24, 1), 10, 1000)
        session.run(tf.global_variables_initializer())
        summary = tf.Summary.FromString(session.run(model.summaries, feed))
        loss, relu = session.run(["loss:0", "conv1/relu:0"], feed)
    values = {value.tag.removeprefix("summaries/"): value for value in summary.value}
    for tag in ("loss", "accuracy", "learning_rate", "images/image/0",
                "variables/conv1/weights", "gradients/output/biases",
                "activations/conv1/relu", "activations/conv2/lrn/lrn"):
        assert tag in values
    assert values["loss"].simple_value == pytest.approx(loss)
    assert values["sparsity/conv1/relu"].simple_value == pytest.approx(
        (relu[:8] == 0).mean(), abs=1e-6)
    assert values["variables/conv1/weights"].histo.num == 1600


def test_sample_takes_values_of_every_channel(monkeypatch):
    monkeypatch.setattr(summaries, "HISTOGRAM_SAMPLES", 3000)
    values = np.tile(np.arange(12), (1000, 1))  # every fourth value is of one of three channels
    with tf.Graph().as_default(), tf.Session() as session:
        some = session.run(summaries.sample(tf.constant(values), values.size))
    counts = np.bincount(some, minlength=12)
    assert 2000 < len(some) <= 3000 and counts.max() - counts.min() <= 1

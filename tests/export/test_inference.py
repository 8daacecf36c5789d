"""The graph that is exported: the preparation, the weights, nothing of training."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from export.conftest import random_run
from support import runs

from tf1cifar import recipes
from tf1cifar.data import base, preparation
from tf1cifar.export import inference
from tf1cifar.training import restore


@pytest.mark.parametrize("name", preparation.PREPARATIONS)
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (64, 48, 3), (25, 31, 3)])
def test_prepare_equals_the_preparation_of_training(name, shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, *shape), np.uint8)
    images[1] = 7  # without contrast
    mean = rng.random(shape, np.float32) * 255
    with tf.Graph().as_default(), tf.Session() as session:
        given = tf.placeholder(tf.uint8, [None, *shape])
        found = session.run(inference.prepare(given, name, mean), {given: images})
    expected = preparation.prepare(images, name, mean)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_prepare_refuses_a_preparation_without_twin():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="'log' has no twin"):
        inference.prepare(tf.zeros([1, 32, 32, 3], tf.uint8), "log")


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_frozen_has_no_training_in_it_and_answers_alike(name):
    shape = (28, 28, 1) if name == "batchnorm_cnn" else (32, 32, 3)
    run = random_run(name, shape, precision="bfloat16")
    with inference.session(run, lambda: inference.placeholder_to_answers(run)) as session:
        graph_def = inference.frozen(session)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(graph_def, name="")
        logits, probabilities = session.run(["logits:0", "probabilities:0"],
                                            {"images:0": run.images})
        operations = session.graph.get_operations()
    np.testing.assert_allclose(logits, run.logits, rtol=1e-4, atol=1e-4 * abs(run.logits).max())
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    kinds = {operation.type for operation in operations}
    assert not {kind for kind in kinds if "Random" in kind or "Assign" in kind or kind in (
        "If", "StatelessIf", "Switch", "Merge", "SelectV2", "VarHandleOp", "SquaredDifference")}
    assert tf.bfloat16 not in {tensor.dtype for operation in operations
                               for tensor in operation.outputs}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, dataset) of a run with moving averages, a mean image and bfloat16."""
    rng = np.random.default_rng(1)
    split = base.Split(rng.integers(0, 256, (60, 32, 32, 3), np.uint8), np.arange(60) % 3)
    dataset = base.Dataset("cifar10", "/nowhere", ("a", "b", "c"), split, split)
    recipe = dataclasses.replace(recipes.RECIPES["softmax"], moving_average=0.9, steps=30,
                                 steps_per_run=1, batch_size=20, precision="bfloat16")
    return runs.train(recipe, dataset, tmp_path_factory.mktemp("run") / "run"), dataset


def test_read_takes_the_moving_averages(trained, monkeypatch):
    folder, dataset = trained
    monkeypatch.setattr(inference.data, "reload", lambda description, data_dir: dataset)
    run = inference.read(folder)
    stored = tf.train.load_checkpoint(run.checkpoint)
    assert run.step == 30 and run.weights
    for name, value in run.weights.items():
        average = stored.get_tensor(f"{name}/ExponentialMovingAverage")
        np.testing.assert_array_equal(value, average)
        assert not np.array_equal(value, stored.get_tensor(name))
    pixels = dataset.test.images.reshape(60, -1) - run.mean.reshape(-1)
    (weights,) = [value for value in run.weights.values() if value.ndim == 2]
    (biases,) = [value for value in run.weights.values() if value.ndim == 1]
    np.testing.assert_allclose(run.logits, pixels @ weights + biases, rtol=1e-4, atol=1e-3)


def test_restored_in_another_precision(trained):
    folder, _ = trained
    for precision, count in ((None, 1), ("float32", 0)):
        with restore.restored(folder, device="cpu", precision=precision) as (session, _):
            products = [operation for operation in session.graph.get_operations()
                        if operation.type == "MatMul" and "grad" not in operation.name
                        and operation.outputs[0].dtype == tf.bfloat16]
            assert bool(products) == bool(count)

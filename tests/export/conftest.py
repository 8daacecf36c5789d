"""Runs to export, and an environment in which no test of an export is skipped."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import recipes
from tf1cifar.data import base, preparation
from tf1cifar.export import inference

CLASSES = ("cat", "<b>ship & co</b>", "größer")


def random_run(name, image_shape=(32, 32, 3), **changes):
    """An `inference.Run` of a recipe's network with random weights and 12 random test images."""
    recipe = recipes.from_dict({**recipes.to_dict(recipes.RECIPES[name]), **changes})
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (12, *image_shape), np.uint8)
    mean = images.mean(0, dtype=np.float32) if recipe.preparation == "minus_mean" else None
    description = {"name": recipe.dataset, "class_names": list(CLASSES), "crc32": "01234567",
                   "image_shape": list(image_shape), "training_images": 5, "test_images": 12}
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        pixels = tf.constant(preparation.prepare(images, recipe.preparation, mean))
        logits = inference.graph.network_logits(inference.inference_recipe(recipe), pixels,
                                                len(CLASSES), tf.constant(False))
        variables = tf.global_variables()
        session.run(tf.global_variables_initializer())
        weights = {variable.op.name: value + rng.normal(0, 0.01, value.shape).astype(np.float32)
                   for variable, value in zip(variables, session.run(variables))}
        weights = {name: abs(value) if name.endswith("variance") else value
                   for name, value in weights.items()}
        for variable in variables:
            variable.load(weights[variable.op.name], session)
        logits = session.run(logits)
    split = base.Split(images, logits.argmax(1))
    return inference.Run(name, recipe, description, mean, weights, "checkpoints/best-7", 7,
                         split.labels, split.images, logits)


@pytest.fixture(scope="session")
def run():
    """A run of `two_layer_fc`."""
    return random_run("two_layer_fc")


def need(found, what):
    """Skip a test without `what`; fail it where EXPORTS is set, as .ci/run does."""
    if not found:
        assert not os.environ.get("EXPORTS"), f"{what} is missing"
        pytest.skip(f"needs {what}")

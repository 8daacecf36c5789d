"""Every recipe: shapes, parameters, learning, and the whole way of a run.

Networks run on a few small shapes here, so nothing says how good they are.
"""

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import train, variables

import cifar_tools
import cnn_graph
import datasets
import networks
import recipes
from networks import layers
from training import loop, restore, run_folder

# recipe: (shape of an image of its data set, numbers trained, by hand)
SIZES = {
    "lrn_cnn": ((32, 32, 3), 25 * 64 + 64 + 1600 * 64 + 64 + 2304 * 1024 + 1024 + 10250),
    "hinge": ((32, 32, 3), 3072 * 10 + 10),
    "softmax": ((32, 32, 3), 3072 * 10 + 10),
    "two_layer_fc": ((32, 32, 3), 3072 * 120 + 120 + 120 * 10 + 10),
    "dropout_cnn": ((32, 32, 3), 27 * 32 + 32 + 288 * 64 + 64 + 576 * 128 + 128 + 512 * 128 + 128
                    + 2048 * 1500 + 1500 + 15000 + 10),
    "batchnorm_cnn": ((28, 28, 1), 25 * 64 + 64 + 1600 * 128 + 128 + 6272 * 1024 + 1024
                      + 2 * 1024 + 10240 + 10 + 2 * 10),
    "tutorial_cnn": ((32, 32, 3), 75 * 64 + 64 + 1600 * 64 + 64 + 2304 * 384 + 384
                     + 384 * 192 + 192 + 1920 + 10),
}


def test_every_recipe_and_network_is_tested():
    assert set(SIZES) == set(recipes.RECIPES)
    assert {recipe.network for recipe in recipes.RECIPES.values()} == set(networks.NAMES)


def build(name, image_shape=None):
    recipe = recipes.RECIPES[name]
    shape = cifar_tools.prepared_shape(image_shape or SIZES[name][0], recipe.preparation)
    return cnn_graph.build(recipe, shape, 10, 45_000), shape


@pytest.mark.parametrize("name", SIZES)
def test_shapes_and_parameters(name):
    with tf.Graph().as_default(), tf.Session() as session:
        model, shape = build(name)
        assert model.logits.shape.as_list() == [None, 10]
        assert cnn_graph.parameters() == SIZES[name][1]
        module = sys.modules[networks.get(recipes.RECIPES[name].network).__module__]
        assert f"{SIZES[name][1]:,} parameters" in module.__doc__
        session.run(tf.global_variables_initializer())
        logits = session.run(model.logits, {model.images: np.zeros((3, *shape), np.float32)})
        assert logits.shape == (3, 10) and np.isfinite(logits).all()


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (32, 32, 3)])
def test_every_recipe_takes_images_of_every_data_set(name, image_shape):
    with tf.Graph().as_default(), tf.Session() as session:
        model, shape = build(name, image_shape)
        session.run(tf.global_variables_initializer())
        loss = session.run(model.loss, {model.images: np.ones((2, *shape), np.float32),
                                        model.labels: [3, 4], model.is_training: True})
        assert np.isfinite(loss)


@pytest.fixture(scope="module")
def small_shapes():
    """The first 300 and 50 of the drawn shapes."""
    whole = datasets.load("shapes")
    return whole._replace(train=cifar_tools.Split(whole.train.images[:300],
                                                  whole.train.labels[:300]),
                          test=cifar_tools.Split(whole.test.images[:50],
                                                 whole.test.labels[:50]))


@pytest.mark.parametrize("name", SIZES)
def test_the_whole_way(name, small_shapes, tmp_path):
    """Train and learn, resume to the same bits, restore in three ways, predict one image."""
    rate = {"hinge": 3e-4, "softmax": 1e-6}  # a linear network's own rates are for CIFAR-10
    recipe = recipes.RECIPES[name]
    recipe = dataclasses.replace(recipe, dataset="shapes", batch_size=50, epochs=2, steps=0,
                                 schedule="constant",
                                 learning_rate=rate.get(name, recipe.learning_rate))
    whole = train(recipe, small_shapes, tmp_path / "whole")
    losses = [row["training_loss"] for row in whole.read_metrics()]
    assert len(losses) == 2 and losses[1] < losses[0]

    train(dataclasses.replace(recipe, steps=7), small_shapes, tmp_path / "stopped")
    stopped = train(recipe, small_shapes, tmp_path / "stopped")
    assert variables(stopped) == variables(whole)

    prepare = whole.prepare(recipe)
    expected = whole.read_result()
    for via in run_folder.VIAS:
        with restore.restored(whole, via=via, device="cpu") as (session, _):
            result = loop.evaluate(session, small_shapes.test, prepare)
            assert result.correct == expected["test_correct"]
            alone, twice = [session.run("probabilities:0", {
                "images:0": prepare(small_shapes.test.images[:count])}) for count in (1, 2)]
            assert alone.sum() == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(alone[0], twice[0], rtol=1e-4, atol=1e-6)


def test_a_seventh_network_is_one_file_and_one_entry(monkeypatch, tmp_path):
    """What the README says of adding a network, done."""
    (tmp_path / "mean_pixel.py").write_text('''
import tensorflow.compat.v1 as tf
from networks import layers

def inference(images, num_classes, is_training, *, dropout):
    x = layers.dropout(tf.reduce_mean(images, [1, 2]), dropout, is_training)
    return layers.dense(x, num_classes, tf.zeros_initializer(), tf.zeros_initializer())
''')
    monkeypatch.setattr(networks, "FOLDER", tmp_path)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    monkeypatch.setattr(networks, "NAMES", (*networks.NAMES, "mean_pixel"))
    assert networks.options("mean_pixel") == ["dropout"]
    with tf.Graph().as_default():
        tf.get_variable("step", [], tf.int64, collections=[tf.GraphKeys.GLOBAL_STEP],
                        initializer=tf.zeros_initializer(), trainable=False)
        logits = networks.get("mean_pixel")(tf.zeros([2, 4, 4, 3]), 10, False, dropout=0.0)
        assert logits.shape.as_list() == [2, 10]


# ---------------------------------------------------------------------------------------
# The layers' mathematics


def test_dropout_is_a_function_of_seed_scope_and_step():
    def dropped(seed=1, scope="a", step=0, training=True):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(seed)
            counter = tf.get_variable("global_step", [], tf.int64, use_resource=False,
                                      initializer=tf.constant_initializer(step), trainable=False,
                                      collections=["variables", tf.GraphKeys.GLOBAL_STEP])
            with tf.variable_scope(scope):
                y = layers.dropout(tf.ones([200, 100]), 0.3, tf.constant(training))
            session.run(counter.initializer)
            return session.run(y)

    first = dropped()
    np.testing.assert_array_equal(first, dropped())
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-5)
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.01)
    for other in (dropped(seed=2), dropped(scope="b"), dropped(step=1)):
        # independent drops agree in 0.3^2 + 0.7^2 of the places
        assert (first == other).mean() == pytest.approx(0.58, abs=0.02)
    np.testing.assert_array_equal(dropped(training=False), np.ones((200, 100)))


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_refuses_a_rate_out_of_range(rate):
    with tf.Graph().as_default(), pytest.raises(ValueError, match="dropout: rate"):
        layers.dropout(tf.ones([1]), rate, tf.constant(True))


def test_batch_norm_against_numpy():
    rng = np.random.default_rng(0)
    batches = [rng.normal(3, 2, (50, 4)) for _ in range(3)]
    with tf.Graph().as_default(), tf.Session() as session:
        x, is_training = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.bool, [])
        y = layers.batch_norm(x, is_training, decay=0.9)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        session.run(tf.global_variables_initializer())
        mean, variance = np.zeros(4), np.ones(4)
        for batch in batches:
            got, *_ = session.run([y, *updates], {x: batch, is_training: True})
            expected = (batch - batch.mean(0)) / np.sqrt(batch.var(0) + 0.001)
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
            mean = 0.9 * mean + 0.1 * batch.mean(0)
            variance = 0.9 * variance + 0.1 * batch.var(0)
        one = rng.normal(size=(1, 4))
        got = session.run(y, {x: one, is_training: False})
        np.testing.assert_allclose(got, (one - mean) / np.sqrt(variance + 0.001), rtol=1e-3,
                                   atol=1e-4)


def test_the_training_step_updates_batch_norm_unless_told_not_to():
    for decay, moved in ((0.9, True), (1.0, False)):
        recipe = dataclasses.replace(recipes.RECIPES["batchnorm_cnn"], batch_norm_decay=decay)
        with tf.Graph().as_default(), tf.Session() as session:
            model = cnn_graph.build(recipe, (28, 28, 1), 10, 1000)
            moving = [v for v in tf.global_variables() if "/moving_" in v.op.name]
            session.run(tf.global_variables_initializer())
            before = session.run(moving)
            images = np.random.default_rng(0).random((4, 28, 28, 1))
            session.run(model.train_op, {model.images: images, model.labels: [1, 2, 3, 4],
                                         model.is_training: True})
            assert len(moving) == 4
            for old, new in zip(before, session.run(moving)):
                assert (old != new).any() == moved


def test_leaky_relu():
    with tf.Graph().as_default(), tf.Session() as session:
        got = session.run(layers.leaky_relu(tf.constant([-2.0, 0.0, 3.0])))
    np.testing.assert_allclose(got, [-0.4, 0, 3])

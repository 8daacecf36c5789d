"""Every recipe: shapes, parameters, learning, and a whole run: train, resume, restore, predict.

The networks train on a few small shapes here, so these tests do not measure their accuracy.
"""

import dataclasses
import inspect
import pathlib
import sys
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from support import runs

from tf1cifar import drawing, graph, networks, recipes
from tf1cifar.data import preparation, shapes
from tf1cifar.data.base import Split
from tf1cifar.networks import layers
from tf1cifar.training import graph_check, restore
from tf1cifar.training.evaluation import evaluate

RESTORE_METHODS = ("saver", "meta_graph", "saved_model")

# recipe: (shape of an image of its data set, number of parameters, computed by hand)
SIZES = {
    "lrn_cnn": ((32, 32, 3), 25 * 64 + 64 + 1600 * 64 + 64 + 2304 * 1024 + 1024 + 10250),
    "hinge": ((32, 32, 3), 3072 * 10 + 10),
    "softmax": ((32, 32, 3), 3072 * 10 + 10),
    "two_layer_fc": ((32, 32, 3), 3072 * 120 + 120 + 120 * 10 + 10),
    "dropout_cnn": ((32, 32, 3), 27 * 32 + 32 + 288 * 64 + 64 + 576 * 128 + 128 + 512 * 128 + 128
                    + 2048 * 1500 + 1500 + 15000 + 10),
    "batchnorm_cnn": ((28, 28, 1), 25 * 64 + 64 + 1600 * 128 + 128 + 6272 * 1024 + 1024
                      + 2 * 1024 + 10240 + 10 + 2 * 10),
    "fast": ((32, 32, 3), 288 * 32 + 288 * 32 + 288 * 128 + 1152 * 128 + 2 * 1152 * 128
             + 2 * 32 + 4 * 128 + 128 * 10),
    "tutorial_cnn": ((32, 32, 3), 75 * 64 + 64 + 1600 * 64 + 64 + 2304 * 384 + 384
                     + 384 * 192 + 192 + 1920 + 10),
}


@pytest.fixture(scope="module")
def small_shapes(tmp_path_factory):
    """The data set shapes with its first 300 training and 50 test images only."""
    folder = tmp_path_factory.mktemp("shapes") / "shapes"
    shapes.write(folder)
    whole = shapes.load(folder)
    return whole._replace(train=Split(*(array[:300] for array in whole.train)),
                          test=Split(*(array[:50] for array in whole.test)))


def build(name, image_shape):
    """The model of a recipe for images of a shape, and the shape of its prepared images."""
    recipe = recipes.RECIPES[name]
    shape = preparation.prepared_shape(image_shape, recipe.preparation)
    return graph.build(recipe, shape, 10, 45_000), shape


def whole_way(recipe, dataset, path):
    """Check a whole run: train, resume to the same bits, restore in three ways, predict."""
    whole = runs.train(recipe, dataset, path / "whole")
    losses = [row["training_loss"] for row in whole.read_metrics()]
    assert len(losses) == 2 and losses[1] < losses[0]

    runs.train(dataclasses.replace(recipe, steps=7), dataset, path / "stopped")
    stopped = runs.train(recipe, dataset, path / "stopped")
    assert runs.variables(stopped) == runs.variables(whole)

    prepare = restore.prepare_function(whole, recipe)
    expected = whole.read_result()
    for via in RESTORE_METHODS:
        with restore.restored(whole, via=via, device="cpu") as (session, _):
            result = evaluate(session, dataset.test, prepare)
            assert result.correct == expected["test_correct"]
            alone, twice = [session.run("probabilities:0", {
                "images:0": prepare(dataset.test.images[:count])}) for count in (1, 2)]
            assert alone.sum() == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(alone[0], twice[0], rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------------------
# The table of networks


def test_networks_each_have_a_file_a_recipe_and_a_size():
    folder = pathlib.Path(networks.__file__).parent
    files = {file.stem for file in folder.glob("*.py")} - {"__init__", "layers", "gradients"}
    assert files == set(recipes.NETWORKS)
    assert {recipe.network for recipe in recipes.RECIPES.values()} == files
    assert set(SIZES) == set(recipes.RECIPES)


@pytest.mark.parametrize("name", recipes.NETWORKS)
def test_networks_have_the_options_of_the_table(name):
    parameters = inspect.signature(networks.get(name)).parameters.values()
    assert recipes.NETWORKS[name] == tuple(
        parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    fields = {field.name for field in dataclasses.fields(recipes.Recipe)}
    assert set(recipes.NETWORKS[name]) <= fields


@pytest.mark.parametrize("name", ["nonsense", "layers", "no.such"])
def test_get_refuses_an_unknown_network(name):
    with pytest.raises(ValueError, match=f"network '{name}', expected a file in"):
        networks.get(name)


def test_get_reports_a_missing_import_of_the_network(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("import no_such_package")
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        networks.get("broken")


# ---------------------------------------------------------------------------------------
# Each network


@pytest.mark.parametrize("name", SIZES)
def test_inference_has_the_shapes_and_parameters_of_its_docstring(name):
    image_shape, parameters = SIZES[name]
    with tf.Graph().as_default(), tf.Session() as session:
        model, shape = build(name, image_shape)
        assert model.logits.shape.as_list() == [None, 10]
        assert graph.parameters() == parameters
        module = sys.modules[networks.get(recipes.RECIPES[name].network).__module__]
        assert f"{parameters:,} parameters" in module.__doc__
        session.run(tf.global_variables_initializer())
        logits = session.run(model.logits, {model.images: np.zeros((3, *shape), np.float32)})
        assert logits.shape == (3, 10) and np.isfinite(logits).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (32, 32, 3)])
def test_inference_accepts_images_of_every_data_set(name, image_shape):
    with tf.Graph().as_default(), tf.Session() as session:
        model, shape = build(name, image_shape)
        session.run(tf.global_variables_initializer())
        loss = session.run(model.loss, {model.images: np.ones((2, *shape), np.float32),
                                        model.labels: [3, 4], model.is_training: True})
        assert np.isfinite(loss)


@pytest.mark.parametrize("conv_layers, expected", [(2, 2), (3, 3), (5, 5)])
def test_lrn_cnn_has_as_many_convolutions_as_its_option_says(conv_layers, expected):
    recipe = dataclasses.replace(recipes.RECIPES["lrn_cnn"], conv_layers=conv_layers)
    with tf.Graph().as_default():
        graph.build(recipe, (24, 24, 1), 10, 100)
        weights = [v.op.name for v in tf.trainable_variables() if len(v.shape) == 4]
    assert weights == [f"conv{number}/weights" for number in range(1, expected + 1)]


def test_fast_cnn_begins_with_filters_that_pass_on_one_channel():
    with tf.Graph().as_default(), tf.Session() as session:
        build("fast", (32, 32, 3))
        session.run(tf.global_variables_initializer())
        weights = {v.op.name: session.run(v) for v in tf.trainable_variables()}
        first, second = (weights[f"group2/conv{number}/weights"] for number in (1, 2))
    identity = np.zeros((3, 3, 32, 32))
    identity[1, 1] = np.eye(32)
    np.testing.assert_array_equal(first[..., :32], identity)
    limit = 1 / np.sqrt(9 * 32)
    assert 0.95 * limit < abs(first[..., 32:]).max() <= limit
    assert abs(first[..., 32:].mean()) < 0.05 * limit
    assert (second == 0).sum() == 9 * 128 * 128 - 128, "all of them pass on a channel"


def test_lrn_cnn_refuses_fewer_than_two_convolutions():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="1 convolutions, expected at"):
        networks.get("lrn_cnn")(tf.zeros([1, 24, 24, 1]), 10, False, initialization="he",
                                conv_layers=1, dropout=0.0, lrn="auto")


# ---------------------------------------------------------------------------------------
# Whole runs


@pytest.mark.parametrize("initialization, visible", [("he_small_first", True), ("he", False)])
def test_lrn_cnn_learns_visible_filters_from_a_small_start(
        initialization, visible, small_shapes, tmp_path):
    """Neighbouring weights of the first convolution become alike; He's noise hides that."""
    recipe = dataclasses.replace(
        recipes.RECIPES["lrn_cnn"], dataset="shapes", initialization=initialization, batch_size=50,
        epochs=5, held_out=0.0, schedule="constant", precision="float32")
    folder = runs.train(recipe, small_shapes, tmp_path)
    weights = tf.train.load_checkpoint(folder.checkpoint_path()).get_tensor("conv1/weights")
    across, down = drawing.neighbour_correlation(weights)
    assert (min(across, down) > 0.3) == visible, (across, down)
    assert visible or max(abs(across), abs(down)) < 0.15


@pytest.mark.whole
@pytest.mark.parametrize("name", SIZES)
def test_recipe_goes_the_whole_way(name, small_shapes, tmp_path):
    # The rates of these recipes are for CIFAR-10.
    rate = {"hinge": 3e-4, "softmax": 1e-6, "two_layer_fc": 1e-4}
    recipe = recipes.RECIPES[name]
    recipe = dataclasses.replace(recipe, dataset="shapes", batch_size=50, epochs=2, steps=0,
                                 schedule="constant",
                                 learning_rate=rate.get(name, recipe.learning_rate))
    whole_way(recipe, small_shapes, tmp_path)


def seventh_inference(images, num_classes, is_training, *, dropout):
    """A network with operations that no other network has: einsum and softsign."""
    zeros = tf.zeros_initializer()
    with tf.variable_scope("projection"):
        mixing = tf.get_variable("weights", [int(images.shape[3]), 8],
                                 initializer=tf.initializers.he_normal())
        x = tf.math.softsign(tf.einsum("bhwc,cf->bhwf", images, tf.cast(mixing, images.dtype)))
    x = layers.dropout(layers.max_pool(x, 4, 4), dropout, is_training)
    with tf.variable_scope("output"):
        return layers.dense(x, num_classes, zeros, zeros)


@pytest.mark.whole
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_seventh_network_goes_the_whole_way(precision, small_shapes, tmp_path, monkeypatch):
    """A new network needs only a file, a line in NETWORKS and a recipe."""
    module = types.ModuleType("tf1cifar.networks.seventh")
    module.inference = seventh_inference
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(recipes.NETWORKS, "seventh", ("dropout",))
    recipe = recipes.Recipe(network="seventh", preparation="unit", dataset="shapes", dropout=0.1,
                            schedule="constant", batch_size=50, epochs=2, precision=precision)
    monkeypatch.setitem(recipes.RECIPES, "seventh", recipe)
    with tf.Graph().as_default() as default:
        build("seventh", (32, 32, 3))
        kinds = {operation.type for operation in default.get_operations()}
    assert {"Einsum", "Softsign", "SoftsignGrad"} <= kinds - graph_check.ALLOWED
    whole_way(recipe, small_shapes, tmp_path)

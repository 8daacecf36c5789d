"""The layers of a network: shapes, parameters and multiplications, against counts by hand."""

import dataclasses
import sys
import types

import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import graph, recipes
from tf1cifar.networks import layers
from tf1cifar.training import network_summary


def test_layers_of_lrn_cnn():
    recipe = dataclasses.replace(recipes.RECIPES["lrn_cnn"], lrn="native")
    found = network_summary.layers(recipe, (24, 24, 1), 10)
    assert [tuple(layer) for layer in found] == [
        ("conv1", ["convolution", "relu", "max_pool", "lrn"], [12, 12, 64],
         5 * 5 * 64 + 64, 24 * 24 * 64 * 5 * 5),
        ("conv2", ["convolution", "relu", "lrn", "max_pool"], [6, 6, 64],
         5 * 5 * 64 * 64 + 64, 12 * 12 * 64 * 5 * 5 * 64),
        ("dense", ["dense", "relu"], [1024], 6 * 6 * 64 * 1024 + 1024, 6 * 6 * 64 * 1024),
        ("output", ["dense"], [10], 1024 * 10 + 10, 1024 * 10)]


def test_layers_count_lrn_as_the_matrix_product_that_it_is():
    recipe = dataclasses.replace(recipes.RECIPES["lrn_cnn"], lrn="product")
    first = network_summary.layers(recipe, (24, 24, 1), 10)[0]
    assert first.multiplications == 24 * 24 * 64 * 5 * 5 + 12 * 12 * 64 * 64


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_layers_have_all_parameters(name):
    recipe = recipes.RECIPES[name]
    with tf.Graph().as_default():
        graph.build(recipe, (24, 24, 3), 10, 100)
        expected = graph.parameters()
    found = network_summary.layers(recipe, (24, 24, 3), 10)
    assert sum(layer.parameters for layer in found) == expected
    assert found[-1].shape == [10] and all(layer.operations for layer in found)


def test_layers_of_a_network_with_nested_scopes(monkeypatch):
    def inference(images, num_classes, is_training):
        zeros = tf.zeros_initializer()
        with tf.variable_scope("block"):
            for name in ("a", "b"):
                with tf.variable_scope(name):
                    images = layers.conv2d(images, 4, 3, zeros, zeros, layers.relu)
        return layers.dense(images, num_classes, zeros, zeros)

    monkeypatch.setitem(sys.modules, "tf1cifar.networks.linear",
                        types.SimpleNamespace(inference=inference))
    found = network_summary.layers(recipes.RECIPES["softmax"], (6, 5, 1), 3)
    assert [(layer.name, layer.shape, layer.parameters, layer.multiplications)
            for layer in found] == [
        ("block/a", [6, 5, 4], 9 * 4 + 4, 6 * 5 * 9 * 4),
        ("block/b", [6, 5, 4], 9 * 16 + 4, 6 * 5 * 9 * 16),
        ("linear", [3], 120 * 3 + 3, 120 * 3)]


def test_lines_fit_a_terminal_and_end_with_the_sums():
    lines = network_summary.lines(recipes.RECIPES["lrn_cnn"], (24, 24, 1), 10)
    assert max(map(len, lines)) < 80
    assert lines[-1] == "2,474,698 parameters, 19.2 million multiplications an image"
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[2:-1]]
    assert sum(shares) == pytest.approx(100, abs=0.2) and max(shares) == shares[1] > 75

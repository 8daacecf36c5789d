"""The choice of the precision: by given times, by real ones, and remembered."""

import dataclasses
import json
import time

import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import recipes
from tf1cifar.data import download
from tf1cifar.training import precision
from tf1cifar.training.precision import Layer

LRN_CNN = recipes.RECIPES["lrn_cnn"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def given(monkeypatch):
    """Times that are given instead of measured; a list of the calls."""
    calls = []

    def give(float32, bfloat16):
        monkeypatch.setattr(precision, "layer_seconds", lambda *arguments: (
            calls.append(arguments), {"float32": float32, "bfloat16": bfloat16})[1])
        return calls
    return give


@pytest.mark.parametrize("float32, bfloat16, chosen", [
    (0.020, 0.010, "bfloat16"), (0.010, 0.020, "float32"), (0.0105, 0.010, "float32"),
    (0.0112, 0.010, "bfloat16")])
def test_choose_takes_bfloat16_only_if_it_is_clearly_faster(float32, bfloat16, chosen, given):
    given(float32, bfloat16)
    found, line = precision.choose(LRN_CNN, (24, 24, 1), 10, "cpu")
    assert found == chosen
    assert f"{1000 * float32:.3g} ms in float32" in line
    assert f"{1000 * bfloat16:.3g} ms in bfloat16" in line and "timed now" in line


def test_choose_remembers_per_machine_and_layers(given, monkeypatch):
    calls = given(0.020, 0.010)
    first = precision.choose(LRN_CNN, (24, 24, 1), 10, "cpu")
    again, line = precision.choose(dataclasses.replace(LRN_CNN, seed=3, epochs=1), (24, 24, 1), 10,
                                   "cpu")
    assert (again, len(calls)) == (first[0], 1) and "timed before" in line
    precision.choose(dataclasses.replace(LRN_CNN, batch_size=7), (24, 24, 1), 10, "cpu")
    precision.choose(recipes.RECIPES["tutorial_cnn"], (24, 24, 3), 10, "cpu")
    assert len(calls) == 3
    monkeypatch.setattr(precision.machine, "describe", lambda: "another machine, 64 cores")
    precision.choose(LRN_CNN, (24, 24, 1), 10, "cpu")
    assert len(calls) == 4


@pytest.mark.parametrize("content", [
    "", "{", "[1]", '{"KEY": 7}', '{"KEY": {"float32": "1", "bfloat16": 1.0}}',
    '{"KEY": {"float32": 1e999, "bfloat16": 1.0}}', '{"KEY": {"float32": -1.0, "bfloat16": 1.0}}',
    "[" * 100_000])
def test_choose_times_again_when_the_cache_is_damaged(content, given):
    calls = given(0.020, 0.010)
    precision.choose(LRN_CNN, (24, 24, 1), 10, "cpu")
    file = download.cache_folder() / "precision.json"
    (key,) = json.loads(file.read_text())
    file.write_text(content.replace("KEY", key))
    assert precision.choose(LRN_CNN, (24, 24, 1), 10, "cpu")[0] == "bfloat16"
    assert len(calls) == 2 and list(json.loads(file.read_text())) == [key]


def test_choose_works_without_a_cache(given, cache):
    given(0.020, 0.010)
    (cache / "tf1-cifar10").write_text("a file where the folder should be")
    assert precision.choose(LRN_CNN, (24, 24, 1), 10, "cpu")[0] == "bfloat16"


def test_costliest_layers_by_hand():
    layers = precision.costliest_layers(LRN_CNN, (24, 24, 1), 10)
    assert layers == [Layer("Conv2D", [125, 12, 12, 64], [5, 5, 64, 64], True),
                      Layer("MatMul", [125, 2304], [2304, 1024], True)]
    assert layers[0].multiplications() == 125 * 144 * 1600 * 64
    assert layers[1].multiplications() == 125 * 2304 * 1024
    assert precision.costliest_layers(recipes.RECIPES["hinge"], (32, 32, 3), 10) == [
        Layer("MatMul", [100, 3072], [3072, 10], False)]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_costliest_layers_of_every_recipe(name):
    recipe = recipes.RECIPES[name]
    shape = (28, 28, 1) if recipe.dataset == "mnist" else (24, 24, 3)
    layers = precision.costliest_layers(recipe, shape, 10)
    costs = [layer.multiplications() for layer in layers]
    assert costs == sorted(costs, reverse=True) and 1 <= len(layers) <= 2


def test_layer_seconds_times_the_gradients_too():
    """A layer whose gradients are needed takes longer; nothing is optimized away."""
    def fastest(layer):
        return min(precision.layer_seconds([layer], "cpu", seconds=0.2)["float32"]
                   for _ in range(3))

    small = Layer("Conv2D", [16, 8, 8, 32], [5, 5, 32, 32], False)
    large = Layer("Conv2D", [64, 16, 16, 32], [5, 5, 32, 64], True)  # 48 times the work
    assert fastest(large) > 4 * fastest(small)


def test_layer_seconds_is_bounded():
    start = time.monotonic()
    seconds = precision.layer_seconds([Layer("MatMul", [100, 3072], [3072, 10], False)], "cpu",
                                      seconds=0.1)
    assert seconds.keys() == {"float32", "bfloat16"} and min(seconds.values()) > 0
    assert time.monotonic() - start < 60  # of a loaded machine; alone it takes one second
    assert tf.get_default_graph().get_operations() == []

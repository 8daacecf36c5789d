"""The timing of local response normalization, and the choice of its implementation."""

import dataclasses

import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import recipes
from tf1cifar.networks import layers
from tf1cifar.training import lrn_timing

RECIPE = recipes.RECIPES["lrn_cnn"]


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_lrn_seconds_times_both_methods(dtype, monkeypatch):
    lrn, built = layers.lrn, []
    monkeypatch.setattr(layers, "lrn", lambda x, *settings: (
        built.append((*settings, x.dtype, "GPU" in x.device)), lrn(x, *settings))[1])
    seconds = lrn_timing.lrn_seconds("/gpu:0", dtype, (2, 3, 3, 8), rounds=4, repeats=3)
    assert built == [("product", dtype, True)] * 3 + [("native", dtype, True)] * 3
    assert seconds.keys() == {"product", "native"}
    assert all(len(spent) == 4 and min(spent) > 0 for spent in seconds.values())


@pytest.mark.parametrize("device, precision, dtype, product, native, expected", [
    ("auto", "float32", tf.float32, 2.0, 1.0, "native"),
    ("gpu", "bfloat16", tf.bfloat16, 1.0, 2.0, "product"),
    ("gpu", "float32", tf.float32, 1.05, 1.0, "product")])
def test_choose_lrn_gives_a_gpu_the_clearly_faster_method(
        device, precision, dtype, product, native, expected, monkeypatch, capsys):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(lrn_timing, "lrn_seconds", lambda *place: {
        ("/gpu:0", dtype): {"product": [9.0, product, 0.1], "native": [0.1, native, 9.0]}}[place])
    recipe = dataclasses.replace(RECIPE, precision=precision)
    assert lrn_timing.choose_lrn(recipe, device) == dataclasses.replace(recipe, lrn=expected)
    assert f"using the {expected} one" in capsys.readouterr().out


@pytest.mark.parametrize("changes, device, gpus, expected", [
    ({}, "auto", [], "product"), ({}, "cpu", ["one"], "product"),
    ({"lrn": "native"}, "auto", ["one"], "native"),
    ({"network": "two_layer_fc"}, "auto", ["one"], "auto")])
def test_choose_lrn_times_nothing_without_a_choice(
        changes, device, gpus, expected, monkeypatch, capsys):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(lrn_timing, "lrn_seconds", None)
    recipe = dataclasses.replace(RECIPE, **changes)
    assert lrn_timing.choose_lrn(recipe, device) == dataclasses.replace(recipe, lrn=expected)
    assert capsys.readouterr().out == ""

"""Which way is taken where there are two."""

import dataclasses

import pytest
import tensorflow.compat.v1 as tf

import recipes
from networks import layers
from training import faster

RECIPE = recipes.RECIPES["lrn_cnn"]


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_both_ways_of_lrn_are_timed(dtype, monkeypatch):
    lrn, built = layers.lrn, []
    monkeypatch.setattr(layers, "lrn", lambda x, *settings: (
        built.append((*settings, x.dtype, "GPU" in x.device)), lrn(x, *settings))[1])
    seconds = faster.lrn_seconds("/gpu:0", dtype, (2, 3, 3, 8), rounds=4, repeats=3)
    assert built == [("product", dtype, True)] * 3 + [("native", dtype, True)] * 3
    assert seconds.keys() == {"product", "native"}
    assert all(len(spent) == 4 and min(spent) > 0 for spent in seconds.values())


@pytest.mark.parametrize("device, precision, dtype, product, native, expected", [
    ("auto", "float32", tf.float32, 2.0, 1.0, "native"),
    ("gpu", "bfloat16", tf.bfloat16, 1.0, 2.0, "product"),
    ("gpu", "float32", tf.float32, 1.05, 1.0, "product")])
def test_a_gpu_gets_what_is_clearly_faster(
        device, precision, dtype, product, native, expected, monkeypatch, capsys):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(faster, "lrn_seconds", lambda *place: {
        ("/gpu:0", dtype): {"product": [9.0, product, 0.1], "native": [0.1, native, 9.0]}}[place])
    recipe = dataclasses.replace(RECIPE, precision=precision)
    assert faster.choose_lrn(recipe, device) == dataclasses.replace(recipe, lrn=expected)
    assert f"taking the {expected} one" in capsys.readouterr().out


@pytest.mark.parametrize("changes, device, gpus, expected", [
    ({}, "auto", [], "product"), ({}, "cpu", ["one"], "product"),
    ({"lrn": "native"}, "auto", ["one"], "native"),
    ({"network": "two_layer_fc"}, "auto", ["one"], "auto")])
def test_nothing_is_timed_where_there_is_nothing_to_choose(
        changes, device, gpus, expected, monkeypatch, capsys):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(faster, "lrn_seconds", None)
    recipe = dataclasses.replace(RECIPE, **changes)
    assert faster.choose_lrn(recipe, device) == dataclasses.replace(recipe, lrn=expected)
    assert capsys.readouterr().out == ""

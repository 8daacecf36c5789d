"""The SavedModel: its signature, and that it is replaced whole."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import graph, recipes
from tf1cifar.training import export


@pytest.fixture
def session():
    """A session on the graph of `hinge` for images of 4x4 gray pixels."""
    with tf.Graph().as_default(), tf.Session() as session:
        graph.build(recipes.RECIPES["hinge"], (4, 4, 1), 3, 100)
        session.run(tf.global_variables_initializer())
        yield session


def test_saved_model_serves_the_networks_outputs(session, tmp_path):
    export.saved_model(session, tmp_path / "model")
    images = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    expected = session.run(["probabilities:0", "logits:0"], {"images:0": images})
    with tf.Graph().as_default(), tf.Session() as other:
        loaded = tf.saved_model.loader.load(other, ["serve"], str(tmp_path / "model"))
        signature = loaded.signature_def["serving_default"]
        found = other.run([signature.outputs[name].name for name in ("probabilities", "logits")],
                          {signature.inputs["images"].name: images})
    assert set(signature.inputs) == {"images"}
    assert set(signature.outputs) == {"probabilities", "logits"}
    for one, two in zip(found, expected):
        np.testing.assert_array_equal(one, two)
    assert expected[0].shape == (5, 3)


def test_saved_model_keeps_the_old_one_when_it_fails(session, tmp_path, monkeypatch):
    export.saved_model(session, tmp_path / "model")
    before = (tmp_path / "model/saved_model.pb").read_bytes()

    def fail(builder):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model.Builder, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export.saved_model(session, tmp_path / "model")
    assert (tmp_path / "model/saved_model.pb").read_bytes() == before

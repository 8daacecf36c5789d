"""Restoring: three ways give one result, and runs of every older format still work."""

import dataclasses
import json
import pathlib
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from support import small_data
from support.runs import saved, train

from tf1cifar import data, errors, recipes
from tf1cifar.training import restore, resume
from tf1cifar.training.evaluation import evaluate
from tf1cifar.training.run_folder import RunFolder

METHODS = ("saver", "meta_graph", "saved_model")
FORMATS = sorted((pathlib.Path(__file__).parents[1] / "fixtures/runs").glob("*.tar.xz"))


@pytest.mark.parametrize("via", METHODS)
def test_restored_gives_the_same_figures(via, whole_run, dataset, recipe):
    expected = whole_run.read_result()
    with restore.restored(whole_run, via=via, device="cpu") as (session, _):
        result = evaluate(session, dataset.test, restore.prepare_function(whole_run, recipe))
        assert session.run("global_step:0") == expected["checkpoint_step"]
    assert result.correct == expected["test_correct"]


def test_restored_names_a_checkpoint_that_cannot_be_read(whole_run, tmp_path):
    copy = RunFolder(tmp_path)
    copy.checkpoints.mkdir()
    copy.recipe_file.write_bytes(whole_run.recipe_file.read_bytes())
    for suffix in (".index", ".data-00000-of-00001", ".meta"):
        (copy.checkpoints / f"model.ckpt-6{suffix}").write_bytes(b"not a checkpoint")
    for via in ("saver", "meta_graph"):
        with (pytest.raises(errors.Failure, match=r"model\.ckpt-6.*: (cannot be|not a graph)"),
              restore.restored(copy, via=via, device="cpu")):
            pass


@pytest.mark.parametrize("via", ["saver", "meta_graph"])
def test_restored_refuses_weights_that_are_not_finite(via, whole_run, tmp_path):
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(whole_run.path, copy.path)
    with restore.restored(copy, device="cpu") as (session, path):
        weights = next(variable for variable in tf.trainable_variables()
                       if variable.op.name == "conv2/biases")
        session.run(weights.assign(weights * np.nan))
        saver = tf.train.Saver().saver_def
        session.run(saver.save_tensor_name, {saver.filename_tensor_name: path})
    with (pytest.raises(errors.Failure, match="conv2/biases has numbers that are not finite"),
          restore.restored(copy, via=via, device="cpu")):
        pytest.fail("the weights were accepted")


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def older_run(request, tmp_path):
    """A run that an older version of this project made: `softmax` on small digits, 40 steps."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return RunFolder(tmp_path / request.param.name.removesuffix(".tar.xz"))


def test_every_older_format_is_a_fixture():
    """Named by the first field that each lacks; `recipes.upgrade` has these fields.

    The averages of all but no-label-smoothing have names that begin with training/. The state files
    of no-image-size have the absolute path of a folder that is gone.
    """
    assert [path.name.split(".")[0] for path in FORMATS] == [
        "no-checkpoint-every", "no-image-size", "no-label-smoothing", "no-lrn", "no-number",
        "no-precision"]


@pytest.mark.slow
def test_restored_and_resumed_from_every_older_format(older_run, tmp_path):
    name, recipe, description = older_run.read_description()
    assert recipe.precision == "float32" and recipe.moving_average and json.loads(
        older_run.recipe_file.read_text()).get("format", 1) < recipes.FORMAT
    dataset = data.load("mnist", small_data.write_mnist(tmp_path / "digits"))
    now = data.describe(dataset, recipe)
    assert now == {**description, "directory": str(tmp_path / "digits"), "border": now["border"]}
    prepare = restore.prepare_function(older_run, recipe)
    for via in METHODS:
        with restore.restored(older_run, via=via, device="cpu") as (session, _):
            result = evaluate(session, dataset.test, prepare)
        assert result.correct == older_run.read_result()["test_correct"]

    longer = dataclasses.replace(recipe, epochs=5)
    with older_run.locked():
        plan = resume.decide(older_run, longer, data.describe(dataset, longer))
        assert plan.resume and not plan.finished
        for file, expected in (("checkpoint", "model.ckpt-40"), ("best_checkpoint", "best-20")):
            assert tf.train.latest_checkpoint(str(older_run.checkpoints), file) == str(
                older_run.checkpoints / expected)
        train(plan.recipe, dataset, older_run.path, name)
    assert [step for step, _ in saved(older_run)] == [50]
    assert [row["step"] for row in older_run.read_metrics()] == [10, 20, 30, 40, 50]
    assert json.loads(older_run.recipe_file.read_text())["format"] == recipes.FORMAT


@pytest.mark.slow
def test_restored_averages_of_an_older_run_go_on(tmp_path):
    """The run that stopped at step 40 ends like a run of today's names that did not stop."""
    with tarfile.open(next(path for path in FORMATS if "no-image-size" in path.name)) as archive:
        archive.extractall(tmp_path, filter="data")
    older = RunFolder(tmp_path / "no-image-size")
    recipe = dataclasses.replace(older.read_description()[1], epochs=5)
    dataset = data.load("mnist", small_data.write_mnist(tmp_path / "digits"))
    train(recipe, dataset, older.path)
    train(recipe, dataset, tmp_path / "new")
    on, whole = (tf.train.load_checkpoint(saved(folder)[-1][1])
                 for folder in (older, RunFolder(tmp_path / "new")))
    names = on.get_variable_to_shape_map()
    assert "output/weights/ExponentialMovingAverage" in names
    assert names == whole.get_variable_to_shape_map()
    for name in names:  # not in the same bits where the processor is another one
        np.testing.assert_allclose(on.get_tensor(name), whole.get_tensor(name), 1e-4, 1e-6)

"""Initial weights from runs and from checkpoints that these tests write with TensorFlow 1's API."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from support.runs import saved, variables

from tf1cifar import data, errors, files, recipes
from tf1cifar.data import base, preparation
from tf1cifar.data.feed import Feed
from tf1cifar.training import initialization, loop, pictures, restore, resume, sources
from tf1cifar.training.run_folder import RunFolder

LINEAR = dataclasses.replace(recipes.RECIPES["softmax"], steps=4, steps_per_run=1, batch_size=50,
                             precision="float32", learning_rate=1e-6)


def write(path, values, **options):
    """Write a checkpoint of variables with names and values; its path."""
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in values.items():
            tf.Variable(value, name=name)
        session.run(tf.global_variables_initializer())
        return tf.train.Saver(**options).save(session, str(path), write_state=False)


def begin(source, recipe, dataset, path, asked=(), **options):
    """Train a run in the folder `path` from initial weights, or resume it; its `RunFolder`."""
    folder, description = RunFolder(path), data.describe(dataset, recipe)
    folder.path.mkdir(parents=True, exist_ok=True)
    found = sources.find(source, path)
    sources.check(found, recipe, description)
    plan = resume.decide(folder, recipe, description, source=found, asked=asked)
    initial = None
    if not plan.resume:
        initial = initialization.read(found, recipe, description, asked)
    folder.write_description("a test", recipe, description, {},
                             initial=initial.record if initial else sources.record(folder))
    if initial and initial.mean is not None:
        preparation.write_mean_image(folder.mean_image_file, initial.mean)
    loop.train(recipe, dataset, folder, "cpu", initial=initial, **options)
    return folder


def values_at(folder, step):
    """The variables of a run's checkpoint."""
    reader = tf.train.load_checkpoint(dict(saved(folder))[step])
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope="module")
def two_classes(dataset):
    """The images of the small data set with two classes of their own: dark and bright."""
    splits = [base.Split(split.images, (split.labels >= 5).astype(np.int64))
              for split in (dataset.train, dataset.test)]
    return base.Dataset("cifar10", "nowhere", ("dark", "bright"), *splits)


# ---------------------------------------------------------------------------------------
# Checkpoints of other programs


def tutorial(path):
    """Train and save the two-layer network of a tutorial, with unnamed variables and Adam.

    Returns:
      (path of the checkpoint, function of images -> logits in NumPy).
    """
    rng = np.random.default_rng(3)
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = tf.placeholder(tf.float32, [None, 3072]), tf.placeholder(tf.float32, [None, 10])
        weights = [tf.Variable(rng.normal(0, 0.1, shape).astype(np.float32))
                   for shape in ((3072, 120), 120, (120, 10), 10)]
        hidden = tf.nn.relu(tf.matmul(x, weights[0]) + weights[1])
        logits = tf.matmul(hidden, weights[2]) + weights[3]
        cost = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2(labels=y, logits=logits))
        step = tf.Variable(0, trainable=False)
        train_op = tf.train.AdamOptimizer(0.01).minimize(cost, global_step=step)
        session.run(tf.global_variables_initializer())
        session.run(train_op, {x: rng.normal(size=(5, 3072)), y: np.eye(10)[:5]})
        saved_at = tf.train.Saver().save(session, str(path), global_step=step)
        w1, b1, w2, b2 = session.run(weights)
    return saved_at, lambda images: np.maximum(
        images.reshape(len(images), -1) @ w1 + b1, 0) @ w2 + b2


@pytest.mark.parametrize("named", ["prefix", "index file", "folder"])
def test_begin_computes_what_the_tutorials_program_computes(named, dataset, tmp_path):
    path, logits = tutorial(tmp_path / "theirs" / "model.ckpt")
    write(tmp_path / "theirs" / "other", {"a": 1.0})
    asked = {"prefix": path, "index file": f"{path}.index", "folder": tmp_path / "theirs"}[named]
    recipe = dataclasses.replace(LINEAR, network="two_layer_fc", steps=1, learning_rate=1e-30,
                                 optimizer="gradient_descent", preparation="unit")
    folder = begin(asked, recipe, dataset, tmp_path / "run")
    record = sources.record(folder)
    assert record["checkpoint"] == "model.ckpt-1"
    assert record["map"] == {"hidden/weights": "Variable", "hidden/biases": "Variable_1",
                             "output/weights": "Variable_2", "output/biases": "Variable_3"}
    images = preparation.prepare(dataset.test.images, "unit")
    with restore.restored(folder, "latest") as (session, _):
        ours = session.run("logits:0", {"images:0": images})
    np.testing.assert_allclose(ours, logits(images.astype(np.float64)), rtol=1e-3, atol=1e-4)


def test_read_takes_moving_averages(dataset, tmp_path):
    values = {"w": np.full((3072, 10), 1.0, np.float32), "b": np.full(10, 2.0, np.float32)}
    with tf.Graph().as_default(), tf.Session() as session:
        weights = [tf.Variable(value, name=name) for name, value in values.items()]
        averages = tf.train.ExponentialMovingAverage(0.5)
        update = averages.apply(weights)
        session.run(tf.global_variables_initializer())
        session.run([variable.assign_add(tf.ones_like(variable)) for variable in weights])
        session.run(update)
        path = tf.train.Saver().save(session, str(tmp_path / "averaged"))
    recipe = dataclasses.replace(LINEAR, moving_average=0.9, steps=1)
    folder = begin(path, recipe, dataset, tmp_path / "run")
    assert sources.record(folder)["map"] == {
        "output/weights": "w/ExponentialMovingAverage",
        "output/biases": "b/ExponentialMovingAverage"}
    start = values_at(folder, 0)
    for name, expected in (("output/weights", 1.5), ("output/biases", 2.5)):
        for variable in (name, f"{name}/ExponentialMovingAverage"):
            assert (start[variable] == expected).all()
    assert start["training/global_step"] == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_read_converts_other_floats(dtype, dataset, tmp_path):
    path = write(tmp_path / "wide", {"W": np.full((3072, 10), 0.1, dtype), "b": np.ones(10, dtype)})
    found = sources.find(path, tmp_path / "run")
    initial = initialization.read(found, LINEAR, data.describe(dataset, LINEAR), [])
    assert {value.dtype for value in initial.values.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(initial.values["output/weights"],
                                  np.full((3072, 10), dtype(0.1).astype(np.float32)))


def test_read_takes_the_format_before_tensorflow_1(dataset, tmp_path):
    path = write(tmp_path / "old.ckpt", {"W": np.ones((3072, 10), np.float32),
                                         "b": np.ones(10, np.float32)},
                 write_version=tf.train.SaverDef.V1)
    assert not (tmp_path / "old.ckpt.index").exists()
    initial = initialization.read(sources.find(path, tmp_path / "run"), LINEAR,
                                  data.describe(dataset, LINEAR), [])
    assert initial.record["map"] == {"output/weights": "W", "output/biases": "b"}


def bad_number(value):
    """A checkpoint's variables, one number of which is `value`."""
    weights = np.ones((3072, 10))
    weights[7, 7] = value
    return {"W": weights, "b": np.ones(10)}


GOOD = {"W": np.ones((3072, 10), np.float32), "b": np.ones(10, np.float32)}


@pytest.mark.parametrize("values, damage, message", [
    (bad_number(np.nan), None, "W has numbers that are not finite"),
    (bad_number(np.inf), None, "W has numbers that are not finite"),
    (bad_number(1e300), None, "W has numbers that are not finite"),
    ({"W": np.ones((3072, 10), np.int32), "b": np.ones(10, np.int32)}, None,
     "no weight of linear comes from there"),
    ({"x" * 3000: np.ones(3, np.float32)}, None, "no weight of linear comes from there"),
    (GOOD, (".index", lambda content: b"not a table" * 99), "not a checkpoint that TensorFlow"),
    (GOOD, (".index", lambda content: content[:40] + b"\xff" + content[41:]), "checkpoint"),
    (GOOD, (".data-00000-of-00001", lambda content: content[:999]), "cannot be read"),
    (GOOD, (".data-00000-of-00001", lambda content: b"\x01" + content[1:]), "cannot be read")],
    ids=["nan", "inf", "float64 too large", "int", "long name", "no table", "index", "short",
         "checksum"])
def test_read_refuses_bad_checkpoints(values, damage, message, dataset, tmp_path):
    path = write(tmp_path / "model", values)
    if damage:
        suffix, change = damage
        file = tmp_path / f"model{suffix}"
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(errors.UserError, match=message) as caught:
        initialization.read(sources.find(path, tmp_path / "run"), LINEAR,
                            data.describe(dataset, LINEAR), [])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_read_bounds_the_number_of_variables(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(initialization, "MAX_VARIABLES", 1)
    path = write(tmp_path / "model", GOOD)
    with pytest.raises(errors.UserError, match="2 variables, expected at most 1"):
        initialization.read(sources.find(path, tmp_path / "run"), LINEAR,
                            data.describe(dataset, LINEAR), [])


# ---------------------------------------------------------------------------------------
# Runs


@pytest.fixture(scope="module")
def tuned_run(whole_run, tuned_recipe, two_classes, tmp_path_factory):
    """A run that began from another one, without a stop."""
    return begin(whole_run.path, tuned_recipe, two_classes, tmp_path_factory.mktemp("tuned"))


@pytest.fixture(scope="module")
def tuned_recipe(recipe):
    """The recipe of `tuned_run`."""
    return dataclasses.replace(recipe, freeze=("conv1", "conv2"), epochs=2, l2=0.01)


def test_begin_tunes_a_run_on_other_classes(whole_run, tuned_recipe, two_classes, tmp_path, capsys):
    folder = begin(whole_run.path, tuned_recipe, two_classes, tmp_path / "run")
    printed = capsys.readouterr().out
    assert "with output/weights, output/biases new" in printed
    assert printed.index("before training: test accuracy 0.") < printed.index("epoch 1/2")
    measured = (whole_run.read_result())["checkpoint"]
    reader = tf.train.load_checkpoint(str(whole_run.checkpoints / measured))
    first, last = values_at(folder, 0), values_at(folder, saved(folder)[-1][0])
    for name in ("conv1/weights", "conv1/biases", "conv2/weights", "dense/weights"):
        np.testing.assert_array_equal(first[name], reader.get_tensor(name))
        assert np.array_equal(first[name], last[name]) == name.startswith("conv")
    assert first["output/weights"].shape == (1024, 2)
    slots = {name.split("/")[1] for name in first if "Adam" in name}
    assert slots == {"dense", "output"}, "frozen layers have slots of the optimizer"
    with restore.restored(folder, via="meta_graph") as (session, _):
        assert session.run("global_step:0") > 0


def test_begin_says_the_accuracy_of_the_source(whole_run, recipe, dataset, tmp_path, capsys):
    """Same classes: the last layer comes from there too, and so does the accuracy."""
    result = whole_run.read_result()
    folder = begin(whole_run.path, dataclasses.replace(recipe, steps=1), dataset, tmp_path / "run")
    assert (f"before training: test accuracy {result['test_accuracy']:.4f} "
            f"({result['test_correct']}/40)\n") in capsys.readouterr().out
    with restore.restored(folder) as (session, _):
        found = pictures.of_weights(session, folder, (24, 24, 1), dataset.class_names)
    assert found[0].words == f"Training began with those of {whole_run.path}."


class Killed(Exception):
    """An exception that stands for a kill, because the loop does not catch it."""


@pytest.mark.parametrize("batch", [2, pytest.param(9, marks=pytest.mark.slow)])
def test_begin_resumes_to_the_same_bits_without_the_source(
        batch, whole_run, tuned_recipe, tuned_run, two_classes, tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(whole_run.path, source)
    calls, original = [], Feed.batch

    def killed(feed, step):
        calls.append(step)
        if len(calls) == batch:
            raise Killed
        return original(feed, step)

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "batch", killed)
        with pytest.raises(Killed):
            begin(source, tuned_recipe, two_classes, tmp_path / "run")
    shutil.rmtree(source)
    run = begin(source, tuned_recipe, two_classes, tmp_path / "run")
    assert variables(run) == variables(tuned_run)
    assert run.metrics_file.read_bytes() == tuned_run.metrics_file.read_bytes()
    assert sources.record(run) == {**sources.record(tuned_run), "from": str(source)}


def test_begin_keeps_the_mean_image_of_the_source(dataset, two_classes, tmp_path):
    recipe = dataclasses.replace(LINEAR, network="two_layer_fc", steps=2)
    source = begin(tutorial(tmp_path / "model")[0], recipe, dataset, tmp_path / "source")
    darker = two_classes._replace(train=base.Split(two_classes.train.images // 2,
                                                   two_classes.train.labels))
    tuned = begin(source.path, recipe, darker, tmp_path / "tuned")
    mean = preparation.load_mean_image(source.mean_image_file)
    np.testing.assert_array_equal(mean, dataset.train.images.mean(0).astype(np.float32))
    shutil.rmtree(source.path)
    begin(source.path, dataclasses.replace(recipe, steps=6), darker, tuned.path)
    np.testing.assert_array_equal(preparation.load_mean_image(tuned.mean_image_file), mean)
    preparation.write_mean_image(tuned.mean_image_file, mean + 1)
    with pytest.raises(errors.Failure, match="not the mean image with which the run began"):
        begin(source.path, dataclasses.replace(recipe, steps=9), darker, tuned.path)


def test_read_refuses_frozen_layers_without_weights(whole_run, recipe, two_classes, tmp_path):
    def refusal(freeze):
        frozen = dataclasses.replace(recipe, freeze=freeze)
        with pytest.raises(errors.UserError) as caught:
            initialization.read(sources.find(whole_run.path, tmp_path / "run"), frozen,
                                data.describe(two_classes, frozen), [])
        return str(caught.value)

    assert "--freeze output: output/weights starts anew here" in refusal(("output",))
    assert "--freeze conv: lrn_cnn has no such layer; there are conv1, conv2" in refusal(("conv",))
    assert "leaves nothing to train" in refusal(("conv1", "conv2", "dense", "output"))


def test_begin_refuses_weights_that_give_no_loss(dataset, tmp_path):
    huge = {"W": np.full((3072, 10), 3e38, np.float32), "b": np.zeros(10, np.float32)}
    recipe = dataclasses.replace(LINEAR, preparation="unit")
    with pytest.raises(errors.Failure, match="the loss is nan; they do not fit"):
        begin(write(tmp_path / "model", huge), recipe, dataset, tmp_path / "run")
    assert not files.read_json(tmp_path / "run/recipe.json").get("result")
    assert not RunFolder(tmp_path / "run").has_checkpoints()

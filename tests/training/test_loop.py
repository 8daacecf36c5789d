"""The loop: the same seed gives the same bits, stopped or not; what a run leaves behind."""

import csv
import dataclasses
import json
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import train, variables

import cifar_tools
import cnn_graph
import console
import recipes
from training import loop, restore, run_folder
from training.run_folder import RunFolder

RECIPE = dataclasses.replace(recipes.RECIPES["lrn_cnn"], epochs=3, batch_size=32, seed=4)


@pytest.fixture(scope="module")
def dataset(tiny_cifar):
    return cifar_tools.load(tiny_cifar)


@pytest.fixture(scope="module")
def whole_run(dataset, tmp_path_factory):
    return train(RECIPE, dataset, tmp_path_factory.mktemp("whole"))


def test_what_a_run_leaves_behind(whole_run, dataset):
    # 180 of the 200 images in batches of 32: six steps an epoch
    assert [step for step, _ in whole_run.saved()] == [6, 12, 18]
    (best, _), = whole_run.saved("best")
    with open(whole_run.metrics_file, newline="") as source:
        rows = list(csv.DictReader(source))
    assert [row["step"] for row in rows] == ["6", "12", "18"]
    held_out = [float(row["held_out_accuracy"]) for row in rows]
    assert best == 6 * (1 + held_out.index(max(held_out)))
    assert {row["test_accuracy"] for row in rows} == {""}
    result = json.loads(whole_run.result_file.read_text())
    assert result["checkpoint"] == f"best-{best}"
    assert result["test_images"] == 40
    assert result["test_accuracy"] == result["test_correct"] / 40
    name, recipe, data = whole_run.read_description()
    assert (name, recipe) == ("a test", RECIPE)
    assert data["name"] == "cifar10"
    assert (data["training_images"], data["held_out_images"]) == (180, 20)
    assert whole_run.learning_curve.read_bytes().startswith(b"\x89PNG")
    (events,) = whole_run.events.iterdir()
    told = [(event.step, value.tag) for event in tf.train.summary_iterator(str(events))
            for value in event.summary.value]
    assert (18, "epoch/held_out_accuracy") in told and (6, "epoch/training_loss") in told
    assert not [item for item in whole_run.path.iterdir() if item.name.startswith(".")]


def test_same_seed_same_bits(whole_run, dataset, tmp_path):
    again = train(RECIPE, dataset, tmp_path)
    assert variables(again) == variables(whole_run)
    assert again.metrics_file.read_bytes() == whole_run.metrics_file.read_bytes()


class Killed(Exception):
    """Takes the place of a kill: nothing in the loop catches it."""


@pytest.mark.parametrize("stop_at", ["batch 9", "save 2", "evaluation 2", "best 1"])
def test_stopped_and_resumed_same_bits(stop_at, whole_run, dataset, tmp_path, monkeypatch):
    what, number = stop_at.split()
    calls = {"batch": 0, "save": 0, "evaluation": 0, "best": 0}

    def count(kind):
        calls[kind] += 1
        if kind == what and calls[kind] == int(number):
            raise Killed

    def counted(function, kind):
        def wrapper(*arguments, **options):
            count(kind)
            return function(*arguments, **options)
        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(loop.cifar_tools, "training_batch",
                      counted(cifar_tools.training_batch, "batch"))
        patch.setattr(loop, "evaluate", counted(loop.evaluate, "evaluation"))
        patch.setattr(loop._Run, "_save_latest", counted(loop._Run._save_latest, "save"))
        patch.setattr(loop._Run, "_save_best", counted(loop._Run._save_best, "best"))
        with pytest.raises(Killed):
            train(RECIPE, dataset, tmp_path)
    folder = train(RECIPE, dataset, tmp_path)
    assert variables(folder) == variables(whole_run)
    assert folder.metrics_file.read_bytes() == whole_run.metrics_file.read_bytes()
    assert folder.read_result() == whole_run.read_result()


def test_a_stop_is_not_told_as_saved_when_it_is_not(dataset, tmp_path, monkeypatch):
    """Evaluation and saving go on at the same time."""
    evaluate = loop.evaluate

    def stop(session, split, prepare):
        signal.raise_signal(signal.SIGTERM)
        return evaluate(session, split, prepare)

    def save(run):
        time.sleep(0.1)
        raise console.Failure("no space left")

    monkeypatch.setattr(loop, "evaluate", stop)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_save_latest", save)
        with pytest.raises(console.Failure, match="no space left"):
            train(RECIPE, dataset, tmp_path)
    with pytest.raises(console.Interrupted, match="stopped and saved at step 6"):
        train(RECIPE, dataset, tmp_path)
    assert [step for step, _ in RunFolder(tmp_path).saved()] == [6]


def test_training_on_ends_where_a_longer_run_does(dataset, tmp_path):
    """With a constant learning rate; a cosine is stretched over the new length instead."""
    recipe = dataclasses.replace(RECIPE, schedule="constant", epochs=2)
    shorter = dataclasses.replace(recipe, steps=9)  # one epoch and a half
    train(shorter, dataset, tmp_path / "on")
    on = train(recipe, dataset, tmp_path / "on")
    whole = train(recipe, dataset, tmp_path / "whole")
    assert variables(on) == variables(whole)
    assert [row["step"] for row in on.read_metrics()] == [6, 9, 12]
    assert on.read_metrics()[-1] == whole.read_metrics()[-1]


def test_early_stopping(dataset, tmp_path):
    """With a rate that teaches nothing the first epoch stays the best."""
    recipe = dataclasses.replace(RECIPE, learning_rate=1e-12, epochs=9, early_stopping=2)
    folder = train(recipe, dataset, tmp_path)
    assert [row["step"] for row in folder.read_metrics()] == [6, 12, 18]
    assert folder.read_result()["checkpoint"] == "best-6"
    description = folder.read_description()[2]
    assert "18 steps (3 epochs)" in folder.finished(recipe, description)
    patient = dataclasses.replace(recipe, early_stopping=3)
    assert folder.finished(patient, description) is None
    assert [row["step"] for row in train(patient, dataset, tmp_path).read_metrics()][-1] == 24


def test_moving_averages_are_evaluated_and_training_goes_on_without(dataset, tmp_path):
    """`best` holds the averages; the trained weights are what they are without averages."""
    recipe = dataclasses.replace(RECIPE, moving_average=0.9)
    averaged = train(recipe, dataset, tmp_path / "averaged")
    plain = train(dataclasses.replace(recipe, moving_average=0.0), dataset, tmp_path / "plain")
    weights = variables(plain)
    assert all(variables(averaged)[name] == value for name, value in weights.items())
    best = tf.train.load_checkpoint(averaged.saved("best")[-1][1])
    for name in ("conv1/weights", "output/biases"):
        average = best.get_tensor(f"training/{name}/ExponentialMovingAverage")
        np.testing.assert_array_equal(best.get_tensor(name), average)
    latest = tf.train.load_checkpoint(averaged.saved()[-1][1])
    assert (latest.get_tensor("conv1/weights") != latest.get_tensor(
        "training/conv1/weights/ExponentialMovingAverage")).any()


def test_the_test_images_are_touched_once(dataset, tmp_path, monkeypatch):
    splits, evaluate = [], loop.evaluate
    monkeypatch.setattr(loop, "evaluate", lambda session, split, prepare: (
        splits.append(split), evaluate(session, split, prepare))[1])
    train(RECIPE, dataset, tmp_path)
    assert [split is dataset.test for split in splits] == [False, False, False, True]


def test_without_held_out_images_the_last_weights_count(dataset, tmp_path):
    recipe = dataclasses.replace(RECIPE, held_out=0.0, epochs=1, test_every_epoch=True)
    folder = train(recipe, dataset, tmp_path)
    assert folder.saved("best") == []
    assert folder.read_result()["checkpoint"] == "model.ckpt-7"
    (row,) = folder.read_metrics()
    assert row["test_accuracy"] == folder.read_result()["test_accuracy"]
    assert row["held_out_accuracy"] is None


def test_max_to_keep_holds_over_a_resume(dataset, tmp_path):
    recipe = dataclasses.replace(RECIPE, max_to_keep=2, epochs=2)
    train(recipe, dataset, tmp_path)
    folder = train(dataclasses.replace(recipe, epochs=4), dataset, tmp_path)
    assert [step for step, _ in folder.saved()] == [18, 24]
    assert len(folder.saved("best")) == 1


@pytest.mark.parametrize("via", run_folder.VIAS)
def test_restored_gives_the_same_figures(via, whole_run, dataset):
    expected = whole_run.read_result()
    with restore.restored(whole_run, via=via, device="cpu") as (session, _):
        result = loop.evaluate(session, dataset.test, whole_run.prepare(RECIPE))
        assert session.run("global_step:0") == expected["checkpoint_step"]
    assert result.correct == expected["test_correct"]


def test_evaluation_against_numpy(whole_run, dataset):
    with restore.restored(whole_run, device="cpu") as (session, _):
        result = loop.evaluate(session, dataset.test, whole_run.prepare(RECIPE))
        probabilities = session.run("probabilities:0", {
            "images:0": cifar_tools.prepare(dataset.test.images, "gray24")})
    np.testing.assert_array_equal(result.predictions, probabilities.argmax(1))
    picked = probabilities[np.arange(40), dataset.test.labels]
    assert result.loss == pytest.approx(-np.log(picked).mean(), rel=1e-4)
    assert result.line() == f"test accuracy {result.correct / 40:.4f} ({result.correct}/40)"


def test_choose(whole_run):
    latest = str(whole_run.checkpoints / "model.ckpt-18")
    assert restore.choose(whole_run, "latest") == latest
    assert restore.choose(whole_run, latest + ".index") == latest
    assert "best-" in restore.choose(whole_run)
    with pytest.raises(console.UserError, match="no such checkpoint"):
        restore.choose(whole_run, "nowhere")


def test_a_checkpoint_that_cannot_be_read_is_one_line(whole_run, tmp_path):
    copy = RunFolder(tmp_path)
    copy.checkpoints.mkdir()
    copy.recipe_file.write_bytes(whole_run.recipe_file.read_bytes())
    for suffix in (".index", ".data-00000-of-00001", ".meta"):
        (copy.checkpoints / f"model.ckpt-6{suffix}").write_bytes(b"not a checkpoint")
    for via in ("saver", "meta_graph"):
        with (pytest.raises(console.Failure, match=r"model\.ckpt-6.*: (cannot be|not a graph)"),
              restore.restored(copy, via=via, device="cpu")):
            pass


def test_gpu_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    with pytest.raises(console.UserError, match="--device gpu"):
        loop.session_config("gpu")
    assert loop.session_config("cpu").device_count["GPU"] == 0
    assert loop.session_config("auto").gpu_options.allow_growth


@pytest.mark.parametrize("name, threads", [("softmax", 1), ("two_layer_fc", 0), ("lrn_cnn", 0)])
def test_steps_that_are_too_small_to_share_out_get_one_core(name, threads):
    recipe = recipes.RECIPES[name]
    shape = cifar_tools.prepared_shape((32, 32, 3), recipe.preparation)
    with tf.Graph().as_default():
        config = loop.session_config("cpu", cnn_graph.build(recipe, shape, 10, 50_000))
    assert config.intra_op_parallelism_threads == threads  # 0 is as many as there are cores


@pytest.mark.parametrize("content, words", [
    ("{", "not JSON"), ("[1]", "JSON dictionary"), ("{}", "no 'name' in it"),
    ('{"name": "a", "recipe": {}, "dataset": {}}', "no 'image_shape' in it"),
    ('{"name": "a", "recipe": {"seed": "b"}, "dataset": {}}', "seed is 'b', expected int"),
    ("[" * 100_000, "not JSON"),
])
def test_damaged_recipe_json_is_one_line(content, words, tmp_path):
    folder = RunFolder(tmp_path)
    folder.recipe_file.write_text(content)
    with pytest.raises(console.UserError, match=words):
        folder.read_description()


@pytest.fixture
def copied_run(whole_run, tmp_path):
    """A copy of the finished run, to damage, that has not been told it is finished."""
    shutil.copytree(whole_run.path, tmp_path / "copy")
    folder = RunFolder(tmp_path / "copy")
    folder.result_file.unlink()
    return folder


def damage(path, how):
    """Cut the file short, flip a bit of it, or remove it."""
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[:len(content) // 2])
    elif how == "flipped":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("how", ["cut", "flipped", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
        suffix, how, copied_run, whole_run, dataset, capsys):
    damage(copied_run.checkpoints / f"model.ckpt-18{suffix}", how)
    (copied_run.checkpoints / "checkpoint").write_text("model_checkpoint_pa")
    folder = train(RECIPE, dataset, copied_run.path)
    told = capsys.readouterr()
    assert "resuming from step 12 of 18" in told.out
    assert how == "missing" or "model.ckpt-18: cannot be restored" in told.err
    assert variables(folder) == variables(whole_run)
    assert folder.metrics_file.read_bytes() == whole_run.metrics_file.read_bytes()


def test_no_checkpoint_left(copied_run, dataset):
    for _, path in copied_run.saved():
        damage(RunFolder(path + ".index").path, "cut")
    with pytest.raises(console.Failure, match="no checkpoint can be restored; --overwrite"):
        train(RECIPE, dataset, copied_run.path)


def test_a_damaged_best_gives_way_to_the_latest(copied_run, whole_run, dataset, capsys):
    (_, best), = copied_run.saved("best")
    damage(RunFolder(best + ".index").path, "cut")
    train(RECIPE, dataset, copied_run.path)
    assert f"{best}: cannot be restored" in capsys.readouterr().err
    assert copied_run.read_result()["checkpoint"] == "model.ckpt-18"
    assert copied_run.chosen() == copied_run.saved()[-1]


def test_checkpoints_that_are_gone_are_no_new_run(copied_run, whole_run, dataset):
    for file in copied_run.checkpoints.iterdir():
        if file.suffix != ".index":
            file.unlink()
    before = copied_run.metrics_file.read_bytes()
    with pytest.raises(console.Failure, match="no checkpoint can be restored; --overwrite"):
        train(RECIPE, dataset, copied_run.path)
    shutil.rmtree(copied_run.checkpoints)
    description = copied_run.read_description()[2]
    with pytest.raises(console.UserError, match="checkpoints is empty or gone.*--overwrite"):
        copied_run.can_resume(RECIPE, description)
    assert copied_run.metrics_file.read_bytes() == before


def test_checkpoints_within_an_epoch(dataset, whole_run, tmp_path):
    recipe = dataclasses.replace(RECIPE, checkpoint_every=4, max_to_keep=99)
    folder = train(recipe, dataset, tmp_path)
    assert [step for step, _ in folder.saved()] == [4, 6, 8, 12, 16, 18]
    assert variables(folder) == variables(whole_run)
    for step in (4, 12, 18, 16):  # what a kill after step 8, while 12 is written, leaves
        for file in folder.checkpoints.glob(f"model.ckpt-{step}.*"):
            if step != 4:
                file.unlink()
    assert variables(train(recipe, dataset, tmp_path)) == variables(whole_run)


@pytest.mark.parametrize("batch_size, what", [
    (32, "after step 1 the loss is (nan|inf), the last finite one was 2"),
    (180, "after step 1 the loss is (nan|inf)")])  # found when the epoch is saved
def test_a_run_that_diverges_stops_and_is_not_saved(batch_size, what, dataset, tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=3e38, schedule="constant",
                                 optimizer="gradient_descent", batch_size=batch_size)
    with pytest.raises(console.Failure, match=f"diverged: {what}.*--learning-rate"):
        train(recipe, dataset, tmp_path)
    assert RunFolder(tmp_path).saved() == []


@pytest.mark.parametrize("name, options", [
    ("two_layer_fc", {"batch_size": 24, "moving_average": 0.9, "summary_every": 5,
                      "checkpoint_every": 4}),  # so small that one core does it
    ("batchnorm_cnn", {"preparation": "gray24", "held_out": 0.5}),
    ("lrn_cnn", {"augment": (), "held_out": 0.5})])
def test_several_steps_in_one_run_end_where_single_ones_do(name, options, dataset, tmp_path):
    """With dropout, L2, batch norm, averages, and a smaller last batch in play."""
    recipe = dataclasses.replace(recipes.RECIPES[name], dataset="cifar10", steps=0, epochs=2,
                                 dropout=0.5, **{"batch_size": 32, **options})
    runs = [train(dataclasses.replace(recipe, steps_per_run=count), dataset, tmp_path / str(count))
            for count in (1, 3)]
    single, several = map(variables, runs)
    assert single.keys() == several.keys()
    for key, value in single.items():
        kind = np.int64 if key == "training/global_step" else (
            np.float64 if key.startswith("epoch/") else np.float32)
        np.testing.assert_allclose(np.frombuffer(several[key], kind),
                                   np.frombuffer(value, kind), rtol=1e-4, atol=1e-5, err_msg=key)


def test_profile(dataset, tmp_path):
    """A trace names the operations, in the format that browsers show."""
    folder = RunFolder(tmp_path)
    recipe = dataclasses.replace(RECIPE, batch_size=8, epochs=1)
    train(recipe, dataset, tmp_path, profile=True)
    traces = sorted(folder.profile.iterdir())
    assert [trace.name for trace in traces] == ["step-4.json", "step-5.json", "step-6.json"]
    names = {event["name"] for event in json.loads(traces[0].read_text())["traceEvents"]}
    assert any("Conv2DBackpropFilter" in name for name in names)


def test_a_second_process_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    with (folder.locked(), pytest.raises(console.UserError, match="another process is training"),
          RunFolder(tmp_path).locked()):
        pass
    with RunFolder(tmp_path).locked():  # a lock that was left is no obstacle
        pass

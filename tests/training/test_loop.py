"""The loop: a seed gives the same bits with and without stops; the files of a run."""

import csv
import dataclasses
import json
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from support.runs import saved, train, variables

from tf1cifar import console, errors, recipes
from tf1cifar.data.feed import Feed
from tf1cifar.training import loop, resume
from tf1cifar.training.checkpoints import Checkpoints
from tf1cifar.training.loop import Trainer
from tf1cifar.training.run_folder import RunFolder


def test_train_leaves_a_whole_run_folder(whole_run, recipe):
    assert [step for step, _ in saved(whole_run)] == [6, 12, 18]
    (best, _), = saved(whole_run, "best")
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
    name, read, data = whole_run.read_description()
    assert (name, read) == ("a test", recipe)
    assert data["name"] == "cifar10"
    assert (data["training_images"], data["held_out_images"]) == (180, 20)
    assert whole_run.learning_curve.read_bytes().startswith(b"\x89PNG")
    (events,) = whole_run.event_files()
    found = [(event.step, value.tag) for event in tf.train.summary_iterator(str(events))
             for value in event.summary.value]
    assert (18, "epoch/held_out_accuracy") in found and (6, "epoch/training_loss") in found
    for tag in ("accuracy/test", "accuracy/held_out", "result/confusion_matrix"):
        assert (18, tag) in found
    assert [step for step, tag in found if tag == "batch/loss"] == list(range(1, 19))
    assert [step for step, tag in found if tag == "epoch/filters"] == [0, 6, 12, 18]
    assert [(row["step"], row["images"]) for row in whole_run.read_times()] == [
        (6, 180), (12, 180), (18, 180)]
    assert result["parameters"] == 2_474_698
    assert not [item for item in whole_run.path.iterdir() if item.name.startswith(".")]


@pytest.mark.slow
def test_train_gives_the_same_bits_for_the_same_seed(whole_run, recipe, dataset, tmp_path):
    again = train(recipe, dataset, tmp_path)
    assert variables(again) == variables(whole_run)
    for name in ("metrics.csv", "result.json", "recipe.json", "learning_curve.png"):
        assert (again.path / name).read_bytes() == (whole_run.path / name).read_bytes(), name
    assert events(again) == events(whole_run)
    # Times are in a file of their own, since no two runs take the same time.
    assert again.read_times() != whole_run.read_times()
    assert ([{**row, "seconds": 0} for row in again.read_times()]
            == [{**row, "seconds": 0} for row in whole_run.read_times()])


def events(folder):
    """(step, summary) of every event but for its time."""
    return [(event.step, event.summary.SerializeToString(deterministic=True))
            for path in folder.event_files() for event in tf.train.summary_iterator(str(path))
            if event.HasField("summary")]


class Killed(Exception):
    """An exception that stands for a kill, because the loop does not catch it."""


@pytest.mark.parametrize("stop_at", [
    "batch 9", *(pytest.param(at, marks=pytest.mark.slow)
                 for at in ("save 2", "evaluate 2", "save_best 1"))])
def test_train_resumes_to_the_same_bits(stop_at, whole_run, recipe, dataset, tmp_path,
                                        monkeypatch):
    kind, number = stop_at.split()
    calls = []

    def killed_at(function):
        def wrapper(*arguments, **options):
            calls.append(function)
            if len(calls) == int(number):
                raise Killed
            return function(*arguments, **options)
        return wrapper

    owner = {"batch": Feed, "save": Trainer, "evaluate": Trainer, "save_best": Checkpoints}[kind]
    with monkeypatch.context() as patch:
        patch.setattr(owner, kind, killed_at(getattr(owner, kind)))
        with pytest.raises(Killed):
            train(recipe, dataset, tmp_path)
    folder = train(recipe, dataset, tmp_path)
    assert variables(folder) == variables(whole_run)
    assert folder.metrics_file.read_bytes() == whole_run.metrics_file.read_bytes()
    assert folder.read_result() == whole_run.read_result()
    assert sorted(events(folder)) == sorted(events(whole_run))
    assert sum(row["images"] for row in folder.read_times()) == 3 * 180


def test_train_until_shows_the_time_left_of_the_whole_run(
        recipe, dataset, tmp_path, monkeypatch):
    class Progress(console.progress):
        def update(self, done, note="", remaining=0):
            updates.append((done, self.total, remaining))

    updates = []
    monkeypatch.setattr(console, "progress", Progress)
    train(dataclasses.replace(recipe, steps=9), dataset, tmp_path)
    training = [update for update in updates if update[1] in (6, 3)]
    assert training == [(done, 6, 3) for done in range(1, 7)] + [
        (done, 3, 0) for done in range(1, 4)]


def test_train_stops_after_a_step_when_it_should(recipe, dataset, whole_run, tmp_path, capsys):
    answers = iter([0] * 7 + [signal.SIGTERM] * 9)
    with pytest.raises(errors.Interrupted, match="stopped and saved at step") as caught:
        train(recipe, dataset, tmp_path, should_stop=lambda: next(answers))
    assert caught.value.number == signal.SIGTERM
    (step, _), = saved(RunFolder(tmp_path))[-1:]
    assert f"at step {step};" in str(caught.value)
    folder = train(recipe, dataset, tmp_path)
    assert f"resuming from step {step} of 18" in capsys.readouterr().out
    assert variables(folder) == variables(whole_run)


@pytest.mark.slow
def test_train_prints_no_stop_as_saved_before_it_is(recipe, dataset, tmp_path, monkeypatch):
    """The evaluation and the saving of an epoch run at the same time."""
    def save(trainer):
        time.sleep(0.1)
        raise errors.Failure("no space left")

    # The first six answers are for the six steps of the epoch, the next one for its evaluation.
    def stop_in_evaluation():
        answers = iter([0] * 6)
        return lambda: next(answers, signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save)
        with pytest.raises(errors.Failure, match="no space left"):
            train(recipe, dataset, tmp_path, should_stop=stop_in_evaluation())
    with pytest.raises(errors.Interrupted, match="stopped and saved at step 6"):
        train(recipe, dataset, tmp_path, should_stop=stop_in_evaluation())
    assert [step for step, _ in saved(RunFolder(tmp_path))] == [6]


@pytest.mark.slow
def test_train_works_in_any_thread(recipe, dataset, whole_run, tmp_path):
    """Notebook widgets and servers call `train` in a thread. Only the scripts catch signals."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(train(recipe, dataset, tmp_path)))
    thread.start()
    thread.join()
    assert variables(ended[0]) == variables(whole_run)


@pytest.mark.slow
def test_train_goes_on_to_where_a_longer_run_ends(recipe, dataset, tmp_path):
    """The learning rate is constant. A cosine would be stretched over the new length."""
    recipe = dataclasses.replace(recipe, schedule="constant", epochs=2)
    shorter = dataclasses.replace(recipe, steps=9)  # one epoch and a half
    train(shorter, dataset, tmp_path / "on")
    on = train(recipe, dataset, tmp_path / "on")
    whole = train(recipe, dataset, tmp_path / "whole")
    assert variables(on) == variables(whole)
    assert [row["step"] for row in on.read_metrics()] == [6, 9, 12]
    assert on.read_metrics()[-1] == whole.read_metrics()[-1]


@pytest.mark.slow
def test_train_stops_early(recipe, dataset, tmp_path):
    """The learning rate is so small that the first epoch stays the best."""
    recipe = dataclasses.replace(recipe, learning_rate=1e-12, epochs=9, early_stopping=2)
    folder = train(recipe, dataset, tmp_path)
    assert [row["step"] for row in folder.read_metrics()] == [6, 12, 18]
    assert folder.read_result()["checkpoint"] == "best-6"
    description = folder.read_description()[2]
    assert "18 steps (3 epochs)" in resume.finished(folder, recipe, description)
    patient = dataclasses.replace(recipe, early_stopping=3)
    assert resume.finished(folder, patient, description) == ""
    assert [row["step"] for row in train(patient, dataset, tmp_path).read_metrics()][-1] == 24


@pytest.mark.slow
def test_train_evaluates_moving_averages_and_trains_without(recipe, dataset, tmp_path):
    """`best` has the averages. The trained weights equal those of a run without averages."""
    recipe = dataclasses.replace(recipe, moving_average=0.9)
    averaged = train(recipe, dataset, tmp_path / "averaged")
    plain = train(dataclasses.replace(recipe, moving_average=0.0), dataset, tmp_path / "plain")
    weights = variables(plain)
    assert all(variables(averaged)[name] == value for name, value in weights.items())
    best = tf.train.load_checkpoint(saved(averaged, "best")[-1][1])
    for name in ("conv1/weights", "output/biases"):
        average = best.get_tensor(f"{name}/ExponentialMovingAverage")
        np.testing.assert_array_equal(best.get_tensor(name), average)
    latest = tf.train.load_checkpoint(saved(averaged)[-1][1])
    assert (latest.get_tensor("conv1/weights") != latest.get_tensor(
        "conv1/weights/ExponentialMovingAverage")).any()


@pytest.mark.slow
def test_train_touches_the_test_images_once(recipe, dataset, tmp_path, monkeypatch):
    splits, evaluate = [], loop.evaluate
    monkeypatch.setattr(loop, "evaluate", lambda session, split, prepare: (
        splits.append(split), evaluate(session, split, prepare))[1])
    train(recipe, dataset, tmp_path)
    assert [split is dataset.test for split in splits] == [False, False, False, True]


@pytest.mark.slow
def test_train_without_held_out_images_keeps_the_last_weights(recipe, dataset, tmp_path):
    recipe = dataclasses.replace(recipe, held_out=0.0, epochs=1, test_every_epoch=True)
    folder = train(recipe, dataset, tmp_path)
    assert saved(folder, "best") == []
    assert folder.read_result()["checkpoint"] == "model.ckpt-7"
    (row,) = folder.read_metrics()
    assert row["test_accuracy"] == folder.read_result()["test_accuracy"]
    assert row["held_out_accuracy"] is None


@pytest.mark.slow
def test_train_saves_within_an_epoch(recipe, dataset, whole_run, tmp_path):
    recipe = dataclasses.replace(recipe, checkpoint_every=4, max_to_keep=99)
    folder = train(recipe, dataset, tmp_path)
    assert [step for step, _ in saved(folder)] == [4, 6, 8, 12, 16, 18]
    assert variables(folder) == variables(whole_run)
    for step in (4, 12, 18, 16):  # a kill while 12 is written leaves 4, 6 and 8
        for file in folder.checkpoints.glob(f"model.ckpt-{step}.*"):
            if step != 4:
                file.unlink()
    assert variables(train(recipe, dataset, tmp_path)) == variables(whole_run)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size, words", [
    (32, "after step 1 the loss is (nan|inf), the last finite one was 2"),
    (180, "after step 1 the loss is (nan|inf)")])  # found before the epoch is saved
def test_train_stops_unsaved_when_the_loss_diverges(batch_size, words, recipe, dataset, tmp_path):
    recipe = dataclasses.replace(recipe, learning_rate=3e38, schedule="constant",
                                 optimizer="gradient_descent", batch_size=batch_size)
    with pytest.raises(errors.Failure, match=f"diverged: {words}.*--learning-rate"):
        train(recipe, dataset, tmp_path)
    assert saved(RunFolder(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name, options", [
    ("two_layer_fc", {"batch_size": 24, "moving_average": 0.9, "summary_every": 5,
                      "checkpoint_every": 4}),  # so small that one core computes it
    ("batchnorm_cnn", {"preparation": "gray24", "held_out": 0.5}),
    ("lrn_cnn", {"augment": (), "held_out": 0.5})])
def test_train_with_several_steps_in_a_run_ends_where_single_steps_do(
        name, options, dataset, tmp_path):
    """The runs have dropout, L2, batch norm, moving averages, and a smaller last batch."""
    recipe = dataclasses.replace(recipes.RECIPES[name], dataset="cifar10", steps=0, epochs=2,
                                 precision="bfloat16", dropout=0.5,
                                 **{"batch_size": 32, **options})
    runs = [train(dataclasses.replace(recipe, steps_per_run=count), dataset, tmp_path / str(count))
            for count in (1, 3)]
    single, several = map(variables, runs)
    assert single.keys() == several.keys()
    for key, value in single.items():
        kind = np.int64 if key == "training/global_step" else (
            np.float64 if key.startswith("epoch/") else np.float32)
        np.testing.assert_allclose(np.frombuffer(several[key], kind),
                                   np.frombuffer(value, kind), rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.slow
def test_train_profiles_steps(recipe, dataset, tmp_path):
    """A trace has the names of the operations, in the format that browsers show."""
    folder = RunFolder(tmp_path)
    train(dataclasses.replace(recipe, batch_size=8, epochs=1), dataset, tmp_path, profile=True)
    traces = sorted(folder.profile.iterdir())
    assert [trace.name for trace in traces] == ["step-4.json", "step-5.json", "step-6.json"]
    names = {event["name"] for event in json.loads(traces[0].read_text())["traceEvents"]}
    assert any("Conv2DBackpropFilter" in name for name in names)

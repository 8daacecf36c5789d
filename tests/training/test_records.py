"""Records: metrics.csv and TensorBoard's events over kills and resumes."""

import errno

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import errors, files, recipes
from tf1cifar.training import records
from tf1cifar.training.run_folder import METRICS, RunFolder


def row(step, **figures):
    return {**dict.fromkeys(METRICS), "epoch": step / 6, "step": step, "learning_rate": 0.1,
            "training_loss": 1.0, "training_accuracy": 0.5, **figures}


def summary(tag):
    return tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=1.0)]).SerializeToString()


def events(folder):
    """(step, tag) of every event; the tag of the graph is 'graph'."""
    found = []
    for path in sorted(folder.events.iterdir()):
        for event in tf.train.summary_iterator(str(path)):
            found += [(event.step, value.tag) for value in event.summary.value]
            found += [(event.step, "graph")] * bool(event.graph_def)
    return found


@pytest.fixture
def started(tmp_path):
    """A run that has got to step 9, with an epoch recorded at 6, and was killed."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    log = records.Records(folder, 0, "a test")
    for step in (3, 6):
        log.add_summary(summary("loss"), step)
    log.add(row(6))
    log.add_summary(summary("loss"), 9)
    return folder  # not closed: what was added is in the file all the same


ALL = [(0, "graph"), (3, "loss"), (6, "loss"), (6, "epoch/learning_rate"),
       (6, "epoch/training_loss"), (6, "epoch/training_accuracy"), (9, "loss")]


@pytest.mark.parametrize("step, kept", [(9, ALL), (8, ALL[:6]), (6, ALL[:6]), (3, ALL[:2])])
def test_records_drop_events_past_the_step(step, kept, started):
    log = records.Records(started, step, "a test")
    assert events(started) == kept
    log.add_summary(summary("loss"), 10)
    assert events(started) == [*kept, (10, "loss")]
    assert not [path for path in started.events.iterdir() if path.name.startswith(".")]


def test_records_write_an_epoch_again_that_is_not_in_metrics(started):
    """A kill between its events and its line of metrics.csv: the loop ends it again."""
    started.metrics_file.unlink()
    log = records.Records(started, 9, "a test")
    assert not log.has(6)
    log.add(row(6))
    assert sorted(events(started)) == sorted(ALL)


@pytest.mark.parametrize("cut", [1, 20, 50])
def test_rewrite_events_drops_a_torn_event(cut, started):
    (path,) = started.events.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    records.Records(started, 9, "a test")
    assert events(started) == ALL[:6 if cut < 45 else 3]


def test_records_of_starts_that_add_nothing_leave_no_files(started):
    for _ in range(3):
        records.Records(started, 9, "a test")
    assert len(list(started.events.iterdir())) == 2


def test_add_writes_the_same_metrics_after_a_resume(tmp_path):
    """NumPy writes the number 0.0001 as 1e-04, Python as 0.0001."""
    folder = RunFolder(tmp_path)
    log = records.Records(folder, 0, "a test")
    for step in (6, 12):
        log.add(row(step, learning_rate=np.float32(1e-4), training_loss=np.float32(123456789),
                    held_out_accuracy=np.float64(1 / 3)))
    whole = folder.metrics_file.read_bytes()
    records.Records(folder, 6, "a test").add(log.rows[1])
    assert folder.metrics_file.read_bytes() == whole


def test_close_tells_of_a_curve_that_cannot_be_drawn(tmp_path, monkeypatch, capsys):
    """A person's settings of matplotlib may ask for LaTeX, which is not there."""
    def draw(*arguments):
        raise RuntimeError("latex could not be found\n" + 999 * "x")

    folder = RunFolder(tmp_path)
    log = records.Records(folder, 0, "a test")
    log.add(row(6))
    monkeypatch.setattr(records.drawing, "learning_curve", draw)
    log.close()
    line = capsys.readouterr().err
    assert "no learning curve is drawn, since matplotlib fails: latex could not" in line
    assert line.count("\n") == 1 and len(line) < 300
    assert [row["step"] for row in folder.read_metrics()] == [6]


def test_close_draws_nothing_in_a_folder_that_took_the_name_over(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        folder.recipe_file.write_text("{}")
        log = records.Records(folder, 0, "a test")
        log.add(row(6))
        folder.path.rename(tmp_path / "elsewhere")
        folder.path.mkdir()
        with pytest.raises(errors.Failure, match="was removed, renamed or replaced"):
            log.close()
        with pytest.raises(errors.Failure, match="the first"):
            try:
                raise errors.Failure("the first")
            finally:
                log.close()
        assert not list(folder.path.iterdir())


def test_close_does_not_hide_an_error(tmp_path, monkeypatch):
    log = records.Records(RunFolder(tmp_path), 0, "a test")
    log.rows.append(row(6))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "save_figure", full)
    with pytest.raises(errors.Failure, match="the first"):
        try:
            raise errors.Failure("the first")
        finally:
            log.close()
    with pytest.raises(OSError, match="No space"):
        log.close()


def test_records_make_a_running_tensorboard_forget_later_steps(tmp_path):
    folder = RunFolder(tmp_path)
    records.Records(folder, 6, "a test")
    (path,) = folder.events.iterdir()
    logs = [(event.step, event.session_log.status)
            for event in tf.train.summary_iterator(str(path)) if event.HasField("session_log")]
    assert logs == [(7, tf.SessionLog.START)]


@pytest.mark.parametrize("scores, patience, expected", [
    ([], 2, 0), ([0.5, 0.4], 2, 0), ([0.5, 0.4, 0.5], 2, 2), ([0.5, 0.4, 0.6], 2, 0),
    ([0.5, 0.4, 0.3, 0.2], 0, 0)])
def test_stops_early(scores, patience, expected, tmp_path):
    log = records.Records(RunFolder(tmp_path), 0, "a test")
    log.rows = [row(step, held_out_accuracy=score) for step, score in enumerate(scores)]
    assert log.stops_early(patience) == expected


@pytest.mark.parametrize("epoch, step, test, held_out, speed, line", [
    (10, 60, None, 0.7024, 3938, "epoch 10/100  loss 0.9275  train 0.6821  held-out 0.7024  "
                             "3,938 images/s  10 s"),
    (100, 600, 0.6974, 0.7024, 3938, "epoch 100/100  loss 0.9275  train 0.6821  held-out 0.7024  "
                                "test 0.6974"),
    (1.5, 600, 0.6974, None, 327_018, "step 600/600  loss 0.9275  train 0.6821  test 0.6974  "
                                      "327,018 images/s  10 s"),
    (1, 400, None, None, 1, "epoch 1/1.5  loss 0.9275  train 0.6821  1 images/s  10 s"),
    (600 / 10800, 600, None, None, 1, "step 600/600  loss 0.9275  train 0.6821  1 images/s  10 s")])
def test_epoch_line_fits_80_columns(epoch, step, test, held_out, speed, line):
    figures = row(step, epoch=epoch, training_loss=0.92754, training_accuracy=0.68213,
                  held_out_accuracy=held_out, test_accuracy=test)
    assert records.epoch_line(figures, 600, 10 * speed, 10.0) == line
    assert len(line) < 80


def test_warn_of_loss_says_once_that_the_learning_rate_may_be_too_high(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    recipe = recipes.Recipe(learning_rate=0.3)
    log = records.Records(folder, 0, "a test")
    for step, loss in ((6, 22.9), (12, 23.2), (18, 99.0)):
        log.add(row(step, training_loss=loss))
        log.warn_of_loss(2.3, recipe)
    log.close()
    assert capsys.readouterr().err == (
        "the loss of epoch 2 is 23.2, more than 10 times the 2.3 of the first batch; "
        "--learning-rate 0.3 may be too high, try 0.03\n")


@pytest.mark.parametrize("first_loss, recipe", [
    (float("nan"), recipes.Recipe(learning_rate=0.3)),  # a resumed run
    (float("inf"), recipes.Recipe(learning_rate=0.3)),
    (2.3, recipes.RECIPES["softmax"])])  # the tutorial's own learning rate
def test_warn_of_loss_is_silent(first_loss, recipe, tmp_path, capsys):
    log = records.Records(RunFolder(tmp_path), 0, "a test")
    log.add(row(6, training_loss=900.0))
    log.warn_of_loss(first_loss, recipe)
    log.close()
    assert not capsys.readouterr().err

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
    for path in folder.event_files():
        for event in tf.train.summary_iterator(str(path)):
            found += [(event.step, value.tag) for value in event.summary.value
                      if not value.tag.startswith("_hparams_/")]
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
    assert not [path for path in started.path.iterdir() if path.name.startswith(".")]


def test_records_move_the_events_of_an_older_version(started):
    """TensorBoard would show the folder events/ as a run of its own."""
    started.old_events.mkdir()
    (path,) = started.event_files()
    path.rename(started.old_events / path.name)
    (started.old_events / "notes").touch()
    records.Records(started, 9, "a test")
    assert events(started) == ALL
    assert [item.name for item in started.old_events.iterdir()] == ["notes"]


def test_add_losses_writes_the_same_points_whatever_the_calls(tmp_path):
    """A resumed run, and one with another number of steps in a call, has the same points."""
    losses, found = np.arange(1000) / 8, []
    for name, calls in (("one", [1] * 1000), ("many", [7, 93] * 10)):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        log, step = records.Records(folder, 0, "a test", total_steps=1000), 0
        for count in calls:
            log.add_losses(step, losses[step:step + count])
            step += count
        found.append([(event.step, value.simple_value)
                      for event in tf.train.summary_iterator(str(folder.event_files()[0]))
                      for value in event.summary.value if value.tag == "batch/loss"])
    steps = list(range(10, step + 1, 10))
    assert found[0][:100] == [(step, losses[step - 1]) for step in range(10, 1001, 10)]
    assert found[1] == found[0][:len(steps)]


@pytest.mark.parametrize("total_steps, points", [(30, 30), (150, 150), (250, 125), (9600, 100)])
def test_records_have_at_least_fifty_losses_of_a_long_run(total_steps, points, tmp_path):
    log = records.Records(RunFolder(tmp_path), 0, "a test", total_steps=total_steps)
    assert total_steps // log.loss_every == points


def test_add_time_counts_every_image_once_over_saves_and_resumes(tmp_path):
    folder = RunFolder(tmp_path)
    log = records.Records(folder, 0, "a test")
    log.add_time(4, 40, 1.5)     # a checkpoint within the epoch
    log.add_time(6, 60, 2.25)    # its end
    log.add(row(6))
    log.add_time(10, 40, 1.0)
    log.add_time(12, 60, 9.0)    # its checkpoint is not saved: the process is killed
    log = records.Records(folder, 10, "a test")
    log.add_time(12, 20, 0.5)
    log.add_time(12, 20, 0.5)    # saved again
    assert [tuple(row.values()) for row in folder.read_times()] == [
        (4, 40, 1.5), (6, 20, 0.75), (10, 40, 1.0), (12, 20, 0.5)]


def test_records_replace_a_result_and_hyperparameters(tmp_path, monkeypatch):
    """A run that is killed after its test, or trained on, is tested again."""
    folder = RunFolder(tmp_path)
    value = tf.Summary.Value(tag="accuracy/test", simple_value=0.5)
    monkeypatch.setattr(records.board, "result", lambda *_: [value])
    for _ in range(2):
        log = records.Records(folder, 6, "a test")
        if not log.has(6):
            log.add(row(6))
        log.add_result(None, 6, None, None)
    tags = [value.tag for path in folder.event_files()
            for event in tf.train.summary_iterator(str(path)) for value in event.summary.value]
    assert tags.count("accuracy/test") == 1
    assert tags.count("_hparams_/session_start_info") == 1


def test_add_result_tells_of_figures_that_cannot_be_drawn(tmp_path, monkeypatch, capsys):
    def draw(*_):
        raise RuntimeError("latex could not be found")

    log = records.Records(RunFolder(tmp_path), 0, "a test")
    log.add(row(6))
    monkeypatch.setattr(records.board, "result", draw)
    log.add_result(None, 6, None, None)
    assert capsys.readouterr().err == (
        "no confusion matrix is drawn, since matplotlib fails: latex could not be found\n")


def test_records_write_an_epoch_again_that_is_not_in_metrics(started):
    """A kill between its events and its line of metrics.csv: the loop ends it again."""
    started.metrics_file.unlink()
    log = records.Records(started, 9, "a test")
    assert not log.has(6)
    log.add(row(6))
    assert sorted(events(started)) == sorted(ALL)


@pytest.mark.parametrize("cut", [1, 20, 50])
def test_rewrite_events_drops_a_torn_event(cut, started):
    (path,) = started.event_files()
    path.write_bytes(path.read_bytes()[:-cut])
    records.Records(started, 9, "a test")
    assert events(started) == ALL[:6 if cut < 45 else 3]


def test_records_of_starts_that_add_nothing_leave_no_files(started):
    for _ in range(3):
        records.Records(started, 9, "a test")
    assert len(started.event_files()) == 2


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


def test_add_draws_the_curve_after_long_epochs(tmp_path, monkeypatch):
    """Of short epochs not after each: drawing must not take longer than the training."""
    drawn, now = [], [100.0]
    monkeypatch.setattr(records.time, "monotonic", lambda: now[0])

    def save(figure, path):
        drawn.append((figure, path))
        now[0] += 0.5

    monkeypatch.setattr(records.drawing, "learning_curve", lambda rows, title: len(rows))
    monkeypatch.setattr(records.files, "save_figure", save)
    log = records.Records(RunFolder(tmp_path), 0, "a test")
    for step, seconds in ((6, 1), (12, 1), (18, 9), (24, 1)):
        now[0] += seconds
        log.add(row(step))
    assert drawn == [(1, tmp_path / "learning_curve.png"), (3, tmp_path / "learning_curve.png")]
    log.close()
    assert drawn[2:] == [(4, tmp_path / "learning_curve.png")]


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
    (path,) = folder.event_files()
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

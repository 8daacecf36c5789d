"""The records of a run: metrics.csv, times.csv, TensorBoard events and the learning curve."""

import contextlib
import math
import sys
import time

import tensorflow.compat.v1 as tf

from tf1cifar import console, drawing, errors, files, recipes
from tf1cifar.plain_paths import plain
from tf1cifar.training import board, csv_rows

LINE_WIDTH = 79  # columns of the line that ends an epoch
CURVE_WAIT = 20  # the curve is drawn after an epoch if so many times its drawing time has passed
DEFAULT = recipes.Recipe()
LOSSES = 100  # the smallest number of losses of single batches that a long run records
LARGE_LOSS = 10  # an epoch with a loss of so many times that of the first batch is told

# With these settings of a tutorial, whatever the others are, a large loss is what the tutorial has.
TUTORIAL = ("network", "dataset", "preparation", "initialization", "loss", "optimizer",
            "learning_rate")


class Records:
    """The records of the run in `folder` from training step `step` on.

    Args:
      folder: a `run_folder.RunFolder`.
      step: training step from which the run goes on. Rows and events of later steps, written
        before a kill, are dropped.
      title: heading of the learning curve.
      recipe: the `recipes.Recipe`, whose settings are TensorBoard's hyperparameters.
      total_steps: number of training steps of the whole run.
    """

    def __init__(self, folder, step, title, recipe=DEFAULT, total_steps=1):
        self.folder, self.title, self.warned = folder, title, False
        self.next_curve = 0.0  # time at which the curve is drawn next, in seconds
        self.loss_every = max(1, total_steps // LOSSES)
        self.rows = [row for row in folder.read_metrics() if row["step"] <= step]
        self.times = [row for row in folder.read_times() if row["step"] <= step]
        self.timed = 0, 0.0  # images and seconds of this epoch that are in times.csv
        recorded = {row["step"] for row in self.rows} | ({0} if step else set())

        def keep(event):
            tags = [value.tag for value in event.summary.value]
            of_epoch = any(tag.startswith("epoch/") for tag in tags)
            return (event.step <= step and (not of_epoch or event.step in recorded)
                    and not any(tag.startswith(board.WRITTEN_ANEW) for tag in tags))

        _move_old_events(folder)
        earlier = folder.event_files()
        for path in earlier:
            rewrite_events(path, keep)
        # TensorFlow's FileWriter writes in a thread that hides errors, such as a full disk, and
        # loses what it buffers in a kill. A TFRecordWriter that is flushed does neither.
        self.writer = tf.io.TFRecordWriter(
            plain(folder.path / f"events.out.tfevents.{time.time_ns()}"))
        self._write(file_version="brain.Event:2")
        if not any(path.exists() for path in earlier):
            self._write(graph_def=tf.get_default_graph().as_graph_def(
                add_shapes=True).SerializeToString())
        self._write(summary=tf.Summary(value=board.hyperparameters(
            recipes.to_dict(recipe))))
        # Makes a running TensorBoard, which has read the earlier files, drop the later steps too.
        self._write(step=step + 1, session_log=tf.SessionLog(status=tf.SessionLog.START))
        self.writer.flush()

    def has(self, step):
        """Whether the epoch that ended at `step` is recorded."""
        return any(row["step"] == step for row in self.rows)

    def held_out_accuracies(self):
        """The held-out accuracies of the recorded epochs that have one, in order."""
        return [row["held_out_accuracy"] for row in self.rows
                if row["held_out_accuracy"] is not None]

    def is_best(self, held_out_accuracy):
        """Whether every recorded epoch has a lower held-out accuracy."""
        return held_out_accuracy > max(self.held_out_accuracies(), default=-1.0)

    def stops_early(self, patience):
        """`patience` if no held-out accuracy of the last so many epochs was the best, else 0."""
        scores = self.held_out_accuracies()
        if not patience or not scores:
            return 0
        return patience if len(scores) - 1 - scores.index(max(scores)) >= patience else 0

    def add_summary(self, summary, step):
        """Write a serialized summary of the graph for TensorBoard.

        The summary is in its file when this returns, so every later checkpoint finds it there.
        """
        self._write(step=step, summary=tf.Summary.FromString(summary))
        self.writer.flush()

    def add_losses(self, step, losses):
        """Write losses of single batches, at every so many steps the same whatever call ran them.

        Args:
          step: number of steps before the first loss.
          losses: float [S], the losses of S steps that follow one another.
        """
        for number, loss in enumerate(losses, step + 1):
            if number % self.loss_every == 0:
                self._write(step=number, summary=tf.Summary(value=[
                    tf.Summary.Value(tag="batch/loss", simple_value=loss)]))
                self.writer.flush()

    def add_time(self, step, images, seconds):
        """Record the time of the steps before the checkpoint of `step`, which is saved next.

        A run that resumes from that checkpoint goes on from this record.

        Args:
          step: number of training steps done.
          images, seconds: of the training steps of this epoch in this process, up to `step`.
        """
        before, self.timed = self.timed, (images, seconds)
        if images > before[0]:
            self.times.append({"step": step, "images": images - before[0],
                               "seconds": round(seconds - before[1], 4)})
            self.folder.write_times(self.times)

    def add_filters(self, session, image_shape, step):
        """Write the first layer's weights of this step as a picture, see `board.filters`."""
        weights = session.run(tf.trainable_variables()[0])
        self._write(step=step, summary=tf.Summary(value=board.filters(
            "epoch/filters", weights, image_shape)))
        self.writer.flush()

    def add_result(self, result, checkpoint_step, dataset, prepare):
        """Write the result of the run for TensorBoard.

        Args:
          result: the `Evaluation` of the test images.
          checkpoint_step: the training step whose weights were tested.
          dataset: the `base.Dataset`.
          prepare: function of uint8 images -> float32 pixels.
        """
        held_out = [row["held_out_accuracy"] for row in self.rows if row["step"] == checkpoint_step]
        with self._may_fail_to_draw("confusion matrix"):
            self._write(step=self.rows[-1]["step"], summary=tf.Summary(value=board.result(
                result, *held_out, dataset, prepare, self.title)))
            self.writer.flush()

    def add(self, row):
        """Record an epoch: write its events, then its line of metrics.csv, which makes it count.

        The learning curve is drawn too, of short epochs not after each, so that it takes little.

        Args:
          row: dictionary of numbers with the keys `run_folder.METRICS`; None for a missing figure.
        """
        self.timed = 0, 0.0
        self._write(step=row["step"], summary=tf.Summary(value=[
            tf.Summary.Value(tag=f"epoch/{name}", simple_value=value) for name, value in row.items()
            if value is not None and name not in ("epoch", "step")]))
        self.writer.flush()
        # Numbers as a later start will read them: NumPy writes 0.0001 as 1e-04, Python as 0.0001.
        self.rows.append({name: value if value is None else csv_rows.cell_value(str(value))
                          for name, value in row.items()})
        self.folder.write_metrics(self.rows)
        if time.monotonic() >= self.next_curve:
            self._draw_curve()

    def warn_of_loss(self, first_loss, recipe):
        """Say once, on standard error, if the last epoch's loss is far above the first batch's.

        Args:
          first_loss: loss of the first batch before the first step; NaN if it is not known.
          recipe: the `recipes.Recipe`. Nothing is said of a tutorial's own learning rate.
        """
        row = self.rows[-1]
        if self.warned or not row["training_loss"] > LARGE_LOSS * first_loss or any(
                all(getattr(recipe, name) == getattr(own, name) for name in TUTORIAL)
                for own in recipes.RECIPES.values()):
            return
        self.warned = True
        print(f"the loss of epoch {row['epoch']:.4g} is {row['training_loss']:.4g}, more than "
              f"{LARGE_LOSS} times the {first_loss:.4g} of the first batch; --learning-rate "
              f"{recipe.learning_rate:g} may be too high, try {recipe.learning_rate / 10:g}",
              file=sys.stderr)

    def _write(self, **content):
        self.writer.write(tf.Event(wall_time=time.time(), **content).SerializeToString())

    @contextlib.contextmanager
    def _may_fail_to_draw(self, figure):
        """Make a line on standard error of a figure that matplotlib cannot draw in the block."""
        try:
            yield
        except (OSError, errors.Failure, errors.Interrupted, tf.errors.OpError):
            raise
        except Exception as error:  # whatever a person's settings of matplotlib lead to
            print(f"no {figure} is drawn, since matplotlib fails: {console.cut(error)}",
                  file=sys.stderr)

    def close(self):
        """Close the events file and draw the learning curve, if the run is still in its folder.

        A curve that cannot be drawn is a line on standard error. If an exception is already
        propagating (a full disk, say), errors of closing are dropped so that they do not hide it.
        """
        failed = sys.exc_info()[0]
        try:
            self.writer.close()
            self.folder.require_present()
            if self.rows:
                self._draw_curve()
        except (OSError, errors.Failure, tf.errors.OpError):
            if not failed:
                raise

    def _draw_curve(self):
        """Draw the learning curve, unless matplotlib has failed before."""
        if self.next_curve == math.inf:
            return
        start, drawn = time.monotonic(), False
        with self._may_fail_to_draw("learning curve"):
            files.save_figure(drawing.learning_curve(self.rows, self.title),
                              self.folder.learning_curve)
            drawn = True
        now = time.monotonic()
        self.next_curve = now + CURVE_WAIT * (now - start) if drawn else math.inf


def _move_old_events(folder):
    """Move the events of a run of an older version, so that TensorBoard does not see two runs."""
    if folder.old_events.is_dir() and not folder.old_events.is_symlink():
        for path in folder.old_events.glob("events.out.tfevents.*"):
            path.rename(folder.path / path.name)
        with contextlib.suppress(OSError):  # somebody's file is in it
            folder.old_events.rmdir()


def epoch_line(row, total_steps, images, seconds):
    """The line that ends an epoch: the figures that fit; metrics.csv has them all.

    A part of an epoch, with which a run by --steps may end, is counted in steps.

    Args:
      row: a row of metrics.csv.
      total_steps: number of training steps of the whole run.
      images: number of training images that this process has seen in this epoch.
      seconds: time of their training steps.
    """
    epochs = total_steps * row["epoch"] / row["step"]
    parts = [f"epoch {row['epoch']:.4g}/{epochs:.4g}" if row["epoch"] % 1 == 0
             else f"step {row['step']}/{total_steps}", f"loss {row['training_loss']:.4f}"]
    parts += [f"{words} {row[name]:.4f}" for name, words in (
        ("training_accuracy", "train"), ("held_out_accuracy", "held-out"),
        ("test_accuracy", "test")) if row[name] is not None]
    if seconds:
        parts += [f"{images / seconds:,.0f} images/s", f"{seconds:.0f} s"]
    while len("  ".join(parts)) > LINE_WIDTH:
        parts.pop()
    return "  ".join(parts)


def rewrite_events(path, keep):
    """Replace a file of TensorBoard events by the events that `keep` accepts.

    Reading stops at the first incomplete record, which a killed process leaves at the end. A file
    without content is removed.

    Args:
      path: a `pathlib.Path`.
      keep: function of a `tf.Event` -> bool.
    """
    has_content = False
    with files.replacing_path(path) as partial, tf.io.TFRecordWriter(plain(partial)) as out:
        try:
            for event in tf.train.summary_iterator(plain(path)):
                if keep(event):
                    out.write(event.SerializeToString())
                    has_content |= event.HasField("summary") or event.HasField("graph_def")
        except tf.errors.DataLossError:
            pass
    if not has_content:
        files.remove(path)

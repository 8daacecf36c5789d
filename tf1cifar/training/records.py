"""The records of a run: metrics.csv, TensorBoard events and the learning curve."""

import sys
import time

import tensorflow.compat.v1 as tf

from tf1cifar import console, drawing, errors, files, recipes
from tf1cifar.plain_paths import plain
from tf1cifar.training import run_folder

LINE_WIDTH = 79  # columns of the line that ends an epoch
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
    """

    def __init__(self, folder, step, title):
        self.folder, self.title, self.warned = folder, title, False
        self.rows = [row for row in folder.read_metrics() if row["step"] <= step]
        recorded = {row["step"] for row in self.rows}

        def keep(event):
            of_epoch = any(value.tag.startswith("epoch/") for value in event.summary.value)
            return event.step <= step and (not of_epoch or event.step in recorded)

        folder.events.mkdir(exist_ok=True)
        earlier = sorted(folder.events.glob("*tfevents*"))
        for path in earlier:
            rewrite_events(path, keep)
        # TensorFlow's FileWriter writes in a thread that hides errors, such as a full disk, and
        # loses what it buffers in a kill. A TFRecordWriter that is flushed does neither.
        self.writer = tf.io.TFRecordWriter(
            plain(folder.events / f"events.out.tfevents.{time.time_ns()}"))
        self._write(file_version="brain.Event:2")
        if not any(path.exists() for path in earlier):
            self._write(graph_def=tf.get_default_graph().as_graph_def(
                add_shapes=True).SerializeToString())
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

    def add(self, row):
        """Record an epoch: write its events, then its line of metrics.csv, which makes it count.

        Args:
          row: dictionary of numbers with the keys `run_folder.METRICS`; None for a missing figure.
        """
        self._write(step=row["step"], summary=tf.Summary(value=[
            tf.Summary.Value(tag=f"epoch/{name}", simple_value=value) for name, value in row.items()
            if value is not None and name not in ("epoch", "step")]))
        self.writer.flush()
        # Numbers as a later start will read them: NumPy writes 0.0001 as 1e-04, Python as 0.0001.
        self.rows.append({name: value if value is None else run_folder.cell_value(str(value))
                          for name, value in row.items()})
        self.folder.write_metrics(self.rows)

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
                files.save_figure(drawing.learning_curve(self.rows, self.title),
                                  self.folder.learning_curve)
        except (OSError, errors.Failure, tf.errors.OpError):
            if not failed:
                raise
        except Exception as error:  # whatever a person's settings of matplotlib lead to
            print(f"no learning curve is drawn, since matplotlib fails: {console.cut(error)}",
                  file=sys.stderr)


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

"""What a run tells of itself: metrics.csv, TensorBoard events and the learning curve."""

import os
import sys
import time

import tensorflow.compat.v1 as tf
from matplotlib.figure import Figure

from training import run_folder


class Records:
    """The records of the run in `folder`, taken up after training step `step`.

    Args:
      folder: a `run_folder.RunFolder`.
      step: rows and events past it, written before a kill, are forgotten.
      title: what the pictures say they show.
    """

    def __init__(self, folder, step, title):
        self.folder, self.title = folder, title
        self.rows = [row for row in folder.read_metrics() if row["step"] <= step]
        recorded = {row["step"] for row in self.rows}

        def kept(event):
            of_epoch = any(value.tag.startswith("epoch/") for value in event.summary.value)
            return event.step <= step and (not of_epoch or event.step in recorded)

        folder.events.mkdir(exist_ok=True)
        earlier = sorted(folder.events.glob("*tfevents*"))
        for path in earlier:
            rewrite_events(path, kept)
        # TensorFlow's FileWriter writes in a thread that keeps errors, such as a full disk, to
        # itself, and what it holds back is lost in a kill. This one does neither.
        self.writer = tf.io.TFRecordWriter(
            str(folder.events / f"events.out.tfevents.{time.time_ns()}"))
        self._write(file_version="brain.Event:2")
        if not any(path.exists() for path in earlier):
            self._write(graph_def=tf.get_default_graph().as_graph_def(
                add_shapes=True).SerializeToString())
        # Tells a TensorBoard that has read the earlier files to forget the same.
        self._write(step=step + 1, session_log=tf.SessionLog(status=tf.SessionLog.START))
        self.writer.flush()

    def has(self, step):
        """Whether the epoch that ended at `step` is recorded."""
        return any(row["step"] == step for row in self.rows)

    def held_out_accuracies(self):
        """That of every epoch that has one, in their order."""
        return [row["held_out_accuracy"] for row in self.rows
                if row["held_out_accuracy"] is not None]

    def is_best(self, held_out_accuracy):
        """Whether no recorded epoch was as good on the held-out images."""
        return held_out_accuracy > max(self.held_out_accuracies(), default=-1.0)

    def add_summary(self, summary, step):
        """Write a serialized summary of the graph for TensorBoard.

        It is in its file when this returns, so a checkpoint that is saved later finds it there.
        """
        self._write(step=step, summary=tf.Summary.FromString(summary))
        self.writer.flush()

    def add(self, row):
        """Record an epoch: write its summaries, then its line of metrics.csv, which counts.

        Args:
          row: dictionary of numbers with the keys `run_folder.METRICS`; None for no figure.
        """
        self._write(step=row["step"], summary=tf.Summary(value=[
            tf.Summary.Value(tag=f"epoch/{name}", simple_value=value) for name, value in row.items()
            if value is not None and name not in ("epoch", "step")]))
        self.writer.flush()
        # The numbers as they will be read: NumPy writes 0.0001 as 1e-04, Python as 0.0001.
        self.rows.append({name: value if value is None else run_folder.number(str(value))
                          for name, value in row.items()})
        self.folder.write_metrics(self.rows)

    def _write(self, **content):
        self.writer.write(tf.Event(wall_time=time.time(), **content).SerializeToString())

    def close(self):
        """Draw the learning curve and close the events file.

        On the way out of an error, such as a full disk, its own are not told over that.
        """
        failed = sys.exc_info()[0]
        try:
            self.writer.close()
            if self.rows:
                figure = learning_curve(self.rows, self.title)
                run_folder.save_figure(figure, self.folder.learning_curve)
        except (OSError, tf.errors.OpError):
            if not failed:
                raise


def rewrite_events(path, kept):
    """Replace a file of TensorBoard events by those of them that `kept` says true of.

    What follows a record that is not whole, the last one of a killed process, is lost.

    Args:
      path: a `pathlib.Path`.
      kept: function of a `tf.Event` -> bool.
    """
    scratch = run_folder.scratch(path)
    told = False
    with tf.io.TFRecordWriter(str(scratch)) as out:
        try:
            for event in tf.train.summary_iterator(str(path)):
                if kept(event):
                    out.write(event.SerializeToString())
                    told = told or event.HasField("summary") or event.HasField("graph_def")
        except tf.errors.DataLossError:
            pass
    if told:
        os.replace(scratch, path)
    else:
        scratch.unlink()
        path.unlink()


def learning_curve(rows, title):
    """A figure of the error per epoch on a log axis.

    Args:
      rows: dictionaries with epoch, training_accuracy, held_out_accuracy and
        test_accuracy, each of the last two possibly None.
      title: str.
    """
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="epoch", ylabel="error (share that is wrong)")
    epochs = [row["epoch"] for row in rows]
    for name, label, color in (("training", "training (while it learns)", "tab:blue"),
                               ("held_out", "held out", "tab:orange"),
                               ("test", "test", "tab:green")):
        errors = [None if row[f"{name}_accuracy"] is None else 1 - row[f"{name}_accuracy"]
                  for row in rows]
        points = [(epoch, error) for epoch, error in zip(epochs, errors) if error]
        if points:
            axes.plot(*zip(*points), "o-", label=label, color=color, markersize=4)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.2g}")
    axes.yaxis.set_minor_formatter("{x:.2g}")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if len(rows) == 1:
        axes.set_xlim(rows[0]["epoch"] - 1, rows[0]["epoch"] + 1)
    axes.grid(True, which="both", alpha=0.3)
    if axes.lines:
        axes.legend()
    return figure


"""What a run tells of itself: metrics.csv, TensorBoard events and the learning curve."""

import tensorflow.compat.v1 as tf
from matplotlib.figure import Figure

from training import run_folder


class Records:
    """The records of the run in `folder`, taken up after training step `step`.

    Args:
      folder: a `run_folder.RunFolder`.
      step: rows past it, written before a kill, are forgotten.
      title: what the pictures say they show.
    """

    def __init__(self, folder, step, title):
        self.folder, self.title = folder, title
        self.rows = [row for row in folder.read_metrics() if row["step"] <= step]
        self.writer = tf.summary.FileWriter(str(folder.events), tf.get_default_graph())
        # Tells TensorBoard to forget what an earlier process wrote past this step.
        self.writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step + 1)

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
        """Write a serialized summary of the graph for TensorBoard."""
        self.writer.add_summary(summary, step)

    def add(self, row):
        """Record an epoch: write its line of metrics.csv and its summaries.

        Args:
          row: dictionary of numbers with the keys `run_folder.METRICS`; None for no figure.
        """
        self.rows.append(row)
        self.folder.write_metrics(self.rows)
        self.writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=f"epoch/{name}", simple_value=value) for name, value in row.items()
            if value is not None and name not in ("epoch", "step")]), row["step"])
        self.writer.flush()

    def close(self):
        """Draw the learning curve and close the events file."""
        self.writer.close()
        if self.rows:
            figure = learning_curve(self.rows, self.title)
            run_folder.save_figure(figure, self.folder.learning_curve)


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


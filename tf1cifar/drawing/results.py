"""Figures of a run's results: accuracy, mistakes by class, and the course of training."""

import math

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from tf1cifar.drawing.mosaics import sized

MOST_NUMBERS, MOST_NAMES = 20, 40  # of classes in a readable confusion matrix


def confusion_matrix(counts, class_names, title, figure=None):
    """Draw how often images of each class are predicted to be of each class.

    With more than MOST_NUMBERS classes the colours stand alone, and of more than MOST_NAMES classes
    some are named.

    Args:
      counts: int [classes, classes]; the row is the label, the column is the prediction.
      class_names: list of str.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = sized(figure, 8, 7.2)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes = figure.add_subplot(title=title, xlabel="predicted", ylabel="label")
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    every = -(-len(class_names) // MOST_NAMES)
    names = [class_names[number] for number in range(0, len(class_names), every)]
    size = {"fontsize": 10 if len(names) <= MOST_NUMBERS else 7}
    axes.set_xticks(range(0, len(class_names), every), names, rotation=45, ha="right",
                    parse_math=False, **size)
    axes.set_yticks(range(0, len(class_names), every), names, parse_math=False, **size)
    for row, column in np.ndindex(*(counts.shape if len(class_names) <= MOST_NUMBERS else (0, 0))):
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=9,
                  color="white" if shares[row, column] > 0.5 else "black")
    figure.colorbar(shown, label="share of the label's images", shrink=0.8)
    return figure


# Name of the split in the rows, words, colour, marker and line, which differ in gray too.
CURVES = (("training", "training (while it learns)", "#004488", "o", "-"),
          ("held_out", "held out", "#dd9922", "s", "--"), ("test", "test", "#bb5566", "^", ":"))


def learning_curve(rows, title, figure=None):
    """Draw the error after every epoch beside the loss, both on a log axis.

    A number that is not positive has no place on a log axis and is left out.

    Args:
      rows: list of dictionaries with epoch, training_accuracy, held_out_accuracy, test_accuracy,
        training_loss and held_out_loss; a figure that was not measured is None.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = sized(figure, 9.5, 4.3)
    figure.suptitle(title, fontsize=12, parse_math=False)
    errors = [{**row, **{f"{name}_error": 1 - row[f"{name}_accuracy"] for name, *_ in CURVES
                         if row[f"{name}_accuracy"] is not None}} for row in rows]
    for axes, kind, words in zip(figure.subplots(1, 2), ("error", "loss"),
                                 ("error (share that is wrong)", "loss")):
        axes.set(xlabel="epoch", ylabel=words)
        values = []
        for name, label, colour, marker, line in CURVES:
            points = [(row["epoch"], row[f"{name}_{kind}"]) for row in errors
                      if (row.get(f"{name}_{kind}") or 0) > 0]
            if points:
                axes.plot(*zip(*points), line, marker=marker, label=label, color=colour,
                          markersize=4 if len(points) < 50 else 0)
                values += [value for _, value in points]
        if values:
            _log_axis(axes, min(values), max(values))
            axes.legend(fontsize=9)
        _epoch_axis(axes, rows)
    return figure


def learning_rates(rows, title, figure=None):
    """Draw the learning rate after every epoch.

    Args:
      rows: list of dictionaries with epoch and learning_rate.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = sized(figure, 6, 2.6)
    axes = figure.add_subplot(xlabel="epoch", ylabel="learning rate")
    axes.set_title(title, fontsize=11, parse_math=False)
    axes.plot([row["epoch"] for row in rows], [row["learning_rate"] for row in rows], "o-",
              color="#004488", markersize=4 if len(rows) < 50 else 0)
    axes.set_ylim(bottom=0)
    _epoch_axis(axes, rows)
    return figure


def _epoch_axis(axes, rows):
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if len(rows) == 1:
        axes.set_xlim(rows[0]["epoch"] - 1, rows[0]["epoch"] + 1)
    axes.grid(True, alpha=0.3)


def _log_axis(axes, lowest, highest):
    """Make the y axis a log axis for values from `lowest` to `highest`, with a few ticks."""
    margin = max((highest / lowest) ** 0.05, 1.005)
    lowest, highest = lowest / margin, highest * margin
    ticks, labels = log_ticks(lowest, highest)
    axes.set_yscale("log")
    axes.set_ylim(lowest, highest)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, labels)


def log_ticks(lowest, highest):
    """Ticks of a log axis of any range, and their labels, no two of which are alike.

    Args:
      lowest, highest: ends of the axis, more than 0.

    Returns:
      (list of float, list of str); at least two and at most ten for ends that differ.
    """
    if highest / lowest > 12:
        decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            ticks = [step * 10.0 ** decade for decade in decades for step in steps]
            ticks = [tick for tick in ticks if lowest <= tick <= highest]
            if len(ticks) <= 8:
                break
        ticks = ticks[::-(-len(ticks) // 10)]
        return ticks, [f"{tick:g}" for tick in ticks]
    ticks = MaxNLocator(6, steps=(1, 2, 5, 10)).tick_values(lowest, highest)
    ticks = [float(tick) for tick in ticks if lowest <= tick <= highest]
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return ticks, [f"{tick:.{digits}f}" for tick in ticks]


def reliability(calibration, title, figure=None):
    """Draw whether predictions are right as often as their probabilities say.

    Above, the accuracy of the predictions of each bin, beside the diagonal of a network whose
    probabilities are true. Below, the share of the predictions in each bin.

    Args:
      calibration: an `assessment.Calibration`.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = sized(figure, 6, 6.4)
    figure.suptitle(title, fontsize=11, fontweight="bold", parse_math=False)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    bins = len(calibration.counts)
    places = (np.arange(bins) + 0.5) / bins
    above.bar(places, np.nan_to_num(calibration.accuracies), 0.9 / bins, color="#4477aa",
              label="share that is right")
    above.plot([0, 1], [0, 1], "--", color="black", linewidth=1.2, label="true probabilities")
    above.plot(calibration.probabilities, calibration.accuracies, "o", color="white",
               markeredgecolor="black", markersize=6, label="mean probability of the bin")
    above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right")
    above.legend(loc="upper left", fontsize=9)  # bars that high on the left are rare
    above.grid(True, alpha=0.3)
    side = ("too sure" if calibration.probability > calibration.accuracy else "too modest")
    above.text(0.025, 0.71, f"mean probability {calibration.probability:.3f}\n"
               f"accuracy {calibration.accuracy:.3f}\n"
               f"expected calibration error {calibration.error:.3f}\non average {side}",
               transform=above.transAxes, va="top", fontsize=9,
               bbox={"facecolor": "white", "edgecolor": "0.7", "alpha": 0.9})
    shares = calibration.counts / max(calibration.counts.sum(), 1)
    bars = below.bar(places, shares, 0.9 / bins, color="0.6")
    below.bar_label(bars, [f"{share:.0%}" if share else "" for share in shares], fontsize=8)
    below.set(xlabel="probability of the predicted class", ylabel="of all predictions",
              ylim=(0, 1.25 * max(shares.max(), 0.01)))
    below.yaxis.set_major_formatter("{x:.0%}")
    return figure

"""The figure of several runs: training loss and error after every epoch.

    comparison  the curves of all runs in one figure

Runs must be told apart in gray too, so each curve has its own dashes and brightness, and its name
stands at its end.
"""

import math

import matplotlib
from matplotlib.figure import Figure

from tf1cifar import console

DPI = 120
DASHES = ("-", "--", "-.", ":")
MOST_NAMES = 30  # names beside the curves
HEIGHT = 0.75  # of the axes, as a share of the figure's
LINE_HEIGHT = 0.17  # of a name, in inches
MOST = 1e100  # of a number that is drawn
KINDS = (("held_out_accuracy", "held-out error"), ("test_accuracy", "test error"),
         ("training_accuracy", "training error (while it learns)"))


def comparison(names, runs, title, figure=None):
    """Draw the training loss and the error of several runs after every epoch.

    The error is that of held-out images if every run has it, otherwise that of the test images,
    otherwise that of the training images.

    Args:
      names: list of str. Runs of one name, which differ in the seed alone, look the same.
      runs: list of lists of rows, a list for each of the names, of as many runs as it has: rows are
        dictionaries with epoch, training_loss, and the accuracies of metrics.csv.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = figure or Figure()
    figure.set_dpi(DPI)
    figure.set_size_inches(11, max(4.5, LINE_HEIGHT / HEIGHT * min(len(names), MOST_NAMES)))
    figure.set_layout_engine("none")
    figure.suptitle(title, x=0.06, ha="left", fontsize=11, fontweight="bold", parse_math=False)
    kind, label = next(
        ((kind, label) for kind, label in KINDS
         if all(points(rows, kind) for group in runs for rows in group if rows)), KINDS[-1])
    colours = matplotlib.colormaps["viridis"]
    styles = [{"color": colours(0.88 * number / max(len(names) - 1, 1)),
               "linestyle": DASHES[number % len(DASHES)]} for number in range(len(names))]
    for number, (what, words) in enumerate((("training_loss", "training loss"), (kind, label))):
        axes = figure.add_axes([0.06 + 0.37 * number, 0.13, 0.31, HEIGHT])
        axes.set(title=words, xlabel="epoch")
        ends = []
        for name, group, style in zip(names, runs, styles):
            last = []
            for rows in group:
                curve = points(rows, what)
                if curve:
                    axes.plot(*zip(*curve), linewidth=1.6, marker="o", markersize=4,
                              markevery=[-1], **style)
                    last.append(curve[-1][1])
            if last:
                ends.append((math.exp(sum(map(math.log, last)) / len(last)), name, style))
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:.3g}")
        low, high = axes.get_ylim()
        axes.yaxis.set_minor_formatter("{x:.3g}" if high < 12 * low else "")
        axes.tick_params(axis="y", which="both", labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.margins(x=0.02)
        axes.grid(True, which="both", alpha=0.25)
        if number and ends:
            _write_names(figure, axes, sorted(ends, key=lambda end: -end[0]))
    return figure


def points(rows, what):
    """[(epoch, positive number)] of a figure of metrics.csv; an accuracy becomes an error.

    Numbers that are missing, beyond all reason, or have no place on a log axis are left out.
    """
    found = [(row["epoch"], row[what] if what == "training_loss" else 1 - row[what])
             for row in rows if row[what] is not None]
    return [(epoch, value) for epoch, value in found
            if 0 <= epoch < MOST and 1 / MOST < value < MOST]


def _write_names(figure, axes, ends):
    """Write the names beside the ends of their curves, from the highest down, none over another.

    Args:
      ends: list of (y, name, style).
    """
    if len(ends) > MOST_NAMES:
        ends = ends[-MOST_NAMES:]  # those with the lowest errors
    gap = LINE_HEIGHT / (axes.get_position().height * figure.get_size_inches()[1])
    to_axes = axes.transData + axes.transAxes.inverted()
    figure.draw_without_rendering()  # the limits are known then
    wanted = [to_axes.transform((axes.get_xlim()[1], y))[1] for y, *_ in ends]
    for (_, name, style), wish, place in zip(ends, wanted, spread(wanted, gap)):
        axes.plot([1.0, 1.02, 1.05], [wish, wish, place], clip_on=False, color="0.6",
                  transform=axes.transAxes, linewidth=0.8)
        axes.plot([1.05, 1.15], [place, place], clip_on=False, transform=axes.transAxes,
                  linewidth=1.6, **style)
        axes.text(1.165, place, console.cut(console.plain(name), 34), va="center", fontsize=8,
                  transform=axes.transAxes, parse_math=False)


def spread(wanted, gap):
    """Places as near to the wanted ones as a gap between neighbours allows, from 0 up to 1.

    Args:
      wanted: list of numbers, falling.
      gap: the smallest distance between two places.

    Returns:
      A list of numbers, falling by at least `gap`.
    """
    places = []
    for value in wanted:  # from above: not over the one before, and not above the axes
        places.append(min(value, places[-1] - gap if places else 1.0))
    lowest = 0.0
    for number in reversed(range(len(places))):  # from below: not under the axes
        places[number] = max(places[number], lowest)
        lowest = places[number] + gap
    return places

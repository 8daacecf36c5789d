"""The figure of several runs."""

import io

import numpy as np
import pytest

from tf1cifar import curves


def rows(errors, **figures):
    return [{"epoch": float(number), "training_loss": 2 * error, "training_accuracy": 1 - error / 2,
             "held_out_accuracy": 1 - error, "test_accuracy": None, **figures}
            for number, error in enumerate(errors, 1)]


def drawn(axes, points):
    """The lines of axes that have so many points, as lists of (x, y)."""
    return [line.get_xydata().tolist() for line in axes.lines
            if len(line.get_xydata()) == points and line.get_transform() == axes.transData]


def test_comparison_draws_every_run_and_its_name():
    runs = [[rows([0.5, 0.4, 0.3]), rows([0.6, 0.5, 0.35])], [rows([0.7, 0.6, 0.55])], [[]]]
    figure = curves.comparison(["two $seeds$", "one", "begun"], runs, "3 runs")
    loss, error = figure.axes
    assert error.get_title() == "held-out error"
    expected = [[[1, 0.5], [2, 0.4], [3, 0.3]], [[1, 0.6], [2, 0.5], [3, 0.35]],
                [[1, 0.7], [2, 0.6], [3, 0.55]]]
    np.testing.assert_allclose(drawn(error, 3), expected)
    np.testing.assert_allclose(drawn(loss, 3), np.array(expected) * [1, 2])
    assert [text.get_text() for text in error.texts] == ["one", "two $seeds$"]  # from above
    styles = [(line.get_color(), line.get_linestyle()) for line in loss.lines]
    assert styles[0] == styles[1] != styles[2]
    figure.savefig(io.BytesIO(), format="svg")


def test_comparison_compares_errors_of_one_kind():
    both = rows([0.5, 0.4], test_accuracy=0.75)
    tested = rows([0.5, 0.4], test_accuracy=0.5, held_out_accuracy=None)
    neither = rows([0.5], held_out_accuracy=None)
    for runs, kind in (([both, both], "held-out error"), ([both, tested], "test error"),
                       ([both, tested, neither], "training error (while it learns)")):
        figure = curves.comparison([str(number) for number in range(len(runs))],
                                   [[run] for run in runs], "any")
        assert figure.axes[1].get_title() == kind


def test_points_leave_out_what_has_no_place():
    some = rows([0.5, float("nan"), 0.0, float("inf"), 0.25])
    assert curves.points(some, "held_out_accuracy") == [(1, 0.5), (5, 0.75 - 0.5)]
    assert curves.points(some, "training_loss") == [(1, 1.0), (5, 0.5)]


def test_comparison_of_runs_without_an_epoch_is_empty():
    figure = curves.comparison(["a", "b"], [[[]], [[]]], "2 runs")
    figure.savefig(io.BytesIO(), format="png")
    assert not figure.axes[0].lines


def test_comparison_of_many_runs_names_the_best():
    count = curves.MOST_NAMES + 7
    figure = curves.comparison(
        [str(number) for number in range(count)],
        [[rows([0.9, 0.2 + number / 100])] for number in range(count)], "many")
    names = [text.get_text() for text in figure.axes[1].texts]
    assert names == [str(number) for number in reversed(range(curves.MOST_NAMES))]
    heights = [text.get_position()[1] for text in figure.axes[1].texts]
    assert 0 <= min(heights) and max(heights) <= 1


@pytest.mark.parametrize("wanted", [[0.5], [0.9, 0.9, 0.9], [1.3, 0.5, 0.01, 0.0], [0.2, 0.1, 0.0]])
def test_spread_keeps_the_order_and_the_gap(wanted):
    places = curves.spread(wanted, 0.2)
    assert all(above - below >= 0.2 - 1e-9 for above, below in zip(places, places[1:]))
    assert -1e-9 <= min(places) and max(places) <= 1 + 1e-9
    assert curves.spread([0.9, 0.5, 0.1], 0.2) == [0.9, 0.5, 0.1]

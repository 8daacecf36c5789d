"""The pixels, lines and texts of the figures."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tf1cifar import drawing, files


def shown(figure):
    """The image on a figure's first axes, as the array of `imshow`."""
    (image,) = figure.axes[0].get_images()
    return image


def drawn_text(figure, position):
    """The text at a position of a figure's first axes."""
    (text,) = [text.get_text() for text in figure.axes[0].texts if text.get_position() == position]
    return text


# ---------------------------------------------------------------------------------------
# Layout


@pytest.mark.parametrize("n, columns, gap, colours", [
    (1, 1, 2, ()), (5, 3, 1, ()), (6, 3, 2, ()), (7, 7, 0, ()), (4, 3, 2, (3,))])
def test_mosaic_puts_every_tile_in_its_place(n, columns, gap, colours):
    height, width, rows = 3, 4, -(-n // columns)
    tiles = np.random.default_rng(n).random((n, height, width, *colours))
    expected = np.full((rows * height + (rows - 1) * gap, columns * width + (columns - 1) * gap,
                        *colours), -1.0)
    for i in range(n):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        expected[y:y + height, x:x + width] = tiles[i]
    np.testing.assert_array_equal(drawing.mosaic(tiles, columns, gap, fill=-1), expected)


@pytest.mark.parametrize("n, columns", [(1, 1), (2, 2), (3, 3), (32, 8), (64, 8), (1024, 32)])
def test_columns_for_fills_the_rows_of_usual_numbers(n, columns):
    assert drawing.columns_for(n, 24, 24) == columns


def test_columns_for_gives_a_compact_mosaic_of_any_number():
    for n in range(1, 1025):
        columns = drawing.columns_for(n, 24, 24)
        rows = -(-n // columns)
        assert (rows - 1) * columns < n <= rows * columns
        assert rows * columns - n <= max(0.2 * n, 1)
        assert 1 / 1.5 <= columns / rows <= 5, n


@pytest.mark.parametrize("values, expected", [
    ([0, 0, 0], (0, 1, "neither")),
    ([np.nan, np.inf, 3, 3], (0, 3, "neither")),
    ([-2, 2], (-2, 2, "neither")),
    ([1] * 999 + [100], (0, 1, "max")),
    ([-1, 1] * 500 + [100], (-1, 1, "max")),
    ([-1, 1] * 500 + [-100], (-1, 1, "min")),
    ([-1, 1] * 500 + [-100, 100], (-1, 1, "both")),
])
def test_colour_scale_ignores_outliers_and_values_that_are_not_finite(values, expected):
    _, lowest, highest, cut = drawing.colour_scale(np.array(values, float))
    assert (lowest, highest, cut) == expected


# ---------------------------------------------------------------------------------------
# Filters and channels


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000, 1024])
def test_channels_are_whole_in_order_and_of_a_handy_size(n):
    data = np.random.default_rng(n).normal(size=(2, 6, 5, n)).astype(np.float32)
    figure = drawing.channels(data, "any")
    image = np.asarray(shown(figure).get_array().filled(np.nan))
    scale = round((np.isfinite(image).sum() / (30 * n)) ** 0.5)
    columns, gap = drawing.columns_for(n, 6, 5), drawing.gap_for(6 * scale, 5 * scale)
    rows = -(-n // columns)
    assert image.shape == (rows * (6 * scale + gap) - gap, columns * (5 * scale + gap) - gap)
    for channel in (0, n // 2, n - 1):
        y = channel // columns * (6 * scale + gap)
        x = channel % columns * (5 * scale + gap)
        tile = image[y:y + 6 * scale, x:x + 5 * scale]
        np.testing.assert_array_equal(tile, np.kron(data[0, :, :, channel],
                                                    np.ones((scale, scale))))
    assert np.isfinite(image).sum() == n * 30 * scale ** 2
    assert 500 <= max(figure.get_size_inches() * figure.dpi) <= 1500


def test_channels_without_negative_values_have_a_scale_from_zero():
    figure = drawing.channels(np.array([0, 1.0, 2, 4]).reshape(1, 2, 2, 1), "any")
    assert shown(figure).get_clim() == (0, pytest.approx(4, rel=0.02))


def test_channels_are_written_in_the_colours_of_the_scale(tmp_path):
    data = np.linspace(-1, 1, 12).reshape(1, 2, 2, 3)
    files.save_figure(drawing.channels(data, "any"), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        written = np.asarray(file.convert("RGB"))
    colours = matplotlib.colormaps["cividis"](np.clip(data[0] / 0.995 / 2 + 0.5, 0, 1), bytes=True)
    for y in range(2):
        for x in range(2):
            for channel in range(3):
                # far more pixels of that colour than the colour bar has: a whole square
                close = abs(written.astype(int) - colours[y, x, channel, :3]).max(2) <= 3
                assert close.sum() > 160 ** 2 * 0.9, (y, x, channel)


def test_channels_can_be_drawn_into_a_given_figure():
    figure = Figure()
    assert drawing.channels(np.ones((1, 2, 2, 1)), "any", figure=figure) is figure
    assert len(figure.axes) == 2  # the mosaic and its colour bar


def test_filters_have_a_scale_with_zero_in_the_middle():
    values = np.random.default_rng(1).normal(2.0, 1.0, (5, 5, 1, 32))
    assert values.min() < 0 < -values.min() < values.max()
    figure = drawing.filters(values, "any")
    lowest, highest = shown(figure).get_clim()
    assert lowest == -highest
    assert np.percentile(values, 98) < highest <= values.max()
    assert shown(figure).get_cmap().name == "cividis"


@pytest.mark.parametrize("shape, words", [
    ((5, 5, 1, 1), "1 filter of 5x5x1"),
    ((5, 5, 3, 64), "64 filters of 5x5x3; each strip is a filter, each square of it an input"),
    ((3, 3, 64, 1024), "the 8 of 64 inputs with the largest weights"),
    ((1, 1, 1024, 10), "10 filters of 1x1x1024"),
])
def test_filters_have_a_title_with_their_sizes(shape, words):
    figure = drawing.filters(np.random.default_rng(3).normal(size=shape), "conv: weights\nset")
    heading, notes = (text.get_text() for text in figure.texts)
    assert heading == "conv: weights" and notes.startswith("set\n")
    assert words in notes.replace("\n", " ")  # for every width of the lines
    pixels = np.isfinite(shown(figure).get_array().filled(np.nan)).sum()
    squares = shape[0] * shape[1] * min(shape[2], 8) * shape[3]
    scale = round((pixels / squares) ** 0.5)
    assert scale >= 1 and pixels == squares * scale ** 2


def test_strongest_inputs_come_first():
    weights = np.random.default_rng(2).normal(size=(3, 20, 2, 2))
    strongest = drawing.strongest(weights)
    assert strongest.shape == (3, 8, 2, 2)
    for one, best in zip(weights, strongest):
        by_norm = sorted(one, key=np.linalg.norm, reverse=True)
        np.testing.assert_array_equal(best, by_norm[:8])


@pytest.mark.parametrize("draw", [drawing.filters, drawing.channels])
@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 1, 0)])
def test_filters_and_channels_refuse_arrays_of_other_shapes(draw, shape):
    with pytest.raises(ValueError, match=r"shape \(5, 5"):
        draw(np.zeros(shape), "any")


# ---------------------------------------------------------------------------------------
# Images and classes


def test_examples_have_a_row_for_every_class():
    names = ["one", "$two^", "three"]  # a dollar sign does not begin a formula
    images = np.random.default_rng(4).normal(size=(40, 24, 24, 1)).astype(np.float32)
    labels = np.array([0] * 25 + [2] * 15)
    figure = drawing.examples(names, images, labels, "any", per_class=3)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == names
    image = np.asarray(shown(figure).get_array())
    scale = 960 // 72
    step = 24 * scale + drawing.gap_for(24 * scale, 24 * scale)
    assert image.shape == (2 * step + 24 * scale,) * 2
    np.testing.assert_array_equal(image[2 * step::scale, step:][:24, :24 * scale:scale],
                                  drawing.visible(images[26:27])[0])
    assert (image[step:2 * step] == 1).all()  # no image of the second class


def test_visible_images_have_their_own_colours():
    colour = np.array([[[[255, 0, 51]]]], np.uint8)
    np.testing.assert_allclose(drawing.visible(colour), [[[[1, 0, 0.2]]]], rtol=1e-6)
    gray = np.array([-9, -2.5, 0, 2.5, 9], np.float32).reshape(1, 1, 5, 1)
    np.testing.assert_array_equal(drawing.visible(gray), [[[0, 0, 0.5, 1, 1]]])


def test_network_input_frames_the_central_part_of_the_image():
    image = np.random.default_rng(5).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    prepared = np.linspace(-1, 3, 576, dtype=np.float32).reshape(24, 24, 1)
    figure = drawing.network_input(image, prepared, "The input\nremark")
    left, right = figure.axes
    np.testing.assert_allclose(left.get_images()[0].get_array(), image / 255, rtol=1e-6)
    np.testing.assert_array_equal(right.get_images()[0].get_array(),
                                  drawing.visible(prepared[None])[0])
    (frame,) = left.patches
    assert frame.get_bbox().bounds == (3.5, 3.5, 24, 24)
    assert left.get_title() == "original, 32x32, colour"
    assert right.get_title() == "input of the network, 24x24, gray"
    assert right.get_xlabel() == "pixels from -1.00 to 3.00, mean 1.00, deviation 1.16"


def test_network_input_frames_nothing_if_the_whole_image_is_prepared():
    image = np.zeros((28, 28, 1), np.uint8)
    figure = drawing.network_input(image, np.zeros((28, 28, 1), np.float32), "any")
    assert not figure.axes[0].patches


def test_class_probabilities_have_a_bar_for_every_class():
    names, probabilities = ["a", "b$", "c"], np.array([0.25, 0.7, 0.05])
    image = np.random.default_rng(6).integers(0, 256, (28, 28, 1)).astype(np.uint8)
    figure = drawing.class_probabilities(image, names, probabilities, "any")
    left, right = figure.axes
    np.testing.assert_allclose(left.get_images()[0].get_array(), image[..., 0] / 255, rtol=1e-6)
    assert [bar.get_width() for bar in right.patches] == list(probabilities)
    assert [text.get_text() for text in right.texts] == ["0.250", "0.700", "0.050"]
    assert [label.get_text() for label in right.get_yticklabels()] == names
    assert right.yaxis_inverted()  # the first class is on top


def test_predictions_show_every_picture_with_its_name_and_classes():
    images = np.random.default_rng(7).integers(0, 256, (7, 32, 32, 3)).astype(np.uint8)
    names = ["folder/cat.png", "$x^$.jpg", "n" * 24, "n" * 25, "日.png", "six.png", "last.png"]
    lines = [[f"first$_{number}", f"second {number}"] for number in range(6)] + [["x" * 99]]
    prepared = np.linspace(-1, 2, images[:, :24, :24, :1].size).reshape(7, 24, 24, 1)
    prepared = prepared.astype(np.float32)
    figure = drawing.predictions(images, prepared, names, lines, "run on $data$\nremark")
    assert figure.get_suptitle() == "run on $data$"
    (notes,) = [text.get_text() for text in figure.texts if text.get_text() != "run on $data$"]
    assert notes.replace("\n", " ") == (
        "remark Left: a picture, resized (32x32, colour). Right: what the network sees, the part "
        "in the frame (24x24, gray).")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "cat.png", "$x^$.jpg", "n" * 24, "n" * 21 + "...", "?.png", "six.png", "last.png"]
    for axes, image, pixels, texts in zip(figure.axes[:6], images, prepared, lines):
        left, right = axes.get_images()
        np.testing.assert_allclose(left.get_array(), image / 255, rtol=1e-6)
        np.testing.assert_allclose(
            right.get_array(), np.clip(pixels[..., 0] / pixels.std() / 5 + 0.5, 0, 1), atol=1e-6)
        assert left.get_extent() == [0, 32, 32, 0]
        start, end, *heights = right.get_extent()  # the same height, and on the right
        assert heights == [32, 0] and end - start == pytest.approx(32) and start > 32
        frame = axes.patches[0]
        assert frame.get_bbox().bounds == (4, 4, 24, 24)
        assert [text.get_text() for text in axes.texts] == ["\n".join(texts)]
    assert len(figure.axes[6].texts[0].get_text()) < 50  # does not reach into the next picture
    boxes = [axes.get_position() for axes in figure.axes]
    assert boxes[4].x0 > boxes[3].x1 and boxes[5].x0 == boxes[0].x0 and boxes[5].y1 < boxes[0].y0
    figure.canvas.draw()  # raises if a name is parsed as a formula


def test_predictions_show_once_what_the_network_sees_as_it_is():
    images = np.random.default_rng(8).integers(0, 256, (1, 28, 28, 1)).astype(np.uint8)
    prepared = np.divide(images, np.float32(255))
    figure = drawing.predictions(images, prepared, ["a"], [["x"]], "any")
    (shown_once,) = figure.axes[0].get_images()
    np.testing.assert_allclose(shown_once.get_array(), prepared[0, ..., 0], rtol=1e-6)
    assert ("The network sees the pictures as they are drawn here (28x28, gray)."
            in [text.get_text() for text in figure.texts])
    twice = drawing.predictions(images, prepared * 2 - 1, ["a"], [["x"]], "any")
    assert len(twice.axes[0].get_images()) == 2
    assert any("what the network sees, all of it" in text.get_text() for text in twice.texts)


def test_predictions_of_a_picture_without_contrast():
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    figure = drawing.predictions(white, np.zeros((1, 24, 24, 1), np.float32), ["white.png"],
                                 [["x"]], "any")
    assert (figure.axes[0].get_images()[1].get_array() == 0.5).all()


# ---------------------------------------------------------------------------------------
# Results


def test_confusion_matrix_has_labels_as_rows_and_predictions_as_columns():
    names = ["ant", "bee", "$cat$"]
    counts = np.array([[6, 2, 0], [0, 5, 5], [1, 0, 3]])  # two of eight ants are predicted as bees
    figure = drawing.confusion_matrix(counts, names, "test accuracy 0.6364")
    axes = figure.axes[0]
    assert axes.get_title() == "test accuracy 0.6364"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label", "predicted")
    for ticks in (axes.get_yticklabels(), axes.get_xticklabels()):
        assert [tick.get_text() for tick in ticks] == names
    shares = np.asarray(shown(figure).get_array())
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0], [0, 0.5, 0.5], [0.25, 0, 0.75]])
    assert shown(figure).get_clim() == (0, 1)
    # Texts have the position (x, y) = (column, row), and row 0 is on top.
    assert axes.yaxis_inverted()
    for row, column in np.ndindex(3, 3):
        assert drawn_text(figure, (column, row)) == str(counts[row, column])


def test_confusion_matrix_accepts_a_class_without_images():
    counts = np.array([[0, 0], [1, 2]])
    shares = np.asarray(shown(drawing.confusion_matrix(counts, ["a", "b"], "any")).get_array())
    np.testing.assert_allclose(shares, [[0, 0], [1 / 3, 2 / 3]])


@pytest.mark.parametrize("classes, named", [(20, 20), (40, 40), (100, 34), (1000, 40)])
def test_confusion_matrix_of_many_classes_is_readable(classes, named):
    names = [f"class {number}" for number in range(classes)]
    figure = drawing.confusion_matrix(np.eye(classes, dtype=int), names, "any")
    shown_names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert len(shown_names) == named and shown_names[1] == names[-(-classes // 40)]
    assert len(figure.axes[0].texts) == (400 if classes == 20 else 0)


def row(epoch, training, held_out=None, test=None, loss=1.0):
    return {"epoch": epoch, "training_accuracy": training, "held_out_accuracy": held_out,
            "test_accuracy": test, "training_loss": loss, "held_out_loss": held_out}


def curves(axes):
    return {line.get_label(): (list(line.get_xdata()), line.get_ydata()) for line in axes.lines}


def test_learning_curve_shows_errors_beside_losses_on_log_axes():
    rows = [row(1, 0.5, 0.4, loss=2.5), row(2, 0.75, None, 0.6, 1.5), row(3, 1.0, 0.9, 0.7, 0.0)]
    figure = drawing.learning_curve(rows, "lrn_cnn on $cifar10")
    assert figure.get_suptitle() == "lrn_cnn on $cifar10"
    errors, losses = figure.axes
    assert errors.get_ylabel() == "error (share that is wrong)" and losses.get_ylabel() == "loss"
    for axes in figure.axes:
        assert axes.get_xlabel() == "epoch" and axes.get_yscale() == "log"
        assert axes.yaxis.get_gridlines()[0].get_visible()
        assert len({line.get_linestyle() for line in axes.lines}) == len(axes.lines)  # in gray too
    labels = [text.get_text() for text in errors.get_legend().get_texts()]
    assert list(curves(errors)) == labels == ["training (while it learns)", "held out", "test"]
    for found, label, epochs, values in (  # a zero has no place on a log axis
            (errors, "training (while it learns)", [1, 2], [0.5, 0.25]),
            (errors, "held out", [1, 3], [0.6, 0.1]), (errors, "test", [2, 3], [0.4, 0.3]),
            (losses, "training (while it learns)", [1, 2], [2.5, 1.5]),
            (losses, "held out", [1, 3], [0.4, 0.9])):
        assert curves(found)[label][0] == epochs
        np.testing.assert_allclose(curves(found)[label][1], values)
    figure.canvas.draw()


def test_learning_curve_of_one_epoch_has_only_the_measured_curves():
    axes = drawing.learning_curve([row(1, 0.3)], "any").axes[0]
    (line,) = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1], [0.7])
    assert axes.get_xlim() == (0, 2)


def test_learning_curve_without_errors_is_empty():
    axes = drawing.learning_curve([row(1, 1.0), row(2, 1.0)], "any").axes[0]
    assert not axes.lines and axes.get_legend() is None


def test_learning_curve_labels_a_narrow_range_with_different_numbers():
    figure = drawing.learning_curve([row(1, 0.09), row(2, 0.1)], "any")
    figure.canvas.draw()
    axes = figure.axes[0]
    shown = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(shown) >= 2 and len(set(shown)) == len(shown)
    np.testing.assert_allclose([float(text) for text in shown], axes.get_yticks(), rtol=1e-9)
    assert axes.get_ylim()[0] < 0.9 and axes.get_ylim()[1] > 0.91
    assert not axes.yaxis.get_minorticklabels()


def test_log_ticks_are_right_on_any_range():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        lowest = 10 ** rng.uniform(-6, 6)
        highest = lowest * 10 ** 10 ** rng.uniform(-3, 1)
        ticks, labels = drawing.log_ticks(lowest, highest)
        assert 2 <= len(ticks) <= 10, (lowest, highest)
        assert lowest <= min(ticks) and max(ticks) <= highest
        assert len(set(labels)) == len(labels)
        np.testing.assert_allclose([float(label) for label in labels], ticks, rtol=1e-6)


def test_learning_rates_are_drawn_from_zero():
    rows = [{"epoch": epoch, "learning_rate": rate} for epoch, rate in ((1, 0.1), (2, 0.01))]
    (axes,) = drawing.learning_rates(rows, "any").axes
    (line,) = axes.lines
    assert list(line.get_ydata()) == [0.1, 0.01] and axes.get_ylim()[0] == 0


def test_neighbour_correlation():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 5, 1, 64)).astype(np.float32)
    assert max(map(abs, drawing.neighbour_correlation(noise))) < 0.1
    stripes = np.broadcast_to(noise[:1], noise.shape)  # each column is constant
    across, down = drawing.neighbour_correlation(stripes)
    assert abs(across) < 0.2 and down == pytest.approx(1)
    assert drawing.neighbour_correlation(np.ones((3, 3, 1, 2))) == (0.0, 0.0)
    w = noise[:2, :, :, :3]  # against a sum written out
    a, b = w[0].ravel() - w[0].mean(), w[1].ravel() - w[1].mean()
    assert drawing.neighbour_correlation(w)[1] == pytest.approx(
        (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), rel=1e-5)

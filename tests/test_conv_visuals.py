"""The pictures: what is in them, pixel by pixel, and that the two ways of drawing them work."""

import dataclasses
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

import cifar_tools
import console
import conv_visuals
import pictures
import recipes
from training.run_folder import RunFolder


def shown(figure):
    """The one mosaic in a figure, as `imshow` holds it."""
    (image,) = figure.axes[0].get_images()
    return image


# ---------------------------------------------------------------------------------------
# Layout


@pytest.mark.parametrize("n, columns, gap, colours", [
    (1, 1, 2, ()), (5, 3, 1, ()), (6, 3, 2, ()), (7, 7, 0, ()), (4, 3, 2, (3,))])
def test_every_tile_lies_in_its_place_of_a_mosaic(n, columns, gap, colours):
    height, width, rows = 3, 4, -(-n // columns)
    tiles = np.random.default_rng(n).random((n, height, width, *colours))
    expected = np.full((rows * height + (rows - 1) * gap, columns * width + (columns - 1) * gap,
                        *colours), -1.0)
    for i in range(n):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        expected[y:y + height, x:x + width] = tiles[i]
    np.testing.assert_array_equal(pictures.mosaic(tiles, columns, gap, fill=-1), expected)


@pytest.mark.parametrize("n, columns", [(1, 1), (2, 2), (3, 3), (32, 8), (64, 8), (1024, 32)])
def test_known_numbers_of_channels_fill_their_rows(n, columns):
    assert pictures.columns_for(n, 24, 24) == columns


def test_any_number_of_channels_gives_a_compact_picture():
    for n in range(1, 1025):
        columns = pictures.columns_for(n, 24, 24)
        rows = -(-n // columns)
        assert (rows - 1) * columns < n <= rows * columns
        assert rows * columns - n <= max(0.2 * n, 1)
        assert 1 / 1.5 <= columns / rows <= 5, n


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000, 1024])
def test_channels_are_drawn_whole_in_order_and_at_a_handy_size(n):
    data = np.random.default_rng(n).normal(size=(2, 6, 5, n)).astype(np.float32)
    figure = Figure()
    pictures.draw_channels(figure, data, "any")
    image = np.asarray(shown(figure).get_array().filled(np.nan))
    scale = round((np.isfinite(image).sum() / (30 * n)) ** 0.5)
    columns, gap = pictures.columns_for(n, 6, 5), pictures.gap_for(6 * scale, 5 * scale)
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


def test_pixels_of_the_written_file_are_those_of_the_colour_map(tmp_path):
    data = np.linspace(-1, 1, 12).reshape(1, 2, 2, 3)
    conv_visuals.show_conv_results(data, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        written = np.asarray(file.convert("RGB"))
    colours = matplotlib.colormaps["RdBu_r"](np.clip(data[0] / 0.995 / 2 + 0.5, 0, 1), bytes=True)
    for y in range(2):
        for x in range(2):
            for channel in range(3):
                # far more pixels of that colour than the colour bar has: a whole square
                close = abs(written.astype(int) - colours[y, x, channel, :3]).max(2) <= 3
                assert close.sum() > 160 ** 2 * 0.9, (y, x, channel)


# ---------------------------------------------------------------------------------------
# Colours


def test_weights_and_convolutions_have_a_scale_with_zero_in_the_middle():
    values = np.random.default_rng(1).normal(2.0, 1.0, (5, 5, 1, 32))
    assert values.min() < 0 < -values.min() < values.max()
    figure = Figure()
    pictures.draw_weights(figure, values, "any")
    lowest, highest = shown(figure).get_clim()
    assert lowest == -highest
    assert np.percentile(values, 98) < highest <= values.max()
    assert shown(figure).get_cmap().name == "RdBu_r"


def test_what_is_never_negative_has_a_scale_from_zero():
    figure = Figure()
    pictures.draw_channels(figure, np.array([0, 1.0, 2, 4]).reshape(1, 2, 2, 1), "any")
    assert shown(figure).get_clim() == (0, pytest.approx(4, rel=0.02))


@pytest.mark.parametrize("values, expected", [
    ([0, 0, 0], (0, 1, "neither")),
    ([np.nan, np.inf, 3, 3], (0, 3, "neither")),
    ([-2, 2], (-2, 2, "neither")),
    ([1] * 999 + [100], (0, 1, "max")),
    ([-1, 1] * 500 + [100], (-1, 1, "max")),
    ([-1, 1] * 500 + [-100], (-1, 1, "min")),
    ([-1, 1] * 500 + [-100, 100], (-1, 1, "both")),
])
def test_outliers_and_what_is_no_number_do_not_decide_the_scale(values, expected):
    _, lowest, highest, cut = pictures.colour_scale(np.array(values, float))
    assert (lowest, highest, cut) == expected


def test_images_are_shown_in_their_own_colours():
    colour = np.array([[[[255, 0, 51]]]], np.uint8)
    np.testing.assert_allclose(pictures.visible(colour), [[[[1, 0, 0.2]]]], rtol=1e-6)
    gray = np.array([-9, -2.5, 0, 2.5, 9], np.float32).reshape(1, 1, 5, 1)
    np.testing.assert_array_equal(pictures.visible(gray), [[[0, 0, 0.5, 1, 1]]])


# ---------------------------------------------------------------------------------------
# Filters with many inputs


def test_the_strongest_inputs_come_first():
    filters = np.random.default_rng(2).normal(size=(3, 20, 2, 2))
    chosen = pictures.strongest(filters)
    assert chosen.shape == (3, 8, 2, 2)
    for one, best in zip(filters, chosen):
        by_norm = sorted(one, key=np.linalg.norm, reverse=True)
        np.testing.assert_array_equal(best, by_norm[:8])


@pytest.mark.parametrize("shape, words", [
    ((5, 5, 1, 1), "1 filter of 5x5x1"),
    ((5, 5, 3, 64), "64 filters of 5x5x3; each strip is a filter, each square of it an input"),
    ((3, 3, 64, 1024), "the 8 of 64 inputs with the largest weights"),
    ((1, 1, 1024, 10), "10 filters of 1x1x1024"),
])
def test_the_title_tells_what_is_shown_of_the_filters(shape, words):
    figure = Figure()
    pictures.draw_weights(figure, np.random.default_rng(3).normal(size=shape), "conv: weights\nset")
    heading, notes = (text.get_text() for text in figure.texts)
    assert heading == "conv: weights" and notes.startswith("set\n")
    assert words in notes.replace("\n", " ")  # whatever the width they are wrapped to
    pixels = np.isfinite(shown(figure).get_array().filled(np.nan)).sum()
    squares = shape[0] * shape[1] * min(shape[2], 8) * shape[3]
    scale = round((pixels / squares) ** 0.5)
    assert scale >= 1 and pixels == squares * scale ** 2


@pytest.mark.parametrize("draw", [conv_visuals.show_weights, conv_visuals.show_conv_results])
def test_an_array_of_another_kind_is_refused(draw, tmp_path):
    for shape in ((5, 5), (5, 5, 1, 0)):
        with pytest.raises(ValueError, match=r"shape \(5, 5"):
            draw(np.zeros(shape), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------
# The book's functions


def test_without_a_file_name_a_window_shows_the_picture(monkeypatch):
    matplotlib.use("Agg")
    windows = []
    monkeypatch.setattr(pyplot, "show", lambda: windows.append(pyplot.gcf()))
    conv_visuals.show_weights(np.ones((5, 5, 1, 4)))
    conv_visuals.show_conv_results(np.ones((1, 6, 6, 4)))
    assert [len(figure.axes) for figure in windows] == [2, 2]  # the mosaic and its colour bar
    assert windows[0] is not windows[1]
    pyplot.close("all")


def test_examples_of_every_class_have_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["one", "$two^", "three"]  # a dollar sign is no formula
    data = np.random.default_rng(4).normal(size=(40, 576)).astype(np.float32)
    labels = np.array([0] * 25 + [2] * 15)
    conv_visuals.show_some_examples(names, data, labels)
    assert [file.name for file in tmp_path.iterdir()] == ["cifar_examples.png"]

    figure = Figure()
    pictures.draw_examples(figure, names, data.reshape(-1, 24, 24, 1), labels, "any", per_class=3)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == names
    image = np.asarray(shown(figure).get_array())
    scale = 960 // 72
    step = 24 * scale + pictures.gap_for(24 * scale, 24 * scale)
    assert image.shape == (2 * step + 24 * scale,) * 2
    np.testing.assert_array_equal(
        image[2 * step::scale, step:][:24, :24 * scale:scale],
        pictures.visible(data[26].reshape(1, 24, 24, 1))[0])
    assert (image[step:2 * step] == 1).all()  # nothing of the second class


# ---------------------------------------------------------------------------------------
# The script


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["conv_visuals.py", *map(str, arguments)])
    conv_visuals.main()


def max_pool(x):
    _, height, width, channels = x.shape
    return x.reshape(1, height // 2, 2, width // 2, 2, channels).max((2, 4))


def test_random_filters_go_through_the_four_steps():
    pixels = np.random.default_rng(5).normal(size=(1, 24, 24, 1)).astype(np.float32)
    files, _, (weights, convolved, rectified, pooled), _ = zip(
        *conv_visuals.random_layers(pixels, filters=6, size=5, seed=3))
    assert files == ("step0_weights.png", "step1_convs.png", "step2_conv_outs.png",
                     "step3_maxpool.png")
    padded = np.pad(pixels[0, :, :, 0], 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    np.testing.assert_allclose(convolved[0], np.einsum("yxij,ijf->yxf", windows, weights[:, :, 0]),
                               atol=1e-4)
    for channel in range(6):
        before, after = convolved[0, ..., channel], rectified[0, ..., channel]
        bias = np.median((after - before)[after > 0])
        assert bias != 0
        np.testing.assert_allclose(after, np.maximum(before + bias, 0), atol=1e-4)
    np.testing.assert_array_equal(pooled, max_pool(rectified))

    again, other = (conv_visuals.random_layers(pixels, 6, 5, seed)[0][2] for seed in (3, 4))
    np.testing.assert_array_equal(again, weights)
    assert (other != weights).all()


def test_the_script_draws_the_chapters_pictures(tiny_cifar, tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "folder"
    run(monkeypatch, "--data-dir", tiny_cifar, "--out", out, "--filters", 3, "--image-index", 199)
    names = ["cifar_examples", "input_image", "step0_weights", "step1_convs", "step2_conv_outs",
             "step3_maxpool"]
    assert sorted(file.name for file in out.iterdir()) == [f"{name}.png" for name in names]
    for file in out.iterdir():
        with Image.open(file) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    label = cifar_tools.load(tiny_cifar).train.labels[199]
    assert capsys.readouterr().out.splitlines() == [
        f"data set cifar10 ({tiny_cifar}), training image 199 ({cifar_tools.CLASS_NAMES[label]})",
        *(f"drew {out / name}.png" for name in names)]


def test_without_cifar10_the_shapes_stand_in(monkeypatch, capsys):
    import datasets
    asked = []

    def load(name, data_dir=None):
        asked.append((name, data_dir))
        if name == "cifar10":
            raise console.Failure("cannot download it")
        return "the shapes"

    monkeypatch.setattr(datasets, "load", load)
    assert conv_visuals.load_data(None) == "the shapes"
    assert asked == [("cifar10", None), ("shapes", None)]
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot download it" in line and "shapes" in line


def test_a_run_is_drawn_layer_by_layer(tiny_cifar, tmp_path, monkeypatch, capsys):
    import tensorflow.compat.v1 as tf

    import cnn_graph
    folder, dataset = RunFolder(tmp_path / "run"), cifar_tools.load(tiny_cifar)
    recipe = dataclasses.replace(recipes.RECIPES["lrn_cnn"], epochs=1)
    folder.write_description("lrn_cnn", recipe, {
        "name": "cifar10", "directory": str(tiny_cifar), "image_shape": [32, 32, 3],
        "class_names": list(dataset.class_names), "training_images": 200, "crc32": ""}, {})
    folder.checkpoints.mkdir()
    pixels = cifar_tools.prepare(dataset.test.images[7:8], "gray24")
    with tf.Graph().as_default(), tf.Session() as session:
        model = cnn_graph.build(recipe, (24, 24, 1), 10, 1)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder.checkpoints / "model.ckpt"), 0)
        convolution, probabilities = session.run(["conv1/convolution:0", model.probabilities],
                                                 {model.images: pixels})

    drawn = {}
    draw = conv_visuals._show_or_write
    monkeypatch.setattr(conv_visuals, "_show_or_write", lambda file, function, *what: (
        drawn.update({file.name: what}), draw(file, function, *what)))
    run(monkeypatch, "--run", folder.path, "--image-index", 7)

    names = ["cifar_examples", "input_image", "probabilities", "conv1_weights", "conv2_weights",
             *(f"conv1_{kind}" for kind in ("convolution", "relu", "max_pool", "lrn")),
             *(f"conv2_{kind}" for kind in ("convolution", "relu", "lrn", "max_pool"))]
    assert list(drawn) == [f"{name}.png" for name in names]
    assert {file.name for file in (folder.path / "pictures").iterdir()} == set(drawn)
    np.testing.assert_array_equal(drawn["input_image.png"][0], dataset.test.images[7])
    rectified = np.maximum(convolution, 0)  # biases are zero at the start
    np.testing.assert_allclose(drawn["conv1_relu.png"][0], rectified, atol=1e-5)
    np.testing.assert_allclose(drawn["conv1_max_pool.png"][0], max_pool(rectified), atol=1e-5)
    np.testing.assert_allclose(drawn["probabilities.png"][2], probabilities[0], atol=1e-5)
    assert drawn["conv2_weights.png"][0].shape == (5, 5, 64, 64)
    label = dataset.class_names[dataset.test.labels[7]]
    assert drawn["conv1_lrn.png"][1] == ("conv1: local response normalization\nlrn_cnn trained on "
                                         f"cifar10, step 0; test image 7 ({label})")
    printed = capsys.readouterr().out
    assert f"restored {folder.checkpoints / 'model.ckpt-0'}, global step 0\n" in printed
    assert printed.count("\ndrew ") == len(names)


@pytest.mark.parametrize("arguments, words", [
    (["--filters", "0"], "--filters 0, expected 1 to 1024"),
    (["--filters", "1025"], "--filters 1025"),
    (["--filter-size", "0"], "--filter-size 0, expected 1 to 24"),
    (["--filter-size", "25"], "--filter-size 25"),
    (["--seed", "-1"], "--seed -1"),
    (["--filters", "many"], "invalid int value: 'many'"),
    (["--image-index", "4", "--image", "a.png"], "not allowed with argument"),
    (["--run", "r", "--seed", "0"], "--seed is of the random filters"),
    (["--checkpoint", "best"], "name the run's folder with --run"),
    (["--run", "nowhere"], "is this the folder of a run?"),
    (["--data-dir", "nowhere"], "no CIFAR-10 there"),
    (["--data-dir", "TINY", "--image-index", "200"], "expected 0 to 199"),
    (["--data-dir", "TINY", "--image-index", "-1"], "expected 0 to 199"),
    (["--data-dir", "TINY", "--image", "nowhere.png"], "nowhere.png: no such file"),
    (["--data-dir", "TINY", "--out", "file"], "--out file: file is not a folder"),
])
def test_user_errors_are_told_and_nothing_is_drawn(arguments, words, tiny_cifar, tmp_path,
                                                   monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(console.UserError) as error:
        run(monkeypatch, *(str(tiny_cifar) if word == "TINY" else word for word in arguments))
    assert words in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]

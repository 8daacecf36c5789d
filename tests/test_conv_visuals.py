"""conv_visuals.py: the book's functions and the script, their files, and the drawn arrays."""

import dataclasses
import sys

import matplotlib
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from matplotlib import pyplot
from PIL import Image

import conv_visuals
from tf1cifar import data, drawing, errors, graph, recipes
from tf1cifar.data import cifar10, preparation
from tf1cifar.training.run_folder import RunFolder


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Set TF_CPP_MIN_LOG_LEVEL for one test only; `console.quiet_tensorflow` would set it too."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


def run(monkeypatch, *arguments):
    """Run the script in this process."""
    monkeypatch.setattr(sys, "argv", ["conv_visuals.py", *map(str, arguments)])
    conv_visuals.main()


def max_pool(x):
    """The maximum of every 2x2 window, computed by NumPy."""
    _, height, width, channels = x.shape
    return x.reshape(1, height // 2, 2, width // 2, 2, channels).max((2, 4))


# ---------------------------------------------------------------------------------------
# The book's functions


@pytest.mark.parametrize("show", [conv_visuals.show_weights, conv_visuals.show_conv_results])
def test_show_functions_write_a_file(show, tmp_path):
    show(np.random.default_rng(0).normal(size=(5, 5, 1, 4)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and picture.width > 500


def test_show_functions_open_a_window_without_a_file_name(monkeypatch):
    matplotlib.use("Agg")
    windows = []
    monkeypatch.setattr(pyplot, "show", lambda: windows.append(pyplot.gcf()))
    conv_visuals.show_weights(np.ones((5, 5, 1, 4)))
    conv_visuals.show_conv_results(np.ones((1, 6, 6, 4)))
    conv_visuals.show_some_examples(["a"], np.ones((3, 576)), [0, 0, 0], filename=None)
    assert [len(figure.axes) for figure in windows] == [2, 2, 1]  # mosaics and colour bars
    assert len(set(map(id, windows))) == 3
    pyplot.close("all")


@pytest.mark.parametrize("show", [conv_visuals.show_weights, conv_visuals.show_conv_results])
@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 1, 0)])
def test_show_functions_refuse_arrays_of_other_shapes(show, shape, tmp_path):
    with pytest.raises(ValueError, match=r"shape \(5, 5"):
        show(np.zeros(shape), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_show_some_examples_writes_the_books_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(4).normal(size=(40, 576)).astype(np.float32)
    conv_visuals.show_some_examples(["one", "$two^"], pixels, np.arange(40) % 2)
    assert [file.name for file in tmp_path.iterdir()] == ["cifar_examples.png"]


# ---------------------------------------------------------------------------------------
# The script


def test_random_layers_are_the_four_steps_of_the_chapter():
    pixels = np.random.default_rng(5).normal(size=(1, 24, 24, 1)).astype(np.float32)
    names, draw, _ = zip(*conv_visuals.random_layers(pixels, filters=6, filter_size=5, seed=3))
    assert names == ("step0_weights", "step1_convs", "step2_conv_outs", "step3_maxpool")
    assert [part.func for part in draw] == [drawing.filters, *[drawing.channels] * 3]
    weights, convolved, rectified, pooled = (part.args[0] for part in draw)
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


def test_random_layers_depend_on_the_seed():
    pixels = np.zeros((1, 24, 24, 1), np.float32)
    first, again, other = (conv_visuals.random_layers(pixels, seed=seed)[0][1].args[0]
                           for seed in (3, 3, 4))
    assert first.shape == (5, 5, 1, 32)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_main_draws_the_pictures_of_the_chapter(tiny_cifar, tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "folder"
    run(monkeypatch, "--data-dir", tiny_cifar, "--out", out, "--filters", 3, "--image-index", 199)
    names = ["cifar_examples", "input_image", "step0_weights", "step1_convs", "step2_conv_outs",
             "step3_maxpool"]
    assert sorted(file.name for file in out.iterdir()) == [f"{name}.png" for name in names]
    for file in out.iterdir():
        with Image.open(file) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    label = cifar10.load(tiny_cifar).train.labels[199]
    assert capsys.readouterr().out.splitlines() == [
        f"data set cifar10 ({tiny_cifar}), training image 199 ({cifar10.CLASS_NAMES[label]})",
        *(f"drew {out / name}.png" for name in names)]


def test_main_draws_a_picture_of_your_own(tiny_cifar, tmp_path, monkeypatch, capsys):
    Image.new("RGB", (50, 40), "red").save(tmp_path / "red.png")
    images = []
    network_input = drawing.network_input
    monkeypatch.setattr(drawing, "network_input", lambda image, *others: (
        images.append(image), network_input(image, *others))[1])
    run(monkeypatch, "--data-dir", tiny_cifar, "--out", tmp_path / "out", "--image",
        tmp_path / "red.png")
    np.testing.assert_array_equal(images[0], np.full((32, 32, 3), [255, 0, 0]))
    assert "picture red.png" in capsys.readouterr().out


def test_load_data_uses_shapes_if_cifar10_cannot_be_downloaded(monkeypatch, capsys):
    requests = []

    def load(name, data_dir=None):
        requests.append((name, data_dir))
        if name == "cifar10":
            raise errors.Failure("cannot download it")
        return "the shapes"

    monkeypatch.setattr(data, "load", load)
    assert conv_visuals.load_data(None) == "the shapes"
    assert requests == [("cifar10", None), ("shapes", None)]
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot download it" in line and "shapes" in line


@pytest.fixture
def new_run(tiny_cifar, tmp_path):
    """(run of lrn_cnn that was saved before its first step, its data set)."""
    folder, dataset = RunFolder(tmp_path / "run"), cifar10.load(tiny_cifar)
    recipe = dataclasses.replace(recipes.RECIPES["lrn_cnn"], epochs=1)
    folder.checkpoints.mkdir(parents=True)
    folder.write_description("lrn_cnn", recipe, data.describe(dataset, recipe), {})
    with tf.Graph().as_default(), tf.Session() as session:
        graph.build(recipe, (24, 24, 1), 10, 1)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder.checkpoints / "model.ckpt"), 0)
    return folder, dataset


@pytest.mark.slow
def test_main_draws_a_run_layer_by_layer(new_run, monkeypatch, capsys):
    folder, dataset = new_run
    drawn = {}
    monkeypatch.setattr(conv_visuals, "_show_or_write", lambda path, draw, title: drawn.update(
        {path: (draw, title)}))
    run(monkeypatch, "--run", folder.path, "--image-index", 7, "--format", "svg")

    names = ["cifar_examples", "input_image", "probabilities", "deciding_pixels",
             *(f"conv1_{kind}" for kind in ("convolution", "relu", "max_pool", "lrn")),
             *(f"conv2_{kind}" for kind in ("convolution", "relu", "lrn", "max_pool")),
             "conv1_weights", "conv2_weights", "conv1_images", "conv2_images", "confusion_matrix",
             "mistakes", "mistakes_by_class", "narrow_hits", "reliability"]
    pictures = folder.path / "pictures"
    assert list(drawn) == [pictures / f"{name}.svg" for name in names]
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:] == [f"restored {folder.checkpoints / 'model.ckpt-0'}, global step 0",
                           *(f"drew {pictures / name}.svg" for name in names)]
    titles = {path.stem: title for path, (_, title) in drawn.items()}
    drawn = {path.stem: draw for path, (draw, _) in drawn.items()}
    for draw in drawn.values():
        draw("any")  # every figure can be drawn

    pixels = preparation.prepare(dataset.test.images[7:8], "gray24")
    with tf.Graph().as_default(), tf.Session() as session:
        model = graph.build(folder.read_description()[1], (24, 24, 1), 10, 1)
        tf.train.Saver().restore(session, str(folder.checkpoints / "model.ckpt-0"))
        convolution, probabilities, weights = session.run(
            ["conv1/convolution:0", model.probabilities, tf.trainable_variables("conv1/weights")],
            {model.images: pixels})
    np.testing.assert_array_equal(drawn["input_image"].args[0], dataset.test.images[7])
    np.testing.assert_array_equal(drawn["input_image"].args[1], pixels[0])
    before, after = drawn["conv1_weights"].args
    np.testing.assert_array_equal(before, after)  # the run was saved before its first step
    np.testing.assert_array_equal(after, weights[0])
    assert drawn["conv2_weights"].args[1].shape == (5, 5, 64, 64)
    rectified = np.maximum(convolution, 0)  # biases are zero at the start
    np.testing.assert_allclose(drawn["conv1_relu"].args[0], rectified, atol=1e-5)
    np.testing.assert_allclose(drawn["conv1_max_pool"].args[0], max_pool(rectified), atol=1e-5)
    np.testing.assert_allclose(drawn["probabilities"].args[2], probabilities[0], atol=1e-5)
    label = dataset.class_names[dataset.test.labels[7]]
    assert titles["conv1_lrn"] == ("conv1: local response normalization\nlrn_cnn trained on "
                                   f"cifar10, step 0; test image 7 ({label})")
    assert titles["mistakes"] == "The surest mistakes\nlrn_cnn trained on cifar10, step 0"


def test_main_writes_the_format_that_is_asked_for(tiny_cifar, tmp_path, monkeypatch):
    run(monkeypatch, "--data-dir", tiny_cifar, "--out", tmp_path, "--format", "pdf", "--filters", 2)
    assert len(list(tmp_path.iterdir())) == 6
    assert all(file.suffix == ".pdf" and file.read_bytes().startswith(b"%PDF")
               for file in tmp_path.iterdir())


@pytest.mark.parametrize("arguments, words", [
    (["--filters", "0"], "--filters: 0, expected 1 to 1024"),
    (["--filters", "1025"], "--filters: 1025"),
    (["--filter-size", "0"], "--filter-size: 0, expected 1 to 24"),
    (["--filter-size", "25"], "--filter-size: 25"),
    (["--seed", "-1"], "--seed: -1"),
    (["--filters", "many"], "'many'"),
    (["--format", "gif"], "invalid choice: 'gif'"),
    (["--image-index", "4", "--image", "a.png"], "not allowed with argument"),
    (["--run", "r", "--filter-size", "3"], "--filter-size is an option of the random filters"),
    (["--run", "r", "--seed", "0"], "--seed is an option of the random filters; leave it out with"),
    (["--checkpoint", "best"], "name the run's folder with --run"),
    (["--run", "nowhere"], "is this the folder of a run?"),
    (["--data-dir", "nowhere"], "nowhere: no such file or folder"),
    (["--data-dir", "TINY", "--image-index", "200"], "expected 0 to 199"),
    (["--data-dir", "TINY", "--image-index", "-1"], "expected 0 to 199"),
    (["--data-dir", "TINY", "--image", "nowhere.png"], "nowhere.png: no such file"),
    (["--data-dir", "TINY", "--out", "file"], "--out file: file is not a folder"),
])
def test_main_names_a_mistake_and_draws_nothing(arguments, words, tiny_cifar, tmp_path,
                                                monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError) as error:
        run(monkeypatch, *(str(tiny_cifar) if word == "TINY" else word for word in arguments))
    assert words in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]

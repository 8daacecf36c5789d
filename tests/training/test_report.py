"""report.html: the numbers of planted networks, the names of classes, and one file alone."""

import dataclasses
import html.parser
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import cnn_train
from tf1cifar import assessment, data, graph, recipes
from tf1cifar.data import base
from tf1cifar.training import evaluation, report, restore
from tf1cifar.training.run_folder import RunFolder

NAMES = ("cat", "d<b>og</b>", "ship & sea", '"$x^', "fish")
CLASSES = len(NAMES)


class Page(html.parser.HTMLParser):
    """The text of a page, its tags, and the rows of its tables."""

    def __init__(self, content):
        super().__init__()
        self.texts, self.tags, self.rows, self.links = [], ["html"], [], []
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, text):
        if self.tags[-1] == "style":
            return
        self.texts.append(text)
        if self.rows and self.tags[-1] in ("td", "th"):
            self.rows[-1][-1] = (self.rows[-1][-1] + text).strip()

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Function (weights, **settings) -> `Page` of a linear network with these weights.

    The images of class k have pixel k bright; in a quarter of them, the pixel of the next class.
    """
    labels = np.arange(200) % CLASSES
    images = np.zeros((200, 28, 28, 3), np.uint8)
    bright = np.where(np.arange(200) % 20 < 15, labels, (labels + 1) % CLASSES)
    images[np.arange(200), 0, bright] = 255
    split = base.Split(images, labels)
    dataset = base.Dataset("folders", "some/<place>", NAMES, split, split)
    recipe = dataclasses.replace(recipes.RECIPES["hinge"], dataset="folders", epochs=2,
                                 steps_per_run=1, precision="float32")

    def page(weights):
        folder = RunFolder(tmp_path_factory.mktemp("run"))
        folder.checkpoints.mkdir()
        folder.write_description("hinge", recipe, data.describe(dataset, recipe),
                                 {"processor": "a <fast> one"})
        matrix = np.zeros((28, 28, 3, CLASSES), np.float32)
        matrix[0, :CLASSES] = np.repeat(weights[:, None], 3, 1) / 3
        with tf.Graph().as_default(), tf.Session() as session:
            graph.build(recipe, (28, 28, 3), CLASSES, 200)
            session.run(tf.global_variables_initializer())
            tf.trainable_variables()[0].load(matrix.reshape(-1, CLASSES), session)
            tf.train.Saver().save(session, str(folder.checkpoints / "model.ckpt"), 0)
        with restore.restored(folder) as (session, path):
            prepare = restore.prepare_function(folder, recipe)
            result = evaluation.evaluate(session, dataset.test, prepare, report.fetches())
            content = report.build(session, folder, dataset, prepare, result, path)
        return Page(content), content, result

    return page


def true_weights(sharpness):
    """Weights of a network that gives the bright pixel's class 0.75 if the sharpness is 1."""
    return np.eye(CLASSES, dtype=np.float32) * np.log(3 * (CLASSES - 1)) * sharpness


def test_build_shows_a_true_network_as_one_that_can_be_believed(build):
    page, _, result = build(true_weights(1.0))
    assert result.accuracy == 0.75
    assert "Test accuracy 0.7500 (150/200)" in page.text
    assert "expected calibration error 0.000" in page.text
    assert "The probabilities can be believed" in page.text
    assert "exchanged" not in page.text and "too sure of itself" not in page.text
    assert ["0.7 to 0.8", "200", "0.750", "0.750"] in page.rows


def test_build_shows_a_miscalibrated_network(build):
    page, _, result = build(true_weights(4.0))
    assert result.accuracy == 0.75
    top = float(result.probabilities.max(1).mean())
    assert top > 0.99
    assert f"expected calibration error {top - 0.75:.3f}" in page.text
    assert (f"The network is too sure of itself: its mean probability is {top:.3f}, its accuracy "
            "0.750") in page.text
    assert ["0.9 to 1.0", "200", f"{top:.3f}", "0.750"] in page.rows


def test_build_shows_swapped_classes_and_escapes_their_names(build):
    page, content, _ = build(true_weights(1.0)[:, [1, 0, 2, 3, 4]])
    assert ("cat and d<b>og</b> seem to be exchanged: 75% of the images of cat are taken for "
            "d<b>og</b>, and 75% the other way round.") in page.text
    assert ["cat", "d<b>og</b>", "30", "75.0%"] in page.rows
    assert ["d<b>og</b>", "cat", "30", "75.0%"] in page.rows
    assert ["cat", "10", "40", "25.0%", "25.0%"] in page.rows
    assert ["fish", "30", "40", "75.0%"] in [row[:4] for row in page.rows]
    assert "<b>og" not in content and "<fast>" not in content and "<place>" not in content
    assert "a <fast> one" in page.text and "images/s" in page.text


def test_build_needs_no_other_file_and_runs_nothing(build):
    page, content, _ = build(true_weights(1.0))
    assert content.startswith("<!DOCTYPE html>") and "script" not in page.tags
    images = [link for link in page.links if link.startswith("data:image/")]
    assert len(images) == page.tags.count("img") >= 6
    assert all(link.startswith("#") for link in page.links if link not in images)
    targets = re.findall(r'<section id="(\w+)"', content)
    assert [link[1:] for link in page.links if link.startswith("#")] == targets
    assert "url(" not in content and "@import" not in content and 'name="viewport"' in content
    assert page.text.index("Test accuracy") < page.text.index("The recipe") < page.text.index(
        "Confusion matrix")
    assert "The network multiplies an image by each of these pictures" in page.text


def test_build_says_how_to_train_the_same_again(build):
    page, _, _ = build(true_weights(1.0))
    (line,) = re.findall(r"cnn_train\.py (--recipe .*?) These test", page.text)
    words = line.split()
    assert words[:2] == ["--recipe", "hinge"] and words[-2] == "--data-dir"
    recipe, _ = cnn_train.parse_arguments(words[:-2])
    assert recipe == dataclasses.replace(recipes.RECIPES["hinge"], dataset="folders", epochs=2,
                                         steps_per_run=1, precision="float32")


def test_build_of_a_convolutional_run_shows_its_filters_and_layers(whole_run, recipe, dataset):
    with restore.restored(whole_run) as (session, path):
        prepare = restore.prepare_function(whole_run, recipe)
        result = evaluation.evaluate(session, dataset.test, prepare, report.fetches())
        page = Page(report.build(session, whole_run, dataset, prepare, result, path, "A note."))
    for words in ("A note.", "Error and loss", "Learning rate", "Filters of conv1",
                  "What conv2 finds in the image", "What the filters of conv1 look for",
                  "The pixels that decide", "2,474,698", "3 epochs"):
        assert words in page.text, words


def test_findings_of_a_class_that_is_mostly_taken_for_another():
    counts = np.array([[2, 8, 0], [0, 10, 0], [1, 0, 9]])
    probabilities = np.full((3, 2), 0.5)
    found = report.findings(0.7, assessment.calibration(probabilities, np.array([0, 0, 1])),
                            counts, ["a", "b", "c"])
    assert found[0] == ("More images of a are taken for b (80%) than are predicted rightly (20%).")

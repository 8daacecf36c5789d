"""drawing/mistakes.py and the reliability diagram."""

import numpy as np
import pytest

from tf1cifar import assessment, drawing


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_gallery_shows_every_image_with_its_words():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    captions = [["one", "$x"], ["two", "b"], None, ["n" * 99, "c"], ["five", "d"]]
    boxes = np.array([[1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 8, 8]])
    figure = drawing.gallery(images, captions, "head\nremark", 3, ["row 1", "row 2"], boxes)
    shown = texts(figure)
    assert shown[:4] == ["one", "$x", "two", "b"] and shown[-2:] == ["row 1", "row 2"]
    assert len(shown) == 10 and len(shown[4]) < 30
    image = np.asarray(figure.axes[0].get_images()[0].get_array())
    np.testing.assert_allclose(image[:15 * 8:15, :15 * 8:15], images[0] / 255, rtol=1e-6)
    assert (image[:120, 2 * 134:2 * 134 + 120] == 1).all()  # the empty place
    frames = {patch.get_bbox().bounds for patch in figure.axes[0].patches}
    assert (15, 30, 45, 60) in frames and (134, 154 + 12, 120, 120) in frames
    figure.canvas.draw()


def test_prediction_lines():
    assert drawing.prediction_lines(["cat", "dog"], np.array([0.25, 0.75]), 0) == [
        "0.75 dog", "not cat"]
    assert drawing.prediction_lines(["cat", "dog"], np.array([0.25, 0.75]), 1) == [
        "0.75 dog", "right"]
    assert drawing.prediction_lines(["cat", "dog"], np.array([0.25, 0.75])) == ["0.75 dog"]


def test_deciding_pixels_are_light_where_they_speak_for_the_class():
    falls = np.zeros((1, 2, 6, 6), np.float32)
    falls[0, 0, 1, 1], falls[0, 1, 4, 4] = 0.5, -0.25
    figure = drawing.deciding_pixels(np.zeros((1, 6, 6, 1), np.uint8), falls,
                                     [[["image"], ["cat"], ["dog"]]], "any")
    image = np.asarray(figure.axes[0].get_images()[0].get_array()).mean(2)
    first, second = image[::20, 134:254:20][:6], image[::20, 268:388:20][:6]
    gray = first[0, 0]
    assert np.argmax(first) == 7 and np.argmin(second) == 28 and second[0, 0] == gray
    assert first[1, 1] > gray > second[4, 4]
    assert texts(figure) == ["image", "cat", "dog"]


@pytest.mark.parametrize("top, words", [(0.95, "too sure"), (0.55, "too modest")])
def test_reliability_shows_the_numbers(top, words):
    probabilities = np.array([[top, 1 - top]] * 4)
    calibration = assessment.calibration(probabilities, np.array([0, 0, 0, 1]))
    figure = drawing.reliability(calibration, "net $on data")
    above, below = figure.axes
    heights = [bar.get_height() for bar in above.patches[:10]]
    assert heights[int(top * 10)] == 0.75 and sum(heights) == 0.75
    assert [bar.get_height() for bar in below.patches][int(top * 10)] == 1
    (text,) = [text.get_text() for text in above.texts]
    assert f"error {abs(top - 0.75):.3f}" in text and words in text and "accuracy 0.750" in text
    figure.canvas.draw()

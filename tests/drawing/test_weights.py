"""drawing/weights.py: filters before and after training, and the weights of classes."""

import numpy as np
import pytest

from tf1cifar import drawing


def tiles(figure, count, columns, shape, panels=1):
    """The tiles of each panel in a figure, one pixel for each of their squares."""
    (image,) = figure.axes[0].get_images()
    image = image.get_array()
    image = np.asarray(image.filled(np.nan) if np.ma.isMaskedArray(image) else image)
    width = (image.shape[1] - 26 * (panels - 1)) // panels
    found = []
    for panel in range(panels):
        part = image[:, panel * (width + 26):panel * (width + 26) + width]
        scale = next(scale for scale in range(1, 1000) if drawing.mosaic(
            np.zeros((count, shape[0] * scale, shape[1] * scale)), columns,
            drawing.gap_for(shape[0] * scale, shape[1] * scale)).shape[1] >= width)
        pitch = [size * scale + drawing.gap_for(shape[0] * scale, shape[1] * scale)
                 for size in shape]
        found.append(np.stack([part[number // columns * pitch[0]:, number % columns * pitch[1]:][
            :shape[0] * scale:scale, :shape[1] * scale:scale] for number in range(count)]))
    return found


def test_before_and_after_have_one_scale_and_one_order():
    rng = np.random.default_rng(0)
    before = rng.normal(0, 0.01, (5, 5, 1, 8)).astype(np.float32)
    after = (rng.normal(size=(5, 5, 1, 8)) * np.array([1, 5, 2, 8, 3, 7, 4, 6])).astype(np.float32)
    figure = drawing.before_and_after(before, after, "conv1: filters\nremark")
    left, right = tiles(figure, 8, drawing.columns_for(8, 5, 5), (5, 5), 2)
    order = sorted(range(8), key=lambda number: -np.linalg.norm(after[..., number]))
    assert order == drawing.by_norm(after).tolist()
    for place, number in enumerate(order):
        np.testing.assert_array_equal(left[place], before[:, :, 0, number])
        np.testing.assert_array_equal(right[place], after[:, :, 0, number])
    lowest, highest = figure.axes[0].get_images()[0].get_clim()
    assert lowest == -highest and np.percentile(abs(after), 95) < highest <= abs(after).max()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [text.split(":")[0] for text in texts] == ["before training", "after training"]
    assert len(figure.axes) == 2  # one colour bar


def test_before_and_after_in_colour_is_gray_at_zero():
    after = np.zeros((3, 3, 3, 4), np.float32)
    after[1, 1] = np.array([[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 0.5, -1]])
    figure = drawing.before_and_after(after / 2, after, "any")
    left, right = tiles(figure, 4, drawing.columns_for(4, 3, 3), (3, 3), 2)
    np.testing.assert_allclose(right[:, 0, 0], 0.5)
    centres = right[:, 1, 1][np.argsort(drawing.by_norm(after))]  # in the filters' own order
    np.testing.assert_allclose(
        centres, [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0.75], [0, 0, 0]], atol=0.01)
    np.testing.assert_allclose(left[:, 1, 1] - 0.5, (right[:, 1, 1] - 0.5) / 2, atol=0.01)


def test_before_and_after_draws_the_same_inputs_on_both_sides():
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(2, 3, 3, 20, 40)).astype(np.float32)
    figure = drawing.before_and_after(before, after, "any")
    notes = figure.texts[1].get_text().replace("\n", " ")
    assert "the 32 largest of 40 filters of 3x3x20" in notes and "the 8 of 20" in notes
    image = figure.axes[0].get_images()[0].get_array().filled(np.nan)
    shown = np.unique(image[np.isfinite(image)])
    places = np.argsort(-np.square(after).sum((0, 1)), axis=0, kind="stable")[:8]
    expected = {float(value) for side in (before, after)
                for number in drawing.by_norm(after)[:32]
                for value in side[:, :, places[:, number], number].ravel()}
    assert set(shown.tolist()) == expected


def test_before_and_after_of_frozen_filters_has_one_side():
    figure = drawing.before_and_after(None, np.ones((2, 2, 1, 3)), "any")
    (name,) = [text.get_text() for text in figure.axes[0].texts]
    assert name.startswith("after training")


@pytest.mark.parametrize("before, after", [
    (np.zeros((3, 3, 1, 2)), np.zeros((3, 3, 1, 4))), (None, np.zeros((3, 3)))])
def test_before_and_after_refuses_other_shapes(before, after):
    with pytest.raises(ValueError, match="shape"):
        drawing.before_and_after(before, after, "any")


def test_class_weights_name_the_classes_or_sort_the_units():
    weights = np.zeros((4, 4, 3, 3), np.float32)
    weights[0, 0] = [[2, 0, 0], [0, 1, 0], [0, 0, -4]]
    figure = drawing.class_weights(weights, ["a", "$b$", "c"], "any")
    assert [text.get_text() for text in figure.axes[0].texts] == ["a", "$b$", "c"]
    (image,) = figure.axes[0].get_images()
    np.testing.assert_allclose(np.asarray(image.get_array())[0, 0], [0.75, 0.5, 0.5], atol=0.01)
    figure.canvas.draw()
    assert not drawing.class_weights(weights, None, "any").axes[0].texts

"""Figures of filters and weights, and of what the filters make of an image."""

import numpy as np

from tf1cifar.drawing.mosaics import (
    colour_scale,
    columns_for,
    draw_panels,
    draw_tiles,
    enlarge,
    mosaic,
    scale_for,
)

SIDE_OF_TWO = 620  # largest size of each side's longer side before and after training, in pixels
MOST_STRIPS = 32  # filters of many inputs that are drawn beside their start
STRONGEST = 8  # largest number of inputs that are drawn for a filter
INNER_GAP = 1  # pixels between the inputs of one filter


def filters(weights, title, figure=None):
    """Draw a convolution's filters.

    Args:
      weights: float [height, width, inputs, filters]. A filter becomes a strip of squares, one
        for each input. Of more than STRONGEST inputs those with the largest norm are drawn,
        largest first.
      title: heading and remarks, to which the sizes are added.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.

    Raises:
      ValueError: `weights` does not have four dimensions, or is empty.
    """
    weights = _checked(weights)
    height, width, inputs, count = weights.shape
    tiles = weights.transpose(3, 2, 0, 1)
    note = f"{count} filter{'s' * (count > 1)} of {height}x{width}x{inputs}"
    if inputs > 1:
        note += "; each strip is a filter, each square of it an input"
    if inputs > STRONGEST:
        tiles = strongest(tiles)
        note += f": the {STRONGEST} of {inputs} inputs with the largest weights, largest first"
    if min(height, width) > 1:
        across, down = neighbour_correlation(weights)
        note += (f"; correlation of neighbouring weights {across:.2f} across, {down:.2f} down "
                 "(noise: 0)")
    shown = tiles.shape[1]
    columns = columns_for(count, height, width * shown)
    scale = scale_for(count, columns, height, width * shown)
    strips = np.stack([mosaic(enlarge(one, scale), shown, INNER_GAP) for one in tiles])
    return draw_tiles(figure, strips, columns, f"{title}\n{note}")


def neighbour_correlation(weights):
    """The correlation of each weight of a convolution with its neighbour.

    Edges and blobs have neighbouring weights alike; noise has a correlation near 0.

    Args:
      weights: float [height, width, inputs, filters], height and width at least 2.

    Returns:
      (across, down): the correlation with the neighbour to the right and with the one below, over
      all filters and inputs; 0.0 for constant weights.
    """
    pairs = (weights[:, :-1], weights[:, 1:]), (weights[:-1], weights[1:])
    return tuple(float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
                 if one.std() and other.std() else 0.0 for one, other in pairs)


def strongest(weights):
    """The STRONGEST inputs of every filter, by the norm of their weights, largest first.

    Args:
      weights: float [filters, inputs, height, width].

    Returns:
      float [filters, STRONGEST, height, width].
    """
    return np.take_along_axis(weights, _strongest_inputs(weights), axis=1)


def _strongest_inputs(weights):
    norms = np.square(weights).sum((2, 3))
    return np.argsort(-norms, axis=1, kind="stable")[:, :STRONGEST, None, None]


def channels(data, title, figure=None):
    """Draw the channels of the first image in a batch of activations.

    Args:
      data: float [batch, height, width, channels].
      title: heading and remarks, to which the sizes are added.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.

    Raises:
      ValueError: `data` does not have four dimensions, or is empty.
    """
    data = np.asarray(data, np.float32)
    if data.ndim != 4 or 0 in data.shape:
        raise ValueError(f"activations of shape {data.shape}, expected "
                         "[batch, height, width, channels]")
    _, height, width, count = data.shape
    columns = columns_for(count, height, width)
    tiles = enlarge(data[0].transpose(2, 0, 1), scale_for(count, columns, height, width))
    note = f"{count} channels of {height}x{width}" if count > 1 else f"{height}x{width}"
    return draw_tiles(figure, tiles, columns, f"{title}\n{note}")


# ---------------------------------------------------------------------------------------
# Before and after training


def before_and_after(before, after, title, figure=None):
    """Draw a convolution's filters before training beside the same filters after it.

    Both sides have one scale. The filters with the largest weights after training come first, and
    each filter has the same place on both sides. Filters of three inputs are drawn in colour: gray
    is zero, and a red square grows with red pixels. Other filters are drawn as in `filters`.

    Args:
      before: float [height, width, inputs, filters]. None draws one side, of weights that training
        does not change.
      after: float of the same shape.
      title: heading and remarks, to which the sizes are added.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.

    Raises:
      ValueError: an array does not have four dimensions, is empty, or the shapes differ.
    """
    after = _checked(after)
    sides = [after] if before is None else [_checked(before), after]
    if sides[0].shape != after.shape:
        raise ValueError(f"weights of shape {sides[0].shape} before training and {after.shape} "
                         "after it, expected the same")
    height, width, inputs, count = after.shape
    order = by_norm(after)
    note = f"{count} filter{'s' * (count > 1)} of {height}x{width}x{inputs}, largest weights first"
    if inputs > 3 and count > MOST_STRIPS:
        order, note = order[:MOST_STRIPS], f"the {MOST_STRIPS} largest of {note}"
        count = MOST_STRIPS
    if inputs == 3:
        note += "; gray is zero, each colour is the weight of that colour"
    elif inputs > 1:
        note += "; each strip is a filter, each square of it an input"
        if inputs > STRONGEST:
            note += f": the {STRONGEST} of {inputs} with the largest weights after training"
    tiles = [side.transpose(3, 2, 0, 1)[order] for side in sides]
    if inputs > STRONGEST:
        places = _strongest_inputs(tiles[-1])
        tiles = [np.take_along_axis(side, places, axis=1) for side in tiles]
    names = ["after training"] if before is None else ["before training", "after training"]
    if min(height, width) > 1:
        note += "; correlation of neighbouring weights (noise: 0)"
        names = [f"{name}: {_correlation_words(side)}" for name, side in zip(names, sides)]
    across = tiles[0].shape[1] if inputs != 3 else 1
    columns = columns_for(count, height, width * across)
    scale = scale_for(count, columns, height, width * across, SIDE_OF_TWO)
    colours, lowest, highest, cut = colour_scale(np.stack(tiles), signed=True)
    if inputs == 3:
        strips = [enlarge(np.clip(side.transpose(0, 2, 3, 1) / (2 * highest) + 0.5, 0, 1), scale)
                  for side in tiles]
        return draw_panels(figure, strips, names, columns, f"{title}\n{note}", None)
    strips = [np.stack([mosaic(enlarge(one, scale), across, INNER_GAP) for one in side])
              for side in tiles]
    return draw_panels(figure, strips, names, columns, f"{title}\n{note}",
                       (colours, lowest, highest, cut))


def by_norm(weights):
    """The order of filters [height, width, inputs, filters] by their norm, largest first."""
    return np.argsort(-np.square(weights).sum((0, 1, 2)), kind="stable")


def class_weights(weights, names, title, figure=None):
    """Draw the weights between an image's pixels and each unit of a dense layer as a picture.

    Args:
      weights: float [height, width, 1 or 3, units]. Light pixels, and those of a colour, speak for
        the unit, dark ones against it; in the middle is zero.
      names: list of str, the names of the units, such as classes. None numbers the units, with the
        largest weights first.
      title: heading and remarks, to which the sizes are added.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    weights = _checked(weights)
    height, width, planes, count = weights.shape
    if names is None:
        weights = weights[..., by_norm(weights)]
    tiles = weights.transpose(3, 0, 1, 2)
    columns = columns_for(count, height, width)
    pixels = scale_for(count, columns, height, width)
    note = (f"{count} pictures of {height}x{width}: "
            + ("gray is zero, light speaks for it, dark against it" if planes == 1 else
               "gray is zero, each colour is the weight of that colour")
            + ("" if names else "; largest weights first"))
    colours, lowest, highest, cut = colour_scale(tiles, signed=True)
    if planes == 3:
        tiles = np.clip(tiles / (2 * highest) + 0.5, 0, 1)
    else:
        tiles = tiles[..., 0]
    return draw_panels(figure, [enlarge(tiles, pixels)], [], columns, f"{title}\n{note}",
                       None if planes == 3 else ("gray", lowest, highest, cut), names)


def _checked(weights):
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(f"weights of shape {weights.shape}, expected "
                         "[height, width, inputs, filters]")
    return weights


def _correlation_words(weights):
    across, down = neighbour_correlation(weights)
    return f"{across:.2f} across, {down:.2f} down"

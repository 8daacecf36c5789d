"""Figures of what a network gets wrong, what excites it and which pixels decide."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tf1cifar import console
from tf1cifar.drawing.images import visible
from tf1cifar.drawing.mosaics import SIGNED, enlarge, mosaic, place

TILE = 120  # side of an image, in pixels
GAP = 14
LINE = 15   # height of a line of text, in pixels
ROW_NAME = 24  # largest number of characters on the left of a row
CHARACTER = 7.2  # width of a character
FRAME = "#ff9d00"  # neither dark nor light


def gallery(images, captions, title, columns=8, row_names=None, boxes=None, figure=None):
    """Draw images with a few words under each.

    Args:
      images: uint8 or standardized float [N, height, width, 1 or 3].
      captions: list of N lists of str, equally many, the lines under an image. None is an empty
        place.
      title: heading and remarks.
      columns: number of images in a row.
      row_names: list of str, the words on the left of each row. None for no such words.
      boxes: int [N, 4], (left, top, width, height) of a frame in each image; none if width is 0.
        None for no frames.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    columns = min(columns, len(images))
    figure, places = _captioned(_colours(images), captions, title, columns, figure, row_names)
    (axes,) = figure.axes
    for (x, y, pixels), box in zip(places, () if boxes is None else boxes):
        if box[2]:
            column, row, across, down = box * pixels
            for colour, thickness in (("black", 2.6), (FRAME, 1.4)):
                axes.add_patch(Rectangle((x + column, y + row), across, down, fill=False,
                                         edgecolor=colour, linewidth=thickness))
    return figure


def _colours(images):
    """Images as float [N, height, width, 3] from 0 to 1."""
    colours = visible(images)
    return np.repeat(colours[..., None], 3, 3) if colours.ndim == 3 else colours


def _captioned(tiles, captions, title, columns, figure, row_names=None):
    """Draw tiles in colours with the lines of text under each, None for an empty place.

    Returns:
      (figure, places): a list of (left, top, pixels of the figure for one of the tile).
    """
    pixels = max(1, round(TILE / max(tiles.shape[1:3])))
    tiles = enlarge(tiles, pixels)
    tiles[[lines is None for lines in captions]] = 1.0
    height, width = tiles.shape[1:3]
    below = LINE * max([len(lines) for lines in captions if lines] or [0]) + 2
    spaced = np.concatenate([tiles, np.ones((len(tiles), below, width, 3), np.float32)], 1)
    row_names = [console.cut(console.plain(name), ROW_NAME) for name in row_names or ()]
    left = 16 + 9 * max(map(len, row_names), default=0)
    figure = figure or Figure()
    axes, _ = place(figure, mosaic(spaced, columns, GAP, fill=1.0), title, left=left, right=16,
                    bottom=4)
    length = int((width + GAP) / CHARACTER)
    places = []
    for number, lines in enumerate(captions):
        x, y = number % columns * (width + GAP), number // columns * (height + below + GAP)
        places.append((x, y, pixels))
        if lines is None:
            continue
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="0.7", linewidth=0.6))
        for line, text in enumerate(lines):
            words = console.cut(console.plain(text), length)
            axes.text(x, y + height + LINE * (line + 0.85), words,
                      fontsize=8, va="baseline", parse_math=False)
    for number, name in enumerate(row_names):
        axes.text(-8, number * (height + below + GAP) + height / 2, name, fontsize=9, ha="right",
                  va="center", parse_math=False)
    return figure, places


def prediction_lines(class_names, probabilities, label=None):
    """The lines under an image: the probability of the predicted class, and the label.

    Args:
      class_names: list of str.
      probabilities: float [classes].
      label: number of the right class. None leaves its line out.

    Returns:
      A list of str.
    """
    best = int(probabilities.argmax())
    lines = [f"{probabilities[best]:.2f} {class_names[best]}"]  # a long name is cut at its end
    if label is not None:
        lines.append("right" if label == best else f"not {class_names[label]}")
    return lines


def deciding_pixels(images, falls, captions, title, figure=None):
    """Draw images beside maps of how much each pixel speaks for a class.

    Each image's maps have a scale of their own: light pixels speak for the class, dark ones against
    it, and gray ones say nothing.

    Args:
      images: uint8 [n, height, width, 1 or 3], the part that the network sees.
      falls: float [n, k, height, width], see `training.inspection.covered`.
      captions: list of n lists of 1 + k lists of str: the lines under the image and its maps.
      title: heading and remarks.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    n, k, height, width = falls.shape
    tops = np.maximum(abs(falls).max((1, 2, 3), keepdims=True), 1e-9)
    maps = matplotlib.colormaps[SIGNED]((falls / tops + 1) / 2)[..., :3]
    tiles = np.concatenate([_colours(images)[:, None], maps], 1).astype(np.float32)
    figure, _ = _captioned(tiles.reshape(n * (k + 1), height, width, 3),
                           [lines for row in captions for lines in row],
                           title, (k + 1) * (2 if n > 3 else 1), figure)
    return figure

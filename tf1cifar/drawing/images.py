"""Figures of images beside what a network sees in them and takes them for."""

import pathlib

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tf1cifar import console
from tf1cifar.drawing.mosaics import (
    DPI,
    enlarge,
    gap_for,
    mosaic,
    number_tiles,
    place,
    scale_for,
    wrapped,
)

FILE_NAME_LENGTH = 24  # largest number of characters of a file name over a picture


def examples(class_names, images, labels, title, per_class=10, figure=None):
    """Draw the first images of every class, one class in each row.

    Args:
      class_names: list of str.
      images: uint8 or standardized float [N, height, width, 1 or 3].
      labels: int [N].
      title: heading and remarks, to which the sizes are added.
      per_class: number of images in a row.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = figure or Figure()
    labels = np.asarray(labels)
    rows = [np.flatnonzero(labels == label)[:per_class] for label in range(len(class_names))]
    _, height, width, planes = images.shape
    colours = (3,) if planes == 3 else ()
    tiles = np.ones((len(class_names), per_class, height, width, *colours), np.float32)
    for places, numbers in zip(tiles, rows):
        places[:len(numbers)] = visible(images[numbers])
    tiles = tiles.reshape(-1, height, width, *colours)
    tiles = enlarge(tiles, scale_for(len(tiles), per_class, height, width))
    note = f"{height}x{width} pixels, the first {per_class} of every class"
    gap = gap_for(*tiles.shape[1:3])
    axes, _ = place(figure, mosaic(tiles, per_class, gap, fill=1.0), f"{title}\n{note}",
                     left=16 + 8 * max(map(len, class_names)), right=14, bottom=14,
                     cmap="gray", vmin=0, vmax=1)
    number_tiles(axes.yaxis, len(class_names), tiles.shape[1] + gap, tiles.shape[1], 1)
    axes.set_yticks(axes.get_yticks(), class_names, parse_math=False)
    axes.tick_params(labelsize=9, labelcolor="black")
    return figure


def visible(images):
    """Images as colours from 0 to 1.

    Args:
      images: [N, height, width, 1 or 3], uint8, or float with mean 0 and standard deviation 1.
        -2.5 becomes black and 2.5 becomes white.

    Returns:
      float32 [N, height, width] or [N, height, width, 3].
    """
    if images.dtype == np.uint8:
        colours = images.astype(np.float32) / 255
    else:
        colours = np.clip(images.astype(np.float32) / 5 + 0.5, 0, 1)
    return colours[..., 0] if images.shape[-1] == 1 else colours


def network_input(image, prepared, title, figure=None):
    """Draw an image beside its prepared pixels, the input of a network.

    Args:
      image: uint8 [height, width, 1 or 3].
      prepared: float [height, width, 1 or 3], the whole image or its central part.
      title: heading and remarks.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = figure or Figure()
    left, right = _two_axes(figure, title)
    _draw_image(left, image)
    _draw_image(right, prepared)
    (rows, columns), (height, width) = image.shape[:2], prepared.shape[:2]
    if (rows, columns) != (height, width):
        left.add_patch(Rectangle(((columns - width) // 2 - 0.5, (rows - height) // 2 - 0.5),
                                 width, height, fill=False, edgecolor="white", linewidth=1.5))
    left.set_title(f"original, {_size(image)}", fontsize=9)
    right.set_title(f"input of the network, {_size(prepared)}", fontsize=9)
    mean = round(float(prepared.mean()), 2) + 0.0  # not -0.0
    right.set_xlabel(f"pixels from {prepared.min():.2f} to {prepared.max():.2f}, "
                     f"mean {mean:.2f}, deviation {prepared.std():.2f}", fontsize=8)
    return figure


def class_probabilities(image, class_names, probabilities, title, figure=None):
    """Draw an image beside a network's probability of every class.

    Args:
      image: uint8 [height, width, 1 or 3].
      class_names: list of str.
      probabilities: float [classes].
      title: heading and remarks.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = figure or Figure()
    left, right = _two_axes(figure, title)
    _draw_image(left, image)
    bars = right.barh(range(len(class_names)), probabilities, color="tab:blue")
    right.bar_label(bars, [f"{p:.3f}" for p in probabilities], padding=3, fontsize=8)
    right.set_yticks(range(len(class_names)), class_names, fontsize=9, parse_math=False)
    right.tick_params(axis="y", length=0)
    right.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="probability")
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)
    return figure


def predictions(images, prepared, names, lines, title, figure=None):
    """Draw pictures beside the pixels that a network sees of them, with their predicted classes.

    If the network sees the images as they are, they are drawn once.

    Args:
      images: uint8 [N, height, width, 1 or 3], pictures in the size of a data set's images.
      prepared: float [N, height, width, 1 or 3], the network's input: all of each image or its
        central part.
      names: list of the pictures' paths; their file names are drawn.
      lines: list of a list of up to four short texts for each picture.
      title: heading and remarks, to which words about the two images are added.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    (height, width), (rows, columns) = images.shape[1:3], prepared.shape[1:3]
    once = images.shape == prepared.shape and np.allclose(prepared * 255, images, atol=0.01)
    if once:
        note = f"The network sees the pictures as they are drawn here ({_size(images[0])})."
    else:
        part = "the part in the frame" if (rows, columns) != (height, width) else "all of it"
        note = (f"Left: a picture, resized ({_size(images[0])}). Right: what the network sees, "
                f"{part} ({_size(prepared[0])}).")
    across = min(len(images), 6 if once else 5)
    cell, side, below = (2.2 if once else 2.6), 1.17, 0.95  # in inches
    length = int(cell * 16)  # characters of a text that fit into a cell
    full_width = max(across * cell + 0.3, 6)
    heading, notes = wrapped(f"{title}\n{note}", full_width * DPI)
    top = 0.5 + 0.15 * len(notes)
    full_height = top + -(-len(images) // across) * (side + below)
    figure = figure or Figure()
    figure.set_dpi(DPI)
    figure.set_size_inches(full_width, full_height)
    figure.suptitle(heading, x=0.15 / full_width, y=1 - 0.1 / full_height, ha="left", va="top",
                    fontsize=11, fontweight="bold", parse_math=False)
    figure.text(0.15 / full_width, 1 - 0.35 / full_height, "\n".join(notes), va="top", fontsize=8.5,
                color="0.25", parse_math=False)
    for number, (image, pixels, name, texts) in enumerate(zip(images, prepared, names, lines)):
        left, row = 0.15 + number % across * cell, number // across
        axes = figure.add_axes([left / full_width, 1 - (top + row * (side + below) + 0.25 + side)
                                / full_height, (cell - 0.15) / full_width, side / full_height])
        _draw_seen(axes, image, None if once else pixels)
        name = console.plain(pathlib.Path(name).name)
        if len(name) > FILE_NAME_LENGTH:
            name = name[:FILE_NAME_LENGTH - 3] + "..."
        # Names of files and classes may contain $ signs.
        axes.set_title(name, fontsize=8.5, loc="left", pad=3, parse_math=False)
        axes.text(0, -0.06, "\n".join(console.cut(console.plain(text), length) for text in texts),
                  transform=axes.transAxes, va="top", fontsize=8.5, parse_math=False)
    return figure


def _draw_seen(axes, image, prepared):
    """Draw an image, and on its right its prepared pixels, unless they are None."""
    height, width = image.shape[:2]
    options = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "none"}
    outline = {"fill": False, "edgecolor": "0.7", "linewidth": 0.6, "clip_on": False}
    axes.imshow(visible(image[None])[0], extent=(0, width, height, 0), **options)
    if prepared is not None:
        rows, columns = prepared.shape[:2]
        start, end = 1.06 * width, 1.06 * width + columns * height / rows
        # Standardized pixels have deviation 1; those of other preparations get it here.
        pixels = visible(prepared[None] / max(float(prepared.std()), 1e-6))[0]
        axes.imshow(pixels, extent=(start, end, height, 0), **options)
        axes.set(xlim=(0, end), ylim=(height, 0))
        if (rows, columns) != (height, width):
            axes.add_patch(Rectangle(((width - columns) // 2, (height - rows) // 2), columns, rows,
                                     fill=False, edgecolor="tab:orange", linewidth=1.2))
        axes.add_patch(Rectangle((start, 0), end - start, height, **outline))
    axes.add_patch(Rectangle((0, 0), width, height, **outline))
    axes.set_anchor("NW")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _two_axes(figure, title):
    figure.set_dpi(DPI)
    figure.set_size_inches(7.5, 4.3)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
    heading, notes = wrapped(title, 7.5 * DPI)
    figure.suptitle(heading, fontsize=11, fontweight="bold", parse_math=False)
    figure.supxlabel("\n".join(notes), fontsize=8.5, color="0.25", parse_math=False)
    return figure.subplots(1, 2)


def _draw_image(axes, image):
    axes.imshow(visible(image[None])[0], cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set(xticks=[], yticks=[])


def _size(image):
    height, width, planes = image.shape
    return f"{height}x{width}, {'gray' if planes == 1 else 'colour'}"

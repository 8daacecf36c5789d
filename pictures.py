"""What networks see and compute, as pictures: arrays in, a drawn matplotlib figure out.

    draw_weights        the filters of a convolution
    draw_channels       the channels of one image's activations
    draw_examples       images of every class
    draw_input          one image, and what a network gets of it
    draw_probabilities  what a network takes that image for
    mosaic              many small images as a single one, which the first three are made of

A thousand channels as a thousand axes take matplotlib a minute; as one mosaic, a moment.
Sizes below are in pixels of the written file, so that every pixel of a filter comes out as
a square of the same size.
"""

import math
import textwrap

import numpy as np
from matplotlib.patches import Rectangle

DPI = 120
SIDE = 960  # pixels that a mosaic's longer side about fills
STRONGEST = 8  # inputs of a filter that a picture of weights shows
INNER_GAP = 1  # pixels between the inputs of one filter


# ---------------------------------------------------------------------------------------
# Mosaics


def mosaic(tiles, columns, gap, fill=np.nan):
    """Tiles side by side, row after row, as one image.

    Args:
      tiles: [n, height, width, ...], what follows the width being colours.
      columns: tiles in a row.
      gap: pixels between neighbours.
      fill: value of the gaps and of the places after the last tile.

    Returns:
      float [rows * (height + gap) - gap, columns * (width + gap) - gap, ...].
    """
    n, height, width = tiles.shape[:3]
    rows = -(-n // columns)
    # Each tile takes its gap along, to its right and below; the last ones are cut off.
    places = np.full((rows * columns, height + gap, width + gap, *tiles.shape[3:]), fill,
                     np.result_type(tiles.dtype, np.float32))
    places[:n, :height, :width] = tiles
    places = places.reshape(rows, columns, *places.shape[1:]).swapaxes(1, 2)
    image = places.reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[3:])
    return image[:image.shape[0] - gap, :image.shape[1] - gap]


def columns_for(n, height, width):
    """Tiles in a row so that n tiles make a mosaic a little wider than high, with few blanks."""
    ideal = math.sqrt(1.2 * n * height / width)

    def cost(columns):
        return -n % columns / n + 0.4 * math.log(columns / ideal) ** 2

    return min(range(1, n + 1), key=cost)


def gap_for(height, width):
    """Pixels between tiles of a size, always more than INNER_GAP."""
    return min(max(min(height, width) // 10, 2), 6)


def enlarge(tiles, pixels):
    """[n, height, width, ...] with every pixel as a square of pixels x pixels."""
    return tiles.repeat(pixels, 1).repeat(pixels, 2)


def colour_scale(values):
    """The one scale of a figure: (colour map, lowest, highest value, what is cut off).

    Where there are negative values it goes as far below zero as above, and zero is its
    middle; otherwise it starts at zero. A few far outliers (half a percent of what is not
    zero) do not count, or they would drown all else; the scale's ends then point outwards.

    Args:
      values: array; what is not finite is passed over.

    Returns:
      (name, float, float, 'neither', 'min', 'max' or 'both').
    """
    values = values[np.isfinite(values) & (values != 0)]
    if not values.size:
        return "viridis", 0.0, 1.0, "neither"
    highest = float(np.percentile(abs(values), 99.5))
    below, above = values.min() < -highest, values.max() > highest
    cut = {(False, False): "neither", (True, False): "min", (False, True): "max",
           (True, True): "both"}[bool(below), bool(above)]
    if values.min() < 0:
        return "RdBu_r", -highest, highest, cut
    return "viridis", 0.0, highest, cut


# ---------------------------------------------------------------------------------------
# Filters and channels


def draw_weights(figure, weights, title):
    """Draw a convolution's filters.

    Args:
      figure: an empty `matplotlib.figure.Figure`.
      weights: [height, width, inputs, filters]. A filter is a strip of squares, one an
        input; of more than STRONGEST inputs those with the largest norm, largest first.
      title: its first line is a heading; a line on what is shown is added.

    Raises:
      ValueError: `weights` is not such an array.
    """
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(f"weights of shape {weights.shape}, expected "
                         "[height, width, inputs, filters]")
    height, width, inputs, filters = weights.shape
    tiles = weights.transpose(3, 2, 0, 1)
    note = f"{filters} filter{'s' * (filters > 1)} of {height}x{width}x{inputs}"
    if inputs > 1:
        note += "; each strip is a filter, each square of it an input"
    if inputs > STRONGEST:
        tiles = strongest(tiles)
        note += f": the {STRONGEST} of {inputs} inputs with the largest weights, largest first"
    shown = tiles.shape[1]
    columns = columns_for(filters, height, width * shown)
    scale = _scale(filters, columns, height, width * shown)
    strips = np.stack([mosaic(enlarge(one, scale), shown, INNER_GAP) for one in tiles])
    _draw_tiles(figure, strips, columns, f"{title}\n{note}")


def strongest(filters):
    """The STRONGEST inputs of every filter, by the norm of their weights, largest first.

    Args:
      filters: [filters, inputs, height, width].

    Returns:
      [filters, STRONGEST, height, width].
    """
    norms = np.square(filters).sum((2, 3))
    order = np.argsort(-norms, axis=1, kind="stable")[:, :STRONGEST]
    return np.take_along_axis(filters, order[:, :, None, None], axis=1)


def draw_channels(figure, data, title):
    """Draw the channels of the first image in a batch of activations.

    Args:
      figure: an empty `matplotlib.figure.Figure`.
      data: [batch, height, width, channels].
      title: its first line is a heading; a line with the shape is added.

    Raises:
      ValueError: `data` is not such an array.
    """
    data = np.asarray(data, np.float32)
    if data.ndim != 4 or 0 in data.shape:
        raise ValueError(f"activations of shape {data.shape}, expected "
                         "[batch, height, width, channels]")
    _, height, width, channels = data.shape
    columns = columns_for(channels, height, width)
    tiles = enlarge(data[0].transpose(2, 0, 1), _scale(channels, columns, height, width))
    note = f"{channels} channels of {height}x{width}" if channels > 1 else f"{height}x{width}"
    _draw_tiles(figure, tiles, columns, f"{title}\n{note}")


def _scale(n, columns, height, width):
    """By how much to enlarge n tiles."""
    return max(1, SIDE // max(-(-n // columns) * height, columns * width))


def _draw_tiles(figure, tiles, columns, title):
    """Draw enlarged tiles, [n, height, width], with one colour scale and their numbers."""
    n, height, width = tiles.shape
    rows = -(-n // columns)
    gap = gap_for(height, width)
    name, lowest, highest, cut = colour_scale(tiles)
    axes, shown = _place(figure, mosaic(tiles, columns, gap), title, left=38, right=86, bottom=26,
                         cmap=name, vmin=lowest, vmax=highest)
    if lowest < 0:  # zero is nearly white there, so the gaps are not
        axes.set_facecolor("0.15")
        end, top = (n - 1) % columns * (width + gap) + width, (rows - 1) * (height + gap) - gap
        axes.fill_between([end, axes.get_xlim()[1]], top, axes.get_ylim()[0], color="white", lw=0)

    # A channel's number is that of its row plus that of its column.
    _ticks(axes.yaxis, rows, height + gap, height, columns)
    if columns > 1:
        _ticks(axes.xaxis, columns, width + gap, width, 1, "+" if rows > 1 else "")

    box = axes.get_position()
    pixel = 1 / (figure.get_figwidth() * DPI)
    bar = figure.add_axes([box.x1 + 14 * pixel, box.y0, 14 * pixel, box.height])
    figure.colorbar(shown, cax=bar, extend=cut, extendfrac=0.03).ax.tick_params(labelsize=8)


def _ticks(axis, count, pitch, size, step, sign=""):
    """Number `count` tiles of `size` pixels that lie `pitch` apart by multiples of `step`."""
    every = -(-34 // int(pitch)) if pitch < 34 else 1  # no closer than a label is long
    chosen = range(0, count, every)
    axis.set_ticks([number * pitch + size / 2 for number in chosen],
                   [f"{sign if number else ''}{number * step}" for number in chosen])


def _place(figure, image, title, left, right, bottom, **options):
    """Draw an image pixel for pixel, sizing the figure around it.

    Args:
      image: [height, width] or [height, width, 3].
      left, right, bottom: margins in pixels.
      options: of `imshow`.

    Returns:
      (axes, what `imshow` returns).
    """
    height, width = image.shape[:2]
    full_width = max(left + width + right, 720)
    heading, notes = _lines(title, full_width - left)
    top = 40 + 17 * len(notes)
    full_height = top + height + bottom
    figure.set_dpi(DPI)
    figure.set_size_inches(full_width / DPI, full_height / DPI)
    axes = figure.add_axes([left / full_width, bottom / full_height,
                            width / full_width, height / full_height])
    shown = axes.imshow(image, interpolation="none", aspect="auto", extent=(0, width, height, 0),
                        **options)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=3, labelsize=7, labelcolor="0.35")
    axes.set(xticks=[], yticks=[])
    for y, text, style in ((10, heading, {"fontsize": 11, "fontweight": "bold"}),
                           (32, "\n".join(notes), {"fontsize": 8.5, "color": "0.25"})):
        figure.text(left / full_width, 1 - y / full_height, text, va="top", parse_math=False,
                    **style)
    return axes, shown


def _lines(title, width):
    """(heading, further lines that fit into `width` pixels)."""
    heading, *notes = title.split("\n")
    return heading, [line for note in notes for line in textwrap.wrap(note, int(width / 8.2))]


# ---------------------------------------------------------------------------------------
# Images and what they are


def draw_examples(figure, class_names, images, labels, title, per_class=10):
    """Draw the first images of every class, a class a row.

    Args:
      figure: an empty `matplotlib.figure.Figure`.
      class_names: list of str.
      images: uint8 or standardized float [N, height, width, 1 or 3].
      labels: int [N].
      title: its first line is a heading; a line on what is shown is added.
    """
    labels = np.asarray(labels)
    chosen = [np.flatnonzero(labels == label)[:per_class] for label in range(len(class_names))]
    _, height, width, channels = images.shape
    colours = (3,) if channels == 3 else ()
    tiles = np.ones((len(class_names), per_class, height, width, *colours), np.float32)
    for row, numbers in zip(tiles, chosen):
        row[:len(numbers)] = visible(images[numbers])
    tiles = tiles.reshape(-1, height, width, *colours)
    tiles = enlarge(tiles, _scale(len(tiles), per_class, height, width))
    note = f"{height}x{width} pixels, the first {per_class} of every class"
    gap = gap_for(*tiles.shape[1:3])
    axes, _ = _place(figure, mosaic(tiles, per_class, gap, fill=1.0), f"{title}\n{note}",
                     left=16 + 8 * max(map(len, class_names)), right=14, bottom=14,
                     cmap="gray", vmin=0, vmax=1)
    _ticks(axes.yaxis, len(class_names), tiles.shape[1] + gap, tiles.shape[1], 1)
    axes.set_yticks(axes.get_yticks(), class_names, parse_math=False)
    axes.tick_params(labelsize=9, labelcolor="black")


def visible(images):
    """Images as colours from 0 to 1.

    Args:
      images: uint8, or float with mean 0 and deviation 1, of which -2.5 becomes black and
        2.5 white; [N, height, width, 1 or 3].

    Returns:
      float32 [N, height, width] or [N, height, width, 3].
    """
    if images.dtype == np.uint8:
        colours = images.astype(np.float32) / 255
    else:
        colours = np.clip(images.astype(np.float32) / 5 + 0.5, 0, 1)
    return colours[..., 0] if images.shape[-1] == 1 else colours


def draw_input(figure, image, prepared, title):
    """Draw an image beside what a network gets of it.

    Args:
      figure: an empty `matplotlib.figure.Figure`.
      image: uint8 [height, width, 1 or 3].
      prepared: float [height, width, 1 or 3], the whole of the image or the middle of it.
      title: its first line is a heading.
    """
    left, right = _two_axes(figure, title)
    _draw_image(left, image)
    _draw_image(right, prepared)
    (rows, columns), (height, width) = image.shape[:2], prepared.shape[:2]
    if (rows, columns) != (height, width):
        left.add_patch(Rectangle(((columns - width) // 2 - 0.5, (rows - height) // 2 - 0.5),
                                 width, height, fill=False, edgecolor="white", linewidth=1.5))
    left.set_title(f"as it is, {_size(image)}", fontsize=9)
    right.set_title(f"as the network gets it, {_size(prepared)}", fontsize=9)
    mean = round(float(prepared.mean()), 2) + 0.0  # not -0.0
    right.set_xlabel(f"pixels from {prepared.min():.2f} to {prepared.max():.2f}, "
                     f"mean {mean:.2f}, deviation {prepared.std():.2f}", fontsize=8)


def draw_probabilities(figure, image, class_names, probabilities, title):
    """Draw an image beside a network's probability of every class.

    Args:
      figure: an empty `matplotlib.figure.Figure`.
      image: uint8 [height, width, 1 or 3].
      class_names: list of str.
      probabilities: float [classes].
      title: its first line is a heading.
    """
    left, right = _two_axes(figure, title)
    _draw_image(left, image)
    bars = right.barh(range(len(class_names)), probabilities, color="tab:blue")
    right.bar_label(bars, [f"{p:.3f}" for p in probabilities], padding=3, fontsize=8)
    right.set_yticks(range(len(class_names)), class_names, fontsize=9, parse_math=False)
    right.tick_params(axis="y", length=0)
    right.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="probability")
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)


def _two_axes(figure, title):
    figure.set_dpi(DPI)
    figure.set_size_inches(7.5, 4.3)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
    heading, notes = _lines(title, 7.5 * DPI)
    figure.suptitle(heading, fontsize=11, fontweight="bold", parse_math=False)
    figure.supxlabel("\n".join(notes), fontsize=8.5, color="0.25", parse_math=False)
    return figure.subplots(1, 2)


def _draw_image(axes, image):
    axes.imshow(visible(image[None])[0], cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set(xticks=[], yticks=[])


def _size(image):
    height, width, channels = image.shape
    return f"{height}x{width}, {'gray' if channels == 1 else 'colour'}"

"""The layout of figures that consist of many small images.

    mosaic        many small images as one image
    draw_tiles    a mosaic with a colour scale and the numbers of its tiles
    place         an image, pixel for pixel, with a heading, in a figure of the size that this needs
    colour_scale  the colours of a figure, which keep their order in black and white
    sized         a figure of a size in inches

Matplotlib needs a minute for a thousand channels on a thousand axes, but only a moment for one
mosaic of them. Sizes of mosaics are in pixels of the written file, so that every pixel of a filter
becomes a square of the same size.
"""

import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

DPI = 120
SIDE = 960  # largest size of a mosaic's longer side, in pixels, unless its tiles need more
# From dark blue over gray, which is zero, to light yellow. Black and white keep the order.
SIGNED = "cividis"
UNSIGNED = "viridis"


def mosaic(tiles, columns, gap, fill=np.nan):
    """Tiles side by side, row after row, as one image.

    Args:
      tiles: [n, height, width] or, in colours, [n, height, width, 3].
      columns: number of tiles in a row.
      gap: number of pixels between neighbouring tiles.
      fill: value of the gaps and of the places after the last tile.

    Returns:
      float [rows * (height + gap) - gap, columns * (width + gap) - gap, ...].
    """
    n, height, width = tiles.shape[:3]
    rows = -(-n // columns)
    # Each tile is followed by its gap, on the right and below. The outermost gaps are cut off.
    places = np.full((rows * columns, height + gap, width + gap, *tiles.shape[3:]), fill,
                     np.result_type(tiles.dtype, np.float32))
    places[:n, :height, :width] = tiles
    places = places.reshape(rows, columns, *places.shape[1:]).swapaxes(1, 2)
    image = places.reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[3:])
    return image[:image.shape[0] - gap, :image.shape[1] - gap]


def columns_for(n, height, width):
    """Number of columns that makes the mosaic of n tiles slightly wide, with few empty places."""
    ideal = math.sqrt(1.2 * n * height / width)

    def cost(columns):
        return -n % columns / n + 0.4 * math.log(columns / ideal) ** 2

    return min(range(1, n + 1), key=cost)


def gap_for(height, width):
    """Number of pixels between tiles of a size, always more than INNER_GAP."""
    return min(max(min(height, width) // 10, 2), 6)


def enlarge(tiles, pixels):
    """The tiles [n, height, width, ...] with every pixel as a square of pixels x pixels."""
    return tiles.repeat(pixels, 1).repeat(pixels, 2)


def colour_scale(values, signed=False):
    """The colour scale of a figure.

    With negative values, the scale extends equally far on both sides of zero; otherwise it starts
    at zero. Outliers, the largest half percent of the values that are not zero, are ignored, since
    they would leave all other values the same colour. An end of the scale that ignores outliers is
    drawn as an arrow.

    Args:
      values: array; values that are not finite are ignored.
      signed: whether the scale extends to both sides of zero whatever the values are.

    Returns:
      (name of the colour map, lowest value, highest value, ends drawn as arrows); the last is
      'neither', 'min', 'max' or 'both'.
    """
    values = values[np.isfinite(values) & (values != 0)]
    if not values.size:
        return (SIGNED, -1.0, 1.0, "neither") if signed else (UNSIGNED, 0.0, 1.0, "neither")
    highest = float(np.percentile(abs(values), 99.5))
    below, above = values.min() < -highest, values.max() > highest
    cut = {(False, False): "neither", (True, False): "min", (False, True): "max",
           (True, True): "both"}[bool(below), bool(above)]
    if signed or values.min() < 0:
        return SIGNED, -highest, highest, cut
    return UNSIGNED, 0.0, highest, cut


def scale_for(n, columns, height, width, side=SIDE):
    """Factor by which n tiles are enlarged, to a mosaic with a longer side of `side` pixels."""
    return max(1, side // max(-(-n // columns) * height, columns * width))


def draw_tiles(figure, tiles, columns, title):
    """Draw enlarged tiles, [n, height, width], with one colour scale and their numbers."""
    figure = figure or Figure()
    n, height, width = tiles.shape
    rows = -(-n // columns)
    gap = gap_for(height, width)
    name, lowest, highest, cut = colour_scale(tiles)
    axes, shown = place(figure, mosaic(tiles, columns, gap), title, left=38, right=86, bottom=26,
                         cmap=name, vmin=lowest, vmax=highest)
    # The number of a channel is the sum of the numbers at its row and at its column.
    number_tiles(axes.yaxis, rows, height + gap, height, columns)
    if columns > 1:
        number_tiles(axes.xaxis, columns, width + gap, width, 1, "+" if rows > 1 else "")

    colour_bar(figure, axes, shown, cut)
    return figure


def draw_panels(figure, panels, names, columns, title, scale, labels=None):
    """Draw mosaics side by side on one scale.

    Args:
      figure: an empty figure, or None.
      panels: list of enlarged tiles, [n, height, width] or, in colours, [n, height, width, 3].
      names: list of the texts over the mosaics.
      columns: number of tiles in a row of each mosaic.
      title: heading and remarks.
      scale: what `colour_scale` returns, for a bar on the right; None if the tiles are colours.
      labels: list of the texts under the tiles. None for no texts.

    Returns:
      The figure.
    """
    n, height, width = panels[0].shape[:3]
    gap = gap_for(height, width)
    below = 18 if labels else 0
    parts = [_pad_below(panel, below) for panel in panels]
    parts = [mosaic(part, columns, gap, fill=1.0 if part.ndim == 4 else np.nan) for part in parts]
    middle = np.full((parts[0].shape[0], 26, *parts[0].shape[2:]), 1.0 if scale is None else np.nan)
    image = np.concatenate([parts[0]] + [piece for part in parts[1:] for piece in (middle, part)],
                           axis=1)
    options = {} if scale is None else {"cmap": scale[0], "vmin": scale[1], "vmax": scale[2]}
    figure = figure or Figure()
    over = 16 if any(names) else 0
    axes, shown = place(figure, image, title, left=16, right=86 if scale else 16, bottom=14,
                        over=over, **options)
    for number, name in enumerate(names):
        axes.text(number * (parts[0].shape[1] + middle.shape[1]), -5, name, fontsize=9,
                  va="bottom", parse_math=False)
    for number, label in enumerate(labels or ()):
        axes.text(number % columns * (width + gap) + width / 2,
                  number // columns * (height + below + gap) + height + 2, label, fontsize=8.5,
                  ha="center", va="top", parse_math=False)
    if scale:
        colour_bar(figure, axes, shown, scale[3])
    return figure


def _pad_below(tiles, pixels):
    """Tiles with `pixels` rows of the page's white below each."""
    fill = 1.0 if tiles.ndim == 4 else np.nan
    space = np.full((tiles.shape[0], pixels, *tiles.shape[2:]), fill, np.float32)
    return np.concatenate([tiles, space], axis=1)


def colour_bar(figure, axes, shown, cut):
    """Draw the scale of `shown` on the right of its axes; `cut` is that of `colour_scale`."""
    box = axes.get_position()
    pixel = 1 / (figure.get_figwidth() * DPI)
    bar = figure.add_axes([box.x1 + 14 * pixel, box.y0, 14 * pixel, box.height])
    figure.colorbar(shown, cax=bar, extend=cut, extendfrac=0.03).ax.tick_params(labelsize=8)


def number_tiles(axis, count, pitch, size, step, sign=""):
    """Number `count` tiles of `size` pixels that lie `pitch` apart by multiples of `step`."""
    every = -(-34 // int(pitch)) if pitch < 34 else 1  # labels must not overlap
    numbers = range(0, count, every)
    axis.set_ticks([number * pitch + size / 2 for number in numbers],
                   [f"{sign if number else ''}{number * step}" for number in numbers])


def place(figure, image, title, left, right, bottom, over=0, **options):
    """Draw an image pixel for pixel and size the figure around it.

    Args:
      figure: an empty figure.
      image: [height, width] or [height, width, 3].
      title: heading and remarks.
      left, right, bottom: margins in pixels.
      over: pixels between the remarks and the image.
      options: further arguments of `imshow`.

    Returns:
      (axes, the object that `imshow` returned).
    """
    height, width = image.shape[:2]
    full_width = max(left + width + right, 720)
    heading, notes = wrapped(title, full_width - left)
    under = 32 if heading else 8
    top = under + 8 + 17 * len(notes) + over
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
                           (under, "\n".join(notes), {"fontsize": 8.5, "color": "0.25"})):
        figure.text(left / full_width, 1 - y / full_height, text, va="top", parse_math=False,
                    **style)
    return axes, shown


def wrapped(title, width):
    """The heading of a title, and its remarks as lines that fit into `width` pixels."""
    heading, *notes = title.split("\n")
    return heading, [line for note in notes for line in textwrap.wrap(note, int(width / 8.2))]


def sized(figure, width, height):
    """`figure`, or a new one, in a size in inches and with a layout that fits its axes."""
    figure = figure or Figure()
    figure.set_dpi(DPI)
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")
    return figure

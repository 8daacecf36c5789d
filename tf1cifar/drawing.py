"""Every figure of this project: arrays and a title in, a matplotlib `Figure` out.

    filters              the filters of a convolution
    channels             the channels of one image's activations
    examples             images of every class
    network_input        one image, and the pixels that the network takes
    class_probabilities  one image, and the probability of each class
    predictions          pictures as a network sees them, and the most probable classes of each
    confusion_matrix     how often images of each class are predicted to be of each class
    learning_curve       the error after every epoch
    mosaic               many small images as one image, which the first three draw

Each function that returns a figure draws into a new one, or into the empty figure that is given as
`figure`, such as the figure of a window. The first line of a title is a heading.

Matplotlib needs a minute for a thousand channels on a thousand axes, but only a moment for one
mosaic of them. Sizes of mosaics are in pixels of the written file, so that every pixel of a filter
becomes a square of the same size.
"""

import math
import pathlib
import textwrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tf1cifar import console

DPI = 120
SIDE = 960  # largest size of a mosaic's longer side, in pixels, unless its tiles need more
STRONGEST = 8  # largest number of inputs that are drawn for a filter
INNER_GAP = 1  # pixels between the inputs of one filter
FILE_NAME_LENGTH = 24  # largest number of characters of a file name over a picture


# ---------------------------------------------------------------------------------------
# Mosaics


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


def colour_scale(values):
    """The colour scale of a figure.

    With negative values, the scale extends equally far on both sides of zero; otherwise it starts
    at zero. Outliers, the largest half percent of the values that are not zero, are ignored, since
    they would leave all other values the same colour. An end of the scale that ignores outliers is
    drawn as an arrow.

    Args:
      values: array; values that are not finite are ignored.

    Returns:
      (name of the colour map, lowest value, highest value, ends drawn as arrows); the last is
      'neither', 'min', 'max' or 'both'.
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
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(f"weights of shape {weights.shape}, expected "
                         "[height, width, inputs, filters]")
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
    scale = _scale(count, columns, height, width * shown)
    strips = np.stack([mosaic(enlarge(one, scale), shown, INNER_GAP) for one in tiles])
    return _draw_tiles(figure, strips, columns, f"{title}\n{note}")


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
    norms = np.square(weights).sum((2, 3))
    order = np.argsort(-norms, axis=1, kind="stable")[:, :STRONGEST]
    return np.take_along_axis(weights, order[:, :, None, None], axis=1)


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
    tiles = enlarge(data[0].transpose(2, 0, 1), _scale(count, columns, height, width))
    note = f"{count} channels of {height}x{width}" if count > 1 else f"{height}x{width}"
    return _draw_tiles(figure, tiles, columns, f"{title}\n{note}")


def _scale(n, columns, height, width):
    """Factor by which n tiles are enlarged."""
    return max(1, SIDE // max(-(-n // columns) * height, columns * width))


def _draw_tiles(figure, tiles, columns, title):
    """Draw enlarged tiles, [n, height, width], with one colour scale and their numbers."""
    figure = figure or Figure()
    n, height, width = tiles.shape
    rows = -(-n // columns)
    gap = gap_for(height, width)
    name, lowest, highest, cut = colour_scale(tiles)
    axes, shown = _place(figure, mosaic(tiles, columns, gap), title, left=38, right=86, bottom=26,
                         cmap=name, vmin=lowest, vmax=highest)
    if lowest < 0:  # zero is nearly white on this scale, so the gaps must be dark
        axes.set_facecolor("0.15")
        end, top = (n - 1) % columns * (width + gap) + width, (rows - 1) * (height + gap) - gap
        axes.fill_between([end, axes.get_xlim()[1]], top, axes.get_ylim()[0], color="white", lw=0)

    # The number of a channel is the sum of the numbers at its row and at its column.
    _ticks(axes.yaxis, rows, height + gap, height, columns)
    if columns > 1:
        _ticks(axes.xaxis, columns, width + gap, width, 1, "+" if rows > 1 else "")

    box = axes.get_position()
    pixel = 1 / (figure.get_figwidth() * DPI)
    bar = figure.add_axes([box.x1 + 14 * pixel, box.y0, 14 * pixel, box.height])
    figure.colorbar(shown, cax=bar, extend=cut, extendfrac=0.03).ax.tick_params(labelsize=8)
    return figure


def _ticks(axis, count, pitch, size, step, sign=""):
    """Number `count` tiles of `size` pixels that lie `pitch` apart by multiples of `step`."""
    every = -(-34 // int(pitch)) if pitch < 34 else 1  # labels must not overlap
    numbers = range(0, count, every)
    axis.set_ticks([number * pitch + size / 2 for number in numbers],
                   [f"{sign if number else ''}{number * step}" for number in numbers])


def _place(figure, image, title, left, right, bottom, **options):
    """Draw an image pixel for pixel and size the figure around it.

    Args:
      figure: an empty figure.
      image: [height, width] or [height, width, 3].
      title: heading and remarks.
      left, right, bottom: margins in pixels.
      options: further arguments of `imshow`.

    Returns:
      (axes, the object that `imshow` returned).
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
    """The heading of a title, and its remarks as lines that fit into `width` pixels."""
    heading, *notes = title.split("\n")
    return heading, [line for note in notes for line in textwrap.wrap(note, int(width / 8.2))]


# ---------------------------------------------------------------------------------------
# Images and classes


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
    tiles = enlarge(tiles, _scale(len(tiles), per_class, height, width))
    note = f"{height}x{width} pixels, the first {per_class} of every class"
    gap = gap_for(*tiles.shape[1:3])
    axes, _ = _place(figure, mosaic(tiles, per_class, gap, fill=1.0), f"{title}\n{note}",
                     left=16 + 8 * max(map(len, class_names)), right=14, bottom=14,
                     cmap="gray", vmin=0, vmax=1)
    _ticks(axes.yaxis, len(class_names), tiles.shape[1] + gap, tiles.shape[1], 1)
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
    heading, notes = _lines(f"{title}\n{note}", full_width * DPI)
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


def _sized(figure, width, height):
    """`figure`, or a new one, in a size in inches and with a layout that fits its axes."""
    figure = figure or Figure()
    figure.set_dpi(DPI)
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")
    return figure


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
    height, width, planes = image.shape
    return f"{height}x{width}, {'gray' if planes == 1 else 'colour'}"


# ---------------------------------------------------------------------------------------
# Results


MOST_NUMBERS, MOST_NAMES = 20, 40  # of classes in a readable confusion matrix


def confusion_matrix(counts, class_names, title, figure=None):
    """Draw how often images of each class are predicted to be of each class.

    With more than MOST_NUMBERS classes the colours stand alone, and of more than MOST_NAMES classes
    some are named.

    Args:
      counts: int [classes, classes]; the row is the label, the column is the prediction.
      class_names: list of str.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = _sized(figure, 8, 7.2)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes = figure.add_subplot(title=title, xlabel="predicted", ylabel="label")
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    every = -(-len(class_names) // MOST_NAMES)
    names = [class_names[number] for number in range(0, len(class_names), every)]
    size = {"fontsize": 10 if len(names) <= MOST_NUMBERS else 7}
    axes.set_xticks(range(0, len(class_names), every), names, rotation=45, ha="right",
                    parse_math=False, **size)
    axes.set_yticks(range(0, len(class_names), every), names, parse_math=False, **size)
    for row, column in np.ndindex(*(counts.shape if len(class_names) <= MOST_NUMBERS else (0, 0))):
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=9,
                  color="white" if shares[row, column] > 0.5 else "black")
    figure.colorbar(shown, label="share of the label's images", shrink=0.8)
    return figure


def learning_curve(rows, title, figure=None):
    """Draw the error after every epoch on a log axis.

    An error of zero has no place on a log axis and is left out.

    Args:
      rows: list of dictionaries with epoch, training_accuracy, held_out_accuracy and
        test_accuracy; an accuracy that was not measured is None.
      title: heading.
      figure: empty figure to draw into. None creates a figure.

    Returns:
      The figure.
    """
    figure = _sized(figure, 7, 4.5)
    axes = figure.add_subplot(title=title, xlabel="epoch", ylabel="error (share that is wrong)")
    for name, label, colour in (("training", "training (while it learns)", "tab:blue"),
                                ("held_out", "held out", "tab:orange"),
                                ("test", "test", "tab:green")):
        errors = [(row["epoch"], 1 - row[f"{name}_accuracy"]) for row in rows
                  if row[f"{name}_accuracy"] is not None]
        points = [(epoch, error) for epoch, error in errors if error]
        if points:
            axes.plot(*zip(*points), "o-", label=label, color=colour, markersize=4)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.2g}")
    axes.yaxis.set_minor_formatter("{x:.2g}")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if len(rows) == 1:
        axes.set_xlim(rows[0]["epoch"] - 1, rows[0]["epoch"] + 1)
    axes.grid(True, which="both", alpha=0.3)
    if axes.lines:
        axes.legend()
    return figure

"""A small data set that needs no download: ten drawn shapes, in CIFAR-10's own layout.

    write   draw the data set into a folder
    load    read the data set, which is drawn first if it does not exist

There are 5,000 training and 1,000 test images of 32x32 pixels, equally many of each class. An
image shows a shape of any colour, in varying size, place and angle, lighter or darker than its
background, under noise. A single pixel says next to nothing about the class, so a linear
classifier stays near chance (10 to 18 % test accuracy), while chapter 9's network (He weights,
random crop and flip) reaches 92 to 97 % in ten epochs, less than a minute on two cores.

Images are computed from random integers with + - * / and square roots only. Every machine rounds
these alike, so the images are the same to the last bit everywhere.
"""

import math
import pathlib
import pickle

import numpy as np

from tf1cifar import files
from tf1cifar.data import base, cifar10
from tf1cifar.data.download import cache_folder

SEED = 1
SIZE = 32  # height and width of an image in pixels
PER_CLASS = 100  # images of each class in each of the six batches


# ---------------------------------------------------------------------------------------
# The shapes. Each function returns the distance of the points (x, y) from the outline, negative
# inside. A shape is about as large as the circle of radius 1 around the origin; y grows
# downwards. x and y are float32 arrays of equal shape.


def _disc(x, y, radius):
    return np.sqrt(x * x + y * y) - radius


def _box(x, y, half_width, half_height):
    return np.maximum(abs(x) - half_width, abs(y) - half_height)


def _directions(count):
    """`count` unit vectors (x, y), evenly distributed around the circle; the first points down."""
    angles = [2 * math.pi * i / count for i in range(count)]
    # The last digit of a sine differs between machines, so it is rounded away.
    return [(round(math.sin(angle), 6), round(math.cos(angle), 6)) for angle in angles]


def _circle(x, y):
    return _disc(x, y, 0.9)


def _ring(x, y):
    return abs(_disc(x, y, 0.7)) - 0.24


def _square(x, y):
    return _box(x, y, 0.8, 0.8)


def _triangle(x, y):
    return np.maximum.reduce([a * x + b * y for a, b in _directions(3)]) - 0.56


def _star(x, y):
    # Five lines make the star: a point inside it is beyond one of them at most.
    first = second = np.full_like(x, -np.inf)
    for a, b in _directions(5):
        beyond = a * x + b * y
        second = np.maximum(second, np.minimum(first, beyond))
        first = np.maximum(first, beyond)
    return second - 0.38


def _cross(x, y):
    return np.minimum(_box(x, y, 1.0, 0.3), _box(x, y, 0.3, 1.0))


def _heart(x, y):
    # A square that stands on its corner, with a disc on each of its upper sides.
    u, v = (x - y) * 0.7071, (-x - y) * 0.7071
    lobes = np.minimum(_disc(u - 0.58, v, 0.58), _disc(u, v - 0.58, 0.58))
    return np.minimum(_box(u, v, 0.58, 0.58), lobes)


def _moon(x, y):
    return np.maximum(_disc(x, y, 1.0), -_disc(x - 0.5, y, 0.8))


def _arrow(x, y):
    head = np.maximum(y, (abs(x) - y - 1.0) * 0.7071)
    return np.minimum(head, _box(x, y - 0.45, 0.28, 0.55))


def _flower(x, y):
    petals = [_disc(x + 0.62 * a, y + 0.62 * b, 0.38) for a, b in _directions(5)]
    return np.minimum.reduce([_disc(x, y, 0.4), *petals])


SHAPES = {"circle": _circle, "ring": _ring, "square": _square, "triangle": _triangle,
          "star": _star, "cross": _cross, "heart": _heart, "moon": _moon, "arrow": _arrow,
          "flower": _flower}
CLASS_NAMES = tuple(SHAPES)


# ---------------------------------------------------------------------------------------
# Drawing


def _uniform(rng, low, high, count):
    """One random number per image, float32 [count, 1, 1] from `low` to `high`."""
    return low + (high - low) * rng.random((count, 1, 1), np.float32)


def _colour(rng, level):
    """One random colour per image with the mean `level`: three arrays [count, 1, 1]."""
    red = _uniform(rng, -45, 45, len(level))
    green = _uniform(rng, -45, 45, len(level)) - red / 2
    return level + red, level + green, level - red - green


def _draw(shape, count, rng):
    """Draw `count` images of one shape, uint8 [count, 3, 32, 32]."""
    middle = (SIZE - 1) / 2
    pixel = np.arange(SIZE, dtype=np.float32)
    across, down = pixel - middle, pixel[:, None] - middle
    # The largest shape fits into the central 24x24 pixels but for its tips, and a random crop of
    # that size cuts off at most 4 of its 20 pixels.
    size = _uniform(rng, 6.5, 10, count)
    x = (across - _uniform(rng, -2, 2, count)) / size
    y = (down - _uniform(rng, -2, 2, count)) / size
    turns = np.array(_directions(360), np.float32)[rng.integers(-30, 31, count)]
    sin, cos = turns.T[..., None, None]
    outside = shape(cos * x + sin * y, cos * y - sin * x) * size  # in pixels
    coverage = np.clip(0.5 - outside, 0, 1)  # the edge is soft and one pixel wide

    # The gray levels of shape and background differ by `contrast`, which may be negative.
    contrast = _uniform(rng, 40, 110, count) * rng.choice([-1, 1], (count, 1, 1))
    level = _uniform(rng, 100, 155, count)
    back, front = _colour(rng, level - contrast / 2), _colour(rng, level + contrast / 2)
    slope = _uniform(rng, -1, 1, count) * across + _uniform(rng, -1, 1, count) * down
    images = np.empty((count, 3, SIZE, SIZE), np.uint8)
    for plane in range(3):
        clear = back[plane] + (front[plane] - back[plane]) * coverage + slope
        noise = rng.integers(-45, 46, (count, SIZE, SIZE), np.int8)
        images[:, plane] = np.clip(clear + noise, 0, 255)
    return images


def _batches():
    """Yield (data uint8 [1000, 3072], labels list) of five training batches and a test batch."""
    rng = np.random.default_rng(SEED)
    count = len(cifar10.FILES) - 1
    images = np.stack([_draw(shape, count * PER_CLASS, rng) for shape in SHAPES.values()])
    labels = np.repeat(np.arange(len(SHAPES)), PER_CLASS)
    for start in range(0, count * PER_CLASS, PER_CLASS):
        order = rng.permutation(len(labels))
        batch = images[:, start:start + PER_CLASS].reshape(len(labels), -1)
        yield batch[order], labels[order].tolist()


# ---------------------------------------------------------------------------------------
# Files


def write(directory):
    """Draw the data set into a folder: all seven files or none.

    A folder that holds a file batches.meta already is left as it is.

    Args:
      directory: path of a folder that does not exist yet or is empty.

    Raises:
      DataError: the folder holds other files.
      OSError: the folder cannot be written.
    """
    directory = pathlib.Path(directory)
    if (directory / cifar10.META_FILE).exists():
        return
    complete = False
    try:
        with files.new_folder(directory, existing="refuse") as folder:
            for file, content in _contents():
                with files.open_new(folder / file) as out:
                    # Protocol 4 keeps an array's bytes in one piece, as `safe_pickle` expects.
                    pickle.dump(content, out, protocol=4)
            complete = True
    except OSError as error:
        if not complete:
            raise
        # If another process was faster, it has written the same files.
        if not (directory / cifar10.META_FILE).exists():
            raise base.DataError(
                f"{directory}: the data set cannot be put there ({error.strerror}); "
                "name a folder that does not exist yet") from error


def _contents():
    """Yield (file name, dictionary to pickle) for each of the seven files."""
    yield cifar10.META_FILE, {
        "num_cases_per_batch": len(SHAPES) * PER_CLASS,
        "label_names": list(CLASS_NAMES),
        "num_vis": 3 * SIZE * SIZE,
    }
    names = (*cifar10.TRAIN_FILES, cifar10.TEST_FILE)
    for name, (data, labels) in zip(names, _batches()):
        title = "testing batch 1 of 1"
        if name in cifar10.TRAIN_FILES:
            title = f"training batch {name[-1]} of {len(cifar10.TRAIN_FILES)}"
        yield name, {
            "batch_label": title,
            "labels": labels,
            "data": data,
            "filenames": [f"{CLASS_NAMES[label]}_{name}_{i:04}.png"
                          for i, label in enumerate(labels)],
        }


def load(directory=None):
    """Read the data set, after drawing it if it does not exist yet.

    Args:
      directory: path of the folder with the seven files, a leading ~ is the home folder; by
        default a folder in the user's cache.

    Returns:
      A `base.Dataset`; its images are [N, 32, 32, 3].

    Raises:
      DataError: the folder holds other files, or a file is damaged.
      OSError: the folder cannot be written.
    """
    directory = files.expanded(directory) if directory else cache_folder() / "shapes-1"
    write(directory)
    return cifar10.load(directory, name="shapes", class_names=CLASS_NAMES)

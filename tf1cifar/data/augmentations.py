"""Random changes of training images that do not change the labels.

    augment      apply some of AUGMENTATIONS to a batch
    SomeOfBatch  a random generator for some images of a batch
    alternating  the images that 'alternating_flip' mirrors first
    views        six views of test images

Each augmentation is a function of the whole batch and a random generator, and changes each image
in its own way. Pixels stay on their scale of 0 to 255. The augmentations of colours return
float32 pixels, which may lie outside that scale; the preparations accept that.
"""

import numpy as np

CROP_SHIFT = 4  # largest shift in pixels, so that a 24x24 crop lies anywhere in 32x32 pixels;
# larger images are shifted by up to an eighth of their side
SHIFT = 2  # largest shift in pixels without a crop; a sixteenth of the side of larger images
SCALE = 1.2  # largest factor by which an image is enlarged or shrunk
HUE = 0.1  # largest rotation of the colour circle, in turns
CONTRAST = (0.2, 1.8)  # smallest and largest factor, as in TensorFlow's CIFAR-10 tutorial
BRIGHTNESS = 63.0  # largest change, as in TensorFlow's CIFAR-10 tutorial
NOISE = 10.0  # standard deviation of the noise


def scale(images, rng):
    """Enlarge or shrink each image about its middle; edge pixels are repeated outwards."""
    factors = SCALE ** rng.uniform(-1, 1, len(images))

    def along(images, axis):
        size = images.shape[axis]
        middle = (size - 1) / 2
        places = np.clip(middle + (np.arange(size) - middle) / factors[:, None], 0, size - 1)
        low = np.minimum(places.astype(int), size - 2)
        share = (places - low).astype(np.float32)
        shape = [len(images), 1, 1, 1]
        shape[axis] = size
        low, share = low.reshape(shape), share.reshape(shape)
        before = np.take_along_axis(images, low, axis)
        return before + share * (np.take_along_axis(images, low + 1, axis) - before)

    return along(along(images.astype(np.float32), 1), 2)


def crop(images, rng, margin=0):
    """Shift each image by up to CROP_SHIFT pixels, or an eighth of its side, both ways.

    Pixels beyond the edges are mirrored.
    After the later central crop this is a random 24x24 crop of the 32x32 image. If `margin` is at
    least the largest shift, the shifted window lies inside the image, so it is cut out directly,
    without padding.
    """
    return _shifted(images, rng, max(CROP_SHIFT, images.shape[1] // 8), margin)


def shift(images, rng):
    """Shift each image by up to SHIFT pixels, or a sixteenth of its side, both ways.

    Pixels beyond the edges are mirrored.
    """
    return _shifted(images, rng, max(SHIFT, images.shape[1] // 16))


def _shifted(images, rng, largest, margin=0):
    height, width = images.shape[1:3]
    if margin < largest:
        images = np.pad(images, ((0, 0), (largest,) * 2, (largest,) * 2, (0, 0)), "reflect")
    else:
        height, width = height - 2 * largest, width - 2 * largest
    rows, columns = (rng.integers(0, 2 * largest + 1, (len(images), 1)) for _ in range(2))
    pixels = _pixels(images)
    # Each line of a crop is copied as one item, which is much faster than two-dimensional windows.
    lines = np.ndarray(pixels.size - width + 1, f"V{width * pixels.itemsize}", pixels,
                       strides=pixels.itemsize)
    rows = np.arange(len(pixels))[:, None] * pixels.shape[1] + rows + np.arange(height)
    crops = lines[rows * pixels.shape[2] + columns]
    return crops.view(images.dtype).reshape(len(images), height, width, -1)


def _pixels(images):
    """A view of `images` in which a pixel with all its channels is one item, faster to move."""
    images = np.ascontiguousarray(images)
    size = images.itemsize * images.shape[-1]
    return images.view(f"u{size}" if size in (1, 2, 4, 8) else f"V{size}")[..., 0]


def flip(images, rng):
    """Mirror a random half of the images left to right."""
    return _mirrored(images, rng.random(len(images)) < 0.5)


def alternating_flip(images, mirrored):
    """Mirror the images that are chosen, see `alternating`."""
    return _mirrored(images, mirrored)


def alternating(images, seed):
    """The images that 'alternating_flip' mirrors in the first epoch.

    It mirrors the others in the second epoch, the same ones again in the third, and so on, so that
    each image is seen in both ways in any two epochs.
    K. Jordan, *94 % on CIFAR-10 in 3.29 Seconds on a Single GPU*, 2024, section 3.6.

    Args:
      images: number of training images.
      seed: seed of the choice, not negative.

    Returns:
      bool [images], true for a random half.
    """
    return np.random.default_rng((seed, 3)).random(images) < 0.5


def _mirrored(images, mirrored):
    images = np.array(images, order="C")
    pixels = _pixels(images)
    pixels[mirrored] = pixels[mirrored][:, :, ::-1]
    return images


# The matrix from RGB to lightness and two axes of colour (YIQ of the NTSC television standard).
_YIQ = np.array([[0.299, 0.587, 0.114],
                 [0.5959, -0.2746, -0.3213],
                 [0.2115, -0.5227, 0.3112]])


def hue(images, rng):
    """Rotate the colours of each image by up to HUE of the colour circle; lightness stays."""
    if images.shape[-1] != 3:
        raise ValueError("augmentation hue needs colours, expected images of 3 channels, "
                         f"found {images.shape[-1]}")
    angles = 2 * np.pi * rng.uniform(-HUE, HUE, len(images))
    turns = np.zeros((len(images), 3, 3))
    turns[:, 0, 0] = 1
    turns[:, 1, 1] = turns[:, 2, 2] = np.cos(angles)
    turns[:, 2, 1] = np.sin(angles)
    turns[:, 1, 2] = -turns[:, 2, 1]
    matrices = (np.linalg.inv(_YIQ) @ turns @ _YIQ).astype(np.float32)
    return images.astype(np.float32) @ matrices.transpose(0, 2, 1)[:, None]


def contrast(images, rng):
    """Scale each image's deviations from the mean of each plane by one factor from CONTRAST."""
    factors = rng.uniform(*CONTRAST, (len(images), 1, 1, 1)).astype(np.float32)
    images = images.astype(np.float32)
    planes = images.reshape(len(images), -1, images.shape[-1])
    # A matrix product, because `mean` over this axis takes twenty times as long.
    means = np.full(planes.shape[1], 1 / planes.shape[1], np.float32) @ planes
    means = means[:, None, None]
    return means + factors * (images - means)


def brightness(images, rng):
    """Add one number from -BRIGHTNESS to BRIGHTNESS to all pixels of an image."""
    return images + rng.uniform(-BRIGHTNESS, BRIGHTNESS, (len(images), 1, 1, 1)).astype(np.float32)


def noise(images, rng):
    """Add normally distributed noise to every pixel."""
    return images + np.float32(NOISE) * rng.standard_normal(images.shape, np.float32)


class SomeOfBatch:
    """Random numbers for some images of a batch: those that the whole batch gets for them.

    Args:
      rng: a `numpy.random.Generator`.
      rows: slice of the batch, the images that get numbers.
      images: number of images in the batch.

    Every method takes the shape for the images in the slice, whose first number is theirs.
    """

    def __init__(self, rng, rows, images):
        self._rng, self._rows, self._images = rng, rows, images

    def _whole(self, shape):
        return (self._images, *shape[1:]) if isinstance(shape, tuple) else self._images

    def random(self, shape):
        return self._rng.random(self._whole(shape))[self._rows]

    def uniform(self, low, high, shape):
        return self._rng.uniform(low, high, self._whole(shape))[self._rows]

    def integers(self, low, high, shape):
        return self._rng.integers(low, high, self._whole(shape))[self._rows]

    def standard_normal(self, shape, dtype):
        return self._rng.standard_normal(self._whole(shape), dtype)[self._rows]


AUGMENTATIONS = {function.__name__: function for function in (
    scale, crop, shift, flip, alternating_flip, hue, contrast, brightness, noise)}
MOVES = {"crop", "shift", "flip", "alternating_flip"}  # those that keep the value of every pixel


def views(images):
    """Six views of each image, over which a network's logits can be averaged.

    They are the image, shifted by no pixel or by one down and to the right or up and to the left,
    with its edge mirrored, and the mirror images of these three.
    K. Jordan, *94 % on CIFAR-10 in 3.29 Seconds on a Single GPU*, 2024, section 3.5.

    Args:
      images: [N, height, width, channels].

    Yields:
      (weight, images): a share of 1, and an array like `images`.
    """
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    for start, weight in ((1, 0.25), (0, 0.125), (2, 0.125)):
        view = padded[:, start:start + height, start:start + width]
        yield weight, view
        yield weight, view[:, :, ::-1]


def augment(images, names, rng, margin=0, mirrored=None):
    """Apply augmentations to a batch, in the order of AUGMENTATIONS.

    Args:
      images: uint8 or uint16 [N, height, width, channels].
      names: names of the augmentations, keys of AUGMENTATIONS.
      rng: a `numpy.random.Generator` or a `SomeOfBatch`.
      margin: number of pixels that the later preparation cuts off at each edge.
      mirrored: bool [N], the images that 'alternating_flip' mirrors.

    Returns:
      A new array of the dtype of `images` or float32. Its shape is the same, or smaller if part
      of the margin is cut off already. Without names, `images` itself.

    Raises:
      ValueError: an unknown name, or 'hue' for images without colours.
    """
    if unknown := set(names) - set(AUGMENTATIONS):
        raise ValueError(f"augmentation {', '.join(sorted(unknown))}, "
                         f"expected one of {', '.join(AUGMENTATIONS)}")
    for name, function in AUGMENTATIONS.items():
        if name in names:
            arguments = {"crop": (rng, margin), "alternating_flip": (mirrored,)}.get(name, (rng,))
            images = function(images, *arguments)
    return images

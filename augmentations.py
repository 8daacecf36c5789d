"""Random changes of training images under which their labels still hold.

    augment         make some of AUGMENTATIONS, a function each, in the order listed there

All of a batch is changed at once, each image in its own way. Pixels stay on their scale of
0 to 255; what changes colours gives float32 and may leave that scale, as the preparation
that follows does not mind.
"""

import numpy as np

CROP_SHIFT = 4  # pixels an image may move each way: a 24x24 crop may lie anywhere in 32x32
SCALE = 1.2  # at most so much larger, or smaller
HUE = 0.1  # at most so many turns of the colour circle
CONTRAST = (0.2, 1.8)  # these two are TensorFlow's CIFAR-10 tutorial's
BRIGHTNESS = 63.0
NOISE = 10.0  # standard deviation


def scale(images, rng):
    """Enlarge or shrink each image about its middle; its edge pixels fill what gets free."""
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
    """Move each image up to CROP_SHIFT pixels each way; the edge, mirrored, comes in.

    The central 24x24 of a 32x32 image so becomes a random crop of it. Where the `margin` that is
    cut off later is as wide as that, it is cut off here, and there is no edge to mirror.
    """
    height, width = images.shape[1:3]
    if margin < CROP_SHIFT:
        images = np.pad(images, ((0, 0), (CROP_SHIFT,) * 2, (CROP_SHIFT,) * 2, (0, 0)), "reflect")
    else:
        height, width = height - 2 * CROP_SHIFT, width - 2 * CROP_SHIFT
    rows, columns = rng.integers(0, 2 * CROP_SHIFT + 1, (2, len(images), 1))
    pixels = _pixels(images)
    # Every line of a crop is one item of memory: much faster than windows of two dimensions.
    lines = np.ndarray(pixels.size - width + 1, f"V{width * pixels.itemsize}", pixels,
                       strides=pixels.itemsize)
    rows = np.arange(len(pixels))[:, None] * pixels.shape[1] + rows + np.arange(height)
    crops = lines[rows * pixels.shape[2] + columns]
    return crops.view(images.dtype).reshape(len(images), height, width, -1)


def _pixels(images):
    """`images` with each pixel as one item, whatever its colours: much faster to move around."""
    images = np.ascontiguousarray(images)
    size = images.itemsize * images.shape[-1]
    return images.view(f"u{size}" if size in (1, 2, 4, 8) else f"V{size}")[..., 0]


def flip(images, rng):
    """Mirror half of the images, left for right."""
    mirrored = rng.random(len(images)) < 0.5
    images = np.array(images, order="C")
    pixels = _pixels(images)
    pixels[mirrored] = pixels[mirrored][:, :, ::-1]
    return images


# Lightness and two axes of colour (the NTSC's YIQ), and back.
_YIQ = np.array([[0.299, 0.587, 0.114],
                 [0.5959, -0.2746, -0.3213],
                 [0.2115, -0.5227, 0.3112]])


def hue(images, rng):
    """Turn each image's colours by up to HUE of the colour circle; lightness stays."""
    if images.shape[-1] != 3:
        raise ValueError(f"augmentation hue needs colours, images have {images.shape[-1]} plane")
    angles = 2 * np.pi * rng.uniform(-HUE, HUE, len(images))
    turns = np.zeros((len(images), 3, 3))
    turns[:, 0, 0] = 1
    turns[:, 1, 1] = turns[:, 2, 2] = np.cos(angles)
    turns[:, 2, 1] = np.sin(angles)
    turns[:, 1, 2] = -turns[:, 2, 1]
    matrices = (np.linalg.inv(_YIQ) @ turns @ _YIQ).astype(np.float32)
    return images.astype(np.float32) @ matrices.transpose(0, 2, 1)[:, None]


def contrast(images, rng):
    """Spread each plane of each image about its mean by a factor from CONTRAST."""
    factors = rng.uniform(*CONTRAST, (len(images), 1, 1, 1)).astype(np.float32)
    images = images.astype(np.float32)
    planes = images.reshape(len(images), -1, images.shape[-1])
    # As a product: `mean` adds up three colours at a time, which takes twenty times as long.
    means = np.full(planes.shape[1], 1 / planes.shape[1], np.float32) @ planes
    means = means[:, None, None]
    return means + factors * (images - means)


def brightness(images, rng):
    """Add up to BRIGHTNESS to each image, or take it away."""
    return images + rng.uniform(-BRIGHTNESS, BRIGHTNESS, (len(images), 1, 1, 1)).astype(np.float32)


def noise(images, rng):
    """Add normal noise to every pixel."""
    return images + np.float32(NOISE) * rng.standard_normal(images.shape, np.float32)


AUGMENTATIONS = {change.__name__: change
                 for change in (scale, crop, flip, hue, contrast, brightness, noise)}


def augment(images, names, rng, margin=0):
    """Make the changes called `names`.

    Args:
      images: uint8 [N, height, width, channels].
      names: of AUGMENTATIONS.
      rng: a `numpy.random.Generator`.
      margin: how many pixels at each edge the preparation that follows will cut off.

    Returns:
      A new array, uint8 or float32, of the same shape or with some of the margin cut off already;
      `images` itself without a name.

    Raises:
      ValueError: an unknown name, or 'hue' of images without colours.
    """
    if unknown := set(names) - set(AUGMENTATIONS):
        raise ValueError(f"augmentation {', '.join(sorted(unknown))}, "
                         f"expected of {', '.join(AUGMENTATIONS)}")
    for name, change in AUGMENTATIONS.items():
        if name in names:
            images = change(images, rng, margin) if change is crop else change(images, rng)
    return images

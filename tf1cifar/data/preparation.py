"""The preparation of images: from the pixels of a data set to the input of a network.

    prepare           uint8 images -> float32 images, for training, evaluation and prediction
    prepared_shape    the shape of prepared images
    sum_planes        the sum of the colour planes, a part of 'gray24' that is computed once
    mean_image        the mean of the training images, which 'minus_mean' subtracts
    write_mean_image  save the mean image in a run's folder
    load_mean_image   read the mean image of a run
"""

import io

import numpy as np

from tf1cifar import files
from tf1cifar.data import base

CHUNK = 128  # number of images prepared at a time, which fit into the processor's cache


def _window(images, out):
    """The central pixels of images [n, height, width, channels], as many as `out` has."""
    height, width = out.shape[1:3]
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top:top + height, left:left + width]


def _window_size(size):
    """24 of 24 to 32 pixels, as the tutorials have it; three quarters of more."""
    return max(24, size * 3 // 4)


def _standardize(out, planes=1):
    """Subtract each image's mean and divide by max(its standard deviation, 1/sqrt(its length)).

    Args:
      out: float32 [n, height, width, channels], contiguous; changed in place.
      planes: number of planes that each pixel is the sum of. Sums are used instead of means
        because sums of integers are exact.
    """
    pixels = out.reshape(len(out), -1)
    length = np.float32(pixels.shape[1])
    # For 24x24 integer pixels all sums are exact in float32, after scaling by the length, which is
    # a multiple of 64. For larger images and augmented, fractional pixels the mean is off by about
    # 1e-6.
    pixels *= length
    pixels -= (np.einsum("ij->i", pixels) / length)[:, None]
    squares = (pixels[:, None] @ pixels[:, :, None])[:, 0]
    pixels /= np.maximum(np.sqrt(squares / length), planes * np.sqrt(length))


def _gray24(images, mean, out, summed):
    """Chapter 9's `clean`: gray, the central pixels, standardized."""
    window, gray = _window(images, out), out[..., 0]
    channels = window.shape[-1]
    gray[...] = window[..., 0]
    for channel in range(1, channels):
        gray += window[..., channel]
    _standardize(out, summed * channels)


def _standardized24(images, mean, out, summed):
    """The central pixels in colour, standardized (TensorFlow's CIFAR-10 tutorial)."""
    out[...] = _window(images, out)
    _standardize(out)


def _unit(images, mean, out, summed):
    """Pixels from 0 to 1."""
    np.divide(images, np.float32(255), out=out)


def _minus_mean(images, mean, out, summed):
    """Pixels from 0 to 255 minus those of the mean training image."""
    np.subtract(images, mean, out=out)


PREPARATIONS = {"gray24": _gray24, "standardized24": _standardized24,
                "unit": _unit, "minus_mean": _minus_mean}


def prepare(images, preparation, mean=None, out=None, summed=1, shape=None):
    """Prepare images for a network, in the same way for training, evaluation and prediction.

    Args:
      images: [N, height, width, channels]; uint8, float32 after augmentation, or uint16 from
        `sum_planes`.
      preparation: name of the preparation. 'gray24': the mean of the colour planes, central
        24x24 pixels (three quarters of the side of images larger than 32x32), minus the image's
        own mean, divided by max(its standard deviation, 1/sqrt(its number of pixels)).
        'standardized24': the same with the colours kept. 'unit': divided by 255. 'minus_mean':
        minus `mean`.
      mean: float32 [height, width, channels], the mean training image, for 'minus_mean'.
      out: array to write the result to, C-contiguous; by default a new one.
      summed: number of planes that each channel of `images` is the sum of: the number of
        channels before `sum_planes`, 1 for all other images. Only 'gray24' accepts sums.

    Returns:
      float32 [N, *prepared_shape(...)].

    Raises:
      ValueError: an unknown preparation, an `out` of another shape or type, or sums for a
        preparation that does not accept them.
      DataError: the images are too small for the preparation.
    """
    if preparation not in PREPARATIONS:
        raise ValueError(f"preparation {preparation!r}, expected one of {', '.join(PREPARATIONS)}")
    if summed != 1 and preparation != "gray24":
        raise ValueError(f"preparation {preparation} of images with {summed} planes summed, "
                         "expected gray24")
    shape = len(images), *(shape or prepared_shape(images.shape[1:], preparation))
    if out is None:
        out = np.empty(shape, np.float32)
    elif (out.shape, out.dtype, out.flags.c_contiguous) != (shape, np.float32, True):
        raise ValueError(f"out is {out.dtype} {out.shape} with strides {out.strides}, "
                         f"expected contiguous float32 {shape}")
    for start in range(0, len(images), CHUNK):
        chunk = slice(start, start + CHUNK)
        PREPARATIONS[preparation](images[chunk], mean, out[chunk], summed)
    return out


def prepared_shape(image_shape, preparation):
    """The shape of a prepared image.

    Args:
      image_shape: (height, width, channels) of the images of a data set.
      preparation: name of the preparation.

    Returns:
      (height, width, channels).

    Raises:
      DataError: the images are too small for the preparation.
    """
    height, width, channels = image_shape
    if not preparation.endswith("24"):
        return height, width, channels
    if min(height, width) < 24:
        raise base.DataError(f"preparation {preparation} needs images of at least 24x24 pixels, "
                             f"these are {height}x{width}")
    return _window_size(height), _window_size(width), 1 if preparation == "gray24" else channels


def sum_planes(images):
    """Add up the colour planes of images, once for all training images.

    'gray24' begins with this sum, which is the same before and after pixels are moved. So
    augmentations that only move pixels ('crop', 'flip') can work on the sums. For three planes
    these are a third of the numbers.

    Args:
      images: uint8 [N, height, width, channels].

    Returns:
      uint16 [N, height, width, 1]; `prepare` takes it with `summed=channels`.
    """
    sums = np.empty((*images.shape[:3], 1), np.uint16)
    for start in range(0, len(images), CHUNK):
        chunk = slice(start, start + CHUNK)
        for channel in range(images.shape[-1]):
            np.add(images[chunk, ..., channel], sums[chunk, ..., 0] if channel else 0,
                   out=sums[chunk, ..., 0])
    return sums


# ---------------------------------------------------------------------------------------
# The mean training image


def mean_image(images):
    """The mean of N images.

    Args:
      images: uint8 [N, height, width, channels].

    Returns:
      float32 [height, width, channels].
    """
    return images.mean(0).astype(np.float32)


def write_mean_image(path, mean):
    """Save a mean image.

    Args:
      path: path of the file, whose name ends with .npy.
      mean: float32 [height, width, channels].

    Raises:
      OSError: the file cannot be written.
    """
    content = io.BytesIO()  # np.save to a file does not say why a write failed
    np.save(content, mean, allow_pickle=False)
    with files.replacing(path, "wb") as out:
        out.write(content.getvalue())


def load_mean_image(path):
    """Read a mean image.

    Args:
      path: path of a file that `write_mean_image` wrote.

    Returns:
      float32 [height, width, channels].

    Raises:
      DataError: the file is missing or damaged.
    """
    try:
        mean = np.load(path, allow_pickle=False)
        if mean.dtype != np.float32 or mean.ndim != 3 or not np.isfinite(mean).all():
            raise ValueError(f"{mean.dtype} of shape {mean.shape}")
    except FileNotFoundError:
        raise base.DataError(f"{path}: no such file, and the run's preparation minus_mean "
                             "needs it") from None
    except Exception as error:  # a damaged file can raise nearly anything
        raise base.DataError(f"{path}: damaged, not a mean image ({error})") from error
    return mean

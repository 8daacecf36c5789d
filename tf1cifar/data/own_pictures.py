"""Your own pictures as images of a data set.

    read_image       read a picture file as an image
    border_range     how bright the edges of training images are, for a run's recipe.json
    unlike_training  which images seem to be inverted, compared with the training images

A file is a picture by its content, whatever its name is. Sizes are checked before pixels are
decoded, so that no file takes more memory or time than a photo of 200 megapixels.
"""

import importlib
import io
import os
import stat
import threading

import numpy as np

from tf1cifar import console, machine
from tf1cifar.data import base, picture_headers

FITS = ("crop", "pad")
MOST_PIXELS = 16384 * 12288  # of the largest photos that telephones take, "200 megapixels"
LARGE = 50_000_000  # pixels from which a JPEG is decoded at a fraction of its size
MOST_BYTES = 1 << 30
MOST_JPEG_BYTES = 1 << 28  # which is read into memory and searched for scans
STRIP = 1 << 22  # pixels whose transparency is removed at a time

# The background of training images in runs whose recipe.json has no border, see `border_range`.
KNOWN_BORDERS = {"mnist": (0.0, 32.0)}
CLEARLY = 32  # levels of brightness by which the inverted picture must fit better


# ---------------------------------------------------------------------------------------
# Reading


def read_image(file, image_shape, fit="crop", invert=False):
    """Read a picture as an image of a data set.

    The picture is turned upright as its camera recorded, and its transparent parts become white. Of
    an animation the first frame is read, of a document its first page. May be called in several
    threads at the same time.

    Args:
      file: path of a PNG, JPEG, GIF, WebP, BMP or TIFF, or of an AVIF where Pillow has it, of up to
        200 megapixels; in gray, colours or a palette, with or without transparency. Its name may
        have any suffix.
      image_shape: (height, width, channels) of the images of the data set.
      fit: 'crop' resizes the central part that has the shape of the image. 'pad' resizes the whole
        picture and adds a border in the mean colour of the picture's edge.
      invert: whether dark becomes bright and bright becomes dark.

    Returns:
      uint8 [height, width, channels].

    Raises:
      DataError: the file is missing, is not an intact picture of these kinds, or is too large. The
        message names the file and its kind.
      ValueError: an unknown `fit`.
    """
    if fit not in FITS:
        raise ValueError(f"fit {fit!r}, expected one of {', '.join(FITS)}")
    kind = None
    try:
        size = _require_file(file)
        with open(file, "rb") as source:
            head = source.read(picture_headers.HEAD)
            kind = picture_headers.recognize(head)
            if kind not in picture_headers.PLUGINS:
                raise base.DataError(kind)
            if size < (whole := picture_headers.least_bytes(head, kind)):
                raise base.DataError(f"{kind} picture that is cut short after {size:,} of "
                                     f"{whole:,} bytes; copy or download it again")
            if size > (MOST_JPEG_BYTES if kind == "JPEG" else MOST_BYTES):
                raise base.DataError(f"{kind} file of {size / 1e6:,.0f} MB; make it smaller")
            pixels = _decode(source, kind, image_shape, fit)
    except base.DataError as error:
        raise base.DataError(f"{file}: {error}") from error.__cause__
    except Exception as error:  # a damaged picture can raise nearly anything
        if isinstance(error, ModuleNotFoundError) and error.name == "PIL":
            raise
        raise base.DataError(f"{file}: {_words(error, kind, file)}") from error
    return 255 - pixels if invert else pixels


def _require_file(file):
    """The size in bytes of `file`; refuses what is not a file, which is never opened."""
    status = os.stat(file)
    if stat.S_ISDIR(status.st_mode):
        raise base.DataError("is a folder, expected a picture")
    if not stat.S_ISREG(status.st_mode):
        kind = "pipe" if stat.S_ISFIFO(status.st_mode) else "device or socket"
        raise base.DataError(f"is a {kind}, expected a picture file")
    return status.st_size


def _words(error, kind, file):
    """Words about an exception of reading a picture of a kind; None before the kind is known."""
    if isinstance(error, MemoryError):
        return "not enough memory for this picture; make it smaller"
    if kind is None:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            if "://" in str(file):
                return "no such file; download the picture, since web addresses are not read"
            if os.path.islink(file):
                return f"a link to {console.cut(os.readlink(file))}, which is not there"
            return "no such file"
        return f"cannot be read ({console.cut(getattr(error, 'strerror', None) or error)})"
    if isinstance(error, ImportError):
        return f"{kind} picture, which this Pillow cannot read; {picture_headers.SAVE_AS}"
    text = console.cut(error, 120)
    if type(error).__name__ == "DecompressionBombError":
        return f"{kind} picture with too many pixels for this Pillow; make it smaller"
    if isinstance(error, EOFError) or "truncat" in text.lower():
        return f"{kind} picture that is cut short; copy or download it again ({text})"
    return (f"{kind} picture that is damaged or of a rare kind; {picture_headers.SAVE_AS} again "
            f"({text})")


_one_large_picture = threading.Lock()  # several at a time could take more memory than there is


def _decode(source, kind, image_shape, fit):
    """The pixels of the open file `source`, uint8 [height, width, channels]."""
    memory = {"JPEG": 0, "WebP": 16}.get(kind, 12)  # bytes for each pixel, at most
    if kind == "JPEG":
        source.seek(0)
        content = source.read(MOST_JPEG_BYTES)
        memory = 8 if picture_headers.jpeg_scans(content) > 1 else 0
        source = io.BytesIO(content)
    source.seek(0)
    with _opened(source, kind) as picture:
        width, height = picture.size
        _require_few_pixels(width, height)
        if picture.mode == "F" or picture.mode == "I" and kind != "PNG":
            raise ValueError("its pixels have 32 bits, and the range of their values is not known")
        if width * height <= LARGE:
            return _fitted(picture, image_shape, fit)
        with _one_large_picture:
            if memory * width * height > (machine.available_memory() or 1 << 62):
                raise MemoryError
            if kind == "JPEG":
                picture.draft(None, (2 * image_shape[1], 2 * image_shape[0]))
            return _fitted(picture, image_shape, fit)


def _require_few_pixels(width, height):
    if width * height > MOST_PIXELS:
        raise base.DataError(
            f"{width:,} x {height:,} pixels, {width * height / 1e6:,.0f} megapixels, are too many "
            f"pixels; make it smaller, at most {MOST_PIXELS // 10**6} megapixels")


def _opened(source, kind):
    """The Pillow picture in an open file; only its header has been read.

    `Image.open` is not used: it warns from 89 megapixels on, a limit of the whole process.
    """
    plugin = importlib.import_module(f"PIL.{picture_headers.PLUGINS[kind]}ImagePlugin")
    if not getattr(plugin, "SUPPORTED", True):
        raise ImportError(kind)
    opener = getattr(plugin, f"{picture_headers.PLUGINS[kind]}ImageFile")
    if kind == "WebP":
        _require_few_pixels(*picture_headers.webp_size(source.read(30)))
    source.seek(0)
    if kind != "TIFF":
        return opener(source)

    class TiffImage(opener):
        """Allocates its pixels without the warning from 89 megapixels on."""

        def load_prepare(self):
            if getattr(self, "_im", self) is None and hasattr(self, "_tile_size"):
                from PIL import Image
                self.im = Image.new(self.mode, self._tile_size).im
            super().load_prepare()

    picture = TiffImage(source)
    dng_version, is_thumbnail, more_pictures = (50706, 254, 330)
    if dng_version in picture.tag_v2 or (
            picture.tag_v2.get(is_thumbnail) == 1 and more_pictures in picture.tag_v2):
        raise base.DataError(picture_headers.RAW)
    return picture


def _fitted(picture, image_shape, fit):
    """The pixels of a Pillow picture as an image, uint8 [height, width, channels]."""
    from PIL import Image, ImageOps
    height, width, channels = image_shape
    picture = _flat(_upright(picture), "RGB" if channels == 3 else "L")
    if fit == "crop":
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BOX)
        return np.asarray(picture, np.uint8).reshape(height, width, channels)
    scale = min(width / picture.width, height / picture.height)
    inner = [min(max(1, round(side * scale)), limit)
             for side, limit in zip(picture.size, (width, height))]
    inner = np.asarray(picture.resize(inner, Image.Resampling.BOX), np.uint8)
    inner = inner.reshape(*inner.shape[:2], channels)
    image = np.empty((height, width, channels), np.uint8)
    image[:] = _edges(inner[None])[0].mean(0).round()
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    image[top:top + inner.shape[0], left:left + inner.shape[1]] = inner
    return image


def _upright(picture):
    """The picture as the camera was held; a damaged record of that is ignored."""
    from PIL.Image import Transpose
    picture.load()
    try:
        orientation = picture.getexif().get(0x0112)
    except Exception:  # damaged metadata can raise nearly anything
        return picture
    turn = {2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
            5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE,
            8: Transpose.ROTATE_90}.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _flat(picture, mode):
    """The picture in `mode`, 'RGB' or 'L', with its transparent parts white."""
    from PIL import Image
    if picture.mode.startswith("I"):  # convert() would clip pixels of 16 bits
        picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
    if "transparency" not in picture.info and picture.mode in ("1", "L", "RGB", "CMYK", "YCbCr"):
        for step in ("L" if picture.mode in ("1", "L") else "RGB", mode):
            picture = picture if picture.mode == step else picture.convert(step)
        return picture
    flat, (width, height) = Image.new(mode, picture.size), picture.size
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        part = picture.crop((0, top, width, min(top + rows, height))).convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        flat.paste(Image.alpha_composite(white, part).convert(mode), (0, top))
    return flat


# ---------------------------------------------------------------------------------------
# Bright and dark backgrounds


def _edges(images):
    """The outermost pixels of images [N, height, width, channels], as [N, pixels, channels]."""
    return np.concatenate([images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], 1)


def border_range(images):
    """How bright the edges of training images are: nearly all of them lie in this range.

    Args:
      images: uint8 [N, height, width, channels].

    Returns:
      [low, high]: the 5th and the 95th percentile of the mean brightness of the images' outermost
      pixels, from 0.0 to 255.0.
    """
    brightness = _edges(images).mean((1, 2))
    return [round(float(value), 1) for value in np.percentile(brightness, (5, 95))]


def unlike_training(images, description):
    """Which images are bright at their edge where training images are dark, or the other way round.

    Args:
      images: uint8 [N, height, width, channels].
      description: the dictionary of `data.describe`. Its border is the range of `border_range`;
        without one, and for data sets with edges of every brightness, no image is unlike.

    Returns:
      bool [N]: whether the inverted image's edge is clearly nearer to the range than the image's.
    """
    border = description.get("border", KNOWN_BORDERS.get(description["name"]))
    if not isinstance(border, (list, tuple)) or len(border) != 2 or not all(
            isinstance(value, (int, float)) for value in border):
        return np.zeros(len(images), bool)
    low, high = border
    brightness = _edges(np.asarray(images)).mean((1, 2))

    def distance(value):
        return np.maximum(np.maximum(low - value, value - high), 0)

    return distance(brightness) - distance(255 - brightness) > CLEARLY

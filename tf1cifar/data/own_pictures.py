"""Your own pictures as images of a data set."""

import numpy as np

from tf1cifar.data import base


def read_image(file, image_shape):
    """Read a picture as an image of a data set.

    The picture is turned upright as its camera recorded, its transparent parts become white,
    and its central square is resized.

    Args:
      file: path of a PNG or JPEG of any size, in gray, colours or a palette, with or without
        transparency.
      image_shape: (height, width, channels) of the images of the data set.

    Returns:
      uint8 [height, width, channels].

    Raises:
      DataError: the file is missing, is not an intact PNG or JPEG, or has too many pixels.
    """
    import warnings

    from PIL import Image, ImageOps
    height, width, channels = image_shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                picture = ImageOps.exif_transpose(picture)
                if picture.mode.startswith("I"):  # convert() would clip pixels of 16 bits
                    picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
                picture = picture.convert("RGB" if channels == 3 else "L")
                picture = ImageOps.fit(picture, (width, height), Image.Resampling.BOX)
    except FileNotFoundError:
        raise base.DataError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise base.DataError(f"{file}: is a folder, expected a PNG or JPEG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise base.DataError(f"{file}: too many pixels for a picture; make it smaller") from error
    except Exception as error:  # a damaged image can raise nearly anything
        raise base.DataError(f"{file}: not a PNG or JPEG that can be read ({error})") from error
    return np.asarray(picture, np.uint8).reshape(height, width, channels)

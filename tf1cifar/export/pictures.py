"""Pictures of any size in the graph, decoded and resized as `data.own_pictures` does it.

    fitted   pictures of one size -> the size of the run's images
    decoded  the bytes of a PNG or JPEG -> the size of the run's images
"""

import tensorflow.compat.v1 as tf

ONE = 1 << 22  # Pillow's fixed-point number for the weight 1


def fitted(images, image_shape):
    """The central part of pictures, resized as `ImageOps.fit` of Pillow does it with BOX.

    Args:
      images: uint8 [B, any height, any width, channels].
      image_shape: (height, width, channels) of the result.

    Returns:
      uint8 [B, *image_shape], equal to Pillow's pixels.
    """
    height, width, _ = image_shape
    size = tf.cast(tf.shape(images)[1:3], tf.float64)
    ratio = tf.constant(width / height, tf.float64)
    wider = size[1] / size[0] >= ratio
    inner = tf.where(wider, tf.stack([size[0], ratio * size[0]]),
                     tf.stack([size[1] / ratio, size[1]]))
    inner = tf.where(tf.equal(size[1] / size[0], ratio), size, inner)
    start = (size - inner) * 0.5
    pixels = tf.cast(images, tf.float64)
    # Pillow rounds after each of the two products, columns first.
    for axis, equation, out in ((1, "bhwc,ow->bhoc", width), (0, "bhwc,oh->bowc", height)):
        matrix = _box_matrix(size[axis], out, start[axis], start[axis] + inner[axis])
        pixels = tf.floor(tf.einsum(equation, pixels, matrix) / ONE + 0.5)
    return tf.ensure_shape(tf.cast(pixels, tf.uint8), [None, *image_shape])


def _box_matrix(size, out, low, high):
    """float64 [out, size]: the pixels that each pixel of the result is the mean of, times ONE.

    Args:
      size: float64 [], number of pixels of the picture.
      out: number of pixels of the result.
      low, high: float64 [], the part of the picture that is resized. Pillow stores float32.
    """
    low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
    scale = tf.cast(high - low, tf.float64) / out
    filter_scale = tf.maximum(scale, 1.0)
    centers = tf.cast(low, tf.float64) + (tf.range(out, dtype=tf.float64) + 0.5) * scale
    first = tf.maximum(tf.floor(centers - 0.5 * filter_scale + 0.5), 0.0)
    last = tf.minimum(tf.floor(centers + 0.5 * filter_scale + 0.5), size)
    places = tf.range(size, dtype=tf.float64)[None]
    # Pillow subtracts in this order, and its rounding decides about pixels at an edge.
    offsets = ((places - first[:, None]) + first[:, None] - centers[:, None] + 0.5) / filter_scale
    inside = ((places >= first[:, None]) & (places < last[:, None])
              & (offsets > -0.5) & (offsets <= 0.5))
    weights = tf.cast(inside, tf.float64)
    return tf.floor(weights / tf.maximum(tf.reduce_sum(weights, 1, keepdims=True), 1.0) * ONE + 0.5)


def decoded(contents, image_shape):
    """Decode PNG and JPEG, with transparent parts white, in the size of the run's images.

    A photo is not turned as its camera recorded (EXIF). One bad picture fails the whole batch.

    Args:
      contents: string [B], the bytes of files.
      image_shape: (height, width, channels) of the result.

    Returns:
      uint8 [B, *image_shape].
    """
    def decode(content):
        pixels = tf.cond(
            tf.io.is_jpeg(content),
            lambda: tf.image.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE"),
            lambda: _over_white(tf.image.decode_png(content, 4)))
        if image_shape[2] == 1:  # Pillow's integer formula
            pixels = tf.reduce_sum(tf.cast(pixels, tf.int32) * [19595, 38470, 7471], 2,
                                   keepdims=True)
            pixels = tf.cast((pixels + 0x8000) // 0x10000, tf.uint8)
        return fitted(pixels[None], image_shape)[0]

    return tf.map_fn(decode, contents, dtype=tf.uint8)


def _over_white(pixels):
    """uint8 [height, width, 4] -> [height, width, 3], as `Image.alpha_composite` rounds."""
    pixels = tf.cast(pixels, tf.int32)
    alpha = pixels[..., 3:]
    mixed = (pixels[..., :3] * alpha + 255 * (255 - alpha)) * 128 + (0x80 << 7)
    return tf.cast((mixed // 256 + mixed) // 256 // 128, tf.uint8)

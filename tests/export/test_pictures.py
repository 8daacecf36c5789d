"""Pictures in the graph, compared with the reader that restore_model.py uses."""

import io

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from tf1cifar.data import own_pictures
from tf1cifar.export import pictures

SIZES = [(1, 1), (2, 700), (31, 33), (32, 32), (45, 32), (333, 500), (501, 77), (1999, 30)]


def picture(size, mode="RGB"):
    """A random Pillow picture of (height, width)."""
    channels = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2}[mode]
    pixels = np.random.default_rng(size).integers(0, 256, (*size, channels), np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)


@pytest.fixture(scope="module")
def resized():
    """Function: (pictures, shape) -> the pixels of `pictures.fitted`; one graph for each shape."""
    sessions = {}

    def resize(pixels, shape):
        if shape not in sessions:
            with tf.Graph().as_default() as graph:
                given = tf.placeholder(tf.uint8, [None, None, None, shape[2]])
                sessions[shape] = tf.Session(graph=graph), given, pictures.fitted(given, shape)
        session, given, out = sessions[shape]
        return session.run(out, {given: pixels})

    yield resize
    for session, _, _ in sessions.values():
        session.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (64, 48, 3)])
def test_fitted_equals_pillow(size, shape, resized, tmp_path):
    mode = "L" if shape[2] == 1 else "RGB"
    image = picture(size, mode)
    image.save(tmp_path / "picture.png")
    expected = own_pictures.read_image(tmp_path / "picture.png", shape)
    pixels = np.asarray(image).reshape(1, *size, shape[2])
    # Of a tall picture, some versions of Pillow add up the rows first.
    tall = size[0] > size[1]
    np.testing.assert_allclose(resized(pixels, shape)[0].astype(int), expected, rtol=0, atol=tall)


@pytest.mark.parametrize("channels", [3, 1])
def test_decoded_equals_the_reader_of_pictures(channels, tmp_path):
    shape, contents, expected = (32, 32, channels), [], []
    palette = picture((40, 50)).quantize(16)
    deep = Image.fromarray(np.random.default_rng(1).integers(0, 65536, (40, 50), np.uint16))
    for number, (image, options) in enumerate((
            *((picture((40, 50), mode), {"format": "PNG"}) for mode in ("RGB", "RGBA", "L", "LA")),
            (palette, {"format": "PNG"}), (palette, {"format": "PNG", "transparency": 3}),
            (deep, {"format": "PNG"}),
            (picture((40, 50), "L"), {"format": "JPEG"}),
            (picture((40, 50)), {"format": "JPEG", "subsampling": 0}))):
        out = io.BytesIO()
        image.save(out, **options)
        contents.append(out.getvalue())
        path = tmp_path / f"{number}"
        path.write_bytes(contents[-1])
        expected.append(own_pictures.read_image(path, shape))
    with tf.Graph().as_default(), tf.Session() as session:
        given = tf.placeholder(tf.string, [None])
        found = session.run(pictures.decoded(given, shape), {given: contents})
    off = [abs(one.astype(int) - other).max() for one, other in zip(found, expected)]
    # A gray picture of a JPEG in colours is rounded once more by Pillow.
    assert off[:-1] == [0] * (len(off) - 1) and off[-1] <= (channels == 1)

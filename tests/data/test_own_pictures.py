"""data/own_pictures.py: pictures of every kind as images of a data set."""

import numpy as np
import pytest
from PIL import Image

from tf1cifar.data.base import DataError
from tf1cifar.data.own_pictures import read_image

RGB, GRAY = (32, 32, 3), (28, 28, 1)


@pytest.fixture
def saved(tmp_path):
    """Function (picture, name="picture.png", ...) that writes a picture and returns its path."""
    def save(picture, name="picture.png", **options):
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(picture)
        picture.save(tmp_path / name, **options)
        return tmp_path / name
    return save


def random(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def assert_image(found, expected, atol=0):
    assert found.dtype == np.uint8 and found.shape == expected.shape
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=atol)


def test_read_image_of_the_right_size_keeps_the_pixels(saved):
    pixels = random(32, 32, 3)
    assert_image(read_image(saved(pixels), RGB), pixels)
    gray = random(28, 28)
    assert_image(read_image(str(saved(gray)), GRAY), gray[..., None])


def test_read_image_takes_the_mean_of_the_pixels(saved):
    pixels = random(64, 64, 3)
    means = pixels.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert_image(read_image(saved(pixels), RGB), means, atol=1)


@pytest.mark.parametrize("wide", [True, False])
def test_read_image_takes_the_central_square(saved, wide):
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 200, 100, 50
    if not wide:
        pixels = pixels.transpose(1, 0, 2)
    assert_image(read_image(saved(np.ascontiguousarray(pixels)), RGB),
                 np.broadcast_to(np.uint8([200, 100, 50]), RGB))


@pytest.mark.parametrize("size", [1, 7, 31, 500])
def test_read_image_resizes(saved, size):
    picture = Image.new("RGB", (size, size), (9, 99, 199))
    assert_image(read_image(saved(picture), RGB), np.broadcast_to(np.uint8([9, 99, 199]), RGB))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "without a suffix"])
def test_read_image_knows_the_format_by_its_content(saved, name):
    path = saved(Image.new("RGB", (50, 50), (250, 0, 0)), name,
                 format="JPEG" if "." not in name else None)
    assert_image(read_image(path, RGB), np.broadcast_to(np.uint8([250, 0, 0]), RGB), atol=4)


def test_read_image_of_every_mode(saved):
    colour = Image.fromarray(random(32, 32, 3))
    gray = np.asarray(colour.convert("L"))
    assert_image(read_image(saved(colour), (32, 32, 1)), gray[..., None])
    assert_image(read_image(saved(gray), RGB), np.repeat(gray[..., None], 3, 2))
    assert_image(read_image(saved(Image.new("RGB", (32, 32), "blue").convert("P")), RGB),
                 np.broadcast_to(np.uint8([0, 0, 255]), RGB))
    assert_image(read_image(saved(Image.new("1", (32, 32), 1)), RGB), np.full(RGB, 255))
    assert_image(read_image(saved(gray.astype(np.uint16) * 256 + 255), (32, 32, 1)),
                 gray[..., None])
    assert_image(read_image(saved(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "a.jpg"), RGB),
                 np.broadcast_to(np.uint8([255, 0, 0]), RGB), atol=4)


def test_read_image_makes_transparent_parts_white(saved):
    for alpha, expected in ((255, (250, 0, 0)), (0, (255, 255, 255)), (51, (254, 204, 204))):
        picture = Image.new("RGBA", (32, 32), (250, 0, 0, alpha))
        assert_image(read_image(saved(picture), RGB), np.broadcast_to(np.uint8(expected), RGB),
                     atol=1)


@pytest.mark.parametrize("orientation, turned", [
    (1, lambda pixels: pixels), (3, lambda pixels: pixels[::-1, ::-1]),
    (6, lambda pixels: np.rot90(pixels, -1)), (8, lambda pixels: np.rot90(pixels))])
def test_read_image_turns_the_picture_upright(saved, orientation, turned):
    pixels, exif = random(32, 32, 3), Image.Exif()
    exif[0x0112] = orientation
    assert_image(read_image(saved(pixels, exif=exif), RGB), turned(pixels))


def test_read_image_refuses_files_of_other_kinds(saved, tmp_path):
    whole = saved(random(50, 50, 3)).read_bytes()
    saved(Image.new("RGB", (40, 40)), "picture.gif")
    for name, content in (("text.png", b"no picture"), ("empty.png", b""), ("cut.png", whole[:60]),
                          ("half.png", whole[:len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
    for name in ("picture.gif", "text.png", "empty.png", "cut.png", "half.png"):
        with pytest.raises(DataError, match=f"{name}: not a PNG or JPEG that can be read"):
            read_image(tmp_path / name, RGB)
    with pytest.raises(DataError, match="nowhere.png: no such file$"):
        read_image(tmp_path / "nowhere.png", RGB)
    with pytest.raises(DataError, match="is a folder, expected a PNG or JPEG"):
        read_image(tmp_path, RGB)


@pytest.mark.parametrize("size", [10_000, 20_000])
def test_read_image_refuses_too_many_pixels(saved, size):
    """Pillow warns from 90 million pixels on, and refuses pictures from 180 million on."""
    with pytest.raises(DataError, match="too many pixels for a picture; make it smaller"):
        read_image(saved(Image.new("1", (size, size)), "bomb.png"), RGB)

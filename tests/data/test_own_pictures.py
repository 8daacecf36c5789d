"""data/own_pictures.py: pictures of every kind as images of a data set."""

import concurrent.futures
import io
import os
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin, features
from PIL.TiffImagePlugin import ImageFileDirectory_v2

import restore_model
from tf1cifar import machine
from tf1cifar.data import own_pictures, picture_headers
from tf1cifar.data.base import DataError
from tf1cifar.data.own_pictures import border_range, read_image, unlike_training

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
    (1, lambda pixels: pixels), (2, lambda pixels: pixels[:, ::-1]),
    (3, lambda pixels: pixels[::-1, ::-1]), (4, lambda pixels: pixels[::-1]),
    (5, lambda pixels: pixels.transpose(1, 0, 2)), (6, lambda pixels: np.rot90(pixels, -1)),
    (7, lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2)), (8, lambda pixels: np.rot90(pixels)),
    (99, lambda pixels: pixels)])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_read_image_turns_the_picture_upright(saved, orientation, turned, kind):
    pixels, exif = random(32, 32, 3), Image.Exif()
    exif[0x0112] = orientation
    assert_image(read_image(saved(pixels, f"a.{kind}", exif=exif), RGB), turned(pixels))


def test_read_image_ignores_damaged_metadata(saved):
    pixels = random(32, 32, 3)
    path = saved(pixels, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_image(read_image(path, RGB), pixels)


@pytest.mark.parametrize("kind, options", [
    ("gif", {}), ("webp", {"lossless": True}), ("bmp", {}), ("tiff", {}),
    ("tiff", {"compression": "tiff_lzw"}), ("avif", {"quality": 100, "subsampling": "4:4:4"})])
@pytest.mark.parametrize("name", ["a", "photo.jpg"])
def test_read_image_reads_every_kind_under_every_name(saved, kind, options, name):
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    pixels = np.repeat(random(8, 8, 1), 3, 2).repeat(4, 0).repeat(4, 1)  # a GIF has 256 colours
    assert_image(read_image(saved(pixels, name, format=kind, **options), RGB), pixels,
                 atol=8 if kind == "avif" else 0)


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_read_image_takes_the_first_frame(saved, kind):
    first, second = Image.new("RGB", (40, 40), (0, 0, 250)), Image.new("RGB", (40, 40), (250, 0, 0))
    options = {"lossless": True} if kind == "webp" else {}
    path = saved(first, f"a.{kind}", save_all=True, append_images=[second], **options)
    assert_image(read_image(path, RGB), np.broadcast_to(np.uint8([0, 0, 250]), RGB))


def test_read_image_of_16_bits_in_a_tiff(saved):
    gray = random(32, 32)
    assert_image(read_image(saved(gray.astype(np.uint16) * 256 + 255, "a.tiff"), (32, 32, 1)),
                 gray[..., None])


def test_read_image_refuses_values_of_unknown_range(saved):
    for values in (np.linspace(0, 1, 1024, dtype=np.float32), np.arange(1024, dtype=np.int32) * 999,
                   np.arange(-512, 512, dtype=np.int32)):
        with pytest.raises(DataError, match="a.tiff: TIFF picture .* 32 bits.* not known"):
            read_image(saved(values.reshape(32, 32), "a.tiff"), RGB)


def test_read_image_removes_transparency_in_strips(saved, monkeypatch):
    pixels = random(70, 50, 4)
    path = saved(pixels)
    whole = read_image(path, RGB)
    monkeypatch.setattr(own_pictures, "STRIP", 333)
    assert_image(read_image(path, RGB), whole)


def test_read_image_pads_with_the_mean_of_the_edge(saved):
    pixels = np.full((32, 64, 3), 90, np.uint8)
    pixels[4:-4, 4:-4] = 200, 0, 50
    image = read_image(saved(pixels), RGB, "pad")
    small = np.full((16, 32, 3), 90, np.uint8)  # half the size, eight rows of border on each side
    small[2:-2, 2:-2] = 200, 0, 50
    expected = np.full(RGB, 90, np.uint8)
    expected[8:24] = small
    assert_image(image, expected)
    assert_image(read_image(saved(pixels.transpose(1, 0, 2)), RGB, "pad"),
                 expected.transpose(1, 0, 2))
    edge = np.full((32, 64), 10, np.uint8)
    edge[:, ::2] = 30
    (border,) = np.unique(read_image(saved(edge), GRAY, "pad")[:6])
    assert border == 20


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (33, 32)])
def test_read_image_pads_pictures_of_every_shape(saved, size):
    image = read_image(saved(Image.new("L", size, 77)), RGB, "pad")
    assert_image(image, np.full(RGB, 77))


def test_read_image_knows_its_fits(saved):
    assert set(restore_model.FIT_WORDS) == set(own_pictures.FITS)
    with pytest.raises(ValueError, match="fit 'stretch', expected one of crop, pad"):
        read_image(saved(random(4, 4)), RGB, "stretch")


@pytest.mark.parametrize("fit", own_pictures.FITS)
def test_read_image_inverts_on_request(saved, fit):
    path = saved(random(50, 40, 3))
    np.testing.assert_array_equal(read_image(path, RGB, fit, invert=True),
                                  255 - read_image(path, RGB, fit))


def test_read_image_may_be_called_in_threads(saved):
    paths = [saved(random(60 + number, 50, 3), f"{number}.{kind}")
             for number, kind in enumerate(("png", "jpg", "gif", "webp", "bmp", "tiff") * 5)]
    expected = [read_image(path, RGB) for path in paths]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda path: read_image(path, RGB), paths))
    np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------------------------------
# Files that cannot be read


def refused(path, *words, **options):
    """Check that a picture is refused in one line that begins with its path and has `words`."""
    with pytest.raises(DataError) as caught:
        read_image(path, RGB, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 500
    for word in words:
        assert word in message


def test_read_image_names_files_of_other_kinds(tmp_path):
    for name, content, words in (
            ("photo.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC"),
            ("page.png", b"<html>404</html>", "web page"), ("none.png", b"", "an empty file"),
            ("text.png", b"no picture", "a text file that begins with 'no picture'")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, words)


def test_read_image_names_what_is_no_file(tmp_path, monkeypatch):
    refused(tmp_path / "nowhere.png", "no such file")
    refused("https://example.org/cat.png", "no such file", "web addresses are not read")
    refused(tmp_path, "is a folder, expected a picture")
    (tmp_path / "link.png").symlink_to("gone.png")
    refused(tmp_path / "link.png", "a link to gone.png, which is not there")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file/a.png", "no such file")
    refused(tmp_path / ("n" * 300), "cannot be read (File name too long)")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "is a pipe")  # opening it would wait for a writer
    refused("/dev/zero", "is a device or socket")

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # root may open everything
    refused(tmp_path / "file", "cannot be read (Permission denied)")


@pytest.mark.parametrize("kind, options", [
    ("png", {}), ("jpeg", {}), ("jpeg", {"progressive": True}), ("gif", {}), ("webp", {}),
    ("bmp", {}), ("tiff", {}), ("tiff", {"compression": "tiff_lzw"}), ("avif", {})])
def test_read_image_refuses_pictures_that_are_cut_short(saved, kind, options):
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    path = saved(random(200, 150, 3), f"a.{kind}", **options)
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.97):
        path.write_bytes(content[:int(len(content) * share)])
        refused(path, "picture that is cut short", "copy or download it again")


def test_read_image_refuses_damaged_pictures(saved):
    path = saved(random(50, 50, 3))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"IHDR", b"IHDX"))
    refused(path, "PNG picture that is damaged")


def test_read_image_refuses_the_thumbnail_of_a_raw_file(saved):
    for tags in ({50706: b"\1\4\0\0"}, {254: 1, 330: 8}):
        directory = ImageFileDirectory_v2()
        for tag, value in tags.items():
            directory.tagtype[tag] = 1 if isinstance(value, bytes) else 4
            directory[tag] = value
        refused(saved(random(16, 16, 3), "a.tiff", tiffinfo=directory), "a camera's RAW file")


def test_read_image_says_which_kinds_this_pillow_lacks(saved, monkeypatch):
    path = saved(random(8, 8, 3), "a.webp")
    monkeypatch.setattr("PIL.WebPImagePlugin.SUPPORTED", False)
    refused(path, "WebP picture, which this Pillow cannot read; save it as JPEG or PNG")


def test_read_image_passes_on_that_pillow_is_missing(saved, monkeypatch):
    path = saved(random(8, 8, 3))

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="PIL")

    monkeypatch.setattr(own_pictures.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        read_image(path, RGB)


# ---------------------------------------------------------------------------------------
# Large pictures


def with_size(kind, width, height):
    """A small picture that claims to have another size."""
    out = io.BytesIO()
    Image.new("RGB", (30, 40)).save(out, kind, **{"lossless": True} if kind == "WebP" else {})
    content = bytearray(out.getvalue())
    if kind == "PNG":
        content[16:24] = struct.pack(">2I", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif kind == "JPEG":
        place = content.index(b"\xff\xc0") + 5
        content[place:place + 4] = struct.pack(">2H", height, width)
    elif kind == "GIF":
        content[6:10] = struct.pack("<2H", width, height)
    elif kind == "BMP":
        content[18:26] = struct.pack("<2I", width, height)
    elif kind == "WebP":
        bits = int.from_bytes(content[21:25], "little") & ~0xFFFFFFF
        content[21:25] = (bits | width - 1 | height - 1 << 14).to_bytes(4, "little")
    else:
        for tag, old, new in ((256, 30, width), (257, 40, height)):
            entry, changed = (struct.pack("<2H2I", tag, 4, 1, value) for value in (old, new))
            assert content.count(entry) == 1
            content = content.replace(entry, changed)
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WebP", "TIFF"])
def test_read_image_refuses_too_many_pixels(tmp_path, kind):
    width, height = (16_000, 15_000) if kind == "WebP" else (65_000, 60_000)
    (tmp_path / "bomb").write_bytes(with_size(kind, width, height))
    start = time.perf_counter()
    refused(tmp_path / "bomb", f"{width:,} x {height:,} pixels",
            f"{width * height // 10**6:,} megapixels", "too many pixels; make it smaller")
    assert time.perf_counter() - start < 0.5


def test_read_image_of_a_large_jpeg_decodes_a_fraction(saved, monkeypatch):
    sizes, draft = [], JpegImagePlugin.JpegImageFile.draft
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", lambda picture, *arguments: (
        draft(picture, *arguments), sizes.append(picture.size))[0])
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = Image.new("L", (8000, 6400), 50)
    picture.paste(200, (0, 0, 8000, 3200))  # the upper half, which is turned down
    expected = np.full(RGB, 50)
    expected[16:] = 200
    assert_image(read_image(saved(picture, "a.jpg", exif=exif), RGB), expected, atol=2)
    assert sizes == [(1000, 800)]
    read_image(saved(picture.resize((7000, 5600)), "b.jpg"), RGB)  # below the limit, to the bit
    assert len(sizes) == 1


@pytest.mark.parametrize("kind, options", [("png", {}), ("tiff", {"compression": "group4"})])
def test_read_image_reads_90_megapixels_without_a_warning(saved, kind, options):
    """From there on Pillow warns, unless a limit of the whole process is changed."""
    path = saved(Image.new("1", (9600, 9600), 1), f"a.{kind}", **options)
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_image(read_image(path, GRAY), np.full(GRAY, 255))
    assert before == (Image.MAX_IMAGE_PIXELS, list(warnings.filters))


def test_read_image_refuses_what_memory_does_not_hold(saved, monkeypatch):
    monkeypatch.setattr(own_pictures, "LARGE", 1000)
    path = saved(random(40, 40))
    monkeypatch.setattr(machine, "available_memory", lambda: 12 * 1600 - 1)
    refused(path, "not enough memory")
    for enough in (12 * 1600, None):
        monkeypatch.setattr(machine, "available_memory", lambda: enough)  # noqa: B023
        assert read_image(path, RGB).shape == RGB


def test_read_image_refuses_files_of_gigabytes(tmp_path):
    for name, size, words in (("a.png", 1 << 30, "PNG file of 1,074 MB"),
                              ("a.jpg", 1 << 28, "JPEG file of 268 MB")):
        with open(tmp_path / name, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" if "png" in name else b"\xff\xd8\xff\xe0")
            file.truncate(size + 1)  # takes no space on the disk
        refused(tmp_path / name, words, "make it smaller")


def test_read_image_refuses_hundreds_of_scans(saved):
    path = saved(random(40, 40, 3), "a.jpg", progressive=True)
    content = path.read_bytes()
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:-2] + content[last:-2] * 300 + content[-2:])
    refused(path, "JPEG of more than 100 scans")
    assert picture_headers.MOST_SCANS == 100


# ---------------------------------------------------------------------------------------
# Bright and dark backgrounds


def bordered(brightness):
    """A 28x28 gray image with one brightness at its edge and another inside."""
    image = np.full(GRAY, 255 - brightness, np.uint8)
    image[[0, -1]] = image[:, [0, -1]] = brightness
    return image


def test_border_range_is_where_nearly_all_edges_are():
    images = np.stack([bordered(value) for value in range(101)])  # 0 to 100
    assert border_range(images) == [5.0, 95.0]
    image = np.zeros((1, 4, 3, 1), np.uint8)
    image[0, 0, 0] = 100  # one of ten outermost pixels
    image[0, 1, 1] = 255  # inside
    assert border_range(image) == [10.0, 10.0]


@pytest.mark.parametrize("description, brightness, expected", [
    ({"name": "mnist"}, 0, False), ({"name": "mnist"}, 120, False), ({"name": "mnist"}, 150, True),
    ({"name": "mnist"}, 255, True), ({"name": "cifar10"}, 255, False),
    ({"name": "folders", "border": [230.0, 255.0]}, 20, True),
    ({"name": "folders", "border": [230.0, 255.0]}, 200, False),
    ({"name": "folders", "border": [57.4, 207.5]}, 255, False),  # CIFAR-10's
    ({"name": "folders", "border": [57.4, 207.5]}, 0, False),
    ({"name": "folders", "border": "nonsense"}, 255, False),
    ({"name": "folders", "border": [1, None]}, 255, False)])
def test_unlike_training_compares_the_edges(description, brightness, expected):
    images = np.stack([bordered(brightness), bordered(brightness)])
    assert unlike_training(images, description).tolist() == [expected] * 2

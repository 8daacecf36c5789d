"""data/picture_headers.py: kinds, lengths and sizes by the first bytes of files."""

import io

import numpy as np
import pytest
from PIL import Image, features

from tf1cifar.data import picture_headers
from tf1cifar.data.base import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)


def encoded(kind, **options):
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind, **options)
    return out.getvalue()


def box(main, *others):
    """The start of a file of MP4's family with these brands."""
    brands = main + bytes(4) + b"".join(others)
    return (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands + bytes(100)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WebP", "BMP", "TIFF", "AVIF"])
def test_recognize_knows_the_kinds_that_can_be_read(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    content = encoded(kind)
    assert picture_headers.recognize(content[:picture_headers.HEAD]) == kind
    assert kind in picture_headers.PLUGINS


@pytest.mark.parametrize("head, words", [
    (b"", "empty file"), (bytes(500), "a file of zeros"),
    (box(b"heic", b"mif1"), "HEIC photo"), (box(b"mif1", b"heic"), "HEIC photo"),
    (box(b"msf1", b"hevc"), "HEIC photo"), (box(b"mif1", b"mif1", b"avif"), "AVIF"),
    (box(b"avis", b"msf1"), "AVIF"), (box(b"isom", b"mp42"), "a video"), (box(b"qt  "), "a video"),
    (box(b"crx "), "RAW"), (b"\0\0\0\x08wide\0\0\1\0mdat", "a video"),
    (b"\x1aE\xdf\xa3\x01", "a video"), (b"RIFF\1\0\0\0AVI LIST", "a video"),
    (b"RIFF\1\0\0\0WAVEfmt ", "a sound file"),
    (b"II*\0\x10\0\0\0CR\x02\0", "RAW"), (b"FUJIFILMCCD-RAW 0201", "RAW"), (b"IIU\0\x18", "RAW"),
    (b"IIRO\x08", "RAW"), (b"\0MRM", "RAW"),
    (b"<!DOCTYPE html><html>", "web page"), (b"\xef\xbb\xbf  <HTML><body>404", "web page"),
    (b"<!-- caf\xe9 -->\n<html lang='fr'>", "web page"), ("<html>".encode("utf-16"), "web page"),
    (b"<?xml version='1.0'?>\n<svg xmlns='x'>", "an SVG drawing"), (b"%PDF-1.4\n%\xe2", "a PDF"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull"),
    (b'{"error": "not found"}', "a text file that begins with '{\"error\""),
    ("Grüße aus Köln".encode(), "a text file"), (b"BMW is a firm", "a text file"),
    (b"data:image/png;base64,iVBORw0", "base64"), (b"[InternetShortcut]\r\nURL=x", "a shortcut"),
    (b"PK\3\4\x14", "ZIP"), (b"\x1f\x8b\x08", "gzip"),
    (b"cat dog", "a text file that begins with 'cat dog'"),
    (b"\x89PNG\n\x1a\n\0\0", "transfer in text mode"), (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"8BPS\0\1", "Photoshop"),
    (b"P6\n30 40\n255\n\0", "PPM"), (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"), (b"\0\5\x16\7\0\2", "._"), (b"\x93NUMPY\1", "NumPy"),
    (b"\x07\x80\xff\x13 anything", "no picture of a known kind"), (b"\xe4", "of a known kind"),
    (("x" * 4095 + "ä").encode()[:picture_headers.HEAD], "a text file"),  # half a character
])
def test_recognize_names_other_files(head, words):
    found = picture_headers.recognize(head)
    assert words in found and "\n" not in found
    assert (found in picture_headers.PLUGINS) == (words == "AVIF")


def test_recognize_quotes_little_of_a_text():
    found = picture_headers.recognize(b"\x1b[31mred\n" + b"x" * 4000)
    assert found.isprintable() and len(found) < 100


def test_recognize_survives_every_first_byte():
    rng = np.random.default_rng(1)
    for number in range(2000):
        head = rng.bytes(int(rng.integers(0, 40)))
        if number % 4 == 0:
            head = head[:4] + b"ftyp" + head
        assert picture_headers.recognize(head)


@pytest.mark.parametrize("kind", ["WebP", "AVIF"])
def test_least_bytes_is_the_length_of_a_whole_file(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    content = encoded(kind)
    assert picture_headers.least_bytes(content[:picture_headers.HEAD], kind) == len(content)


def test_least_bytes_of_a_tiff_reaches_its_directory():
    content = encoded("TIFF", compression="tiff_lzw")
    place = int.from_bytes(content[4:8], "little")
    assert picture_headers.least_bytes(content, "TIFF") == place + 2 <= len(content)
    assert picture_headers.least_bytes(b"MM\0*\0\0\1\0", "TIFF") == 258


def test_least_bytes_of_other_kinds_is_not_known():
    assert picture_headers.least_bytes(encoded("PNG"), "PNG") == 0


@pytest.mark.parametrize("options, mode", [
    ({}, "RGB"), ({"lossless": True}, "RGB"), ({"lossless": True}, "RGBA"), ({}, "RGBA")])
def test_webp_size(options, mode):
    out = io.BytesIO()
    picture = Image.new(mode, (345, 1234), (1, 2, 3, 99)[:len(mode)])
    picture.save(out, "WebP", **options)
    assert picture_headers.webp_size(out.getvalue()[:30]) == (345, 1234)


@pytest.mark.parametrize("options, scans", [({}, 1), ({"progressive": True}, 10)])
def test_jpeg_scans_counts_those_of_the_picture(options, scans):
    content = encoded("JPEG", **options)
    assert picture_headers.jpeg_scans(content) == scans
    # A thumbnail before the picture and another picture after it do not count.
    thumbnail = encoded("JPEG", progressive=True)[:9000]
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert picture_headers.jpeg_scans(content[:2] + segment + content[2:] + thumbnail) == scans


def with_scans(number, size=None):
    """A progressive JPEG of `number` scans that claims to have the size (height, width)."""
    content = encoded("JPEG", progressive=True)
    if size:
        frame = content.index(b"\xff\xc2") + 5
        content = (content[:frame] + b"".join(side.to_bytes(2, "big") for side in size)
                   + content[frame + 4:])
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * (number - 9) + content[-2:]


def test_jpeg_scans_refuses_hundreds():
    assert picture_headers.jpeg_scans(with_scans(100)) == 100
    for number in (101, 800):
        with pytest.raises(DataError, match="more than 100 scans.*take very long"):
            picture_headers.jpeg_scans(with_scans(number))


def test_jpeg_scans_of_large_pictures_are_fewer():
    assert picture_headers.jpeg_scans(with_scans(20, (10_000, 20_000))) == 20
    with pytest.raises(DataError, match="more than 20 scans"):
        picture_headers.jpeg_scans(with_scans(21, (10_000, 20_000)))


def test_jpeg_scans_refuses_a_header_without_end():
    content = encoded("JPEG")
    for more in (b"\xff\xfe\0\2" * 11_000, b"\xff\xe1\xff\xff" + bytes(65533)):
        more *= -(-(1 << 24) // len(more)) if len(more) > 60_000 else 1
        with pytest.raises(DataError, match="far more metadata than pictures have"):
            picture_headers.jpeg_scans(content[:2] + more + content[2:])

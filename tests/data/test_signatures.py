"""data/signatures.py: words for files that are not what their names say."""

import os

import numpy as np
import pytest

from tf1cifar.data import signatures
from tf1cifar.data.base import DataError


@pytest.mark.parametrize("head, words", [
    (b"", "an empty file; copy or"), (b"\n <!DOCTYPE html><p>404", "a web page (HTML)"),
    (b"\xef\xbb\xbf<html lang=en>", "a web page (HTML); download the file itself"),
    (b"<?xml version='1'?><Error>", "an an"),
    ("<html>".encode("utf-16"), "a web page (HTML)"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer; get the file itself"),
    (b"\x1f\x8b\x08\0", "a gzip file; unpack it"), (b"PK\3\4", "a zip archive; unpack it"),
    (bytes(257) + b"ustar\0", "a tar archive; unpack it"), (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file"), (b"\x93NUMPY\1\0", "a NumPy array"),
    (b"[InternetShortcut]\r\nURL=x", "a shortcut to a web page; download the file itself"),
    (b"PAR1\x15", "a Parquet file"), (b"\xff\xd8\xff\xe0", "a picture (JPEG)"),
    (bytes(600), "a file of zeros"), (b"404: Not Found", "a text file that begins with '404: Not"),
    (b"x" * 600, "a text file that begins with 'xxx"), (b"\0\0\x08\3\0\0", "an IDX file of images"),
])
def test_recognize(head, words):
    found = signatures.recognize(head)
    assert found.startswith(words) and len(found) < 120


@pytest.mark.parametrize("head", [
    b"\x80\x02}q\x01(U\x0bbatch_label", b"\x80\x04\x95", b"(dp0\nVlabels\n", b"\x00\x01\x02\xff",
    os.urandom(600) + b"\0\1", b"\x80"])
def test_recognize_says_nothing_about_pickles_and_unknown_bytes(head):
    assert signatures.recognize(head) == ""


def test_changed():
    content = np.random.default_rng(0).integers(0, 256, 2_000_000).astype(np.uint8).tobytes()
    assert signatures.changed(content) == signatures.changed(content[:3000]) == ""
    assert "line ends were changed" in signatures.changed(content.replace(b"\n", b"\r\n"))
    assert "line ends were changed" in signatures.changed(content.replace(b"\r\n", b"\n"))
    text = content[:5000].decode("utf-8", "replace").encode()
    assert "saved as text" in signatures.changed(text)


def test_read_file(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert signatures.read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(DataError, match="file: 5 bytes, expected at most 4"):
        signatures.read_file(tmp_path / "file", 4)
    with pytest.raises(DataError, match="absent: no such file; the data set is incomplete"):
        signatures.read_file(tmp_path / "absent", 4)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        signatures.read_file(tmp_path, 1 << 30)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: a pipe or a device, expected a file"):
        signatures.read_file(tmp_path / "pipe", 4)
